"""Seals as one row a day; a checksum of progress; corrections found by an index of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the seal table, which no release wrote, and add a column and an index."""
    op.drop_table("seal")
    op.create_table(
        "seal",
        sa.Column("day", sa.String, primary_key=True),
        sa.Column("at_ms", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.add_column("progress", sa.Column("checksum", sa.BigInteger().with_variant(sa.Integer, "sqlite")))
    op.create_index(
        "fact_replaces",
        "fact",
        ["replaces"],
        sqlite_where=sa.text("replaces IS NOT NULL"),
        postgresql_where=sa.text("replaces IS NOT NULL"),
    )


def downgrade() -> None:
    """Refuse: a ledger is append-only, and so is its schema."""
    msg = "a ledger is never taken back to an older schema; restore a backup instead"
    raise NotImplementedError(msg)
