"""A tenant's result for a month, as JSON that a program can check.

Shape: design section 10. Durations are unit-ms, ratios decimal strings (cut, 15 places) with
the exact fraction beside them under `exact`.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from service.core.availability import Bounds, ratio_text
from service.core.contract import Agreement, Contract, Tenant
from service.core.history import History
from service.core.model import Span
from service.core.periods import month_span, utc_text
from service.core.sla.month import Settled, claim_by_ms, settled_month, total_credit
from service.core.sla.result import Credit, Outage, Result, UnitResult
from service.core.sla.steps import Weight


def draw(
    contract: Contract | Agreement, history: History, tenant: Tenant, month: str, *, up_to_ms: int | None = None
) -> dict[str, Any]:
    """Return the statement of a tenant's calendar month in the contract's zone.

    Args:
        contract: The terms: one version, or all of them with the time that each was in force.
        history: The fold of the ledger.
        tenant: Whose statement; each version's own terms of it count.
        month: `YYYY-MM`.
        up_to_ms: For a month that is still running: count only up to here.

    Raises:
        ValueError: If the month is misspelt, or has not begun at `up_to_ms`.
    """
    agreement = contract if isinstance(contract, Agreement) else Agreement.of((contract,))
    settled = settled_month(agreement, history, tenant.id, month, up_to_ms=up_to_ms)
    first = settled[0].contract if settled else agreement.newest
    period = month_span(month, first.zone_info)
    counted = period if up_to_ms is None else Span(period.from_ms, min(period.to_ms, up_to_ms))
    return {
        "tenant": tenant.id,
        "contract": {"id": first.id, "version": first.version},
        "period": {
            "from": utc_text(period.from_ms),
            "to": utc_text(period.to_ms),
            "zone": first.zone,
            "counted_to": utc_text(counted.to_ms),
        },
        "objectives": [_objective(one, month) for one in settled],
        "credit": {"amount": str(total_credit(settled)), "currency": first.currency, "stack": _stack(settled)},
        "version": 1,
    }


def _stack(settled: tuple[Settled, ...]) -> str | None:
    return settled[0].objective.credits.stack if settled else None


def _objective(one: Settled, month: str) -> dict[str, Any]:
    deadline_ms = claim_by_ms(one, month)
    issue = {"issue": one.objective.credits.issue.kind, "claim_by": utc_text(deadline_ms) if deadline_ms else None}
    return result_json(one.result, one.contract.currency) | {
        "credit_detail": _detail_json(one.result.credit) | issue,
        "contract_version": one.contract.version,
        "counted": _span_json(one.result.period),
    }


def result_json(result: Result, currency: str) -> dict[str, Any]:
    """Return one objective's result in the published shape."""
    objective = result.objective
    tested = result.all_units if result.pool is None else (result.pool,)
    return {
        "objective": {
            "name": objective.name,
            "unit": objective.unit,
            "target": str(objective.target),
        },
        "time_ms": sum(unit.time_ms * unit.count for unit in tested),
        "denominator_ms": number(result.denominator_ms),
        "down_ms": number(result.down_ms),
        "settled_down_ms": number(result.settled_down_ms),
        "degraded_ms": result.degraded_ms,
        "unknown_ms": result.unknown_ms,
        "excluded_ms": number(result.excluded_ms),
        "excluded": {
            "by_kind": _numbers(result.excluded_by_kind),
            "by_claim": _numbers(result.excluded_by_claim),
            "refused": [
                {"claim": one.claim.id, "reason": one.reason, "spans": [_span_json(span) for span in one.spans]}
                for one in result.reviewed.refused
            ],
        },
        "availability": bounds_json(result.bounds),
        "exact": _exact_json(result.bounds),
        "met": result.met,
        "disputed": result.disputed,
        "settled_by": list(result.settled_by),
        "over_budget": [_span_json(span) for span in result.breaches],
        "units": {
            "total": result.verdicts.total,
            "met": result.verdicts.met,
            "missed": result.verdicts.missed,
            "undetermined": result.verdicts.undetermined,
        },
        "causes": causes_of(result),
        "not_spotless": [_unit_json(unit) for unit in result.units],
        "outages": [_outage_json(outage) for outage in result.outages],
        "formula": [{"name": line.name, "text": line.text} for line in result.lines],
        "credit": _credit_json(result.credit, currency),
    }


def _unit_json(unit: UnitResult) -> dict[str, Any]:
    return {
        "unit": unit.name,
        "count": unit.count,
        "denominator_ms": number(unit.settled.denominator_ms),
        "down_ms": number(unit.hi.down_ms),
        "settled_down_ms": number(unit.settled.down_ms),
        "degraded_ms": unit.degraded_ms,
        "unknown_ms": unit.unknown_ms,
        "excluded_ms": number(sum(unit.settled.excluded_ms.values(), start=0)),
        "availability": bounds_json(unit.bounds),
        "met": unit.met,
        "settled_by": unit.settled_by,
    }


def _outage_json(outage: Outage) -> dict[str, Any]:
    return {
        "unit": outage.unit,
        **_span_json(outage.whole),
        "down_ms": number(outage.down_ms),
        "excluded_ms": number(outage.excluded_ms),
        "counted_ms": number(outage.counted_ms),
        "result": outage.why,
        "causes": dict(sorted(outage.causes.items())),
        "places": [str(place) for place in outage.places],
        "claims": list(outage.claims),
    }


def _credit_json(credit: Credit, currency: str) -> dict[str, Any]:
    return {
        "amount": str(credit.amount),
        "currency": currency,
        "tier": _text(credit.tier_pct),
    }


def _detail_json(credit: Credit) -> dict[str, Any]:
    return {
        "base": f"{credit.base.numerator}/{credit.base.denominator}",
        "uncapped": f"{credit.uncapped.numerator}/{credit.uncapped.denominator}",
        "hours_not_charged": {"hours": credit.free_hours, "amount": str(credit.free_amount)},
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _span_json(span: Span) -> dict[str, str]:
    return {"from": utc_text(span.from_ms), "to": utc_text(span.to_ms)}


def number(value: Weight) -> int | float:
    """Return unit-ms as a JSON number: whole, or with a fraction where a weight leaves one."""
    if isinstance(value, int):
        return value
    exactly = Fraction(value)
    return exactly.numerator if exactly.denominator == 1 else float(exactly)


def _numbers(values: dict[str, Weight]) -> dict[str, int | float]:
    return {name: number(value) for name, value in sorted(values.items())}


def causes_of(result: Result) -> dict[str, int]:
    """Return down unit-ms by cause; time with several causes counts for each."""
    return _summed(outage for outage in result.outages if outage.why == "counted")


def _summed(outages: Iterable[Outage]) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for outage in outages:
        for cause, length_ms in outage.causes.items():
            total[cause] += length_ms
    return dict(sorted(total.items()))


def bounds_json(bounds: Bounds | None) -> dict[str, str] | None:
    """Return the bounds as decimal strings, or None when nothing was leased."""
    if bounds is None:
        return None
    lo = ratio_text(bounds.lo)
    return {
        "lo": lo,
        "hi": lo if bounds.hi is bounds.lo else ratio_text(bounds.hi),
        "settled": lo if bounds.settled is bounds.lo else ratio_text(bounds.settled),
    }


def _exact_json(bounds: Bounds | None) -> dict[str, str] | None:
    if bounds is None:
        return None
    return {
        name: f"{ratio.numerator}/{ratio.denominator}"
        for name, ratio in (("lo", bounds.lo), ("hi", bounds.hi), ("settled", bounds.settled))
    }
