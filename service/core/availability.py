"""Availability of a tenant, exactly: integers and fractions, rounded only to be shown.

Formulas: `U = 1 - D/N`, `U_hi` with unknown time as up, `U_lo` with unknown time as down;
met when `D*q <= (q-p)*N` for the target `p/q`, inclusive. Degraded time adds its weight to D.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from service.core.contract import Objective, exact
from service.core.health import State
from service.core.history import LeasedTime
from service.core.model import Place
from service.core.timeline import Timeline, lengths

TimelineOf = Callable[[LeasedTime], Timeline]
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Time of one unit, or a sum of units, in unit-ms; `down_ms` is raw, without degraded."""

    up_ms: int = 0
    degraded_ms: int = 0
    down_ms: int = 0
    unknown_ms: int = 0

    @property
    def total_ms(self) -> int:
        """All time, the denominator N."""
        return self.up_ms + self.degraded_ms + self.down_ms + self.unknown_ms

    def plus(self, other: "Tally") -> "Tally":
        """Return the sum of both."""
        return Tally(
            up_ms=self.up_ms + other.up_ms,
            degraded_ms=self.degraded_ms + other.degraded_ms,
            down_ms=self.down_ms + other.down_ms,
            unknown_ms=self.unknown_ms + other.unknown_ms,
        )

    def counted_down(self, weight: Fraction) -> Fraction:
        """Return D in unit-ms: down time plus weighted degraded time."""
        return self.down_ms + weight * self.degraded_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Availability with unknown time as down (`lo`), as up (`hi`), and as the contract settles."""

    lo: Fraction
    hi: Fraction
    settled: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """How many units met the target, missed it, or are left open by unknown time."""

    total: int
    met: int
    missed: int
    undetermined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """Money owed for a period: the amount, and the percentage of the worst tier reached."""

    amount: Decimal
    tier_pct: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An objective's result over a period; `bounds` and `met` are None when nothing was leased."""

    objective: Objective
    tally: Tally
    bounds: Bounds | None
    met: bool | None
    units: Units
    credit: Credit


def tally_of(timeline: Timeline) -> Tally:
    """Return the time of a timeline by state."""
    by_state = lengths(timeline)
    return Tally(
        up_ms=by_state[State.UP],
        degraded_ms=by_state[State.DEGRADED],
        down_ms=by_state[State.DOWN],
        unknown_ms=by_state[State.UNKNOWN],
    )


def tallies(leased: Iterable[LeasedTime], timeline_of: TimelineOf) -> dict[Place, Tally]:
    """Return the time of each place, summed over the spans in which it was leased."""
    found: dict[Place, Tally] = defaultdict(Tally)
    for piece in leased:
        found[piece.place] = found[piece.place].plus(tally_of(timeline_of(piece)))
    return dict(found)


def bounds_of(tally: Tally, objective: Objective) -> Bounds | None:
    """Return availability with its bounds, or None when nothing was measured."""
    total = tally.total_ms
    if total == 0:
        return None
    down = tally.counted_down(exact(objective.degraded_weight))
    lo = 1 - (down + tally.unknown_ms) / Fraction(total)
    hi = 1 - down / Fraction(total)
    return Bounds(lo=lo, hi=hi, settled=lo if objective.settle == "lo" else hi)


def judge(bounds: Bounds | None, target: Fraction) -> bool | None:
    """Return whether the target is met whatever the unknown time was; None when it decides."""
    if bounds is None or bounds.lo < target <= bounds.hi:
        return None
    return bounds.lo >= target


def budget_left_ms(tally: Tally, objective: Objective, period_ms: int) -> Fraction:
    """Return what the error budget of a whole period still holds, in unit-ms; may be negative.

    Args:
        tally: Time counted so far, settled by the objective's rule.
        objective: Gives target, degraded weight and settlement.
        period_ms: Unit-ms leased over the whole period.
    """
    spent = tally.counted_down(exact(objective.degraded_weight))
    if objective.settle == "lo":
        spent += tally.unknown_ms
    return (1 - exact(objective.target)) * period_ms - spent


def assess(objective: Objective, by_place: dict[Place, Tally], monthly_fee: Decimal | None) -> Result:
    """Return an objective's result from the time of each leased place."""
    total = Tally()
    for tally in by_place.values():
        total = total.plus(tally)
    units = [total] if objective.unit == "pool" and by_place else list(by_place.values())
    target = exact(objective.target)
    verdicts = [judge(bounds_of(tally, objective), target) for tally in units]
    return Result(
        objective=objective,
        tally=total,
        bounds=bounds_of(total, objective),
        met=_all_met(verdicts),
        units=Units(
            total=len(units),
            met=verdicts.count(True),
            missed=verdicts.count(False),
            undetermined=verdicts.count(None),
        ),
        credit=_credit(objective, units, monthly_fee),
    )


def _all_met(verdicts: list[bool | None]) -> bool | None:
    if False in verdicts:
        return False
    return None if None in verdicts or not verdicts else True


def _credit(objective: Objective, units: list[Tally], monthly_fee: Decimal | None) -> Credit:
    leased_ms = sum(tally.total_ms for tally in units)
    owed, worst = Fraction(0), None
    for tally in units:
        pct = _tier(objective, bounds_of(tally, objective))
        if pct is None or monthly_fee is None:
            continue
        owed += Fraction(monthly_fee) * Fraction(tally.total_ms, leased_ms) * Fraction(pct) / 100
        worst = pct if worst is None else max(worst, pct)
    return Credit(amount=money(owed), tier_pct=worst)


def _tier(objective: Objective, bounds: Bounds | None) -> Decimal | None:
    if bounds is None:
        return None
    for tier in objective.tiers:
        if exact(tier.at_least) <= bounds.settled < exact(tier.below):
            return tier.pct
    return None


def money(amount: Fraction) -> Decimal:
    """Return an exact amount rounded half-even to cents, once, at the end."""
    scaled = amount * 100
    whole, rest = divmod(scaled.numerator, scaled.denominator)
    doubled = 2 * rest
    up = doubled > scaled.denominator or (doubled == scaled.denominator and whole % 2 == 1)
    return (Decimal(whole + up) * _CENT).quantize(_CENT, ROUND_HALF_EVEN)


def ratio_text(ratio: Fraction, digits: int = 15) -> str:
    """Return a ratio as a decimal string cut (never rounded up) after `digits` places.

    Cutting keeps the shown number on the same side of the target as the exact one.
    """
    scale = 10**digits
    whole, rest = divmod(ratio.numerator * scale // ratio.denominator, scale)
    return f"{whole}.{rest:0{digits}d}"
