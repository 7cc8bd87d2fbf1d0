"""Statements of four months, byte for byte: canonical JSON, HTML and CSV."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.statements.html import html
from service.statements.issued import Issued
from service.statements.sheet import sheet
from tests.statement_stories import Story, missed, releases, restated, spotless, undetermined

HERE = Path(__file__).parent / "statements"


def _json(one: Issued) -> str:
    return one.body


def _html(one: Issued) -> str:
    return html(one.document)


def _csv(one: Issued) -> str:
    return sheet(one.document)


@pytest.mark.parametrize("make", [spotless, missed, undetermined, restated])
@pytest.mark.parametrize(("suffix", "text"), [("json", _json), ("html", _html), ("csv", _csv)])
def test_the_newest_version_keeps_its_bytes(
    make: Callable[[Path], Story],
    suffix: str,
    text: Callable[[Issued], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """The same ledger gives the same file, on every machine and day; `--refresh` rewrites it after a change."""
    releases(monkeypatch)
    with make(tmp_path / "l.db") as story:
        made = text(story.issued[-1]).encode()
    golden = HERE / f"{make.__name__}.{suffix}"
    if request.config.getoption("--refresh"):
        golden.write_bytes(made)

    assert made == golden.read_bytes()
