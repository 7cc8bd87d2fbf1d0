"""How fast a budget goes, when it will be gone, and what the next tier edge costs.

Windows as the SRE workbook names them; the factor follows the length of the month, so that a page
means the same share of the budget in February and in July: `factor = share * period / window`.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from service.core import limits
from service.core.contract import Objective, exact
from service.core.sla.result import UnitResult
from service.core.sla.steps import Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A pair of windows that both must burn above the factor, and the share of the budget it stands for."""

    name: str
    severity: Literal["page", "ticket"]
    long_ms: int
    short_ms: int
    share: Fraction

    def factor(self, period_ms: int) -> Fraction:
        """Return the burn rate at which the long window uses up the share of a period's budget."""
        return self.share * period_ms / self.long_ms


_PERCENT = Fraction(1, 100)
WINDOWS = (
    Window(
        name="page_fast", severity="page", long_ms=limits.HOUR_MS, short_ms=5 * limits.MINUTE_MS, share=2 * _PERCENT
    ),
    Window(
        name="page_slow",
        severity="page",
        long_ms=6 * limits.HOUR_MS,
        short_ms=30 * limits.MINUTE_MS,
        share=5 * _PERCENT,
    ),
    Window(
        name="ticket_fast", severity="ticket", long_ms=limits.DAY_MS, short_ms=2 * limits.HOUR_MS, share=10 * _PERCENT
    ),
    Window(
        name="ticket_slow",
        severity="ticket",
        long_ms=3 * limits.DAY_MS,
        short_ms=6 * limits.HOUR_MS,
        share=10 * _PERCENT,
    ),
)


def burn_rate(down_ms: Weight, measured_ms: Weight, objective: Objective) -> Fraction:
    """Return the speed of budget use over a window; 1 is exactly on budget, 0 when nothing was measured."""
    if not measured_ms:
        return Fraction(0)
    return Fraction(down_ms) / measured_ms / (1 - exact(objective.target))


def fires(window: Window, long_burn: Fraction, short_burn: Fraction, period_ms: int) -> bool:
    """Return whether both windows burn above the factor."""
    factor = window.factor(period_ms)
    return long_burn > factor and short_burn > factor


def time_to_trip_ms(window: Window, objective: Objective, period_ms: int) -> Fraction:
    """Return how long the whole unit must be down until the long window burns at the factor."""
    return window.factor(period_ms) * (1 - exact(objective.target)) * window.long_ms


def budget_ms(objective: Objective, measured_ms: Weight) -> Fraction:
    """Return the down unit-ms that the target allows."""
    return (1 - exact(objective.target)) * measured_ms


def time_to_breach_ms(left_ms: Fraction, down_now: Weight) -> Fraction | None:
    """Return how long until the budget is gone if what is down now stays down; None when nothing is."""
    return max(left_ms, Fraction(0)) / down_now if down_now else None


def forecast_ms(down_ms: Weight, recent_down_ms: Weight, window_ms: int, left_ms: int) -> Fraction:
    """Return the down unit-ms at the period's end, going on as over the recent window: `D + slope * time left`."""
    return Fraction(down_ms) + Fraction(recent_down_ms) / window_ms * left_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The next tier edge of a unit: how much more down time reaches it, and what the credit is then."""

    unit: str
    left_ms: Fraction
    pct: Fraction
    owed: Fraction


def next_edge(objective: Objective, unit: UnitResult, period_ms: Weight, fee: Fraction) -> Edge | None:
    """Return a unit's next tier edge by the period's end, or None below the last one.

    A tier is entered below its edge, so at `left_ms` of further down time the edge is still met.

    Args:
        objective: Gives the tiers.
        unit: As settled so far.
        period_ms: What will be measured of the unit by the period's end.
        fee: Of the unit, for the whole period.
    """
    down = Fraction(unit.settled.down_ms)
    for tier in sorted(objective.tiers, key=lambda tier: -tier.below):
        left = (1 - exact(tier.below)) * period_ms - down
        if left >= 0:
            return Edge(unit=unit.name, left_ms=left, pct=exact(tier.pct), owed=fee * exact(tier.pct) / 100)
    return None
