"""What an ear keeps over its lives: counters, the memory that a GPU had, what befell it."""

from pathlib import Path

from collectors.catalogue import Quantity, Round
from collectors.device import Survey
from collectors.ear import Ear
from collectors.shown import Shown
from collectors.tally import load
from service.clock import SimulatedClock
from service.core import limits
from service.core.escalation import History

START_MS, GPU = 1_782_864_000_000, "GPU-1"


def life(directory: Path, total: int, *, boot: str = "a") -> Shown:
    """Return what is shown at the end of a life in which a GPU told twice how much memory it has."""
    ear, shown = Ear(SimulatedClock(START_MS), boot, None, directory), Shown()
    ear.start()
    for _ in range(2):
        survey = Survey(gpu=GPU, round=Round.STATUS, values={Quantity.MEMORY_TOTAL_BYTES: float(total)}, missing={})
        shown.surveyed(survey, 0)
        ear.show(shown)
    ear.stop()
    return shown


def test_the_largest_memory_outlives_agents_and_boots(tmp_path: Path) -> None:
    """Less than ever before is missing, whenever it went."""
    before = life(tmp_path, 300_000).faults.memory_missing
    after = life(tmp_path, 299_000, boot="b").faults.memory_missing

    assert (before, after) == ({GPU: 0}, {GPU: 1_000})


def test_what_befell_a_gpu_is_saved_soon(tmp_path: Path) -> None:
    """As soon as after a line of the log: a killed agent forgets no more than that."""
    clock = SimulatedClock(START_MS)
    ear = Ear(clock, "a", None, tmp_path)
    ear.witnesses.event(GPU, 163, START_MS)
    ear.witnesses.event(GPU, 64, START_MS)
    ear.taken(None, clock.monotonic_ms() + limits.LINES_SAVE_MS)
    kept = load(tmp_path / "tally.json")

    assert kept.smoothing_ms == {GPU: START_MS}
    assert kept.histories[GPU].remap_failed


def test_cases_of_gpus_that_were_replaced_are_bounded(tmp_path: Path) -> None:
    """The newest are kept."""
    ear = Ear(SimulatedClock(START_MS), "a", None, tmp_path)
    ear.witnesses.cases.histories = {f"GPU-{at}": History(remap_failed=True) for at in range(3 * limits.CASES_KEPT)}
    ear.stop()
    again = Ear(SimulatedClock(START_MS), "b", None, tmp_path).witnesses.cases.histories

    assert len(again) == limits.CASES_KEPT
    assert f"GPU-{3 * limits.CASES_KEPT - 1}" in again
