"""The newest values of a node as a message of their own: lossy, and never a fact."""

from collectors.catalogue import Quantity, Round
from collectors.narrator import Speaker
from collectors.shown import Shown
from service.core.events import NodeReading


def newest(shown: Shown, speaker: Speaker, at_ms: int, mono_ms: int, interval_ms: int) -> NodeReading | None:
    """Return the pulse of every GPU whose pulse is live at an instant; None when none is.

    Args:
        shown: What the agent saw.
        speaker: Who speaks.
        at_ms: The instant, ms UTC.
        mono_ms: The same instant on the monotonic clock.
        interval_ms: How often the GPUs are polled.
    """
    values = {}
    for gpu in shown.readings:
        pulse = shown.live(gpu, mono_ms, interval_ms).get(Round.PULSE)
        if pulse is not None:
            values[gpu] = {key.value: float(value) for key, value in pulse.values.items() if isinstance(key, Quantity)}
    if not values:
        return None
    return NodeReading(
        site=speaker.site,
        rack=speaker.rack,
        node=speaker.node,
        slot=speaker.slot,
        boot=speaker.boot,
        run=speaker.run,
        at_ms=at_ms,
        values=values,
    )
