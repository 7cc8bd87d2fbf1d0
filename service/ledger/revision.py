"""Which schema a ledger has: asked without Alembic, which takes a reader longer to load than its question."""

from sqlalchemy import Engine, inspect, text

from service.core.errors import LedgerError

NEWEST = "0002"  # the last file of `migrations/versions`; a test holds them together


def check_schema(engine: Engine) -> None:
    """Refuse a ledger of another schema, which a reader cannot change.

    Raises:
        LedgerError: If the schema is not this release's.
    """
    current = _current(engine)
    if current != NEWEST:
        msg = f"the ledger has schema {current}, this release reads {NEWEST}; open it once with `threenines serve`"
        raise LedgerError(msg)


def _current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
        return str(found[0]) if found else None
