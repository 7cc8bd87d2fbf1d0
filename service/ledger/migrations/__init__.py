"""Alembic migrations of the ledger, run by `service.ledger.store` when it opens one."""
