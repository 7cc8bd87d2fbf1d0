"""What an evaluation found: everything that a statement must be able to show."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from service.core.availability import Bounds, Units
from service.core.contract import Objective
from service.core.model import Place, Span
from service.core.sla.claims import Reviewed
from service.core.sla.spans import Spans
from service.core.sla.steps import Steps, Weight

Why = Literal["counted", "below_minimum", "excluded", "clock_stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """An incident of a unit as far as it touches the period.

    `whole` is the incident from its first to its last ms, in this period or not; `down_ms` what
    evidence and clocks say of it here, `excluded_ms` what claims took, `counted_ms` what is left
    after the minimum and (by whole minutes, where the contract rounds each outage) the grain.
    `places` are those whose timelines are the evidence.
    """

    unit: str
    whole: Span
    down_ms: Weight
    excluded_ms: Weight
    counted_ms: Weight
    causes: dict[str, int]  # cause: ms; at one instant several causes may hold
    places: tuple[Place, ...]
    claims: tuple[str, ...]
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """One run of the pipeline over one unit, unknown time taken one way."""

    denominator_ms: Weight  # N
    down_ms: Weight  # D
    excluded_ms: dict[str, Weight]  # E by claim
    outages: tuple[Outage, ...] = ()
    steps: Steps = ()  # counted and excluded time inside the period
    free_hours: int = 0

    @property
    def ratio(self) -> Fraction | None:
        """Availability, or None when nothing was measured."""
        whole = self.denominator_ms
        if not whole:
            return None
        left = whole - self.down_ms
        return Fraction(left, whole) if isinstance(left, int) and isinstance(whole, int) else Fraction(left) / whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step of a formula, with its numbers."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What a unit, or units alike, or an objective cost: percentage, base, amount before rounding."""

    fee: Fraction
    owed: Fraction
    tier_pct: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitResult:
    """A unit's period, or that of `count` units to which the same happened."""

    name: str
    count: int
    gpus: int
    time_ms: int  # leased (and accepted, where that is the denominator)
    gpu_ms: int
    inside: Spans
    lo: Count
    hi: Count
    settled: Count
    settled_by: str
    unknown_ms: int
    degraded_ms: int
    bounds: Bounds | None
    met: bool | None
    money: Money

    @property
    def spotless(self) -> bool:
        """Whether there is nothing to tell but that it was up."""
        return not (
            self.lo.outages or self.hi.outages or self.unknown_ms or self.degraded_ms or self.settled.excluded_ms
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """Money owed for a period: rounded once, after base, caps and stack."""

    amount: Decimal
    tier_pct: Decimal | None
    exact: Fraction
    base: Fraction
    uncapped: Fraction
    free_hours: int
    free_amount: Decimal
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An objective over a period; sums are in unit-ms, over all units.

    `down_ms` is D with unknown time as up, so that it and `unknown_ms` are disjoint; `bounds` and
    `met` are None when nothing was measured. `units` lists those that are not spotless.
    """

    objective: Objective
    period: Span
    denominator_ms: Weight
    down_ms: Weight
    settled_down_ms: Weight
    degraded_ms: int
    unknown_ms: int
    excluded_ms: Weight
    excluded_by_kind: dict[str, Weight]
    excluded_by_claim: dict[str, Weight]
    bounds: Bounds | None
    met: bool | None
    disputed: bool
    settled_by: tuple[str, ...]
    verdicts: Units
    all_units: tuple[UnitResult, ...]  # of a weighted pool its members
    pool: UnitResult | None  # the weighted sum of all units, where that is what is tested
    credit: Credit
    reviewed: Reviewed
    breaches: Spans  # of a rolling period: instants at which the window that ends there is over its budget
    lines: tuple[Line, ...]

    @property
    def units(self) -> tuple[UnitResult, ...]:
        """Units to which something happened."""
        return tuple(unit for unit in self.all_units if not unit.spotless)

    @property
    def outages(self) -> tuple[Outage, ...]:
        """Every outage as it was settled, by time."""
        found = [outage for unit in self.all_units for outage in unit.settled.outages]
        return tuple(sorted(found, key=lambda one: (one.whole, one.unit)))
