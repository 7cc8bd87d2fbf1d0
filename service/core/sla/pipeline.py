"""One unit through the order of operations, once with unknown time as up and once as down.

Member steps, clock, roll-up, join, minimum on the whole incident, exclusions, clip, grain, sum,
deductible. Comparing and money come after, in `verdict` and `credit`.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.core.contract import Objective
from service.core.model import Place, Span
from service.core.sla.claims import Approved
from service.core.sla.folds import at_least, fold_of
from service.core.sla.incidents import Incident, incidents, joined, long_enough
from service.core.sla.quantise import counted, free_hours
from service.core.sla.result import Count, Outage, Why
from service.core.sla.spans import Spans, intersect, length, subtract, union
from service.core.sla.steps import Step, Steps, Weight, clip, roll_up, total, where, worst_of
from service.core.sla.units import Epoch, Tested

StepsOf = Callable[[Place], Steps]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One way of taking unknown time, and what is the same for all units of an objective."""

    objective: Objective
    period: Span
    steps_of: StepsOf
    cordons: Callable[[str], Steps]  # by rack: when all its units count as taken
    claims: tuple[Approved, ...]
    window_claims: bool  # excluded time is the whole claim
    shrinks: bool  # excluded time leaves the denominator


@dataclass(frozen=True, slots=True)
class Touching:
    """What people said of the members of a unit that were ever down or unknown."""

    stops: Spans
    claims: tuple[tuple[int, Spans], ...]  # rank, time
    windows: Spans  # time of claims on the whole unit


def inside_of(unit: Tested, objective: Objective, period: Span) -> tuple[Spans, Spans]:
    """Return the time that is measured, and the part of it in which down time can count."""
    leased = union(span for epoch in unit.epochs if (span := epoch.span.clip(period)) is not None)
    accepted = leased if unit.accepted is None else intersect(leased, unit.accepted)
    return (accepted if objective.denominator == "accepted_time" else leased), accepted


def rolled(epoch: Epoch, rack: str, run: Run) -> Steps:
    """Return how a unit was throughout, made of the members that it has in an epoch."""
    rule, unit = run.objective.up_rule, run.objective.unit
    kind, level = rule.kind_of(unit), rule.level_of(unit)
    if unit in {"pool", "site"} and kind == "weighted":
        kind, level = "all_of", "gpu"  # tested member by member; what makes a member is all of it
    groups = _by_member([(place, run.steps_of(place)) for place in epoch.touched], level)
    pro_rata = rule.below_k == "pro_rata" and kind == rule.kind_of(unit)
    fold = fold_of(kind, rule.k, epoch.members, pro_rata=pro_rata)
    steps = groups[0] if len(groups) == 1 and fold is worst_of else roll_up(groups, fold)
    cordon = run.cordons(rack)
    return roll_up([steps, cordon], worst_of) if cordon else steps


def _by_member(places: Sequence[tuple[Place, Steps]], level: str) -> list[Steps]:
    if level == "gpu":
        return [steps for _, steps in places if steps]
    found: dict[tuple[str, int], list[Steps]] = defaultdict(list)
    for place, steps in places:
        if steps:
            found[place.rack, place.tray if level == "tray" else 0].append(steps)
    return [parts[0] if len(parts) == 1 else roll_up(parts, worst_of) for parts in found.values()]


def cordon_of(rack: str, epoch: Epoch, run: Run) -> Steps:
    """Return when fewer trays of a rack are up than `rack_down` asks for."""
    trays = _by_member([(place, run.steps_of(place)) for place in epoch.touched], "tray")
    k = run.objective.up_rule.k or epoch.members
    if k > epoch.members:
        msg = f"k {k} of {epoch.members} leased trays of {rack} can never be up"
        raise ValueError(msg)
    return roll_up(trays, at_least(k, epoch.members))


def count(unit: Tested, run: Run, touching: Touching) -> Count:
    """Return one unit's counted time over the period."""
    measured, countable = inside_of(unit, run.objective, run.period)
    whole: list[tuple[Incident, Spans]] = []
    for epoch in unit.epochs:
        steps = rolled(epoch, unit.rack, run)
        if steps:
            part = intersect(countable, (epoch.span,))
            whole += [(one, part) for one in _incidents(steps, run.objective, touching) if clip(one.steps, part)]
    passed = [(one, part) for one, part in whole if _passes(one, run.objective)]
    cut = [clip(one.steps, part) for one, part in passed]
    excluded = _excluded(cut, run)
    windows: Spans = ()
    if run.window_claims:  # E and D are disjoint: where down time counts, the claim did not hold
        still = union(span for part in cut for span in where(part, lambda step: step.kept))
        windows = subtract(intersect(touching.windows, measured), still)
    shrink = length(windows) + _beyond(cut, windows)
    down = counted(cut, run.objective.measure, run.period, countable)
    steps = tuple(sorted((step for part in cut for step in part), key=lambda step: step.from_ms))
    hourly = run.objective.hourly_rule
    denominator = length(measured) - (shrink if run.shrinks else 0)
    return Count(
        denominator_ms=denominator,
        # A coarse grain touches excluded time too, but no more than what is measured can be down.
        down_ms=min(max(down - run.objective.measure.deductible_ms, 0), denominator),
        excluded_ms=excluded,
        outages=tuple(_outages(unit, whole, run)),
        steps=steps,
        free_hours=free_hours(steps, hourly.bad_over_ms) if hourly else 0,
    )


