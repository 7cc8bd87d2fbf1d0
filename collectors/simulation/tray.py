"""A tray over time: when its host was up, since when, what its driver announced, what changed."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collectors.simulation.faults import Fault
from collectors.simulation.power import Now
from collectors.simulation.steps import Steps, steps
from service.core.limits import DAY_MS
from service.core.model import Span

Xid = tuple[int, str, int]  # when, which GPU, which code


@dataclass(frozen=True, slots=True)
class Tray:
    """What a tray's host goes through; every lookup is a binary search."""

    up: Steps[bool]
    boots: tuple[int, ...]  # when each boot began, sorted; the first lies before the window
    raised: tuple[Xid, ...]
    changed: tuple[int, ...]

    def boot_ms(self, at_ms: int) -> int:
        """Return when the boot began that holds at an instant."""
        return self.boots[max(0, bisect_right(self.boots, at_ms) - 1)]

    def xids(self, after_ms: int, up_to_ms: int) -> tuple[Xid, ...]:
        """Return the XIDs raised in `(after_ms, up_to_ms]`."""
        first, last = (bisect_left(self.raised, (at_ms + 1, "", 0)) for at_ms in (after_ms, up_to_ms))
        return self.raised[first:last]

    def changes(self, window: Span) -> tuple[int, ...]:
        """Return the instants of a window at which anything that shows has changed."""
        first, last = (bisect_left(self.changed, at_ms) for at_ms in (window.from_ms, window.to_ms))
        return self.changed[first:last]


def tray(faults: Mapping[str, Sequence[Fault]], now: Mapping[str, Steps[Now]], from_ms: int) -> Tray:
    """Return the tray of some GPUs, from their faults and from what they go through."""
    up = _up(now, from_ms)
    boots = [at_ms for at_ms, here in up.pieces() if here and at_ms > from_ms]
    raised = tuple(sorted(xid for gpu, known in faults.items() for xid in _xids(gpu, known) if up.at(xid[0])))
    changed = {at_ms for at_ms, _, _ in raised}
    for one in now.values():
        changed |= set(one.changes(_shown))
    return Tray(up, (from_ms - DAY_MS, *boots), raised, tuple(sorted(changed)))


def _shown(now: Now) -> object:
    return now.condition, now.software_thermal, now.hardware_thermal


def _up(now: Mapping[str, Steps[Now]], from_ms: int) -> Steps[bool]:
    instants = sorted({from_ms, *(at_ms for one in now.values() for at_ms in one.changes(_host_up))})
    points: list[tuple[int, bool]] = []
    for at_ms in instants:
        here = all(one.at(at_ms).condition.host_up for one in now.values())
        if not points or points[-1][1] != here:
            points.append((at_ms, here))
    return steps(points)


def _host_up(now: Now) -> object:
    return now.condition.host_up


def _xids(gpu: str, faults: Sequence[Fault]) -> list[Xid]:
    return [
        (fault.from_ms + after, gpu, code)
        for fault in faults
        for after, code in fault.shape.xids
        if fault.from_ms + after < fault.to_ms
    ]
