"""The kernel log as a witness: one thread that reads /dev/kmsg and tells what concerns a GPU.

Reading usually needs CAP_SYSLOG or root; without it the source is down, which is published and
harms nothing. Records that were taken in by an earlier life of the agent are not told again: a
cursor names the last of them. A flood is folded here, so that it reaches nobody else; what the
kernel's buffer lost is counted. There is no way round over journalctl: the journal copies this same
device, later and without the kernel's numbers, and reading it takes rights of the same kind.
"""

import errno
import os
import select
import stat
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from collectors.kernel_lines import (
    Address,
    Header,
    Notice,
    Rejected,
    fallen,
    parse_header,
    parse_message,
    parse_named,
    same,
)
from service.core import limits
from service.core.ports import Clock

log = structlog.get_logger(__name__)

KMSG = Path("/dev/kmsg")
_SEQ_JUMP = 2**32  # no kernel writes this much between two reads
_SEQ_MAX = 2**53  # nor this much ever; the wire carries no more
_PAIR_US = 1_000_000  # lines of one message are this close


@dataclass(frozen=True, slots=True)
class Overheard:
    """A notice, placed on the monotonic clock; `seq` is its record's number in this boot's log."""

    mono_ms: int
    seq: int
    notice: Notice


@dataclass(slots=True)
class Lines:
    """Bytes to lines, whether they come record by record or cut anywhere. Pure; bounded."""

    too_long: int = 0
    _rest: bytes = b""
    _skipping: bool = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk completes; what is too long is counted and dropped."""
        *whole, rest = (self._rest + chunk).split(b"\n")
        if self._skipping and whole:
            whole, self._skipping = whole[1:], False
        if len(rest) > limits.KERNEL_LINE_BYTES:
            self.too_long += not self._skipping
            rest, self._skipping = b"", True
        self._rest = b"" if self._skipping else rest
        lines = [line for line in whole if len(line) <= limits.KERNEL_LINE_BYTES]
        self.too_long += len(whole) - len(lines)
        return lines


@dataclass(slots=True)
class Folding:
    """Which notices pass: each once a window, and a bounded number of different ones. Pure."""

    _from_ms: int = 0
    _passed: set[Notice] = field(default_factory=set)
    _keys: Counter[tuple[Address, int | None]] = field(default_factory=Counter)
    _gpus: Counter[Address] = field(default_factory=Counter)

    def passes(self, notice: Notice, at_ms: int) -> bool:
        """Return whether a notice is news in its window."""
        if not self._from_ms <= at_ms < self._from_ms + limits.KERNEL_WINDOW_MS:
            self._from_ms = at_ms
            self._passed, self._keys, self._gpus = set(), Counter(), Counter()
        key = same(notice)
        code = (notice.address, notice.code)
        if (
            key in self._passed
            or self._keys[code] >= limits.KERNEL_KEYS_PER_CODE
            or self._gpus[notice.address] >= limits.KERNEL_KEYS_PER_GPU
        ):
            return False
        self._passed.add(key)
        self._keys[code] += 1
        self._gpus[notice.address] += 1
        return True


@dataclass(slots=True)
class KernelTime:
    """Places the kernel's own time on the monotonic clock. Pure.

    Both begin at boot and drift apart by seconds in weeks. A live line arrives no earlier than
    it was written, so the smallest lag of late tells the drift, and what a line's lag exceeds
    it by is how long the line waited.
    """

    _lags_ms: deque[int] = field(default_factory=lambda: deque(maxlen=limits.KERNEL_LAGS))

    def place(self, at_us: int, arrived_ms: int, *, live: bool) -> int:
        """Return when a line was written, ms on the monotonic clock, never after it arrived."""
        at_ms = at_us // 1000
        if not live:
            return min(at_ms, arrived_ms)
        lag_ms = arrived_ms - at_ms
        self._lags_ms.append(lag_ms)
        waited_ms = lag_ms - min(self._lags_ms)
        return arrived_ms - (waited_ms if waited_ms <= limits.KERNEL_LATE_MS else 0)


@dataclass(slots=True)
class Pace:
    """How long a reader rests, so that it takes a bounded number of lines a second. Pure."""

    lines: int = 0  # since the second began
    _second_ms: int = 0

    def rest_ms(self, now_ms: int) -> int:
        """Return how long to rest before more lines are taken, 0 for not at all."""
        if now_ms - self._second_ms >= limits.SECOND_MS:
            self._second_ms, self.lines = now_ms, 0
        elif self.lines >= limits.KERNEL_LINES_PER_SECOND:
            return self._second_ms + limits.SECOND_MS - now_ms
        return 0


class KernelLog:
    """Follows a kernel log until it is stopped.

    `addresses` are those of the GPUs of this tray: the agent sets them when it knows. Public
    counters are written by the reader's thread alone.
    """

    def __init__(
        self,
        clock: Clock,
        path: Path = KMSG,
        *,
        cursor: int | None = None,
        read: Callable[[int, int], bytes] = os.read,
    ) -> None:
        """Prepare; `start` begins to read, after the record that the cursor names."""
        self._clock, self._path = clock, path
        self.cursor = cursor  # the number of the last record that was told, or had nothing to tell
        self._seq = cursor
        self.addresses: frozenset[Address] | None = None
        self.up = False
        self.reason = "not_started"
        self.lines = 0
        self.lost = 0
        self.folded: Counter[tuple[Address, int | None]] = Counter()
        self.rejected: Counter[str] = Counter()
        self._hear: Callable[[Overheard], None] = _nobody
        self._stop = threading.Event()
        self._lines, self._folding, self._time = Lines(), Folding(), KernelTime()
        self._known: dict[bytes, Notice | Rejected | None] = {}
        self._named: tuple[int, Address] | None = None
        self._live = False
        self._pace, self._read_some = Pace(), read
        self._thread = threading.Thread(target=self._run, name="kernel-log", daemon=True)

    def start(self, hear: Callable[[Overheard], None]) -> None:
        """Begin; `hear` is called from the reader's thread and must not wait."""
        self._hear = hear
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(limits.KERNEL_WAIT_MS / 1000 + 1)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                self._down(error)
                self._stop.wait(limits.KERNEL_RETRY_MS / 1000)
                continue
            self.up, self.reason, self._live = True, "", False
            self._lines = Lines()
            try:
                self._follow(descriptor)
            except OSError as error:
                self._down(error)
                self._stop.wait(limits.KERNEL_IDLE_MS / 1000)
            finally:
                os.close(descriptor)
        self.up = False

    def _down(self, error: OSError) -> None:
        reason = errno.errorcode.get(error.errno or 0, "unknown").lower()
        if self.up or reason != self.reason:
            log.warning("kernel_log_unreadable", path=str(self._path), reason=reason)
        self.up, self.reason = False, reason

    def _follow(self, descriptor: int) -> None:
        """Read until stopped, or until a plain file was replaced under its name."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
        while not self._stop.is_set():
            chunk = self._read(descriptor)
            if chunk:
                self._take(chunk, self._clock.monotonic_ms())
                self._rest()
                continue
            self._live = True
            if plain and self._replaced(descriptor):
                return
            if chunk == b"":  # the end of a file, or of whoever wrote: nothing to poll for
                self._stop.wait(limits.KERNEL_IDLE_MS / 1000)
            else:
                poll.poll(limits.KERNEL_WAIT_MS)

    def _read(self, descriptor: int) -> bytes | None:
        """Return what is there, empty at an end, None when there is nothing yet."""
        try:
            return self._read_some(descriptor, limits.KERNEL_READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in {errno.EPIPE, errno.EINVAL}:
                raise
            self.rejected["overrun" if error.errno == errno.EPIPE else "too_long"] += 1
            return b"\n"  # a record is missing here; the next read goes on after it

    def _replaced(self, descriptor: int) -> bool:
        held = os.fstat(descriptor)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False  # between two names; what is held is still the log
        return (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino) or named.st_size < os.lseek(
            descriptor, 0, os.SEEK_CUR
        )

    def _rest(self) -> None:
        """Leave the processor to others in a flood: the kernel's buffer holds or loses the rest."""
        rest_ms = self._pace.rest_ms(self._clock.monotonic_ms())
        if rest_ms > 0:
            self._stop.wait(rest_ms / 1000)

    def _take(self, chunk: bytes, arrived_ms: int) -> None:
        before = self._lines.too_long
        for line in self._lines.feed(chunk):
            self._pace.lines += 1
            if line and not line.startswith(b" "):  # a space begins what belongs to the record before
                self._record(line, arrived_ms)
        if self._lines.too_long > before:
            self.rejected["too_long"] += self._lines.too_long - before

    def _record(self, line: bytes, arrived_ms: int) -> None:
        split = parse_header(line)
        if split is None:
            self.rejected["malformed"] += 1
            return
        header, message = split
        if not self._in_order(header):
            return
        at_ms = self._time.place(header.at_us, arrived_ms, live=self._live)
        if message.startswith(b"NVRM:"):
            self.lines += 1
            notice = self._notice(header, message)
            if notice is not None and self._folding.passes(notice, arrived_ms):
                self._hear(Overheard(at_ms, header.seq, notice))
            elif notice is not None:
                self._fold(notice)
        self.cursor = header.seq

    def _fold(self, notice: Notice) -> None:
        key = (notice.address, notice.code)
        room = key in self.folded or len(self.folded) < limits.KERNEL_FOLDED_KEYS
        self.folded[key if room else ((0, 0, 0), None)] += 1

    def _in_order(self, header: Header) -> bool:
        """Return whether a record is new; count what is missing before it."""
        last = self._seq
        if header.seq > min(_SEQ_MAX, _SEQ_MAX if last is None else last + _SEQ_JUMP):
            self.rejected["absurd_sequence"] += 1
            return False
        if last is not None and header.seq <= last:
            return False
        if last is not None:
            self.lost += header.seq - last - 1
        self._seq = header.seq
        return True

    def _notice(self, header: Header, message: bytes) -> Notice | None:
        """Return the believable notice of a message; count why there is none."""
        if not header.kernel:
            self.rejected["not_kernel"] += 1
            return None
        found = self._parsed(message)
        if found == Rejected("no_address") and self._named and header.at_us - self._named[0] < _PAIR_US:
            found = fallen(self._named[1], message)
        if found is None and (address := parse_named(message)):
            self._named = (header.at_us, address)
        if isinstance(found, Notice) and self.addresses is not None and found.address not in self.addresses:
            found = Rejected("unknown_address")
        if isinstance(found, Rejected):
            self.rejected[found.reason] += 1
            return None
        return found

    def _parsed(self, message: bytes) -> Notice | Rejected | None:
        """Parse, remembering the newest lines: in a flood most are equal to the byte."""
        if message not in self._known:
            if len(self._known) >= limits.KERNEL_LINES_KNOWN:
                self._known.clear()
            self._known[message] = parse_message(message)
        return self._known[message]


def _nobody(_overheard: Overheard) -> None:
    """Hear nothing: before `start` nobody listens."""
