"""Laws that hold for every contract and history, whatever their numbers."""

import itertools
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.contract import Exclusions, Objective
from service.core.health import State
from service.core.model import Span
from service.core.sla.evaluate import evaluate
from service.core.sla.given import Claim, Decision, Given
from service.core.sla.result import Result
from service.core.sla.steps import Weight
from service.core.timeline import Segment, Timeline
from tests.sla_oracle import Story
from tests.sla_stories import ALL, LOOKS, Maker, given_of, places_of, span_of, terms_of

Said = TypeVar("Said")
EXACT = {
    "quantise": "none",
    "slice": None,
    "buffer_ms": 0,
    "min_outage_mode": "filter",
}  # every counted ms, and only those
seeds = st.integers(0, 2**40)


def changed(model: Any, **more: Any) -> Any:
    """Return a contract model with other terms, judged anew."""
    return type(model).model_validate(model.model_dump(by_alias=True) | more)


def result_of(objective: Objective, exclusions: Exclusions, given_: Given, period: Span) -> Result:
    """Return the engine's result."""
    return evaluate(objective, terms_of(exclusions), given_, period)


def period_of(story: Story) -> Span:
    """Return the story's period."""
    return span_of(story, story.begin, story.end)


def numbers(result: Result) -> tuple[Any, ...]:
    """Return everything that a law may compare, without the ways that led to it."""
    units = sorted(
        (unit.count, unit.gpu_ms, str(unit.bounds), unit.unknown_ms, unit.degraded_ms, str(unit.met))
        for unit in result.all_units
    )
    return result.denominator_ms, result.down_ms, result.settled_down_ms, result.excluded_by_claim, units


def free(exclusions: Exclusions, **more: Any) -> Exclusions:
    """Return exclusion terms without quotas."""
    kinds = [{"kind": rule.kind} for rule in exclusions.kinds]
    found: Exclusions = changed(exclusions, kinds=kinds, **more)
    return found


@settings(max_examples=200)
@given(seeds)
def test_splitting_a_span_changes_nothing(seed: int) -> None:
    """Halves that touch are the whole."""
    maker = Maker(seed, 60)
    exclusions = maker.exclusions()
    objective = maker.objective(exclusions)
    story = maker.story(objective)
    told = given_of(story)
    halves = replace(told, timelines={place: _split(line, maker.chance) for place, line in told.timelines.items()})

    assert numbers(result_of(objective, exclusions, halves, period_of(story))) == numbers(
        result_of(objective, exclusions, told, period_of(story))
    )


def _split(timeline: Timeline, chance: random.Random) -> Timeline:
    found: list[Segment] = []
    for segment in timeline:
        middle = segment.from_ms + chance.randrange(segment.length_ms)
        found += (
            [replace(segment, to_ms=middle), replace(segment, from_ms=middle)]
            if middle > segment.from_ms
            else [segment]
        )
    return tuple(found)


@settings(max_examples=200)
@given(seeds)
def test_order_and_repetition_change_nothing(seed: int) -> None:
    """Whatever was said in whatever order, and however often, the result is the same."""
    maker = Maker(seed, 60)
    exclusions = maker.exclusions()
    objective = maker.objective(exclusions)
    story = maker.story(objective)
    told = given_of(story)
    mixed = replace(
        told,
        held=_mixed(told.held, maker.chance),
        acceptances=_mixed(told.acceptances, maker.chance),
        claims=_mixed(told.claims, maker.chance),
        decisions=_mixed(told.decisions, maker.chance),
        stops=_mixed(told.stops, maker.chance),
        marks=_mixed(told.marks, maker.chance),
    )

    assert numbers(result_of(objective, exclusions, mixed, period_of(story))) == numbers(
        result_of(objective, exclusions, told, period_of(story))
    )


