"""A poke reads a GPU before its turn, once between two turns; rounds take turns behind the pulse."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from collectors.catalogue import Round
from collectors.clock import SystemClock
from collectors.device import Access, DeviceEvent, Inventory, Reading, Survey
from collectors.watch import SURVEY_MS, Seen, Watch, most_overdue


class Quick:
    """A device of one GPU that answers at once and counts."""

    def __init__(self) -> None:
        self.reads = 0

    def open(self) -> Inventory:
        """Return an inventory of nothing."""
        return Inventory(gpus=(), driver_version="", nvml_version="", cuda_version=0)

    def read(self, gpu: str) -> Reading:
        """Count."""
        self.reads += 1
        return Reading(gpu=gpu, access=Access.OK, values={}, missing={})

    def survey(self, gpu: str, one: Round) -> Survey:
        """Return nothing."""
        return Survey(gpu=gpu, round=one, values={}, missing={})

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Hear nothing."""
        SystemClock().sleep(timeout_ms / 1000)
        return ()

    def close(self) -> None:
        """Do nothing."""


def test_a_poke_reads_now_and_a_storm_of_pokes_once() -> None:
    """With turns a minute apart, only a poke can be the second reading, and there is no third."""
    device = Quick()
    watch = Watch(device, ("GPU-1",), SystemClock(), interval_ms=60_000)
    watch.start()
    for _ in range(200):
        if device.reads:
            break
        SystemClock().sleep(0.01)
    SystemClock().sleep(0.05)
    for _ in range(100):
        watch.poke("GPU-1")
        watch.poke("GPU-nobody")
        SystemClock().sleep(0.002)
    reads = device.reads
    watch.stop()

    assert reads == 2


@given(st.integers(100, 60_000))
def test_no_round_starves_however_rare_the_pulse(interval_ms: int) -> None:
    """With one round a pulse at most, each gets its turn within its interval and as many pulses as there are rounds."""
    due_ms, last_ms = dict.fromkeys(SURVEY_MS, 0), dict.fromkeys(SURVEY_MS, 0)
    for now_ms in range(0, 600_000, interval_ms):
        one = most_overdue(due_ms, now_ms)
        if one is not None:
            due_ms[one], last_ms[one] = now_ms + SURVEY_MS[one], now_ms
        waits = {one: now_ms - at_ms for one, at_ms in last_ms.items()}

        assert all(waits[one] <= SURVEY_MS[one] + len(SURVEY_MS) * interval_ms for one in waits)


class Partly(Quick):
    """A device on which one GPU never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()

    def read(self, gpu: str) -> Reading:
        """Answer for all but one."""
        if gpu == "GPU-hung":
            self.release.wait(60)
        return super().read(gpu)


def test_a_gpu_that_hangs_holds_back_no_others_reading() -> None:
    """Every reading of a neighbour is handed out by itself: none waits until its next one replaces it."""
    device = Partly()
    watch = Watch(device, ("GPU-1", "GPU-hung"), SystemClock(), interval_ms=500)
    watch.start()
    rows = [watch.take() for _ in range(4)]
    device.release.set()
    watch.stop()
    readings = [sum(isinstance(sight, Seen) for sight in row) for row in rows]

    assert readings == [1, 1, 1, 1]
