"""The schema that readers ask for."""

from pathlib import Path

from alembic.script import ScriptDirectory

from service.ledger import migrations
from service.ledger.revision import NEWEST


def test_readers_know_the_newest_schema() -> None:
    """The schema that readers ask for is the last migration's."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))

    assert scripts.get_current_head() == NEWEST