def _incidents(steps: Steps, objective: Objective, touching: Touching) -> tuple[Incident, ...]:
    if objective.measure.join_gap_ms:
        steps = joined(steps, objective.measure.join_gap_ms, touching.stops, touching.claims)
    return incidents(steps)


def _passes(incident: Incident, objective: Objective) -> bool:
    measure = objective.measure
    return long_enough(incident, measure.filter_ms, remaining=measure.filter_order == "after_exclusions")


def _lost(step: Step) -> Weight:
    return step.down - step.kept


def _excluded(cut: Sequence[Steps], run: Run) -> dict[str, Weight]:
    found: dict[str, Weight] = defaultdict(int)
    for steps in cut:
        for step in steps:
            if step.claim is not None and _lost(step):
                found[run.claims[step.claim].claim.id] += step.length_ms * _lost(step)
    return dict(found)


def _beyond(cut: Sequence[Steps], windows: Spans) -> Weight:
    """Return the excluded down time that lies in no claim on the whole unit."""
    lost: Weight = 0
    for steps in cut:
        lost += total(steps, _lost) - total(clip(steps, windows), _lost)
    return lost


def _outages(unit: Tested, whole: Sequence[tuple[Incident, Spans]], run: Run) -> Iterator[Outage]:
    here = [clip(incident.steps, part) for incident, part in whole]
    for (incident, part), steps, places in zip(whole, here, _evidence(unit, here, run), strict=True):
        yield _outage(unit, incident, steps, part, places, run)


def _outage(unit: Tested, incident: Incident, here: Steps, part: Spans, places: Iterable[Place], run: Run) -> Outage:
    passes, measure = _passes(incident, run.objective), run.objective.measure
    down, kept = total(here, lambda step: step.down), total(here, lambda step: step.kept)
    causes: dict[str, int] = defaultdict(int)
    for step in here:
        for cause in step.causes:
            causes[cause] += step.length_ms
    ranks = sorted({step.claim for step in here if step.claim is not None})
    shown = counted([here], measure, run.period, part) if measure.quantise == "floor_minute" else kept
    return Outage(
        unit=unit.name,
        whole=incident.span,
        down_ms=down,
        excluded_ms=down - kept if passes else 0,
        counted_ms=shown if passes else 0,
        causes=dict(causes),
        places=tuple(sorted(places)),
        claims=tuple(run.claims[rank].claim.id for rank in ranks),
        why=_why(down, kept, passes=passes),
    )


def _evidence(unit: Tested, here: Sequence[Steps], run: Run) -> list[set[Place]]:
    """Return the places that were down in each outage; outages are disjoint."""
    begins = sorted((step.from_ms, step.to_ms, index) for index, steps in enumerate(here) for step in steps)
    found: list[set[Place]] = [set() for _ in here]
    for place in {place for epoch in unit.epochs for place in epoch.touched}:
        for step in run.steps_of(place):
            at = max(bisect_right(begins, (step.from_ms,)) - 1, 0)
            while at < len(begins) and begins[at][0] < step.to_ms:
                if begins[at][1] > step.from_ms:
                    found[begins[at][2]].add(place)
                at += 1
    return found


def _why(down: Weight, kept: Weight, *, passes: bool) -> Why:
    if not down:
        return "clock_stopped"
    if not passes:
        return "below_minimum"
    return "counted" if kept else "excluded"


def unknown_spans(unit: Tested, as_up: Run, as_down: Run, countable: Spans) -> Spans:
    """Return when a unit's state is unknown: up if unknown members are, and down if they are not."""
    found: list[Span] = []
    for epoch in unit.epochs:
        low = _excused(rolled(epoch, unit.rack, as_down))
        if not low:
            continue
        high = rolled(epoch, unit.rack, as_up)
        found += intersect(_exceeding(low, high), intersect(countable, (epoch.span,)))
    return union(found)


def _excused(steps: Steps) -> Steps:
    return tuple(step for step in steps if not (step.claim is not None and _lost(step)))


def _exceeding(low: Steps, high: Steps) -> Spans:
    """Return when the first is down by more than the second."""
    found: list[Span] = []
    at = 0
    for step in low:
        while at < len(high) and high[at].to_ms <= step.from_ms:
            at += 1
        within, reach = [], at
        while reach < len(high) and high[reach].from_ms < step.to_ms:
            if high[reach].raw >= step.raw:
                within.append(Span(high[reach].from_ms, high[reach].to_ms))
            reach += 1
        found += subtract((Span(step.from_ms, step.to_ms),), within)
    return union(found)
