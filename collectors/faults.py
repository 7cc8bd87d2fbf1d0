"""Faults of simulated racks: what kinds there are, how often, how long; drawn from a seed.

Shares, hit units and repair times are seeds from public counts (Llama-3 training, GB200 and
H100 fleets); none is a measurement of GB300. Every number may be scaled by a scenario.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from collectors.device import Access, FabricState
from service.core.health import Health, health_of
from service.core.limits import DAY_MS, HOUR_MS, MINUTE_MS
from service.core.model import Place, Span


class Unit(Enum):
    """What a fault hits as one."""

    GPU = "gpu"
    TRAY = "tray"
    RACK = "rack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A class of faults: what it hits, how it shows, and how long a repair takes.

    `median_ms` and `sigma` give the lognormal time to restore. `cause` is the word that a
    perfect observer would write; `None` for events that are no downtime.
    """

    unit: Unit
    cause: str | None
    median_ms: int
    sigma: float
    xid: int | None = None
    recovery_action: int = 0
    access: Access = Access.OK
    fabric: FabricState = FabricState.HEALTHY
    dark: bool = False  # the host is down with it: no agent, and a new boot afterwards

    @property
    def health(self) -> Health:
        """The health while the fault lasts; a fault named by its XID takes the GPU down."""
        if self.cause is None:
            return Health.UP
        return Health.DOWN if self.cause.startswith("xid:") else health_of(self.cause) or Health.UP


KINDS: dict[str, Kind] = {
    "gpu_reset": Kind(unit=Unit.GPU, cause="xid:46", xid=46, recovery_action=1, median_ms=12 * MINUTE_MS, sigma=0.7),
    "ecc_remap": Kind(unit=Unit.GPU, cause="xid:48", xid=48, recovery_action=1, median_ms=20 * MINUTE_MS, sigma=0.7),
    "gpu_lost": Kind(unit=Unit.TRAY, cause="xid:79", xid=79, access=Access.LOST, median_ms=6 * HOUR_MS, sigma=0.8),
    "nvlink_port": Kind(
        unit=Unit.GPU, cause="fabric:degraded", fabric=FabricState.DEGRADED, median_ms=45 * MINUTE_MS, sigma=0.7
    ),
    "switch_tray": Kind(
        unit=Unit.RACK, cause="fabric:not_ready", fabric=FabricState.NOT_READY, median_ms=4 * HOUR_MS, sigma=0.6
    ),
    "host": Kind(unit=Unit.TRAY, cause="host:reboot", dark=True, median_ms=4 * HOUR_MS, sigma=0.8),
    "software": Kind(unit=Unit.TRAY, cause="host:reboot", dark=True, median_ms=40 * MINUTE_MS, sigma=0.7),
    "power_shelf": Kind(unit=Unit.RACK, cause="host:reboot", dark=True, median_ms=3 * HOUR_MS, sigma=0.7),
    "application": Kind(unit=Unit.GPU, cause=None, xid=13, median_ms=MINUTE_MS, sigma=0.1),
}

# kind: weight; normalised when drawn
PROFILES: dict[str, dict[str, float]] = {
    "none": {},
    "gb300": {
        "gpu_reset": 25,
        "ecc_remap": 17,
        "gpu_lost": 20,
        "nvlink_port": 8,
        "switch_tray": 1.5,
        "host": 9 + 9 + 0.5,  # scale-out and leaf faults take the tray out of service too
        "software": 6,
        "power_shelf": 1 + 0.7 + 0.05,
    },
    "llama3": {  # counts of 419 unexpected interruptions
        "gpu_lost": 148 + 17 + 6 + 6,
        "ecc_remap": 72 + 19,
        "software": 56 + 7,
        "nvlink_port": 35,
        "host": 32 + 21,
    },
}
RATE_PER_GPU_DAY = 419 / (16_384 * 54)
APPLICATION_PER_GPU_DAY = 0.01  # tenants' own faults; assumed, they never count


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault: its kind by name, the places it hits, from when to when."""

    from_ms: int
    to_ms: int
    kind: str
    places: tuple[Place, ...]

    @property
    def shape(self) -> Kind:
        """What faults of this kind do."""
        return KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class RackShape:
    """How many trays and GPUs a rack holds."""

    trays: int = 18
    gpus: int = 4

    def places(self, rack: str, *, tray: int | None = None, gpu: int | None = None) -> tuple[Place, ...]:
        """Return the places of a rack, a tray of it, or a GPU of it."""
        trays = range(1, self.trays + 1) if tray is None else [tray]
        gpus = range(self.gpus) if gpu is None else [gpu]
        return tuple(Place(rack, one, position) for one in trays for position in gpus)


def draw(
    profile: str, racks: Sequence[str], shape: RackShape, window: Span, seed: int, rate: float = 1.0
) -> tuple[Fault, ...]:
    """Return the faults of a window, a Poisson process per rack from its own seed.

    Adding a rack changes nothing for the others.

    Args:
        profile: A key of `PROFILES`.
        racks: Names of racks.
        shape: Trays and GPUs of a rack.
        window: When faults may begin; they may end later.
        seed: Same seed, same faults.
        rate: Factor on the published total rate.
    """
    faults: list[Fault] = []
    for rack in racks:
        chance = random.Random(f"{seed}/{rack}")  # noqa: S311 -- a simulation wants a seed
        faults += _draw_rack(PROFILES[profile], rack, shape, window, chance, rate)
    return tuple(sorted(faults))


def _draw_rack(
    weights: dict[str, float], rack: str, shape: RackShape, window: Span, chance: random.Random, rate: float
) -> list[Fault]:
    gpu_days = shape.trays * shape.gpus * window.length_ms / DAY_MS
    found: list[Fault] = []
    if weights:
        kinds = list(weights)
        drawn = chance.choices(kinds, list(weights.values()), k=_poisson(chance, gpu_days * RATE_PER_GPU_DAY * rate))
        drawn += ["application"] * _poisson(chance, gpu_days * APPLICATION_PER_GPU_DAY * rate)
        found += [_one(kind, rack, shape, window, chance) for kind in drawn]
    return found


def _one(kind: str, rack: str, shape: RackShape, window: Span, chance: random.Random) -> Fault:
    what = KINDS[kind]
    from_ms = chance.randrange(window.from_ms, window.to_ms)
    length_ms = max(MINUTE_MS, round(what.median_ms * math.exp(chance.gauss(0, what.sigma))))
    tray = chance.randrange(1, shape.trays + 1) if what.unit is not Unit.RACK else None
    gpu = chance.randrange(shape.gpus) if what.unit is Unit.GPU else None
    return Fault(from_ms, from_ms + length_ms, kind, shape.places(rack, tray=tray, gpu=gpu))


def _poisson(chance: random.Random, mean: float) -> int:
    """Return a Poisson count: arrivals of unit exponential gaps before `mean`."""
    count, reached = 0, chance.expovariate(1)
    while reached < mean:
        count += 1
        reached += chance.expovariate(1)
    return count
