"""Import of spans: idempotent, every rejected line listed, nothing else affected."""

from pathlib import Path

import pytest

from service import backfill
from service.core.errors import ConfigurationError
from service.core.facts import FactKind
from service.ledger.store import SqlLedger

HEADER = "gpu,rack,tray,health,cause,from,to\n"
A = "2026-07-01T00:00:00Z"
B = "2026-07-01T01:00:00Z"
C = "2026-07-01T02:00:00Z"


def run(tmp_path: Path, ledger: SqlLedger, body: str | bytes, gpus: int = 4) -> backfill.Report:
    """Import a CSV body."""
    file = tmp_path / "spans.csv"
    file.write_bytes(HEADER.encode() + (body if isinstance(body, bytes) else body.encode()))
    return backfill.run(file, ledger, 1_790_000_000_000, gpus, lambda _: None)


def test_an_import_twice_is_an_import_once(tmp_path: Path) -> None:
    """The second run takes nothing and knows everything."""
    ledger = SqlLedger("sqlite://")
    body = f"GPU-a,r0001,1,up,,{A},{B}\nGPU-a,r0001,1,down,gpu:lost,{B},{C}\nGPU-b,r0001,t01,up,,{A},{C}\n"
    first, second = run(tmp_path, ledger, body), run(tmp_path, ledger, body)

    assert (first.taken, first.known, first.rejected) == (3, 0, ())
    assert (second.taken, second.known, second.rejected) == (0, 3, ())
    assert len(list(ledger.facts(kinds=[FactKind.PLACEMENT.value]))) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"GPU-a,r0001,1,up,,{B},{A}", "end after it begins"),
        (f"GPU-a,r0001,1,up,,{A},2026-07-01T01:00:00+02:00", "not a UTC time"),
        (f"GPU-a,r0001,1,fine,,{A},{B}", "none of up, degraded, down"),
        (f"GPU-a,r0001,x,up,,{A},{B}", "no number"),
        (f"GPU-a,r 1,1,up,,{A},{B}", "no name"),
        (f"GPU-a,r0001,1,down,DROP TABLE,{A},{B}", "no cause word"),
        ("GPU-a,r0001,1,up,,1969-01-01T00:00:00Z,1969-01-02T00:00:00Z", "2020 to 2100"),
        ("GPU-a,r0001", "no number"),
    ],
)
def test_a_bad_line_is_listed_and_the_rest_is_taken(tmp_path: Path, line: str, reason: str) -> None:
    """One bad line costs itself alone, with its number and reason."""
    report = run(tmp_path, SqlLedger("sqlite://"), f"GPU-z,r0001,1,up,,{A},{B}\n{line}\n")

    assert report.taken == 1
    assert [one.line for one in report.rejected] == [3]
    assert reason in report.rejected[0].reason


def test_broken_utf8_costs_its_line_alone(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are a reason and not a crash."""
    body = f"GPU-z,r0001,1,up,,{A},{B}\n".encode() + b"GPU-\xff,r0001,1,up,," + f"{A},{B}\n".encode()
    report = run(tmp_path, SqlLedger("sqlite://"), body)

    assert (report.taken, [one.reason for one in report.rejected]) == (1, ["broken UTF-8"])


def test_the_same_key_with_other_content_is_rejected(tmp_path: Path) -> None:
    """A span that is recorded already is not changed by another import."""
    ledger = SqlLedger("sqlite://")
    run(tmp_path, ledger, f"GPU-a,r0001,1,up,,{A},{B}\n")
    report = run(tmp_path, ledger, f"GPU-a,r0001,1,down,gpu:lost,{A},{B}\n")

    assert "other content" in report.rejected[0].reason


def test_a_fifth_gpu_on_a_tray_of_four_is_rejected_and_a_swap_is_not(tmp_path: Path) -> None:
    """Positions are shared over time, never at once."""
    at_once = "".join(f"GPU-{letter},r0001,1,up,,{A},{B}\n" for letter in "abcde")
    swapped = f"GPU-a,r0001,1,up,,{A},{B}\nGPU-b,r0001,1,up,,{B},{C}\n"

    assert len(run(tmp_path, SqlLedger("sqlite://"), at_once).rejected) == 1
    assert run(tmp_path, SqlLedger("sqlite://"), swapped, gpus=1).rejected == ()


def test_a_wrong_header_is_one_clear_error(tmp_path: Path) -> None:
    """Missing columns are named."""
    file = tmp_path / "spans.csv"
    file.write_text("gpu,rack\n")
    with pytest.raises(ConfigurationError, match="columns missing: tray, health"):
        backfill.run(file, SqlLedger("sqlite://"), 1, 4, lambda _: None)
