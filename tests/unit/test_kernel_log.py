"""The kernel log's reader: replays, overruns, floods and lies, on files and pipes of every kind."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.clock import SystemClock
from collectors.kernel_lines import Notice
from collectors.kernel_log import Folding, KernelLog, KernelTime, Lines, Overheard, Pace
from service.core import limits

US = 1_000_000


def record(seq: int, text: str, *, at_us: int | None = None, priority: int = 4) -> bytes:
    """Return a record as /dev/kmsg gives it, with a line of its dictionary."""
    at_us = SystemClock().monotonic_ms() * 1000 if at_us is None else at_us
    return f"{priority},{seq},{at_us},-;{text}\n SUBSYSTEM=pci\n".encode()


def xid(code: int, *, gpu: int = 9, tail: str = "pid=1, name=a") -> str:
    """Return the words of an XID."""
    return f"NVRM: Xid (PCI:{gpu:04x}:01:00): {code}, {tail}"


class Ear:
    """Follows a log and keeps what it heard."""

    def __init__(self, path: Path, cursor: int | None = None) -> None:
        self.heard: list[Overheard] = []
        self.log = KernelLog(SystemClock(), path, cursor=cursor)
        self.log.addresses = frozenset({(9, 1, 0), (8, 1, 0)})
        self.log.start(self.heard.append)

    def codes(self) -> list[int | None]:
        """Return the codes in the order in which they came."""
        return [overheard.notice.code for overheard in self.heard]

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait, bounded."""
        until(ready, self.log)


def until(ready: Callable[[], bool], log: KernelLog) -> None:
    """Wait for what a log's reader does, bounded."""
    for _ in range(1_000):
        if ready():
            return
        SystemClock().sleep(0.01)
    pytest.fail(f"not within 10 s: {log.cursor}, {log.rejected}, lost {log.lost}")


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """An ear at an empty file."""
    (tmp_path / "kmsg").touch()
    made = Ear(tmp_path / "kmsg")
    yield made
    made.log.stop()


def write(path: Path, *records: bytes) -> None:
    """Append to a log."""
    with path.open("ab") as log:
        log.write(b"".join(records))


def test_what_was_heard_before_is_not_heard_again(tmp_path: Path) -> None:
    """A cursor names the last record taken in; only what comes after it is news."""
    path = tmp_path / "kmsg"
    write(path, record(1, xid(31)), record(2, xid(79)), record(3, "usb 1-1: new device"), record(4, xid(48)))
    ear = Ear(path, cursor=2)
    ear.until(lambda: ear.log.cursor == 4)
    ear.log.stop()

    assert ear.codes() == [48]
    assert ear.log.lost == 0


def test_a_hole_in_the_numbers_is_lost_and_counted(ear: Ear, tmp_path: Path) -> None:
    """What the kernel's buffer overwrote leaves a hole."""
    write(tmp_path / "kmsg", record(10, "a"), record(15, xid(79)))
    ear.until(lambda: ear.codes() == [79])

    assert ear.log.lost == 4


def test_lies_are_counted_by_reason_and_nobody_is_told(ear: Ear, tmp_path: Path) -> None:
    """A process that writes to the log, an address of nobody, an absurd code, garbage, an endless line."""
    write(
        tmp_path / "kmsg",
        record(1, xid(79), priority=12),
        record(2, xid(79, gpu=0x77)),
        record(3, xid(99_999_999)),
        b"\xff\x00\xfe garbage\n",
        b"x" * 64 * 1024 + b"\n",
        record(2**60, xid(79)),
        record(4, xid(13)),
    )
    ear.until(lambda: ear.log.cursor == 4)

    assert ear.codes() == [13]
    assert ear.log.rejected == {
        "not_kernel": 1,
        "unknown_address": 1,
        "absurd_code": 1,
        "malformed": 1,
        "too_long": 1,
        "absurd_sequence": 1,
    }


def test_a_fall_off_the_bus_in_three_records_is_one_notice(ear: Ear, tmp_path: Path) -> None:
    """The address stands in the record before the words."""
    write(
        tmp_path / "kmsg",
        record(1, "NVRM: The NVIDIA GPU 0009:01:00.0"),
        record(2, "NVRM: (PCI ID: 10de:31c2) installed in this system has"),
        record(3, "NVRM: fallen off the bus and is not responding to commands."),
    )
    ear.until(lambda: ear.log.cursor == 3)

    assert [(one.notice.address, one.notice.code) for one in ear.heard] == [((9, 1, 0), None)]


