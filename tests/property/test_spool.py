"""The spool on a hostile disk: nothing wrong is ever returned, and every loss is named."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import spool as spools
from collectors.spool import DiskSpool, LostRange, Record, SpoolFull
from service.core import limits
from service.core.errors import SpoolError


def payload(seq: int) -> bytes:
    """Return the bytes that belong to a number."""
    return f"fact {seq} ".encode() * (1 + seq % 7)


def fill(directory: Path, count: int, run: str = "run") -> None:
    """Write a run into a fresh spool and close it."""
    spool = DiskSpool(directory)
    for seq in range(1, count + 1):
        spool.append(Record(run, seq, payload(seq)), sync=False)
    spool.close()


def everything(directory: Path) -> tuple[list[Record], list[LostRange]]:
    """Return what a newly opened spool holds and what it says is lost."""
    spool = DiskSpool(directory)
    found = [record for run in spool.runs() for record in spool.after(run, 0, 10_000)]
    lost = spool.lost
    spool.close()
    return found, lost


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a few records, so that there is more than one."""
    monkeypatch.setattr(limits, "SPOOL_SEGMENT_BYTES", 200)


def test_what_was_appended_is_there_after_reopening(tmp_path: Path) -> None:
    """Records come back by run, in order, byte for byte; reading starts where asked."""
    fill(tmp_path, 50)
    spool = DiskSpool(tmp_path)
    spool.append(Record("next", 1, b"x"), sync=True)

    assert spool.runs() == ("run", "next")
    assert [record.payload for record in spool.after("run", 0, 100)] == [payload(seq) for seq in range(1, 51)]
    assert [record.seq for record in spool.after("run", 48, 100)] == [49, 50]
    assert [record.seq for record in spool.after("run", 10, 3)] == [11, 12, 13]
    spool.close()


def test_runs_that_a_receipt_covers_leave_nothing_behind(tmp_path: Path) -> None:
    """However often a driver is reloaded, files and bytes are those of the live run alone."""
    spool = DiskSpool(tmp_path)
    for number in range(20):
        spool.append(Record(f"run{number:02d}", 1, b"x"), sync=False)
        spool.trim(f"run{number:02d}", 1)

    assert [path.name for path in tmp_path.glob("*.seg")] == [f"run19.{1:020d}.seg"]
    assert spool.depth_bytes < 100
    spool.close()


def test_a_spool_that_cannot_be_read_is_refused_in_words_and_stays_free(tmp_path: Path) -> None:
    """The error names the file; once it is out of the way the directory belongs to nobody."""
    strange = tmp_path / f"run.{1:020d}.seg"
    strange.mkdir()
    with pytest.raises(SpoolError, match="seg: Is a directory"):
        DiskSpool(tmp_path)
    strange.rmdir()

    DiskSpool(tmp_path).close()


def test_only_what_a_receipt_covers_whole_is_deleted(tmp_path: Path, small_segments: None) -> None:
    """Trimming at a number never loses a record beyond it, and empties what lies under it."""
    fill(tmp_path, 60)
    spool = DiskSpool(tmp_path)
    before = len(list(tmp_path.glob("*.seg")))
    spool.trim("run", 30)
    after = len(list(tmp_path.glob("*.seg")))
    kept = [record.seq for record in spool.after("run", 30, 100)]
    spool.trim("run", 60)
    spool.close()

    assert before > after > 0
    assert kept == list(range(31, 61))
    assert list(tmp_path.glob("*.seg")) == []


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_a_torn_tail_is_cut_and_nothing_before_it_is_lost(at: int) -> None:
    """A file that ends anywhere gives back a prefix of what was written."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        fill(directory, 20)
        (segment,) = directory.glob("*.seg")
        segment.write_bytes(segment.read_bytes()[: at % segment.stat().st_size])
        found, lost = everything(directory)

        assert [record.payload for record in found] == [payload(record.seq) for record in found]
        assert [record.seq for record in found] == list(range(1, len(found) + 1))
        assert lost == []
        assert everything(directory) == (found, lost)


@settings(max_examples=100)
@given(st.integers(0, 100_000), st.integers(0, 7))
def test_a_flipped_bit_never_gives_a_wrong_fact(at: int, bit: int) -> None:
    """Whatever bit flips, what comes back is what was written, in order, up to the damage."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        fill(directory, 20)
        (segment,) = directory.glob("*.seg")
        data = bytearray(segment.read_bytes())
        data[at % len(data)] ^= 1 << bit
        segment.write_bytes(data)
        found, _ = everything(directory)

        assert [record.payload for record in found] == [payload(record.seq) for record in found]
        assert [record.seq for record in found] == list(range(1, len(found) + 1))


def test_a_damaged_record_in_the_middle_names_what_is_lost(tmp_path: Path, small_segments: None) -> None:
    """Later segments are still read, and the numbers between are reported exactly."""
    fill(tmp_path, 60)
    second = sorted(tmp_path.glob("*.seg"))[1]
    first_seq = int(second.stem.split(".")[1])
    third_first = int(sorted(tmp_path.glob("*.seg"))[2].stem.split(".")[1])
    data = bytearray(second.read_bytes())
    data[20] ^= 1
    second.write_bytes(data)
    found, lost = everything(tmp_path)

    assert lost == [LostRange("run", first_seq, third_first - 1)]
    assert {record.seq for record in found} == set(range(1, 61)) - set(range(first_seq, third_first))
    assert len(list(tmp_path.glob("*.damaged"))) == 1


