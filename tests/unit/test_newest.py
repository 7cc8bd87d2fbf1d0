"""The newest values as a message: of whom nothing is live, nothing is sent."""

from collectors.catalogue import Quantity
from collectors.narrator import Speaker
from collectors.newest import newest
from service.core import limits
from tests.trays import full

AT_MS = 1_782_864_000_000
SPEAKER = Speaker(
    site="mem2", rack="r0001", node="r0001-t07", tray=7, slot=25, boot="boot", boot_ms=AT_MS, run="run", version=""
)


def test_a_gpu_that_hangs_sends_no_old_values_under_a_new_time() -> None:
    """What it said before its call hung is not live; its neighbours' values go on."""
    shown = full()
    shown.overdue = ("GPU-1",)
    sent = newest(shown, SPEAKER, AT_MS, 2_600, limits.POLL_INTERVAL_MS)

    assert sent is not None
    assert set(sent.values) == {"GPU-0", "GPU-2", "GPU-3"}
    assert sent.values["GPU-0"][Quantity.POWER_WATTS.value] == 1


def test_without_a_live_value_nothing_is_sent() -> None:
    """Neither after the driver went nor when every value is too old."""
    aged, gone = full(), full()
    gone.gone()

    assert newest(aged, SPEAKER, AT_MS, limits.HOUR_MS, limits.POLL_INTERVAL_MS) is None
    assert newest(gone, SPEAKER, AT_MS, 0, limits.POLL_INTERVAL_MS) is None
