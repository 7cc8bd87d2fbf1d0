"""From a place's timeline to its steps: what counts as down, from when, until when, and who says so.

Order: spares, gap policy, degraded weights, clock end, clock start, clock stop, claims. Everything
here is done twice, with unknown time as up and as down; no step may depend on unknown time in a
way that would count more when it is taken as up.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from service.core.contract import Objective, exact
from service.core.contract.measure import DEGRADED_CAUSES, Degraded
from service.core.contract.uprule import Requirement
from service.core.health import State
from service.core.model import Span
from service.core.sla.claims import Approved
from service.core.sla.spans import Spans
from service.core.sla.steps import NO_CAUSES, Step, Steps, Weight, change, extend, roll_up, worst_of
from service.core.timeline import Segment, Timeline

# What a cause takes away, by cause word or its beginning; everything else is the GPU itself.
_TAKES: tuple[tuple[str, Requirement], ...] = (
    ("hall:power", "power"),
    ("rack:power", "power"),
    ("rack:cooling", "power"),
    ("host:", "host"),
    ("driver:", "host"),
    ("software:", "host"),
    ("fabric:", "nvlink_domain"),
    ("nvlink:", "nvlink_domain"),
    ("rack:switch_tray", "nvlink_domain"),
    ("network:", "scale_out_net"),
)
_ALL_BUT_NET: tuple[Requirement, ...] = ("power", "host", "gpu_healthy", "nvlink_domain")


@dataclass(frozen=True, slots=True)
class Handling:
    """What people said of one place that changes how its down time counts."""

    starts_ms: tuple[int, ...] = ()
    ends_ms: tuple[int, ...] = ()
    stops: Spans = ()
    forgiven: Spans = ()  # before a swap within its grace
    claims: tuple[tuple[int, Approved], ...] = ()  # with their rank


PLAIN = Handling()


def member_steps(timeline: Timeline, objective: Objective, handling: Handling, *, as_down: bool) -> Steps:
    """Return a place's steps with unknown time as down or as up."""
    steps = _observed(timeline, objective, handling, as_down=as_down)
    if handling is PLAIN and objective.clock_start == "fault_onset":
        return steps
    if objective.clock_start == "detection":
        known = _observed(timeline, objective, handling, as_down=False) if as_down else steps
        steps = change(steps, _undetected(known, handling.starts_ms), _not_running)
    elif objective.clock_start != "fault_onset":
        steps = _started(_runs(steps), handling.starts_ms)
    steps = change(steps, handling.stops, _not_running)
    for rank, approved in handling.claims:
        steps = change(steps, approved.spans, lambda step, r=rank, a=approved: _excluded(step, r, a))  # type: ignore[misc]
    return steps


def _observed(timeline: Timeline, objective: Objective, handling: Handling, *, as_down: bool) -> Steps:
    """Return what evidence says, spares and gap policy included, until the clock ends."""
    steps = _weighed(_carried(timeline, objective), objective, as_down=as_down)
    if handling.forgiven:
        steps = change(steps, handling.forgiven, lambda step: replace(step, raw=0, down=0, kept=0))
    if objective.clock_end == "service_restored":
        return steps
    steps = _ended(_runs(steps), handling.ends_ms)
    if not as_down:
        return steps
    # Silence into which the clock of a known outage runs on has the causes of that outage.
    return roll_up([steps, _observed(timeline, objective, handling, as_down=False)], worst_of)


def _not_running(step: Step) -> Step:
    return replace(step, down=0, kept=0)


def _excluded(step: Step, rank: int, approved: Approved) -> Step:
    if not step.kept or not approved.covers(step.causes):
        return step
    return replace(step, kept=0, claim=rank)


def _carried(timeline: Timeline, objective: Objective) -> Timeline:
    """Let the state before a silence go on for as long as the contract says."""
    limit_ms = objective.monitoring_gap.last_state_up_to_ms
    if limit_ms is None:
        return timeline
    found: list[Segment] = []
    known: Segment | None = None  # what was seen last, as long as nothing but silence followed it
    cursor: int | None = None
    for segment in timeline:
        if segment.state is not State.UNKNOWN:
            known = segment
        elif cursor is not None and cursor < segment.from_ms:  # a hole among exceptions was up
            known = Segment(cursor, segment.from_ms, State.UP)
        cursor = segment.to_ms
        if segment.state is State.UNKNOWN:
            until_ms = segment.from_ms
            if known is not None and known.to_ms + limit_ms > segment.from_ms:
                until_ms = min(segment.to_ms, known.to_ms + limit_ms)
                found.append(replace(known, from_ms=segment.from_ms, to_ms=until_ms))
            if until_ms < segment.to_ms:
                found.append(replace(segment, from_ms=until_ms))
        else:
            found.append(segment)
    return tuple(found)


def _weighed(timeline: Timeline, objective: Objective, *, as_down: bool) -> Steps:
    found: list[Step] = []
    since: dict[str, int] = {}
    cursor = 0
    for segment in timeline:
        if segment.from_ms != cursor:
            since.clear()
        cursor = segment.to_ms
        for from_ms, to_ms, weight in _weights(segment, objective, since, as_down=as_down):
            causes = segment.causes if segment.state is not State.UNKNOWN else frozenset[str]()
            extend(found, Step(from_ms, to_ms, weight, weight, weight, causes))
    return tuple(found)


