"""A thousand kills: the long form of `tests/e2e/test_kill.py`; about half an hour."""

from pathlib import Path

from tests.e2e.test_kill import kill_and_compare


def test_a_thousand_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    """After 1 000 kill -9 of agent or service the ledger equals an oracle that saw every record."""
    kill_and_compare(tmp_path, 1_000, seed=20260702)
