"""What the faults of one GPU do to it over time, and what is true of it meanwhile."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from collectors.device import Access, FabricState
from collectors.simulation.faults import Fault
from collectors.simulation.steps import Steps, steps
from service.core.health import Health
from service.core.timeline import Evidence

_FABRIC_RANK = {
    FabricState.HEALTHY: 0,
    FabricState.DEGRADED: 1,
    FabricState.UNHEALTHY: 2,
    FabricState.NOT_READY: 3,
}
_ACCESS_RANK = {Access.OK: 0, Access.FAILED: 1, Access.RESET_REQUIRED: 2, Access.LOST: 3}


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong with a GPU, as its driver would show it; the default is nothing."""

    host_up: bool = True
    access: Access = Access.OK
    fabric: FabricState = FabricState.HEALTHY
    recovery_action: int = 0
    links_down: frozenset[int] = frozenset()
    noisy_links: frozenset[int] = frozenset()
    remap_pending: bool = False
    remap_failed: bool = False
    clock_ratio: float = 1.0
    power_brake: bool = False
    serves: bool = True  # work runs on it

    @property
    def answers(self) -> bool:
        """Whether the driver gives values."""
        return self.host_up and self.access is Access.OK


HEALTHY = Condition()


def conditions(faults: Sequence[Fault], from_ms: int) -> Steps[Condition]:
    """Return the condition of a GPU over time, from the faults that hit it."""
    edges = sorted({edge for fault in faults for edge in (fault.from_ms, fault.to_ms)})
    holding = ((at_ms, [fault for fault in faults if fault.from_ms <= at_ms < fault.to_ms]) for at_ms in edges)
    return steps([(from_ms, HEALTHY), *((at_ms, _at(some)) for at_ms, some in holding)])


def _at(faults: Sequence[Fault]) -> Condition:
    shapes = [fault.shape for fault in faults]
    if not shapes:
        return HEALTHY
    return Condition(
        host_up=not any(shape.dark for shape in shapes),
        access=max((shape.access for shape in shapes), key=_ACCESS_RANK.__getitem__),
        fabric=max((shape.fabric for shape in shapes), key=_FABRIC_RANK.__getitem__),
        recovery_action=max(shape.recovery_action for shape in shapes),
        links_down=frozenset(link for shape in shapes for link in shape.links_down),
        noisy_links=frozenset(link for shape in shapes for link in shape.noisy_links),
        remap_pending=any(shape.remap_pending for shape in shapes),
        remap_failed=any(shape.remap_failed for shape in shapes),
        clock_ratio=min(shape.clock_ratio for shape in shapes),
        power_brake=any(shape.power_brake for shape in shapes),
        serves=not any(shape.health is Health.DOWN for shape in shapes),
    )


def true_evidence(faults: Iterable[Fault]) -> Iterator[Evidence]:
    """Return what one who knows everything would write of these faults."""
    for fault in faults:
        if fault.shape.cause is not None:
            yield Evidence(fault.from_ms, fault.to_ms, fault.shape.health, fault.shape.cause)


def visible_evidence(faults: Iterable[Fault]) -> Iterator[Evidence]:
    """Return what an honest agent may write of them: every word that would be true, at once."""
    for fault in faults:
        for word in sorted(fault.shape.words):
            yield Evidence(fault.from_ms, fault.to_ms, fault.shape.health, word)


def counted(instants: Iterable[tuple[int, int]], from_ms: int) -> Steps[int]:
    """Return the running sum of (instant, how many): a counter that jumps."""
    known = sorted(instants)
    totals = accumulate(count for _, count in known)
    return steps([(from_ms, 0), *zip((at_ms for at_ms, _ in known), totals, strict=True)])
