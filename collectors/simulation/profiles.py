"""Seed profiles: every number of how simulated racks fail. None is a measurement of GB300.

Totals and counts come from public reports (16 384 H100 over 54 days: 419 unexpected
interruptions); shares, repair times and the shape of the process are proposals that follow
them. A scenario names a profile and a process and may scale the total.
"""

from dataclasses import dataclass, field
from enum import Enum

from service.core.limits import DAY_MS, HOUR_MS, MINUTE_MS

RATE_PER_GPU_DAY = 419 / (16_384 * 54)


class Scope(Enum):
    """Whose stream of chance a class of faults is drawn from."""

    RACK = "rack"  # the rack's own: nobody else changes anything in it
    ROW = "row"  # racks that share a coolant loop and leaf switches
    COHORT = "cohort"  # racks that get the same firmware at once
    HALL = "hall"  # racks behind one supply


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of an incident: a kind of fault, and how long it lasts (lognormal).

    A stage that needs `hands` waits for a crew and, with `spare`, for a part. A `wide` stage
    is felt by every rack of the scope, whichever was hit.
    """

    kind: str
    median_ms: int
    sigma: float = 0.0
    hands: bool = False
    spare: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """A class of incidents: its share of the total, and the stages that follow each other.

    `stages` hold one or more variants with their weights. What is not `in_total` comes on top
    of the total rate. `spread` is the least and the largest number of racks of the scope that
    are hit, None for all of them; `strained` classes follow the load.
    """

    name: str
    share: float
    stages: tuple[tuple[float, tuple[Stage, ...]], ...]
    scope: Scope = Scope.RACK
    spread: tuple[int, int] | None = None
    stagger_ms: int = 0  # between one rack of an incident and the next
    strained: bool = False
    in_total: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The shape of the process; the default is homogeneous Poisson with nobody to wait for."""

    lemon_share: float = 0.0  # of trays
    lemon_factor: float = 1.0  # how much more often they fail; the fleet's mean stays
    infant_factor: float = 1.0  # hazard right after acceptance, at most
    infant_days: int = 60  # until the hazard is what it stays
    infant_shape: float = 0.5  # Weibull shape of that decline, below 1
    repeats: float = 0.0  # events that one event sets off on its tray, on average, below 1
    repeat_ms: int = 2 * HOUR_MS  # mean time to such a repeat
    beta: float = 0.0  # share of tray faults that take the whole rack
    strain: float = 0.0  # how much more often strained classes fail at full load than at half, less at none
    evening: float = 0.0  # swing of strained classes over the day, highest at 18:00 UTC
    crews: int | None = None  # None: as many as are needed
    spares: int | None = None
    restock_ms: int = 4 * DAY_MS  # until a spare that was used is there again
    access_hours: tuple[int, int] = (0, 24)  # when hands may work, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A mix of classes and its total rate."""

    per_gpu_day: float = 0.0
    classes: tuple[Class, ...] = ()
    application_per_gpu_day: float = 0.0  # tenants' own faults; assumed, they never count
    row_racks: int = 8
    cohort_racks: int = 16
    hall_racks: int = 100  # 7 200 GPUs
    application: tuple[Stage, ...] = field(
        default=(
            Stage(kind="application", median_ms=MINUTE_MS),
            Stage(kind="application_stopped", median_ms=MINUTE_MS),
        )
    )

    @property
    def total_share(self) -> float:
        """Sum of the shares that make up the total rate."""
        return sum(one.share for one in self.classes if one.in_total)


def _one(kind: str, median_ms: int, sigma: float = 0.0, **work: bool) -> tuple[tuple[float, tuple[Stage, ...]], ...]:
    return ((1.0, (Stage(kind=kind, median_ms=median_ms, sigma=sigma, **work),)),)


_RESET = _one("gpu_reset", 12 * MINUTE_MS, 0.7)
_TRAY_SWAP = Stage(kind="tray_swap", median_ms=6 * HOUR_MS, sigma=0.8, hands=True, spare=True)
_OFF_BUS = (
    (0.7, (Stage(kind="gpu_lost", median_ms=6 * HOUR_MS, sigma=0.8, hands=True, spare=True),)),
    (0.2, (Stage(kind="gsp", median_ms=6 * HOUR_MS, sigma=0.8, hands=True, spare=True),)),
    (0.1, (Stage(kind="gsp_failed", median_ms=6 * HOUR_MS, sigma=0.8, hands=True, spare=True),)),
)
_REMAP = (Stage(kind="ecc_remap", median_ms=20 * MINUTE_MS, sigma=0.7),)
_UNMAPPABLE = (Stage(kind="ecc_failed", median_ms=10 * MINUTE_MS, sigma=0.5), _TRAY_SWAP)
_ISOLATED = Stage(kind="leak", median_ms=5 * HOUR_MS, hands=True)
_COOLING = (  # first it throttles, then the rack with the leak is isolated
    (0.8, (Stage(kind="coolant_loss", median_ms=20 * MINUTE_MS), _ISOLATED)),
    (0.2, (Stage(kind="coolant_loss", median_ms=20 * MINUTE_MS, wide=True), _ISOLATED)),  # the loop of a row
)
_SILENT = (
    (0.5, (Stage(kind="silent_corruption", median_ms=3 * DAY_MS, sigma=0.8),)),
    (0.5, (Stage(kind="slow_gpu", median_ms=3 * DAY_MS, sigma=0.8),)),
)
_HOST = _one("host", 4 * HOUR_MS, 0.8, hands=True)

