"""The first schema: facts with their chain, progress, seals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of release 0.1."""
    op.create_table(
        "fact",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False, unique=True),
        sa.Column("rack", sa.String, nullable=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("gpu", sa.String, nullable=False),
        sa.Column("from_ms", sa.Integer, nullable=False),
        sa.Column("to_ms", sa.Integer),
        sa.Column("health", sa.String),
        sa.Column("cause", sa.String),
        sa.Column("not_before_ms", sa.Integer),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("replaces", sa.String),
        sa.Column("recorded_ms", sa.Integer, nullable=False),
        sa.Column("previous_hash", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    op.create_index("fact_partition_row", "fact", ["partition", "row"], unique=True)
    op.create_index("fact_kind", "fact", ["kind"])
    op.create_table(
        "progress",
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("rack", sa.String, nullable=False),
        sa.Column("boot", sa.String, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("to_ms", sa.Integer, nullable=False),
        sa.Column("ended", sa.Integer, nullable=False),
        sa.Column("open", sa.Text, nullable=False),
    )
    op.create_table(
        "seal",
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("day", sa.String, primary_key=True),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("signature", sa.String),
    )


def downgrade() -> None:
    """Refuse: a ledger is append-only, and so is its schema."""
    msg = "a ledger is never taken back to an older schema; restore a backup instead"
    raise NotImplementedError(msg)
