"""The append-only ledger over SQL; the only door to SQLAlchemy and Alembic."""