def _mixed(said: tuple[Said, ...], chance: random.Random) -> tuple[Said, ...]:
    twice = [*said, *chance.sample(said, len(said) // 2)]
    chance.shuffle(twice)
    return tuple(twice)


@settings(max_examples=200)
@given(seeds, st.booleans())
def test_adding_an_exclusion_never_lowers_availability(seed: int, shrinks: bool) -> None:
    """As up: never. Out of the denominator: never, where what it takes out is down time."""
    maker = Maker(seed, 60)
    mode = "from_denominator" if shrinks else "as_up"
    exclusions = free(maker.exclusions(), mode=mode, extent="downtime")
    objective = maker.objective(exclusions)
    if shrinks:
        objective = changed(objective, measure=objective.measure.model_dump() | EXACT)
    story = maker.story(objective)
    told = given_of(story)
    begin, end = maker.some_span(60)
    more = Claim(
        id="new", kind="force_majeure", places=places_of(maker.some_places()), span=span_of(story, begin, end), by="a"
    )
    approved = Decision(claim="new", approved=True, by="b", at_ms=more.span.to_ms)
    with_it = replace(told, claims=(*told.claims, more), decisions=(*told.decisions, approved))
    before = result_of(objective, exclusions, told, period_of(story))
    after = result_of(objective, exclusions, with_it, period_of(story))
    pairs = [(before.bounds, after.bounds)] if before.bounds is not None and after.bounds is not None else []

    for old, new in pairs:
        assert old.lo <= new.lo
        assert old.hi <= new.hi
        if objective.settles in {"lo", "hi"} and objective.monitoring_gap.max_unknown_per_period_ms is None:
            assert old.settled <= new.settled


@settings(max_examples=200)
@given(seeds)
def test_filling_a_gap_narrows_the_bounds(seed: int) -> None:
    """Evidence for time that nobody observed moves both bounds inwards, whatever it says.

    Not where a rule asks what an outage was: whether a mark, a swap or a claim belongs to it may
    change with what is learnt of the time beside it.
    """
    maker = Maker(seed, 60)
    exclusions = free(maker.exclusions(), but_for=False)
    objective = maker.objective(exclusions)
    rule = objective.up_rule.model_dump()
    objective = changed(
        objective,
        monitoring_gap={"policy": "bounded"},
        clock_start="fault_onset" if objective.clock_start == "detection" else objective.clock_start,
        up_rule=rule | {"spare_policy": rule["spare_policy"] | {"swap_grace_ms": 0}},
    )
    story = maker.story(objective)
    told = given_of(story)
    place = maker.chance.choice(sorted(told.timelines))
    look = maker.chance.choice([("up", frozenset()), *(look for look in LOOKS if look[0] != "unknown")])
    holes = [number for number, segment in enumerate(told.timelines[place]) if segment.state is State.UNKNOWN]
    if not holes:
        return
    line = list(told.timelines[place])
    hole = maker.chance.choice(holes)
    line[hole] = replace(line[hole], state=State(look[0]), causes=look[1])
    filled = replace(told, timelines={**told.timelines, place: tuple(line)})
    before = result_of(objective, exclusions, told, period_of(story)).bounds
    after = result_of(objective, exclusions, filled, period_of(story)).bounds

    if before is not None and after is not None:
        assert before.lo <= after.lo <= after.hi <= before.hi


@settings(max_examples=150)
@given(seeds)
def test_a_pool_is_the_weighted_sum_of_its_units(seed: int) -> None:
    """D, N, E and X of a pool are those of its members, each weighing its GPUs."""
    maker = Maker(seed, 60)
    exclusions = maker.exclusions()
    pool = maker.objective(exclusions, "pool")
    pool = changed(
        pool,
        up_rule=pool.up_rule.model_dump() | {"kind": "weighted", "members": "tray", "k": None, "below_k": "down"},
        hourly_rule=None,
        measure=pool.measure.model_dump() | {"buffer_ms": 0, "min_outage_mode": "filter"},
    )
    tray = changed(pool, unit="tray", up_rule=pool.up_rule.model_dump() | {"kind": "all_of", "members": "gpu"})
    story = replace(maker.story(pool), leases=[(set(ALL), 0, 60)])
    one = result_of(pool, exclusions, given_of(story), period_of(story))
    many = result_of(tray, exclusions, given_of(story), period_of(story))

    def summed(of: str) -> Weight:
        return sum(
            (unit.gpus * unit.count * Fraction(getattr(unit.hi, of)) for unit in many.all_units), start=Fraction(0)
        )

    assert one.down_ms == summed("down_ms")
    assert one.pool is None or one.pool.hi.denominator_ms == summed("denominator_ms")
    assert one.unknown_ms == sum(unit.gpus * unit.count * unit.unknown_ms for unit in many.all_units)


@settings(max_examples=150)
@given(seeds)
def test_the_months_add_up_to_the_quarter(seed: int) -> None:
    """N, D, E and X of three periods that touch are those of the whole: minima see whole outages, then time is cut."""
    maker = Maker(seed, 60)
    exclusions = free(maker.exclusions())
    objective = maker.objective(exclusions)
    measure = objective.measure.model_dump() | EXACT
    rule = objective.up_rule.model_dump()
    if rule["below_k"] == "rack_down":
        rule |= {"below_k": "down", "k": None}
    gap = objective.monitoring_gap.model_dump()
    gap |= {"policy": "bounded"} if gap["policy"] == "exclude" else {}  # a unit's period may be unknown throughout
    objective = changed(objective, measure=measure, up_rule=rule, monitoring_gap=gap)
    story = replace(maker.story(objective), accepted={})
    cuts = sorted({story.begin, story.end, *maker.chance.sample(range(story.begin + 1, story.end), 2)})
    told = given_of(story)
    whole = result_of(objective, exclusions, told, period_of(story))
    parts = [
        result_of(objective, exclusions, told, span_of(story, begin, end)) for begin, end in itertools.pairwise(cuts)
    ]

    assert whole.down_ms == sum(part.down_ms for part in parts)
    assert whole.unknown_ms == sum(part.unknown_ms for part in parts)
    assert _upper(whole) == sum(_upper(part) for part in parts)


def _upper(result: Result) -> Weight:
    units = [result.pool] if result.pool is not None else list(result.all_units)
    return sum((unit.hi.denominator_ms * unit.count for unit in units), start=0)
