"""One GPU as its values need it: courses, traffic, boots, and counters that jump."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.simulation.condition import counted
from collectors.simulation.faults import Fault
from collectors.simulation.links import Traffic
from collectors.simulation.power import Course, Now
from collectors.simulation.steps import Curve, Steps, rate
from collectors.simulation.tray import Tray


@dataclass(frozen=True, slots=True)
class GpuView:
    """What the values of a GPU follow from.

    `held` are seconds during which each throttle reason applied. `uncorrectable`, `remapped`
    and `link_failures` count faults; a row is remapped by the reset that ends its fault.
    """

    course: Course
    mates: tuple[Course, ...]  # of the superchip, itself included
    traffic: Traffic
    tray: Tray
    held: dict[str, Curve]
    uncorrectable: Steps[int]
    remapped: Steps[int]
    link_failures: dict[int, Steps[int]]

    def module_watts(self, at_ms: int) -> float:
        """Return the power of the superchip."""
        return self.course.grace.at(at_ms) + sum(mate.power.at(at_ms) for mate in self.mates)

    def module_mean_watts(self, from_ms: int, to_ms: int) -> float:
        """Return the average power of the superchip between two instants."""
        return self.course.grace.mean(from_ms, to_ms) + sum(mate.power.mean(from_ms, to_ms) for mate in self.mates)


_HELD: dict[str, Callable[[Now], bool]] = {
    "sw_power_cap": lambda now: now.capped,
    "sw_thermal": lambda now: now.software_thermal,
    "hw_thermal": lambda now: now.hardware_thermal,
    "thermal": lambda now: now.throttled,
    "hw_power_brake": lambda now: now.condition.power_brake,
    "low_utilisation": lambda now: now.condition.host_up and not now.load,
}


def view(course: Course, mates: tuple[Course, ...], traffic: Traffic, tray: Tray, faults: Sequence[Fault]) -> GpuView:
    """Return the view of a GPU."""
    now = course.now
    from_ms = now.starts[0]
    held = {reason: rate(now, of) for reason, of in _HELD.items() if any(map(of, now.values))}
    if any(course.smoothed.levels):
        held["power_smoothing"] = course.smoothed
    broken = sorted({link for fault in faults for link in fault.shape.links_down})
    return GpuView(
        course=course,
        mates=mates,
        traffic=traffic,
        tray=tray,
        held=held,
        uncorrectable=counted(((fault.from_ms, fault.shape.uncorrectable) for fault in faults), from_ms),
        remapped=counted(((fault.to_ms, int(fault.shape.remap_pending)) for fault in faults), from_ms),
        link_failures={
            link: counted(((fault.from_ms, 1) for fault in faults if link in fault.shape.links_down), from_ms)
            for link in broken
        },
    )
