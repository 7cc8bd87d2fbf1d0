"""Import of spans: idempotent, every rejected line listed, nothing else affected."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import backfill
from service.core import limits
from service.core.errors import ConfigurationError
from service.core.facts import FactKind
from service.core.periods import parse_utc, utc_text
from service.ledger.store import SqlLedger
from service.spans import SpanLine, read

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


def test_recorded_times_are_believed_in_their_own_order_and_kept_as_spelt(tmp_path: Path) -> None:
    """Lines in any order of recording: the ledger's recorded time is the file's, and never goes back."""
    file = tmp_path / "spans.csv"
    file.write_text(
        "recorded,gpu,rack,tray,health,cause,from,to\n"
        f"{C},GPU-a,r0001,1,up,,{A},{B}\n{B},GPU-a,r0001,1,down,gpu:lost,{B},{C}\n,GPU-b,r0001,1,up,,{A},{B}\n"
    )
    ledger = SqlLedger("sqlite://")
    backfill.run(file, ledger, 1_790_000_000_000, 4, lambda _: None)
    seen = list(ledger.facts())
    as_of = [fact.key for fact in ledger.facts(kinds=["coverage"], up_to=ledger.cut(parse_utc(B)))]

    assert [fact.recorded_ms for fact in seen if fact.kind is FactKind.COVERAGE] == [
        parse_utc(B),
        parse_utc(C),
        1_790_000_000_000,
    ]
    assert as_of == [f"import/GPU-a/{parse_utc(B)}"]
    assert [json.loads(fact.body)["recorded"] for fact in seen if fact.kind is FactKind.COVERAGE] == [B, C, ""]


def test_gpus_where_nothing_is_leased_are_unknown(tmp_path: Path) -> None:
    """With the places of a contract, a line for another tray is refused and says so."""
    file = tmp_path / "spans.csv"
    file.write_text(HEADER + f"GPU-a,r0001,1,up,,{A},{B}\nGPU-b,r0001,2,up,,{A},{B}\n")
    report = backfill.run(file, SqlLedger("sqlite://"), 1, 4, lambda _: None, {("r0001", 1)})

    assert report.taken == 1
    assert [(one.line, "unknown GPU" in one.reason) for one in report.rejected] == [(3, True)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f'"GPU-a,r0001,1,up,,{A},{B}\nGPU-b,r0001,1,up,,{A},{B}', "a quote goes on to line 4"),
        (f"{'x' * 200_000},r0001,1,up,,{A},{B}", "field larger than field limit"),
        (f"GPU-a,r0001,1,up,,2101-01-01T00:00:00Z,{B}", "2020 to 2100"),
        (f"GPU-a,r0001,1,up,,{A},2026-07-01T25:00:00Z", "hour must be in 0..23"),
        (f"GPU-a,r0001,1,up,,{A},{A}", "end after it begins"),
        (f"GPU-a,r0001,\u0661,up,,{A},{B}", "no number"),
    ],
)
def test_a_line_that_no_reader_understands_costs_itself_alone(tmp_path: Path, line: str, reason: str) -> None:
    """Quotes that do not end, endless fields, impossible times: listed with line and reason, the rest is taken."""
    report = run(tmp_path, SqlLedger("sqlite://"), f"GPU-z,r0001,1,up,,{A},{B}\n{line}\n")

    assert report.taken == 1
    assert report.rejected[0].line == 3
    assert reason in report.rejected[0].reason


@given(st.integers(limits.EARLIEST_MS, limits.LATEST_MS - 1), st.integers(1, 10**9))
def test_times_by_lookup_are_times_by_the_book(at_ms: int, more_ms: int) -> None:
    """However many minutes and seconds were seen before, an instant is what `parse_utc` says."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "spans.csv"
        ends = [min(at_ms + more_ms * step + 1, limits.LATEST_MS) for step in range(3)]
        lines = [f"GPU-a,r0001,1,up,,{utc_text(at_ms)},{utc_text(end)}" for end in ends]
        file.write_text(HEADER + "\n".join(lines) + "\n")
        spans = [one for one in read(file) if isinstance(one, SpanLine)]

        assert [(one.from_ms, one.to_ms) for one in spans] == [(at_ms, end) for end in ends]


def test_more_spans_than_a_batch_are_booked_in_order_and_once(tmp_path: Path) -> None:
    """Batches written while the next is made lose, repeat and reorder nothing; progress tells each."""
    at_ms = parse_utc(A)
    body = "".join(
        f"GPU-a,r0001,1,up,,{utc_text(at_ms + n * 1_000)},{utc_text(at_ms + n * 1_000 + 1_000)}\n"
        for n in range(45_000)
    )
    file, told = tmp_path / "spans.csv", list[int]()
    file.write_text(HEADER + body)
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'l.db'}")
    report = backfill.run(file, ledger, 1, 4, told.append)
    froms = [fact.from_ms for fact in ledger.facts(kinds=["coverage"])]
    broken = ledger.first_broken()
    ledger.close()

    assert (report.taken, report.rejected, broken) == (45_000, (), None)
    assert froms == [at_ms + n * 1_000 for n in range(45_000)]
    assert told == sorted(told)
    assert told[-1] == 45_000
