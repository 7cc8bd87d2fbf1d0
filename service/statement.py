"""A tenant's result for a month, as JSON that a program can check.

Shape: design section 10. Durations are unit-ms, ratios decimal strings (cut, 15 places) with
the exact fraction beside them under `exact`.
"""

from typing import Any

from service.core.availability import Bounds, Result, assess, ratio_text, tallies
from service.core.contract import Contract, Objective, Tenant, exact
from service.core.history import History, LeasedTime, leased
from service.core.model import Span
from service.core.periods import month_span, utc_text
from service.core.timeline import Timeline
from service.projection import causes_of


def draw(
    contract: Contract, history: History, tenant: Tenant, month: str, *, up_to_ms: int | None = None
) -> dict[str, Any]:
    """Return the statement of a tenant's calendar month in the contract's zone.

    Args:
        contract: The terms.
        history: The fold of the ledger.
        tenant: Whose statement.
        month: `YYYY-MM`.
        up_to_ms: For a month that is still running: count only up to here.

    Raises:
        ValueError: If the month is misspelt, or has not begun at `up_to_ms`.
    """
    period = month_span(month, contract.zone_info)
    counted = period if up_to_ms is None else Span(period.from_ms, min(period.to_ms, up_to_ms))
    results = [_objective(contract, history, tenant, objective, counted) for objective in tenant.objectives]
    return {
        "tenant": tenant.id,
        "contract": {"id": contract.id, "version": contract.version},
        "period": {
            "from": utc_text(period.from_ms),
            "to": utc_text(period.to_ms),
            "zone": contract.zone,
            "counted_to": utc_text(counted.to_ms),
        },
        "objectives": results,
        "version": 1,
    }


def _objective(
    contract: Contract, history: History, tenant: Tenant, objective: Objective, window: Span
) -> dict[str, Any]:
    pieces = leased(contract, tenant, window)
    down_lasts = objective.gap_after_down == "down"
    timelines: dict[LeasedTime, Timeline] = {
        piece: history.timeline(piece.place, piece.span, down_lasts=down_lasts) for piece in pieces
    }
    fee = tenant.fee.monthly_amount if tenant.fee else None
    result = assess(objective, tallies(pieces, timelines.__getitem__), fee)
    return result_json(result, contract.currency) | {"causes": causes_of(timelines.values())}


def result_json(result: Result, currency: str) -> dict[str, Any]:
    """Return one objective's result in the published shape."""
    tally, objective = result.tally, result.objective
    down = tally.counted_down(exact(objective.degraded_weight))
    return {
        "objective": {
            "name": objective.name,
            "unit": objective.unit,
            "target": str(objective.target),
        },
        "denominator_ms": tally.total_ms,
        "down_ms": int(down) if down.denominator == 1 else float(down),
        "degraded_ms": tally.degraded_ms,
        "unknown_ms": tally.unknown_ms,
        "excluded_ms": 0,
        "availability": bounds_json(result.bounds),
        "exact": _exact_json(result.bounds),
        "met": result.met,
        "units": {
            "total": result.units.total,
            "met": result.units.met,
            "missed": result.units.missed,
            "undetermined": result.units.undetermined,
        },
        "credit": {
            "amount": str(result.credit.amount),
            "currency": currency,
            "tier": str(result.credit.tier_pct) if result.credit.tier_pct is not None else None,
        },
    }


def bounds_json(bounds: Bounds | None) -> dict[str, str] | None:
    """Return the bounds as decimal strings, or None when nothing was leased."""
    if bounds is None:
        return None
    return {
        "lo": ratio_text(bounds.lo),
        "hi": ratio_text(bounds.hi),
        "settled": ratio_text(bounds.settled),
    }


def _exact_json(bounds: Bounds | None) -> dict[str, str] | None:
    if bounds is None:
        return None
    return {
        name: f"{ratio.numerator}/{ratio.denominator}"
        for name, ratio in (("lo", bounds.lo), ("hi", bounds.hi), ("settled", bounds.settled))
    }
