"""Power of a superchip over time: what its GPUs want, what holds them down, what they draw.

Two GPUs and Grace share the module's limit, so that it can bind while no GPU's own limit does.
Everything is linear by pieces: energy and throttle time are exact integrals.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from collectors.simulation.condition import Condition
from collectors.simulation.heat import slowdown
from collectors.simulation.steps import Curve, Steps, curve, steps

IDLE_WATTS, FULL_WATTS = 178.0, 1_390.0
LIMIT_WATTS, LIMIT_MIN_WATTS = 1_400.0, 200.0
MODULE_LIMIT_WATTS, MODULE_LIMIT_MIN_WATTS = 2_900.0, 500.0
GRACE_IDLE_WATTS, GRACE_FULL_WATTS = 131.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """Power smoothing as shipped: off; floor and ceiling, ramps, and the hold before a ramp down."""

    enabled: bool = False
    ceiling_watts: float = 1_459.0
    floor_ratio: float = 0.8999
    watts_per_second: float = 20.0
    hold_ms: int = 10_000

    @property
    def floor_watts(self) -> float:
        """What a GPU keeps drawing right after its load went away."""
        return self.ceiling_watts * self.floor_ratio


@dataclass(frozen=True, slots=True)
class Now:
    """Everything about a GPU that holds through a piece of time."""

    condition: Condition
    load: float
    coolant: float
    limit_watts: float
    watts: float  # what it settles at
    hard_watts: float  # what it may not exceed, not even on a ramp
    wanted_watts: float
    power_capped: bool = False  # by its own limit
    module_capped: bool = False
    software_thermal: bool = False
    hardware_thermal: bool = False
    grace_watts: float = 0.0

    @property
    def throttled(self) -> bool:
        """Whether heat holds it down."""
        return self.software_thermal or self.hardware_thermal

    @property
    def capped(self) -> bool:
        """Whether a power limit holds it down."""
        return self.power_capped or self.module_capped


@dataclass(frozen=True, slots=True)
class Course:
    """A GPU's power over time."""

    now: Steps[Now]
    power: Curve
    smoothed: Curve  # 1 while smoothing holds a rise back
    grace: Curve  # of the superchip
    smoothing: Smoothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What comes from outside: load 0 to 1, coolant, the cap of each GPU, smoothing."""

    load: Steps[float]
    coolant: Steps[float]
    cap: Steps[float]
    smoothing: Smoothing


def courses(gpus: Sequence[str], conditions: Sequence[Steps[Condition]], supply: Supply) -> tuple[Course, ...]:
    """Return the course of each GPU of a superchip."""
    outside = (*supply.load.starts, *supply.coolant.starts, *supply.cap.starts)
    instants = sorted({*outside, *(at_ms for one in conditions for at_ms in one.starts)})
    rows = [(at_ms, _row(gpus, [one.at(at_ms) for one in conditions], supply, at_ms)) for at_ms in instants]
    grace = curve([(at_ms, row[0].grace_watts, 0.0) for at_ms, row in rows])
    found = []
    for index in range(len(gpus)):
        now = steps((at_ms, row[index]) for at_ms, row in rows)
        pieces = list(_ramps(now, supply.smoothing))
        power = curve([(at_ms, level, slope) for at_ms, level, slope, _ in pieces])
        smoothed = curve([(at_ms, float(held), 0.0) for at_ms, _, _, held in pieces])
        found.append(Course(now, power, smoothed, grace, supply.smoothing))
    return tuple(found)


def _row(gpus: Sequence[str], conditions: Sequence[Condition], supply: Supply, at_ms: int) -> list[Now]:
    load, coolant, cap = supply.load.at(at_ms), supply.coolant.at(at_ms), supply.cap.at(at_ms)
    row = [_alone(gpu, condition, load, coolant, cap) for gpu, condition in zip(gpus, conditions, strict=True)]
    up = any(now.condition.host_up for now in row)
    busy = sum(now.load for now in row) / len(row)
    grace = (GRACE_IDLE_WATTS + (GRACE_FULL_WATTS - GRACE_IDLE_WATTS) * busy) if up else 0.0
    return [replace(now, grace_watts=grace) for now in _shared(row, MODULE_LIMIT_WATTS - grace)]


def _alone(gpu: str, condition: Condition, load: float, coolant: float, cap: float) -> Now:
    """Return what a GPU would draw if it had its module for itself."""
    limit = max(LIMIT_MIN_WATTS, min(LIMIT_WATTS, cap))
    load = load if condition.serves else 0.0
    wanted = wanted_watts(gpu, load * condition.clock_ratio) if condition.host_up else 0.0
    heat = slowdown(min(wanted, limit), coolant)
    return Now(
        condition=condition,
        load=load,
        coolant=coolant,
        limit_watts=limit,
        watts=heat.watts,
        hard_watts=min(limit, heat.watts) if heat.software or heat.hardware else limit,
        wanted_watts=wanted,
        power_capped=wanted > limit,
        software_thermal=heat.software,
        hardware_thermal=heat.hardware,
    )


def _shared(row: Sequence[Now], available: float) -> list[Now]:
    """Return what the GPUs draw together: who wants less than a fair share leaves the rest."""
    if sum(now.watts for now in row) <= available:
        return list(row)
    shared = list(row)
    left = available
    for count, index in enumerate(sorted(range(len(row)), key=lambda number: row[number].watts)):
        share = min(row[index].watts, left / (len(row) - count))
        left -= share
        if share < row[index].watts:
            shared[index] = replace(row[index], watts=share, hard_watts=share, module_capped=True)
    return shared


def _ramps(now: Steps[Now], smoothing: Smoothing) -> Iterator[tuple[int, float, float, bool]]:
    """Return pieces (start, watts, watts per ms, held back) on the way from level to level."""
    ends = (*now.starts[1:], None)
    level = now.values[0].watts
    for (at_ms, piece), end_ms in zip(now.pieces(), ends, strict=True):
        if not smoothing.enabled or not piece.condition.serves:
            yield at_ms, piece.watts, 0.0, False
            level = piece.watts
            continue
        level = min(level, piece.hard_watts)
        way = list(_way(at_ms, level, piece.watts, smoothing))
        yield from (one for one in way if end_ms is None or one[0] < end_ms)
        level = _level_at(way, end_ms) if end_ms is not None else piece.watts


def _way(at_ms: int, level: float, target: float, smoothing: Smoothing) -> Iterator[tuple[int, float, float, bool]]:
    slope = smoothing.watts_per_second / 1000
    if target < level:
        level = max(target, min(level, smoothing.floor_watts))
        if level > target:
            yield at_ms, level, 0.0, False
            at_ms += smoothing.hold_ms
    length_ms = int(abs(target - level) / slope)
    if length_ms:
        yield at_ms, level, slope if target > level else -slope, target > level
    yield at_ms + length_ms, target, 0.0, False


def _level_at(way: Sequence[tuple[int, float, float, bool]], at_ms: int) -> float:
    from_ms, level, slope, _ = [one for one in way if one[0] <= at_ms][-1]
    return level + slope * (at_ms - from_ms)


def wanted_watts(gpu: str, utilisation: float) -> float:
    """Return a GPU's power without any limit: idle plus load, with an offset of its own."""
    return (IDLE_WATTS + (FULL_WATTS - IDLE_WATTS) * utilisation) * (1 + offset_of(gpu))


@lru_cache(maxsize=65_536)
def offset_of(gpu: str) -> float:
    """Return how much more than the average a GPU draws: at most 1 % either way."""
    return int.from_bytes(hashlib.sha256(gpu.encode()).digest()[:2]) / 65_535 * 0.02 - 0.01