def _weights(
    segment: Segment, objective: Objective, since: dict[str, int], *, as_down: bool
) -> Iterable[tuple[int, int, Weight]]:
    if segment.state is State.DEGRADED:
        return _degraded(segment, objective, since)
    since.clear()
    if segment.state is State.DOWN:
        weight: Weight = int(_required(segment.causes, objective.requires))
    else:
        weight = int(segment.state is State.UNKNOWN and as_down)
    return ((segment.from_ms, segment.to_ms, weight),)


def _required(causes: frozenset[str], requires: tuple[Requirement, ...]) -> bool:
    if not causes or (len(causes) == 1 and requires == _ALL_BUT_NET and not next(iter(causes)).startswith("network:")):
        return True  # the common case, without looking anything up
    return any(_taken(cause) in requires or cause == "silence:after_down" for cause in causes)


def _taken(cause: str) -> Requirement:
    return next((what for beginning, what in _TAKES if cause.startswith(beginning)), "gpu_healthy")


def _degraded(segment: Segment, objective: Objective, since: dict[str, int]) -> Iterable[tuple[int, int, Weight]]:
    if "scale_out_net" in objective.requires and any(_taken(cause) == "scale_out_net" for cause in segment.causes):
        return ((segment.from_ms, segment.to_ms, 1),)
    rules = [rule for rule in objective.degraded if _concerns(rule, segment.causes)]
    for state in [state for state in since if state not in {rule.state for rule in rules}]:
        del since[state]
    for rule in rules:
        since.setdefault(rule.state, segment.from_ms)
    if not rules:
        return ((segment.from_ms, segment.to_ms, _plain(exact(objective.degraded_weight))),)
    return _by_rule(segment, rules, since)


def _concerns(rule: Degraded, causes: frozenset[str]) -> bool:
    return any(cause.startswith(DEGRADED_CAUSES[rule.state]) for cause in causes)


def _by_rule(segment: Segment, rules: Sequence[Degraded], since: dict[str, int]) -> list[tuple[int, int, Weight]]:
    begins = {rule.state: since[rule.state] + rule.after_ms for rule in rules}
    inside = {at for at in begins.values() if segment.from_ms < at < segment.to_ms}
    edges = sorted({segment.from_ms, segment.to_ms, *inside})
    found = []
    for from_ms, to_ms in itertools.pairwise(edges):
        weights = [_rule_weight(rule) for rule in rules if begins[rule.state] <= from_ms]
        found.append((from_ms, to_ms, max(weights, default=0)))
    return found


def _rule_weight(rule: Degraded) -> Weight:
    if rule.counts_as == "fraction" and rule.weight is not None:
        return _plain(exact(rule.weight))
    return 1 if rule.counts_as == "down" else 0


def _plain(weight: Fraction) -> Weight:
    return weight.numerator if weight.denominator == 1 else weight


def _runs(steps: Steps) -> list[list[Step]]:
    runs: list[list[Step]] = []
    for step in steps:
        if runs and runs[-1][-1].to_ms == step.from_ms:
            runs[-1].append(step)
        else:
            runs.append([step])
    return runs


def _ended(runs: list[list[Step]], ends_ms: Sequence[int]) -> Steps:
    """Let each outage last until the mark that ends it; without one until service was restored.

    What is added weighs as the worst of the outage and has all its causes: more unknown time taken
    as down must not make it lighter, nor easier to excuse.
    """
    found: list[Step] = []
    for run, following in zip(runs, [*runs[1:], None], strict=False):
        for step in run:
            extend(found, step)
        last = run[-1]
        until_ms = min((at for at in ends_ms if at >= last.to_ms), default=last.to_ms)
        until_ms = min(until_ms, following[0].from_ms) if following else until_ms
        if until_ms > last.to_ms:
            weight, causes = max(step.raw for step in run), NO_CAUSES.union(*(step.causes for step in run))
            extend(found, Step(last.to_ms, until_ms, weight, weight, weight, causes))
    return tuple(found)


def _started(runs: list[list[Step]], starts_ms: Sequence[int]) -> Steps:
    """Count each outage from the first mark within it; without one its clock never ran."""
    found: list[Step] = []
    for run in runs:
        from_ms, to_ms = run[0].from_ms, run[-1].to_ms
        mark_ms = min((at for at in starts_ms if from_ms <= at < to_ms), default=to_ms)
        before = (Span(from_ms, mark_ms),) if mark_ms > from_ms else ()
        for step in change(run, before, _not_running):
            extend(found, step)
    return tuple(found)


def _undetected(known: Steps, starts_ms: Sequence[int]) -> Spans:
    """Return the time before outages were detected; one without a mark was, by the evidence itself.

    Known down time decides, in both runs: unknown time beside it must not move the instant.
    """
    found = []
    for run in _runs(known):
        from_ms, to_ms = run[0].from_ms, run[-1].to_ms
        mark_ms = min((at for at in starts_ms if from_ms <= at < to_ms), default=from_ms)
        if mark_ms > from_ms:
            found.append(Span(from_ms, mark_ms))
    return tuple(found)
