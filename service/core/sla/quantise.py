"""Counted time in the grain that a contract names.

Rounding each outage up would count more for less down time when two outages merge, so
`ceil_minute` counts touched clock minutes. Slices begin with the period.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from service.core import limits
from service.core.contract.measure import Measure
from service.core.model import Span
from service.core.sla.spans import Spans, intersect, length
from service.core.sla.steps import Step, Steps, Weight, clip, roll_up, total


def counted(cut: Sequence[Steps], measure: Measure, period: Span, inside: Spans) -> Weight:
    """Return the counted ms of incidents that were cut to a period.

    Args:
        cut: The steps of each incident inside the period.
        measure: The contract's grain.
        period: Where slices begin.
        inside: The time that can count at all; a slice is no longer than its part in it.
    """
    if measure.quantise == "floor_minute":
        return sum(int(total(steps, lambda step: step.kept) // limits.MINUTE_MS) * limits.MINUTE_MS for steps in cut)
    whole = tuple(step for steps in cut for step in steps)
    if measure.quantise == "ceil_minute":
        return _touched(whole, limits.MINUTE_MS, 0, inside)
    if measure.quantise == "slice" and measure.slice is not None and measure.slice.bad_if != "ratio":
        if measure.slice.bad_if == "any":
            return _touched(whole, measure.slice.ms, period.from_ms, inside)
        return _majority(whole, measure.slice.ms, period.from_ms, inside)
    return total(whole, lambda step: step.kept)


def _touched(steps: Steps, size_ms: int, origin_ms: int, inside: Spans) -> Weight:
    """Round every step out to whole buckets; where several touch one, the heaviest counts."""
    grown = []
    for step in steps:
        if step.kept:
            from_ms = step.from_ms - (step.from_ms - origin_ms) % size_ms
            to_ms = step.to_ms + (origin_ms - step.to_ms) % size_ms
            grown.append((Step(from_ms, to_ms, step.kept, step.kept, step.kept),))
    return total(clip(roll_up(grown, max), inside), lambda step: step.kept)


@dataclass(slots=True)
class _Buckets:
    """Counted time by bucket: those at the edges of steps one by one, those within a step by weight."""

    edges: dict[int, Weight]
    within: dict[Weight, int]  # weight: how many whole buckets


def _buckets(steps: Steps, size_ms: int, origin_ms: int) -> _Buckets:
    found = _Buckets(defaultdict(int), defaultdict(int))
    for step in steps:
        if step.kept:
            _fill(found, step, size_ms, origin_ms)
    return found


def _fill(found: _Buckets, step: Step, size_ms: int, origin_ms: int) -> None:
    first_ms = step.from_ms - (step.from_ms - origin_ms) % size_ms
    last_ms = step.to_ms - (step.to_ms - origin_ms) % size_ms
    if first_ms == last_ms:
        found.edges[first_ms] += step.length_ms * step.kept
        return
    whole_ms = first_ms if first_ms == step.from_ms else first_ms + size_ms
    if whole_ms > step.from_ms:
        found.edges[first_ms] += (whole_ms - step.from_ms) * step.kept
    if step.to_ms > last_ms:
        found.edges[last_ms] += (step.to_ms - last_ms) * step.kept
    found.within[step.kept] += (last_ms - whole_ms) // size_ms


def _majority(steps: Steps, size_ms: int, origin_ms: int, inside: Spans) -> Weight:
    by_bucket = _buckets(steps, size_ms, origin_ms)
    found = sum(count * size_ms for weight, count in by_bucket.within.items() if 2 * weight > 1)
    for begin, down in by_bucket.edges.items():
        size = length(intersect(inside, (Span(begin, begin + size_ms),)))
        found += size if 2 * down > size else 0
    return found


def free_hours(steps: Steps, bad_over_ms: int) -> int:
    """Return how many clock hours have more counted down time than the hourly rule bears."""
    by_hour = _buckets(steps, limits.HOUR_MS, 0)
    whole = sum(count for weight, count in by_hour.within.items() if weight * limits.HOUR_MS > bad_over_ms)
    return whole + sum(1 for down in by_hour.edges.values() if down > bad_over_ms)