def test_a_full_spool_refuses_facts_and_keeps_room_for_the_gap_record(tmp_path: Path) -> None:
    """At the bound facts are refused, the reserve still takes a gap record, and trimming makes room."""
    spool = DiskSpool(tmp_path, limit_bytes=limits.SPOOL_RESERVE_BYTES + 2_000)
    seq = 2_000 // (16 + 100)
    for number in range(1, seq + 1):
        spool.append(Record("run", number, b"x" * 100), sync=False)
    with pytest.raises(SpoolFull, match="is the service reachable"):
        spool.append(Record("run", seq + 1, b"x" * 100), sync=False)
    spool.append(Record("run", seq + 1, b"gap"), sync=True, reserve=True)
    kept = [record.seq for record in spool.after("run", 0, 1_000)]
    spool.close()

    assert kept == list(range(1, seq + 2))


def test_a_write_that_fails_half_way_leaves_no_torn_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full in the middle of a record, the next one still lands whole."""
    spool = DiskSpool(tmp_path)
    spool.append(Record("run", 1, b"one"), sync=True)
    real = spools._HEADER

    class Torn:
        size = real.size

        def pack(self, *fields: int) -> bytes:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(spools, "_HEADER", Torn())
    with pytest.raises(SpoolFull, match="free space"):
        spool.append(Record("run", 2, b"two"), sync=True)
    monkeypatch.setattr(spools, "_HEADER", real)
    spool.append(Record("run", 2, b"two again"), sync=True)
    spool.close()

    assert [record.payload for record in everything(tmp_path)[0]] == [b"one", b"two again"]


def test_two_agents_cannot_share_a_spool(tmp_path: Path) -> None:
    """The second is told so."""
    first = DiskSpool(tmp_path)
    with pytest.raises(SpoolError, match="a spool of its own"):
        DiskSpool(tmp_path)
    first.close()
    DiskSpool(tmp_path).close()


def test_a_disk_that_stays_full_is_full_each_time_and_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a fact is tried on a full disk, the answer is the same, and room mends it."""
    spool = DiskSpool(tmp_path)
    real = spools._HEADER

    class Torn:
        size = real.size

        def pack(self, *fields: int) -> bytes:
            raise OSError(28, "No space left on device")

    try:
        monkeypatch.setattr(spools, "_HEADER", Torn())
        for _ in range(3):
            with pytest.raises(SpoolFull, match="free space"):
                spool.append(Record("run", 1, b"one"), sync=True)
        monkeypatch.setattr(spools, "_HEADER", real)
        spool.append(Record("run", 1, b"one"), sync=True)

        assert [record.payload for record in spool.after("run", 0, 9)] == [b"one"]
    finally:
        spool.close()


@settings(max_examples=80)
@given(
    st.lists(st.tuples(st.sampled_from(["append", "append", "append", "trim", "reopen", "next"]), st.integers(0, 40)))
)
def test_any_life_of_a_spool_keeps_what_no_receipt_covers(steps: list[tuple[str, int]]) -> None:
    """Appends, receipts, new runs and reopenings in any order: nothing uncovered is lost, nothing is made up."""
    before = limits.SPOOL_SEGMENT_BYTES
    limits.SPOOL_SEGMENT_BYTES = 200
    with tempfile.TemporaryDirectory() as name:
        spool = DiskSpool(Path(name))
        written: dict[str, int] = {}
        covered: dict[str, int] = {}
        number = 0
        try:
            for what, amount in steps:
                run = f"run{number:03d}"
                if what == "append":
                    for _ in range(amount % 9):
                        written[run] = written.get(run, 0) + 1
                        spool.append(Record(run, written[run], payload(written[run])), sync=amount == 1)
                elif what == "trim":
                    one = f"run{amount % (number + 1):03d}"
                    covered[one] = max(covered.get(one, 0), min(amount, written.get(one, 0)))
                    spool.trim(one, covered[one])
                else:
                    number += 1  # an agent that starts anew begins a new run
                    if what == "reopen":
                        spool.close()
                        spool = DiskSpool(Path(name))
                        assert spool.lost == []
                for one, last in written.items():
                    first = covered.get(one, 0) + 1
                    expected = [Record(one, seq, payload(seq)) for seq in range(first, last + 1)]
                    assert list(spool.after(one, first - 1, 1_000)) == expected
                assert list(spool.runs()) == sorted(spool.runs())
                assert spool.depth_bytes == sum(file.stat().st_size for file in Path(name).glob("*.seg"))
        finally:
            limits.SPOOL_SEGMENT_BYTES = before
            spool.close()


@settings(max_examples=100)
@given(st.integers(0, 3), st.integers(0, 10_000), st.integers(0, 256))
def test_damage_in_a_segment_before_the_last_is_named_exactly(which: int, at: int, flip: int) -> None:
    """Cut (flip 256) or changed anywhere, what is read back and what is named lost make up the whole run."""
    before = limits.SPOOL_SEGMENT_BYTES
    limits.SPOOL_SEGMENT_BYTES = 200
    try:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            fill(directory, 40)
            segments = sorted(directory.glob("*.seg"))
            damaged = segments[which % (len(segments) - 1)]
            data = bytearray(damaged.read_bytes())
            at %= len(data)
            if flip == 256:
                del data[at:]
            else:
                data[at] ^= flip
            damaged.write_bytes(data)
            found, lost = everything(directory)

            assert all(record.payload == payload(record.seq) for record in found)
            missing = {seq for one in lost for seq in range(one.first_seq, one.last_seq + 1)}
            kept = [record.seq for record in found]
            assert kept == sorted(set(kept))
            assert set(kept) | missing == set(range(1, 41))
            assert not set(kept) & missing
    finally:
        limits.SPOOL_SEGMENT_BYTES = before