def test_a_flood_is_folded_and_another_gpus_line_comes_through(ear: Ear, tmp_path: Path) -> None:
    """Ten thousand equal lines are a few notices; the neighbour's single line in their midst is heard."""
    flood = [record(seq, xid(95, tail=f"pid={seq % 7}")) for seq in range(1, 10_001)]
    flood[5_000] = record(5_001, xid(79, gpu=8))
    write(tmp_path / "kmsg", *flood)
    ear.until(lambda: ear.log.cursor == 10_000)

    assert len(ear.heard) < 20
    assert 79 in ear.codes()
    assert sum(ear.log.folded.values()) + len(ear.heard) == 10_000


def test_a_log_that_rotates_is_followed_under_its_name(ear: Ear, tmp_path: Path) -> None:
    """A file that was moved away and made anew, or cut short, is read from its new beginning."""
    path = tmp_path / "kmsg"
    write(path, record(1, xid(13)))
    ear.until(lambda: ear.codes() == [13])
    path.rename(tmp_path / "kmsg.1")
    write(path, record(2, xid(31)))
    ear.until(lambda: ear.codes() == [13, 31])
    path.write_bytes(record(3, xid(43), at_us=1))
    ear.until(lambda: ear.codes() == [13, 31, 43])


def test_a_pipe_that_cuts_lines_anywhere_is_read_like_records(tmp_path: Path) -> None:
    """Whether a read gives a record, a piece or several makes no difference."""
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    ear = Ear(path)
    writer = os.open(path, os.O_RDWR)
    text = record(1, xid(13)) + record(2, xid(31))
    for at in range(0, len(text), 7):
        os.write(writer, text[at : at + 7])
    ear.until(lambda: ear.codes() == [13, 31])
    os.close(writer)
    ear.log.stop()


def test_records_that_were_overwritten_under_the_reader_are_counted_and_it_goes_on(tmp_path: Path) -> None:
    """The kernel says so once, as a broken pipe, and the next read goes on after the hole."""
    (tmp_path / "kmsg").touch()
    heard: list[Overheard] = []
    answers: list[bytes | OSError] = [
        record(1, xid(13)),
        OSError(errno.EPIPE, ""),
        record(9, xid(31)),
        OSError(errno.EINVAL, ""),
    ]

    def read(descriptor: int, size: int) -> bytes:
        answer = answers.pop(0) if answers else os.read(descriptor, size)
        if isinstance(answer, OSError):
            raise answer
        return answer

    log = KernelLog(SystemClock(), tmp_path / "kmsg", read=read)
    log.start(heard.append)
    until(lambda: log.rejected["too_long"] == 1, log)
    up = log.up
    log.stop()

    assert up
    assert [one.notice.code for one in heard] == [13, 31]
    assert (log.rejected, log.lost, log.cursor) == ({"overrun": 1, "too_long": 1}, 7, 9)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 30_000)), min_size=1, max_size=60))
