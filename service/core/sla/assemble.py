"""Sums over units, and the formula with its numbers."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction

from service.core.availability import Bounds, Units, ratio_text
from service.core.contract import Objective, exact
from service.core.model import Span
from service.core.sla.claims import Reviewed
from service.core.sla.result import Count, Credit, Line, Result, UnitResult
from service.core.sla.steps import Weight


def weight_of(unit: UnitResult) -> int:
    """Return what a member weighs in a pool: its GPUs, times how many are alike."""
    return unit.gpus * unit.count


def summed(units: Sequence[UnitResult], of: Callable[[UnitResult], Count]) -> Count:
    """Return the weighted sum of one count of every unit."""
    excluded: dict[str, Weight] = defaultdict(int)
    denominator: Weight = 0
    down: Weight = 0
    for unit in units:
        one, weight = of(unit), weight_of(unit)
        denominator += one.denominator_ms * weight
        down += one.down_ms * weight
        for claim, lost in one.excluded_ms.items():
            excluded[claim] += lost * weight
    return Count(denominator_ms=denominator, down_ms=down, excluded_ms=dict(excluded))


def assembled(
    objective: Objective,
    period: Span,
    units: tuple[UnitResult, ...],
    tested: tuple[UnitResult, ...],
    credit: Credit,
    reviewed: Reviewed,
) -> Result:
    """Return an objective's result from its units.

    Args:
        objective: The promise.
        period: What was settled.
        units: Whatever was measured; the members of a pool.
        tested: What the target is tested on; the pool itself.
        credit: What it costs.
        reviewed: Claims, approved and refused.
    """
    low, high, chosen = (_total(tested, bound) for bound in ("lo", "hi", "settled"))
    verdicts = Counter[bool | None]()
    for unit in tested:
        if unit.bounds is not None:
            verdicts[unit.met] += unit.count
    by_claim = chosen.excluded_ms
    kinds = {one.claim.id: one.claim.kind for one in reviewed.approved}
    by_kind: dict[str, Weight] = defaultdict(int)
    for claim, lost in by_claim.items():
        by_kind[kinds[claim]] += lost
    bounds = _bounds(low, high, chosen)
    met = _all_met(verdicts)
    return Result(
        objective=objective,
        period=period,
        denominator_ms=chosen.denominator_ms,
        down_ms=high.down_ms,
        settled_down_ms=chosen.down_ms,
        degraded_ms=sum(unit.degraded_ms * unit.count for unit in tested),
        unknown_ms=sum(unit.unknown_ms * unit.count for unit in tested),
        excluded_ms=sum(by_claim.values(), start=0),
        excluded_by_kind=dict(by_kind),
        excluded_by_claim=by_claim,
        bounds=bounds,
        met=met,
        disputed=objective.settles == "dispute" and met is None and bounds is not None,
        settled_by=tuple(sorted({unit.settled_by for unit in tested})),
        verdicts=Units(
            total=sum(unit.count for unit in tested),
            met=verdicts[True],
            missed=verdicts[False],
            undetermined=verdicts[None],
        ),
        all_units=units,
        pool=None if tested == units or not tested else tested[0],
        credit=credit,
        reviewed=reviewed,
        breaches=(),
        lines=_formula(objective, chosen, bounds) + credit.lines,
    )


def _total(units: Sequence[UnitResult], bound: str) -> Count:
    excluded: dict[str, Weight] = defaultdict(int)
    denominator: Weight = 0
    down: Weight = 0
    for unit in units:
        one: Count = getattr(unit, bound)
        denominator += one.denominator_ms * unit.count
        down += one.down_ms * unit.count
        for claim, lost in one.excluded_ms.items():
            excluded[claim] += lost * unit.count
    return Count(denominator_ms=denominator, down_ms=down, excluded_ms=dict(excluded))


def _bounds(low: Count, high: Count, chosen: Count) -> Bounds | None:
    if low.ratio is None or high.ratio is None or chosen.ratio is None:
        return None
    # Units may settle differently, each with a denominator of its own: their sum may lie beyond both sums.
    return Bounds(lo=min(low.ratio, chosen.ratio), hi=max(high.ratio, chosen.ratio), settled=chosen.ratio)


def _all_met(verdicts: Counter[bool | None]) -> bool | None:
    if False in verdicts:
        return False
    return None if None in verdicts or not verdicts else True


def _formula(objective: Objective, chosen: Count, bounds: Bounds | None) -> tuple[Line, ...]:
    n, d = chosen.denominator_ms, chosen.down_ms
    excluded = sum(chosen.excluded_ms.values(), start=0)
    lines = [
        Line(name="denominator", text=f"N = {n} unit-ms ({objective.denominator}), E = {excluded} unit-ms"),
        Line(name="down", text=f"D = {d} unit-ms counted"),
    ]
    if bounds is None:
        return (*lines, Line(name="availability", text="nothing was measured: no result"))
    target = exact(objective.target)
    budget = (1 - target) * n
    left, right = d * target.denominator, (target.denominator - target.numerator) * n
    return (
        *lines,
        Line(name="availability", text=f"U = 1 - {d} / {n} = {ratio_text(bounds.settled)}"),
        Line(name="budget", text=f"B = (1 - {objective.target}) * {n} = {ratio_text(Fraction(budget), 3)} unit-ms"),
        Line(
            name="sum of units against the target",
            text=f"D * q <= (q - p) * N: {left} <= {right}: {'yes' if left <= right else 'no'}",
        ),
    )
