"""Bring a ledger to this release's schema, or say why not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from service.core.errors import LedgerError


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: Engine) -> None:
    """Take the schema to the newest, in one transaction.

    Raises:
        LedgerError: If the ledger was written by a newer release.
    """
    config = _alembic()
    with engine.begin() as connection:
        _refuse_newer(connection, config)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _refuse_newer(connection: Connection, config: Config) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        msg = f"the ledger has schema {current}, newer than this release; use the release that wrote it"
        raise LedgerError(msg)