def test_a_reader_in_a_flood_rests(chunks: list[tuple[int, int]]) -> None:
    """Who rests as told takes in no second more lines than the bound and the last chunk; who is slow never rests."""
    pace, now_ms, taken = Pace(), 0, Counter[int]()
    for wait_ms, lines in chunks:
        now_ms += wait_ms
        pace.lines += lines
        taken[now_ms // limits.SECOND_MS] += lines
        rest_ms = pace.rest_ms(now_ms)

        assert 0 <= rest_ms <= limits.SECOND_MS
        assert rest_ms == 0 or taken.total() >= limits.KERNEL_LINES_PER_SECOND
        now_ms += rest_ms

    assert max(taken.values()) <= 2 * (limits.KERNEL_LINES_PER_SECOND + 30_000)


def test_a_flood_beyond_the_bound_waits_for_the_next_second() -> None:
    """Up to the bound nobody rests; at it, until the second is over."""
    pace = Pace()
    pace.rest_ms(5_000)
    pace.lines += limits.KERNEL_LINES_PER_SECOND - 1
    below = pace.rest_ms(5_200)
    pace.lines += 1

    assert (below, pace.rest_ms(5_300), pace.rest_ms(6_000), pace.lines) == (0, 700, 0, 0)


def test_a_log_that_is_not_there_is_a_source_that_is_down(tmp_path: Path) -> None:
    """Published with its reason, and nothing else happens."""
    ear = Ear(tmp_path / "nowhere")
    ear.until(lambda: ear.log.reason == "enoent")
    up = ear.log.up
    ear.log.stop()

    assert not up
    assert ear.heard == []


def test_a_live_line_is_placed_when_it_was_written() -> None:
    """A line that waited in a queue keeps its own time; the clocks' drift is learnt from those that did not."""
    time = KernelTime()

    assert time.place(1_000 * 1000, 1_300, live=True) == 1_300
    assert time.place(2_000 * 1000, 2_800, live=True) == 2_300
    assert time.place(3_000 * 1000, 3_300, live=True) == 3_300
    assert time.place(0, 9_000_000, live=True) == 9_000_000
    assert time.place(2_000 * 1000, 500_000, live=False) == 2_000


@given(st.lists(st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"")), max_size=12), st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    """Cutting a stream anywhere changes no line."""
    text = b"".join(line + b"\n" for line in lines)
    found, splitter = [], Lines()
    while text:
        at = data.draw(st.integers(1, len(text)))
        found += splitter.feed(text[:at])
        text = text[at:]

    assert found == lines


@given(st.lists(st.integers(0, 40_000), max_size=12))
def test_what_is_kept_of_a_stream_is_bounded(sizes: list[int]) -> None:
    """No line is longer than the bound, and neither is what waits for its end."""
    splitter = Lines()
    lines = [line for size in sizes for line in splitter.feed(b"x" * size)] + splitter.feed(b"\nend\n")

    assert all(len(line) <= limits.KERNEL_LINE_BYTES for line in lines)
    assert lines[-1] == b"end"
    assert splitter.too_long == (sum(sizes) > limits.KERNEL_LINE_BYTES)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 200), st.integers(0, 10)), max_size=300))
def test_what_passes_in_a_window_is_bounded(lines: list[tuple[int, int, int]]) -> None:
    """Whatever the lines, each GPU passes a bounded number, and equal lines pass once."""
    folding = Folding()
    passed = [
        notice
        for gpu, code, action in lines
        if folding.passes(notice := Notice(address=(gpu, 1, 0), code=code, action=action), 1)
    ]

    assert len(passed) == len(set(passed))
    assert len(passed) <= 4 * limits.KERNEL_KEYS_PER_GPU


pieces = st.one_of(
    st.binary(max_size=80),
    st.builds(
        lambda seq, at_us, priority, text: f"{priority},{seq},{at_us},-;{text}\n".encode(),
        st.integers(0, 2**65),
        st.integers(0, 2**65),
        st.integers(0, 200),
        st.sampled_from(
            [
                xid(79),
                xid(79, gpu=0x77),
                xid(145, tail="RLW_REMAP Fatal XC0 i0 Link 4 (0x00000004 0x00000040)"),
                "NVRM: The NVIDIA GPU 0009:01:00.0",
                "NVRM: fallen off the bus",
                "NVRM: Xid (\\x0a",
                "usb",
            ]
        ),
    ),
)


@given(st.lists(pieces, max_size=30), st.none() | st.integers(0, 2**40))
def test_no_stream_of_bytes_stops_the_reader_or_accuses_a_stranger(chunks: list[bytes], cursor: int | None) -> None:
    """Whatever is read, what is heard is of this tray, placed before it arrived, in the order of its numbers."""
    heard: list[Overheard] = []
    log = KernelLog(SystemClock(), Path("nowhere"), cursor=cursor)
    log.addresses = frozenset({(9, 1, 0)})
    log._hear, log._live = heard.append, True
    for chunk in chunks:
        log._take(chunk, 100_000)
    log._take(b"\n" + record((log._seq or 0) + 1, xid(13)), 100_000)

    assert heard[-1].notice.code == 13
    assert {one.notice.address for one in heard} == {(9, 1, 0)}
    assert all(one.mono_ms <= 100_000 for one in heard)
    assert [one.seq for one in heard] == sorted({one.seq for one in heard})
