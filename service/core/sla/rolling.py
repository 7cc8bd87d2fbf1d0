"""Periods: which one an objective settles for a month, and when a rolling window is over its budget."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

from service.core.contract import Objective, exact
from service.core.model import Span
from service.core.periods import billing_span, month_span
from service.core.sla.assemble import weight_of
from service.core.sla.evaluate import Terms, evaluate
from service.core.sla.given import Given
from service.core.sla.result import Line, Result, UnitResult
from service.core.sla.spans import Spans, subtract, union
from service.core.sla.steps import Weight

Gain = tuple[int, int, Fraction]  # from, to, and what a ms of it takes from the budget


def period_of(objective: Objective, month: str, zone: ZoneInfo) -> Span:
    """Return what an objective settles for a month: the month, the billing month, or where windows end."""
    if objective.period.kind == "billing_month":
        return billing_span(month, objective.period.anchor_day or 1, zone)
    return month_span(month, zone)


def settle(objective: Objective, terms: Terms, given: Given, period: Span, *, whole: Span | None = None) -> Result:
    """Return an objective's result for a period of `period_of`, or for a part of it.

    A rolling objective is measured over the window that ends with the period; it is missed when any
    window that ends within the period was over its budget, and `breaches` says when.
    """
    length_ms = objective.period.length_ms
    if length_ms is None:
        return evaluate(objective, terms, given, period, whole=whole)
    result = evaluate(objective, terms, given, Span(period.to_ms - length_ms, period.to_ms), whole=whole)
    reach = evaluate(objective, terms, given, Span(period.from_ms - length_ms, period.to_ms), whole=whole)
    breached = breaches(objective, reach, period, length_ms, shrinks=terms.exclusions.mode == "from_denominator")
    if not breached:
        return result
    text = "; ".join(f"[{span.from_ms}, {span.to_ms})" for span in breached)
    return replace(result, met=False, breaches=breached, lines=(*result.lines, Line(name="over budget at", text=text)))


def breaches(objective: Objective, reach: Result, within: Span, length_ms: int, *, shrinks: bool) -> Spans:
    """Return the instants at which the window that ends there was over its budget, for any unit.

    Args:
        objective: Gives target and buffer.
        reach: The result over everything that any window touches.
        within: The instants asked for.
        length_ms: Of the window.
        shrinks: Whether excluded down time leaves the denominator.
    """
    rate = 1 - exact(objective.target)
    pooled = objective.unit in {"pool", "site"} and objective.up_rule.kind_of(objective.unit) == "weighted"
    groups = [list(reach.all_units)] if pooled else [[unit] for unit in reach.all_units]
    found: list[Span] = []
    for units in groups:
        weights = [weight_of(unit) if pooled else 1 for unit in units]
        gains = [
            (from_ms, to_ms, gain * weight)
            for unit, weight in zip(units, weights, strict=True)
            for from_ms, to_ms, gain in _gains(unit, reach.period, rate, shrinks=shrinks)
        ]
        limit = rate * length_ms * sum(weights) + objective.measure.deductible_ms
        found += over(gains, length_ms, limit, within)
    return union(found)


def _gains(unit: UnitResult, reach: Span, rate: Fraction, *, shrinks: bool) -> Iterable[Gain]:
    """Yield what takes from the budget: counted time, and as much of the budget as unmeasured time held."""
    for step in unit.settled.steps:
        lost: Weight = step.down - step.kept if shrinks else 0
        yield step.from_ms, step.to_ms, step.kept + rate * lost
    for span in subtract((reach,), unit.inside):
        yield span.from_ms, span.to_ms, rate


def over(gains: Sequence[Gain], length_ms: int, limit: Fraction, within: Span) -> Spans:
    """Return the instants at which the gains of the last `length_ms` exceed a limit, to the ms."""
    edges = sorted({edge for from_ms, to_ms, _ in gains for edge in (from_ms, to_ms)})
    if not edges:
        return ()
    slopes = [Fraction(0)] * len(edges)
    index = {edge: number for number, edge in enumerate(edges)}
    for from_ms, to_ms, gain in gains:
        slopes[index[from_ms]] += gain
        slopes[index[to_ms]] -= gain
    rates = list(accumulate(slopes))
    sums = [Fraction(0), *accumulate(rate * (b - a) for rate, (a, b) in zip(rates, pairwise(edges), strict=False))]

    def up_to(at_ms: int) -> Fraction:
        number = bisect_right(edges, at_ms) - 1
        return sums[number] + rates[number] * (at_ms - edges[number]) if number >= 0 else Fraction(0)

    marks = {edge for at in edges for edge in (at, at + length_ms) if within.from_ms < edge < within.to_ms}
    found: list[Span] = []
    for a, b in pairwise(sorted({within.from_ms, within.to_ms, *marks})):
        begin, end = up_to(a) - up_to(a - length_ms), up_to(b) - up_to(b - length_ms)
        found += _crossing(a, b, begin - limit, (end - begin) / (b - a))
    return union(found)


def _crossing(from_ms: int, to_ms: int, excess: Fraction, slope: Fraction) -> Iterable[Span]:
    """Yield the instants in `[from_ms, to_ms)` at which a line that starts at `excess` is above zero."""
    begin, end = from_ms, to_ms
    if slope > 0 and excess <= 0:
        begin = from_ms + (-excess // slope) + 1
    elif slope < 0 < excess:
        end = from_ms - (-excess // -slope)
    elif excess <= 0:
        return
    end = min(end, to_ms)
    if begin < end:
        yield Span(begin, end)