PROFILES: dict[str, Profile] = {
    "none": Profile(),
    # Shares of the class table, 99.95 in all. Where the table names no spread of a repair time, it has none.
    "gb300": Profile(
        per_gpu_day=RATE_PER_GPU_DAY,
        application_per_gpu_day=0.01,
        classes=(
            Class(
                name="gpu_reset",
                share=25,
                stages=(
                    (0.6, (Stage(kind="gpu_reset", median_ms=12 * MINUTE_MS, sigma=0.7),)),
                    (0.4, (Stage(kind="gpu_hung", median_ms=12 * MINUTE_MS, sigma=0.7),)),
                ),
            ),
            Class(name="ecc", share=17, stages=((0.92, _REMAP), (0.08, _UNMAPPABLE))),
            Class(name="gpu_lost", share=20, stages=_OFF_BUS),
            Class(
                name="nvlink",
                share=8,
                stages=(
                    (0.80, (Stage(kind="nvlink_port", median_ms=45 * MINUTE_MS, sigma=0.7),)),
                    (0.15, (Stage(kind="nvlink_storm", median_ms=45 * MINUTE_MS, sigma=0.7),)),
                    (0.05, (Stage(kind="cartridge", median_ms=14 * HOUR_MS, sigma=0.3, hands=True),)),
                ),
                strained=True,
            ),
            Class(name="switch_tray", share=1.5, stages=_one("switch_tray", 4 * HOUR_MS, 0.6, hands=True)),
            Class(name="host", share=9, stages=_HOST),
            Class(name="scale_out", share=9, stages=_one("scale_out", 90 * MINUTE_MS, 0.9), strained=True),
            Class(
                name="scale_out_flap",
                share=5 * 9,
                stages=_one("scale_out_flap", 45_000, 1.0),
                strained=True,
                in_total=False,
            ),
            Class(name="leaf", share=0.5, stages=_one("leaf_switch", HOUR_MS), scope=Scope.ROW),
            Class(name="software", share=5.7, stages=_one("software", 40 * MINUTE_MS, 0.7)),
            Class(
                name="bad_push",
                share=0.3,
                stages=_one("push", 40 * MINUTE_MS, 0.3),
                scope=Scope.COHORT,
                spread=(2, 6),
                stagger_ms=7 * MINUTE_MS,
            ),
            Class(name="power_shelf", share=1, stages=_one("power_shelf", 3 * HOUR_MS, hands=True), strained=True),
            Class(name="cooling", share=0.7, stages=_COOLING, scope=Scope.ROW, spread=(1, 1), strained=True),
            Class(name="site_power", share=0.05, stages=_one("hall_power", 2 * HOUR_MS, 1.2), scope=Scope.HALL),
            Class(name="silent", share=2.2, stages=_SILENT),
        ),
    ),
    # Counts of 419 unexpected interruptions
    "llama3": Profile(
        per_gpu_day=RATE_PER_GPU_DAY,
        classes=(
            Class(name="faulty_gpu", share=148, stages=_OFF_BUS),
            Class(name="hbm", share=72, stages=((1.0, _REMAP),)),
            Class(name="sram", share=19, stages=((1.0, _REMAP),)),
            Class(name="gsp", share=17, stages=_one("gsp", 6 * HOUR_MS, 0.8, hands=True, spare=True)),
            Class(name="silent", share=6, stages=_SILENT),
            Class(name="thermal", share=6, stages=_RESET),
            Class(name="software", share=54 + 2, stages=_one("software", 40 * MINUTE_MS, 0.7)),
            Class(name="network", share=35, stages=_one("scale_out", 90 * MINUTE_MS, 0.9)),
            Class(name="maintenance", share=32, stages=_one("tray_swap", 4 * HOUR_MS, 0.8, hands=True)),
            Class(name="host", share=7 + 3 + 3 + 2 + 2 + 2 + 2, stages=_HOST),
            Class(name="watchdog", share=7, stages=_RESET),
        ),
    ),
}

PROCESSES: dict[str, Process] = {
    "flat": Process(),
    # 1.5 % of trays give more than half of the events; fleets and repair shops as reported
    "field": Process(
        lemon_share=0.015,
        lemon_factor=75.0,
        infant_factor=3.0,
        repeats=0.15,
        beta=0.02,
        strain=0.5,
        evening=0.2,
        crews=2,
        spares=2,
        access_hours=(6, 22),
    ),
}
