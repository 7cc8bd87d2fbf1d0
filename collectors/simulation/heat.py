"""Heat: what the coolant brings, how warm a GPU gets, and what it gives up to stay alive.

The supply changes in steps, so that everything that follows from it is constant by pieces.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collectors.simulation.faults import Fault
from collectors.simulation.steps import Steps, steps
from service.core.limits import MINUTE_MS

COOLANT_CELSIUS = 33.0  # supply, unless a scenario says otherwise: an idle GPU shows 38
WATTS_PER_CELSIUS = 36.0
MEMORY_WATTS_PER_CELSIUS = 40.0
LIMIT_CELSIUS = 87.0  # temperature plus margin of the one tray that was captured
SHUTDOWN_OFFSET, SLOWDOWN_OFFSET, MEMORY_MAX_OFFSET, GPU_MAX_OFFSET = -5.0, -2.0, 0.0, 0.0
COOLANT_STEP_CELSIUS = 0.5
COOLANT_CELSIUS_PER_MINUTE = 2.0
_SOFTWARE_LEAST_WATTS = 700.0  # below it software gives up and the hardware halves the clocks
_HARDWARE_WATTS = 490.0


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What a GPU may draw, and who holds it down."""

    watts: float
    software: bool = False
    hardware: bool = False


def coolant(phases: Iterable[tuple[int, float]], faults: Sequence[Fault], from_ms: int) -> Steps[float]:
    """Return the supply temperature of a rack: phases of (instant, degrees), plus what faults add."""
    supply = steps([(from_ms, COOLANT_CELSIUS), *phases])
    rises = [steps(_rise(fault, from_ms)) for fault in faults if fault.shape.coolant_rise]
    instants = sorted({*supply.starts, *(at_ms for rise in rises for at_ms in rise.starts)})
    return steps((at_ms, supply.at(at_ms) + sum(rise.at(at_ms) for rise in rises)) for at_ms in instants)


def _rise(fault: Fault, from_ms: int) -> Iterable[tuple[int, float]]:
    """Warm by small steps while the fault lasts, and cool again as fast."""
    step_ms = round(COOLANT_STEP_CELSIUS / COOLANT_CELSIUS_PER_MINUTE * MINUTE_MS)
    most = round(min(fault.shape.coolant_rise / COOLANT_STEP_CELSIUS, (fault.to_ms - fault.from_ms) // step_ms))
    yield min(from_ms, fault.from_ms), 0.0
    for number in range(1, most + 1):
        yield fault.from_ms + number * step_ms, number * COOLANT_STEP_CELSIUS
    for number in range(1, most + 1):
        yield fault.to_ms + number * step_ms, (most - number) * COOLANT_STEP_CELSIUS


def slowdown(wanted_watts: float, coolant_celsius: float) -> Slowdown:
    """Return what heat leaves of the power that a GPU wants."""
    bearable = (LIMIT_CELSIUS - coolant_celsius) * WATTS_PER_CELSIUS
    if wanted_watts <= bearable:
        return Slowdown(wanted_watts)
    if bearable >= _SOFTWARE_LEAST_WATTS:
        return Slowdown(bearable, software=True)
    return Slowdown(min(wanted_watts, _HARDWARE_WATTS), hardware=True)


def temperature(watts: float, coolant_celsius: float) -> float:
    """Return how warm a GPU is, degrees Celsius."""
    return coolant_celsius + watts / WATTS_PER_CELSIUS
