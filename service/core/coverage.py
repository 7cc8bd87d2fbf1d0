"""Fold a run's observations into closed coverage: a healthy heartbeat costs no row.

Coverage stays open while observations touch and say the same; it closes at a change, at a
hole, or at the end of the run.
"""

from collections.abc import Sequence

from service.core.events import NodeObserved
from service.core.facts import OpenCoverage

Closed = OpenCoverage  # the same shape; closed means that it will not grow


class Overlap(ValueError):
    """Raised when an observation begins before the run's coverage ended: its clock went back."""


def extend(
    open_: Sequence[OpenCoverage], observed: NodeObserved
) -> tuple[tuple[OpenCoverage, ...], tuple[Closed, ...]]:
    """Return the open coverage after an observation, and what closed by it.

    Args:
        open_: Open coverage of the same run, one entry a GPU.
        observed: The run's next observation.

    Raises:
        Overlap: If the observation begins before the run's coverage ended.
    """
    before = {entry.gpu: entry for entry in open_}
    covered_ms = max((entry.to_ms for entry in open_), default=observed.from_ms)
    if observed.from_ms < covered_ms:
        msg = f"begins at {observed.from_ms}, the run is covered up to {covered_ms}"
        raise Overlap(msg)
    if not observed.gpus:  # it says nothing of any GPU, and so it ends nothing
        return tuple(open_), ()
    after: list[OpenCoverage] = []
    closed: list[Closed] = []
    for seen in observed.gpus:
        entry = before.pop(seen.gpu, None)
        same = (
            entry is not None
            and entry.to_ms == observed.from_ms
            and (entry.health, entry.cause) == (seen.health, seen.cause)
        )
        if entry is not None and not same and entry.from_ms < entry.to_ms:
            closed.append(entry)
        after.append(
            OpenCoverage(
                gpu=seen.gpu,
                from_ms=entry.from_ms if entry is not None and same else observed.from_ms,
                to_ms=observed.to_ms,
                health=seen.health,
                cause=seen.cause,
                not_before_ms=entry.not_before_ms if entry is not None and same else seen.not_before_ms,
            )
        )
    closed.extend(entry for entry in before.values() if entry.from_ms < entry.to_ms)  # no longer named
    return tuple(after), tuple(closed)
