"""What a simulated driver answers: every quantity of the catalogue that a GB300 has.

All of it follows from a GPU's view and the instant. Counters begin anew with each boot, those
of a GPU's whole life do not. A quantity that is not here is one that a GB300 does not have.
"""

from dataclasses import dataclass

from collectors.catalogue import Part, Quantity, Round
from collectors.simulation import heat
from collectors.simulation.layout import LINK_LABELS
from collectors.simulation.power import FULL_WATTS, LIMIT_WATTS, Now
from collectors.simulation.rounds import ROUNDS, Values
from collectors.simulation.view import GpuView
from service.core.limits import SECOND_MS

REASONS = (
    *("gpu_idle", "application_clocks", "sw_power_cap", "hw_slowdown", "sync_boost", "sw_thermal", "hw_thermal"),
    *("hw_power_brake", "display_clocks", "board_limit", "reliability"),
)
THROTTLES = (
    *("sw_power_cap", "thermal", "sync_boost", "board_limit", "low_utilisation", "reliability"),
    *("application_clocks", "base_clocks", "sw_thermal", "hw_thermal", "hw_power_brake", "power_smoothing"),
)


@dataclass(slots=True)
class Steady:
    """Values that hold through a stretch of time, so that a poll in it costs next to nothing."""

    from_ms: int
    to_ms: int
    zero_ms: int  # when the counters of this boot began
    values: Values


class Gauges:
    """Reads one GPU; remembers what does not change between polls."""

    def __init__(self, view: GpuView) -> None:
        """Stand for a GPU."""
        self._view = view
        self._steady: Steady | None = None

    def is_of(self, view: GpuView) -> bool:
        """Return whether this GPU still is what it was; an injected fault makes another of it."""
        return self._view is view

    def read(self, one: Round, at_ms: int) -> Values:
        """Return the values of a round at an instant."""
        if one is Round.PULSE:
            return self._pulse(at_ms)
        now = self._view.course.now.at(at_ms)
        values: Values = {}
        for part in ROUNDS[one]:
            values.update(part(self._view, now, at_ms))
        return values

    def _pulse(self, at_ms: int) -> Values:
        view, steady = self._view, self._steady
        if steady is None or not steady.from_ms <= at_ms < steady.to_ms:
            steady = self._steady = _steady(view, at_ms)
        values = steady.values.copy()
        if steady.from_ms == steady.to_ms:
            values.update(_moving(view, at_ms))
        zero_ms = steady.zero_ms
        values[Quantity.ENERGY_JOULES_TOTAL] = view.course.power.since(zero_ms, at_ms)
        for reason, curve in view.held.items():
            values[_THROTTLE[reason]] = curve.since(zero_ms, at_ms)
        return values


_THROTTLE = {reason: Part(Quantity.THROTTLE_SECONDS_TOTAL, reason) for reason in THROTTLES}
_EVENT = {reason: Part(Quantity.CLOCK_EVENT, reason) for reason in REASONS}
_STATE = tuple(Part(Quantity.NVLINK_STATE, link) for link in LINK_LABELS)


def _steady(view: GpuView, at_ms: int) -> Steady:
    """Return what holds around an instant; an empty stretch while power moves."""
    now = view.course.now.at(at_ms)
    values: Values = {**_flags(now), **_moving(view, at_ms), **dict.fromkeys(_THROTTLE.values(), 0.0)}
    index = view.course.now.index(at_ms)
    starts, ends = [view.course.now.starts[index]], [*view.course.now.starts[index + 1 : index + 2]]
    level = True
    for curve in (*(mate.power for mate in view.mates), view.course.grace):
        from_ms, to_ms, slope = curve.piece(at_ms)
        level &= slope == 0
        starts.append(from_ms + SECOND_MS)  # the one-second average has settled by then
        ends += [] if to_ms is None else [to_ms]
    from_ms, to_ms = max(starts), min(ends, default=at_ms + 1_000 * SECOND_MS)
    settled = level and from_ms <= at_ms < to_ms
    if settled:  # without the rounding of an integral, so that any instant of the stretch says the same
        values[Quantity.POWER_AVERAGE_WATTS] = values[Quantity.POWER_WATTS]
        values[Quantity.MODULE_POWER_AVERAGE_WATTS] = values[Quantity.MODULE_POWER_WATTS]
    return Steady(from_ms if settled else at_ms, to_ms if settled else at_ms, view.tray.boot_ms(at_ms), values)


def _moving(view: GpuView, at_ms: int) -> Values:
    course, before_ms = view.course, at_ms - SECOND_MS
    now, watts = course.now.at(at_ms), course.power.at(at_ms)
    celsius = heat.temperature(watts, now.coolant)
    return {
        Quantity.POWER_WATTS: watts,
        Quantity.POWER_AVERAGE_WATTS: course.power.mean(before_ms, at_ms),
        Quantity.MODULE_POWER_WATTS: view.module_watts(at_ms),
        Quantity.MODULE_POWER_AVERAGE_WATTS: view.module_mean_watts(before_ms, at_ms),
        Quantity.MEMORY_POWER_WATTS: 15.0 + watts * 0.11,
        Quantity.TEMPERATURE_CELSIUS: celsius,
        Quantity.TEMPERATURE_MARGIN_CELSIUS: heat.LIMIT_CELSIUS - celsius,
        Quantity.MEMORY_TEMPERATURE_CELSIUS: now.coolant + 1.0 + watts / heat.MEMORY_WATTS_PER_CELSIUS,
    }


def _flags(now: Now) -> Values:
    values: Values = {
        Quantity.POWER_LIMIT_WATTS: now.limit_watts,
        Quantity.UTILISATION_RATIO: now.load,
        Quantity.MEMORY_UTILISATION_RATIO: now.load * 0.7,
        Quantity.REMAP_PENDING: float(now.condition.remap_pending),
        Quantity.REMAP_FAILED: float(now.condition.remap_failed),
    }
    values.update(dict.fromkeys(_EVENT.values(), 0.0))
    for reason, holds in (
        ("gpu_idle", not now.load),
        ("sw_power_cap", now.capped),
        ("sw_thermal", now.software_thermal),
        ("hw_thermal", now.hardware_thermal),
        ("hw_power_brake", now.condition.power_brake),
        ("hw_slowdown", now.hardware_thermal or now.condition.power_brake),
    ):
        values[_EVENT[reason]] = float(holds)
    values.update(dict.fromkeys(_STATE, 1.0))
    for link in now.condition.links_down:
        values[_STATE[link]] = 0.0
    return values


assert FULL_WATTS < LIMIT_WATTS  # noqa: S101 -- a GPU alone does not meet its own limit
