"""From two counts to a verdict: bounds, what the gap policy settles, and whether the target is met."""

from dataclasses import replace
from fractions import Fraction

from service.core.availability import Bounds
from service.core.contract import Objective, exact
from service.core.sla.result import Count


def met(count: Count, target: Fraction) -> bool | None:
    """Return whether `D*q <= (q-p)*N` for the target p/q; None when nothing was measured."""
    if not count.denominator_ms:
        return None
    return count.down_ms * target.denominator <= (target.denominator - target.numerator) * count.denominator_ms


def counts_of(objective: Objective, as_down: Count, as_up: Count, unknown_ms: int) -> tuple[Count, Count]:
    """Return the counts that bound the result under the contract's gap policy: the lower, the upper."""
    policy = objective.monitoring_gap.policy
    if policy == "count_up":
        return as_up, as_up
    if policy == "count_down":
        return as_down, as_down
    if policy == "exclude":
        rest = as_up.denominator_ms - unknown_ms
        left = replace(as_up, denominator_ms=rest, down_ms=min(as_up.down_ms, rest))
        return left, left
    return as_down, as_up


def settled(objective: Objective, low: Count, high: Count, unknown_ms: int) -> tuple[Count, str]:
    """Return the count that money is computed from, and the rule that chose it."""
    gap = objective.monitoring_gap
    if low is high or low == high:
        return low, "nothing unknown" if not unknown_ms else gap.policy
    if gap.max_unknown_per_period_ms is not None and unknown_ms > gap.max_unknown_per_period_ms:
        return low, "over_limit: count_down"
    rule = objective.settles
    if rule == "midpoint":
        return _between(low, high), "midpoint"
    return (low, "lo") if rule == "lo" else (high, rule)


def _between(low: Count, high: Count) -> Count:
    """Return a count half way: its availability is the mean of both, over the upper's denominator."""
    if low.ratio is None or high.ratio is None:
        return high
    down = (1 - (low.ratio + high.ratio) / 2) * high.denominator_ms
    return replace(high, down_ms=down)


def bounds_of(low: Count, high: Count, chosen: Count) -> Bounds | None:
    """Return availability with its bounds, or None when nothing was measured."""
    lo = low.ratio
    hi = lo if high is low else high.ratio
    settled_ratio = lo if chosen is low else hi if chosen is high else chosen.ratio
    if lo is None or hi is None or settled_ratio is None:
        return None
    return Bounds(lo=lo, hi=hi, settled=settled_ratio)


def verdict(objective: Objective, low: Count, high: Count) -> bool | None:
    """Return whether the target is met whatever the unknown time was; None when that decides."""
    target = exact(objective.target)
    surely = met(low, target)
    perhaps = surely if high is low else met(high, target)
    return surely if surely == perhaps else None
