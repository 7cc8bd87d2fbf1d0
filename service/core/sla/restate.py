"""A later version of a period's result beside the one that was issued: what changed, and what is owed."""

from dataclasses import dataclass
from decimal import Decimal

from service.core import limits
from service.core.contract import Objective
from service.core.model import Span
from service.core.sla.result import Result
from service.core.sla.steps import Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Restatement:
    """The difference between two versions; `posted` is what the next open invoice is credited with.

    Past the contract's cutoff for late arrivals a change is recorded and shown, and moves no money.
    """

    down_ms: Weight
    unknown_ms: int
    excluded_ms: Weight
    met_before: bool | None
    met_after: bool | None
    credit_before: Decimal
    credit_after: Decimal
    posted: Decimal
    late: bool


def is_late(objective: Objective, period: Span, recorded_ms: int) -> bool:
    """Return whether something recorded now came past the cutoff for a period."""
    days = objective.monitoring_gap.witnesses.late_arrival_cutoff_days
    return days is not None and recorded_ms > period.to_ms + days * limits.DAY_MS


def restated(before: Result, after: Result, recorded_ms: int) -> Restatement:
    """Return what a later version changes.

    Args:
        before: As issued.
        after: With everything that is known now, under the same terms.
        recorded_ms: When the newest of it was recorded.
    """
    late = is_late(after.objective, after.period, recorded_ms)
    return Restatement(
        down_ms=after.down_ms - before.down_ms,
        unknown_ms=after.unknown_ms - before.unknown_ms,
        excluded_ms=after.excluded_ms - before.excluded_ms,
        met_before=before.met,
        met_after=after.met,
        credit_before=before.credit.amount,
        credit_after=after.credit.amount,
        posted=Decimal(0) if late else after.credit.amount - before.credit.amount,
        late=late,
    )
