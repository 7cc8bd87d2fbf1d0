"""One GPU hangs 4 s a call: how late are the readings of the other three?

The power of every GPU is a clock that the bench sets: 200 W plus one watt a second. A value on a page
therefore tells when it was read, for any exporter, whatever that exporter says about it.
"""

import itertools
import math
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.receiver import receiving
from tests.bench.subjects import NVITOP, OURS, Running, Subject, running
from tests.bench.table import Table, percentile, progress
from tests.fakedriver.driver import EVERY_GPU, FakeDriver
from tests.processes import get

HUNG = 2
HANG_MS = 4_000
INTERVAL_SECONDS = 1.0
SETTLE_SECONDS = 5
SCRAPES_A_SECOND = 10
SUBJECTS = (OURS, NVITOP)
_WATTS_AT_START = 200.0
_TICK_SECONDS = 0.005


@dataclass
class Seen:
    """What the pages said of one GPU: when its readings were made, how old values were when served."""

    read_at: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    scrapes: int = 0

    def note(self, read_at: float | None, now: float) -> None:
        """Note one page; None where it has no value."""
        self.scrapes += 1
        if read_at is None:
            return
        self.ages.append(now - read_at)
        if not self.read_at or read_at > self.read_at[-1]:
            self.read_at.append(read_at)


@dataclass(frozen=True)
class Outcome:
    """What one subject did during the hang, in seconds; `gaps` is of the three other GPUs."""

    gaps: tuple[float, ...]
    oldest: float
    hung_shown_stale: float


class Dial:
    """Sets the power of every GPU to the time, in a thread."""

    def __init__(self, driver: FakeDriver) -> None:
        self._driver = driver
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()

    def now(self) -> float:
        """Seconds since the dial was made."""
        return time.monotonic() - self._began

    def stop(self) -> None:
        """Leave the power as it is."""
        self._stop.set()
        self._thread.join(5)

    def _turn(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            for gpu in EVERY_GPU:
                self._driver.set_power(gpu, _WATTS_AT_START + self.now())


def run(seconds: int) -> Iterator[Table]:
    """Hang one GPU under each subject and look ten times a second at what it serves."""
    outcomes = []
    for subject in SUBJECTS:
        progress(f"hang: {subject.name}, {seconds} s")
        outcomes.append(_outcome(subject, seconds))
    yield Table(
        title=f"GPU {HUNG} hangs {HANG_MS / 1000:.0f} s a call, for {seconds} s",
        columns=(*(subject.name for subject in SUBJECTS), "budget of threenines"),
        rows=[
            _row("other GPUs: readings seen", [str(len(o.gaps)) for o in outcomes]),
            _row("  gap, p99, intervals", [_intervals(percentile(o.gaps, 0.99)) for o in outcomes], "<= 1.5"),
            _row("  gap, max, intervals", [_intervals(max(o.gaps)) for o in outcomes], "<= 1.5"),
            _row("  oldest value served, s", [f"{o.oldest:.1f}" for o in outcomes]),
            _row("hung GPU: pages that pass off an old value", [f"{o.hung_shown_stale:.0%}" for o in outcomes]),
        ],
    )


def _row(what: str, figures: list[str], budget: str = "") -> tuple[str, ...]:
    return (what, *figures, budget)


def _intervals(seconds: float) -> str:
    return f"{seconds / INTERVAL_SECONDS:.2f}"


def _outcome(subject: Subject, seconds: int) -> Outcome:
    with (
        tempfile.TemporaryDirectory() as name,
        FakeDriver() as driver,
        receiving() as bus,
        _dial(driver) as dial,
        running(subject, driver, Path(name), bus) as served,
    ):
        time.sleep(SETTLE_SECONDS)
        driver.set_hang(HUNG, HANG_MS)
        began = dial.now()
        seen = _watch(subject, served, dial, seconds)
        ended = dial.now()
        driver.set_hang(HUNG, 0)  # or the subject could not end
    others = [seen[gpu] for gpu in EVERY_GPU if gpu != HUNG]
    stale = [age for age in seen[HUNG].ages if age > 2 * INTERVAL_SECONDS]
    return Outcome(
        gaps=tuple(gap for other in others for gap in _gaps(other, began, ended)),
        oldest=max((age for other in others for age in other.ages), default=math.inf),
        hung_shown_stale=len(stale) / seen[HUNG].scrapes,
    )


@contextmanager
def _dial(driver: FakeDriver) -> Iterator[Dial]:
    dial = Dial(driver)
    try:
        yield dial
    finally:
        dial.stop()


def _watch(subject: Subject, served: Running, dial: Dial, seconds: int) -> dict[int, Seen]:
    seen = {gpu: Seen() for gpu in EVERY_GPU}
    for _ in range(seconds * SCRAPES_A_SECOND):
        began = time.monotonic()
        page = dict(subject.power.findall(get(served.url)))
        now = dial.now()
        for gpu, of_gpu in seen.items():
            watts = float(page.get(str(gpu), "nan"))
            of_gpu.note(None if math.isnan(watts) else watts - _WATTS_AT_START, now)
        time.sleep(max(0.0, 1 / SCRAPES_A_SECOND - (time.monotonic() - began)))
    return seen


def _gaps(seen: Seen, began: float, ended: float) -> list[float]:
    """Times between readings; the last is to the end of the watch, at least so long."""
    if not seen.read_at:
        return [ended - began]
    edges = [*seen.read_at, ended]
    return [later - earlier for earlier, later in itertools.pairwise(edges)]
