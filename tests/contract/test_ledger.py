"""One suite over every ledger: in memory and in a file; PostgreSQL joins later."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from service.core.errors import LedgerError
from service.core.facts import Fact, FactKind, OpenCoverage, Progress, changed
from service.core.health import Health
from service.core.open_notes import note
from service.core.seal import order_of, seal
from service.ledger.schema import FACT
from service.ledger.store import SqlLedger


def fact(number: int, **changes: object) -> Fact:
    """Return a coverage fact that differs by its number."""
    made = Fact(
        kind=FactKind.COVERAGE,
        key=f"coverage/{number}",
        partition=number % 3,
        from_ms=number * 10,
        to_ms=number * 10 + 10,
        rack="r0001",
        node="r0001-t01",
        run="run",
        seq=number,
        gpu="GPU-a",
        health=Health.DOWN if number % 2 else None,
        cause="gpu:lost" if number % 2 else "agent:edge",
        not_before_ms=number,
        body="ü",
    )
    return changed(made, **changes)


def progress(seq: int) -> Progress:
    """Return the progress of one run at a number."""
    open_ = OpenCoverage(gpu="GPU-a", from_ms=1, to_ms=seq + 1, health=Health.UP, not_before_ms=None)
    return Progress(partition=1, rack="r0001", node="r0001-t01", run="run", boot="b", seq=seq, to_ms=seq, open=(open_,))


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SqlLedger]]:
    """A factory of the ledger under test; in a file, each call opens the same one."""
    made: list[SqlLedger] = []
    url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'l.db'}"

    def build() -> SqlLedger:
        made.append(SqlLedger(url))
        return made[-1]

    yield build
    for ledger in made:
        ledger.close()


def test_what_is_committed_comes_back_in_order(make: Callable[[], SqlLedger]) -> None:
    """Facts come back equal, with their recorded time, in order of recording."""
    ledger = make()
    ledger.commit([fact(3), fact(1)], [progress(1)], 100)
    ledger.commit([fact(2)], [progress(2)], 200)

    assert list(ledger.facts()) == [
        fact(3, recorded_ms=100),
        fact(1, recorded_ms=100),
        fact(2, recorded_ms=200),
    ]
    assert ledger.progress() == (progress(2),)
    assert [one.key for one in ledger.facts(kinds=["event"])] == []
    assert [one.seq for one in ledger.facts(since_ms=25)] == [3, 2]


def test_the_same_fact_twice_is_one_and_other_content_is_an_error(make: Callable[[], SqlLedger]) -> None:
    """A repeated fact is no news; the same key with other content writes nothing at all."""
    ledger = make()
    ledger.commit([fact(1)], [], 1)
    ledger.commit([fact(1), fact(2)], [], 2)
    with pytest.raises(LedgerError, match="coverage/1 is recorded with other content"):
        ledger.commit([fact(5), fact(1, to_ms=99)], [progress(9)], 3)

    assert [one.seq for one in ledger.facts()] == [1, 2]
    assert ledger.progress() == ()
    assert ledger.first_broken() is None


def test_a_commit_that_fails_leaves_nothing_and_the_next_one_works(make: Callable[[], SqlLedger]) -> None:
    """On a full disk nothing is half done, the error says so, and room mends it."""
    ledger = make()
    ledger.commit([fact(1)], [progress(1)], 1)

    def shrink(pages: int) -> None:
        with ledger._engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    event.listen(ledger._engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=1"))
    with pytest.raises(LedgerError, match="free space"):
        ledger.commit([fact(number, body="x" * 5_000) for number in range(2, 60)], [progress(60)], 2)
    event.listen(
        ledger._engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    )
    ledger.commit([fact(2)], [progress(2)], 3)
    shrink(1_000_000)

    assert [one.seq for one in ledger.facts()] == [1, 2]
    assert ledger.progress() == (progress(2),)
    assert ledger.first_broken() is None


def test_reopening_shows_the_same_and_goes_on_chaining(tmp_path: Path) -> None:
    """A ledger is its file."""
    url = f"sqlite:///{tmp_path / 'l.db'}"
    first = SqlLedger(url)
    first.commit([fact(1), fact(4)], [progress(1)], 1)
    first.close()
    second = SqlLedger(url)
    second.commit([fact(7)], [], 2)

    assert [one.seq for one in second.facts()] == [1, 4, 7]
    assert second.first_broken() is None
    second.close()


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    """One writer at a time; the refusal says what to do. A reader cannot commit."""
    url = f"sqlite:///{tmp_path / 'l.db'}"
    writer = SqlLedger(url)
    writer.commit([fact(1)], [], 1)
    with pytest.raises(LedgerError, match="owned by another writer"):
        SqlLedger(url)
    reader = SqlLedger(url, read_only=True)
    seen = [one.seq for one in reader.facts()]
    with pytest.raises(LedgerError, match="read-only"):
        reader.commit([fact(2)], [], 2)
    reader.close()
    writer.close()

    assert seen == [1]


@pytest.mark.parametrize(
    ("url", "word"),
    [("sqlite:////nowhere/l.db", "choose a directory"), ("postgresql://x", "no ledger URL"), ("l.db", "no ledger URL")],
)
def test_a_ledger_that_cannot_be_opened_says_why(url: str, word: str) -> None:
    """Place and mend are in the error."""
    with pytest.raises(LedgerError, match=word):
        SqlLedger(url)


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """Damage at the very beginning is an error and not an empty ledger."""
    (tmp_path / "l.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError, match="damaged or no ledger"):
        SqlLedger(f"sqlite:///{tmp_path / 'l.db'}")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fact SET to_ms = to_ms + 1 WHERE seq = 4",
        "UPDATE fact SET health = 'up' WHERE seq = 1",
        "DELETE FROM fact WHERE seq = 4",
        "UPDATE fact SET recorded_ms = 0 WHERE seq = 7",
    ],
)
def test_any_change_of_a_committed_row_is_found(tmp_path: Path, change: str) -> None:
    """Whoever edits the file breaks the chain at that row."""
    path = tmp_path / "l.db"
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.commit([fact(1), fact(4), fact(7)], [], 1)
    before = ledger.first_broken()
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    ledger = SqlLedger(f"sqlite:///{path}", read_only=True)
    broken = ledger.first_broken()
    ledger.close()

    assert before is None
    assert broken is not None
    assert broken[0] == 1


def test_kill_9_of_a_writer_leaves_whole_commits_only(tmp_path: Path) -> None:
    """Every commit is there whole or not at all, with its progress."""
    path = tmp_path / "l.db"
    source = (
        "import itertools\n"
        "from tests.contract.test_ledger import fact, progress\n"
        "from service.ledger.store import SqlLedger\n"
        f"ledger = SqlLedger('sqlite:///{path}')\n"
        "start = max((one.seq for one in ledger.progress()), default=0)\n"
        "for n in itertools.count(start + 1):\n"
        "    ledger.commit([fact(n * 10 + i) for i in range(10)], [progress(n)], n)\n"
        "    print(n, flush=True)\n"
    )
    for number in range(5):
        with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, env=dict(os.environ)) as writer:
            assert writer.stdout is not None
            told = int(writer.stdout.readline())
            time.sleep(0.03 * (number + 1))
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
            told = int(rest[-1]) if rest else told
        ledger = SqlLedger(f"sqlite:///{path}")
        count, reached = len(list(ledger.facts())), ledger.progress()[0].seq
        broken = ledger.first_broken()
        ledger.close()

        assert broken is None
        assert count == reached * 10
        assert reached in {told, told + 1}


def test_a_reader_needs_a_ledger_that_exists(tmp_path: Path) -> None:
    """Read-only opens nothing new: a missing file is an error and stays missing."""
    path = tmp_path / "none.db"
    with pytest.raises(LedgerError, match="does not exist"):
        SqlLedger(f"sqlite:///{path}", read_only=True)

    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Where nothing can be written the ledger says so; /proc refuses even root."""
    with pytest.raises(LedgerError, match="choose a directory that the service may write"):
        SqlLedger("sqlite:////proc/self/ledger.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="choose a directory"):
        SqlLedger(f"sqlite:///{tmp_path / 'file' / 'l.db'}")


def test_a_refused_commit_changes_neither_facts_nor_progress_nor_chain(make: Callable[[], SqlLedger]) -> None:
    """All or nothing: new facts beside a contradiction are not kept, and what follows chains on unbroken."""
    ledger = make()
    ledger.commit([fact(1), fact(4)], [progress(4)], 1)
    for _ in range(3):
        with pytest.raises(LedgerError):
            ledger.commit([fact(7), fact(10), fact(4, health=Health.DEGRADED)], [progress(10)], 2)
    ledger.commit([fact(10), fact(7)], [progress(7)], 3)

    assert [one.seq for one in ledger.facts()] == [1, 4, 10, 7]
    assert ledger.progress() == (progress(7),)
    assert ledger.first_broken() is None


def test_two_contents_of_one_key_in_one_commit_are_an_error(make: Callable[[], SqlLedger]) -> None:
    """A contradiction within a commit is as much an error as one with an earlier commit."""
    ledger = make()
    with pytest.raises(LedgerError, match="other content"):
        ledger.commit([fact(1), fact(1, to_ms=99)], [], 1)


def test_progress_is_kept_by_run_and_replaced_whole(make: Callable[[], SqlLedger]) -> None:
    """The newest progress of each run counts, with its open coverage and its end."""
    ledger = make()
    other = changed(progress(3), run="other")
    ledger.commit([], [progress(1), other], 1)
    ended = changed(progress(5), ended=True, open=())
    ledger.commit([], [ended], 2)

    assert sorted(ledger.progress(), key=lambda entry: entry.run) == [other, ended]


def test_more_facts_than_a_page_come_back_once_each_in_order(make: Callable[[], SqlLedger]) -> None:
    """Reading page by page loses and repeats nothing at the seams."""
    ledger = make()
    for start in (0, 6_000):
        ledger.commit([fact(number) for number in range(start, start + 6_000)], [], 1)

    assert [one.seq for one in ledger.facts()] == list(range(12_000))
    assert [one.seq for one in ledger.facts(since_ms=119_980)] == [11_998, 11_999]


def _columns() -> list[str]:
    return [column.name for column in FACT.columns if column.name != "id"]


@pytest.mark.parametrize("column", _columns())
def test_a_flipped_value_in_any_column_is_found(tmp_path: Path, column: str) -> None:
    """No column of a row is outside the chain: any other value is found at that very row."""
    path = tmp_path / "l.db"
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.commit([fact(number, partition=2) for number in range(1, 6)], [], 1)
    ledger.close()
    with sqlite3.connect(path) as connection:
        (kind,) = connection.execute(f"SELECT typeof({column}) FROM fact WHERE seq = 3").fetchone()
        other = {"integer": f"{column} + 7", "text": f"{column} || 'x'", "null": "'x'"}[kind]
        other = {"kind": "'event'", "health": "'up'"}.get(column, other)
        connection.execute(f"UPDATE fact SET {column} = {other} WHERE seq = 3")
    connection.close()
    ledger = SqlLedger(f"sqlite:///{path}", read_only=True)
    broken = ledger.first_broken()
    ledger.close()

    assert broken is not None
    assert broken == (2, 3)


def test_two_reads_of_one_cut_are_the_same_whatever_was_appended(make: Callable[[], SqlLedger]) -> None:
    """A cut names exactly which rows count; later rows, corrections among them, do not change what it reads."""
    ledger = make()
    ledger.commit([fact(1), fact(2), fact(3)], [], 100)
    cut = ledger.cut()
    before = list(ledger.facts(up_to=cut))
    ledger.commit([fact(4), fact(5), correction("coverage/2")], [], 200)

    assert [one.seq for one in before] == [1, 2, 3]
    assert list(ledger.facts(up_to=cut)) == before
    assert [one.key for one in ledger.facts(after=cut)] == ["coverage/4", "coverage/5", "said/correction/coverage/2"]
    assert list(ledger.facts(up_to={})) == []


def test_a_cut_as_of_an_instant_is_what_was_recorded_by_then(make: Callable[[], SqlLedger]) -> None:
    """As-of counts recorded time, inclusive; a partition that had nothing yet is not in the cut."""
    ledger = make()
    for number in range(1, 30):
        ledger.commit([fact(number)], [], number * 100)

    for at_ms in (0, 99, 100, 101, 1_250, 2_900, 9_999):
        seen = [one.seq for one in ledger.facts(up_to=ledger.cut(at_ms))]
        assert seen == [number for number in range(1, 30) if number * 100 <= at_ms]


def test_recorded_time_never_goes_back_within_a_partition(make: Callable[[], SqlLedger]) -> None:
    """A clock that was set back is overruled, so that as-of cuts stay cuts."""
    ledger = make()
    ledger.commit([fact(1, partition=1)], [], 500)
    ledger.commit([fact(2, partition=1), fact(3, partition=2)], [], 400)

    assert [(one.seq, one.recorded_ms) for one in ledger.facts()] == [(1, 500), (2, 500), (3, 400)]


def test_a_cut_of_other_rows_is_refused(make: Callable[[], SqlLedger]) -> None:
    """Rows that the ledger does not have, or has otherwise, are an error and never read as if they were the cut's."""
    ledger = make()
    ledger.commit([fact(1, partition=1)], [], 1)
    (tip,) = ledger.cut().values()
    for cut in ({1: (2, tip[1])}, {1: (1, "0" * 64)}, {7: (1, tip[1])}):
        with pytest.raises(LedgerError, match="a cut names row"):
            list(ledger.facts(up_to=cut))
        with pytest.raises(LedgerError, match="a cut names row"):
            list(ledger.facts(after=cut))


def correction(key: str) -> Fact:
    """Return the correction of a fact."""
    kind = FactKind.OPERATOR
    return Fact(kind=kind, key=f"said/correction/{key}", partition=64, from_ms=0, body="{}", replaces=key)


def test_a_corrected_fact_does_not_count_and_is_not_lost(make: Callable[[], SqlLedger]) -> None:
    """A correction takes a fact back from its recording on; a correction of the correction gives it back."""
    ledger = make()
    ledger.commit([fact(1), fact(2)], [], 100)
    ledger.commit([correction("coverage/1")], [], 200)
    ledger.commit([correction("said/correction/coverage/1")], [], 300)

    def standing(at_ms: int) -> list[str]:
        return [one.key for one in ledger.facts(kinds=["coverage"], up_to=ledger.cut(at_ms))]

    assert standing(100) == ["coverage/1", "coverage/2"]
    assert standing(200) == ["coverage/2"]
    assert standing(300) == ["coverage/1", "coverage/2"]
    assert [one.key for one in ledger.facts(kinds=["coverage"], replaced=True)] == ["coverage/1", "coverage/2"]
    assert ledger.fact("coverage/1") == fact(1, recorded_ms=100)
    assert ledger.fact("coverage/9") is None


def test_of_notes_only_the_newest_of_each_partition_within_the_cut_counts(make: Callable[[], SqlLedger]) -> None:
    """A note of what was open is complete: reading a year of them costs one a partition."""
    ledger = make()
    for at_ms in (10, 20, 30):
        ledger.commit([note(p, [progress(at_ms)], at_ms) for p in (1, 2)], [], at_ms)

    assert [one.key for one in ledger.facts()] == ["open/1/30", "open/2/30"]
    assert [one.key for one in ledger.facts(up_to=ledger.cut(25))] == ["open/1/20", "open/2/20"]
    assert len(list(ledger.facts(replaced=True))) == 6


def test_seals_come_back_in_order_and_a_day_is_sealed_once(make: Callable[[], SqlLedger]) -> None:
    """The same seal again is no news; another of the same day is an error."""
    ledger = make()
    ledger.commit([fact(1)], [], 1)
    first = seal("2026-07-01", 5, ledger.cut(), "", None)
    ledger.commit([fact(2)], [], 2)
    second = seal("2026-07-02", 6, ledger.cut(), "", first)
    for one in (first, second, first):
        ledger.add_seal(one)
    with pytest.raises(LedgerError, match="sealed already"):
        ledger.add_seal(seal("2026-07-02", 7, ledger.cut(), "", first))

    assert ledger.seals() == (first, second)
    assert (first.rows, second.rows) == (1, 1)


def test_a_scan_names_tips_and_marks(make: Callable[[], SqlLedger]) -> None:
    """What fits is counted, and its hashes are those of the cut."""
    ledger = make()
    ledger.commit([fact(number) for number in range(1, 10)], [], 1)
    cut = ledger.cut()
    found = ledger.scan([ledger.cut(0), cut])

    assert (found.rows, found.broken, found.unreadable, found.damage) == (9, (), (), ())
    assert found.tips == cut
    assert found.marks == {(partition, row): digest for partition, (row, digest) in cut.items()}
    assert found.orders == (order_of([]), ledger.order({}, cut)) == (order_of([]), order_of([1, 2, 0] * 3))


def test_a_writer_that_got_past_the_lock_commits_nothing(tmp_path: Path) -> None:
    """Two writers of one partition, as on a disk that two hosts share: the second is refused, and says why."""
    url, lock = f"sqlite:///{tmp_path / 'l.db'}", tmp_path / "l.db.lock"
    first = SqlLedger(url)
    lock.unlink()  # another host has another lock
    second = SqlLedger(url)
    first.commit([fact(1, partition=1)], [], 1)
    with pytest.raises(LedgerError, match="another writer appended to the same partition"):
        second.commit([fact(2, partition=1)], [progress(2)], 2)
    broken, seen = first.first_broken(), [one.seq for one in first.facts()]
    first.close()
    second.close()

    assert broken is None
    assert seen == [1]


def test_a_ledger_of_the_first_schema_is_taken_along(tmp_path: Path) -> None:
    """What release 0.1 wrote is read, verified, sealed and appended to; a reader says who must open it first."""
    path = tmp_path / "l.db"
    with sqlite3.connect(path) as connection:
        connection.executescript((Path(__file__).parents[1] / "golden/ledger_0001.sql").read_text())
    connection.close()
    with pytest.raises(LedgerError, match="open it once with `threenines serve`"):
        SqlLedger(f"sqlite:///{path}", read_only=True)
    ledger = SqlLedger(f"sqlite:///{path}")
    before = ledger.first_broken()
    facts, runs = list(ledger.facts()), ledger.progress()
    ledger.commit([fact(1, partition=18)], [changed(runs[0], seq=7)], 1)
    ledger.add_seal(seal("2026-07-01", 1, ledger.cut(), "", None))
    after, rows = ledger.first_broken(), ledger.scan().rows
    ledger.close()

    assert before is None
    assert [one.kind.value for one in facts] == ["placement", *["coverage"] * 4, "statement"]
    assert facts[4].body == "ü"
    assert runs[0].open[0].to_ms - runs[0].open[0].from_ms == 5_000
    assert (after, rows) == (None, 7)


def test_progress_that_was_changed_in_the_file_is_an_error(tmp_path: Path) -> None:
    """The one table outside the chain bears a checksum: a flipped bit is told, never folded."""
    path = tmp_path / "l.db"
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.commit([], [progress(5)], 1)
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE progress SET open = replace(open, '6', '7')")
    connection.close()
    ledger = SqlLedger(f"sqlite:///{path}", read_only=True)
    with pytest.raises(LedgerError, match="is damaged"):
        ledger.progress()
    ledger.close()
