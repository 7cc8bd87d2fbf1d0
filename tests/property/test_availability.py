"""Every tick asked by itself: timeline, history and availability against arrays of one entry a millisecond."""

import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.availability import Result, Tally, assess, bounds_of, tallies
from service.core.contract import Objective
from service.core.facts import Fact, FactKind, OpenCoverage, Progress
from service.core.health import Health, State
from service.core.history import History, LeasedTime
from service.core.model import Place, Span
from service.core.timeline import (
    Boot,
    Evidence,
    Stop,
    Timeline,
    clip,
    gap_after_down,
    lengths,
    merge,
    reboots,
    reclassified,
)

BASE = 1_782_864_000_000
TICKS = 200
WHOLE = Span(BASE, BASE + TICKS)
GPUS = ("GPU-a", "GPU-b", "GPU-c")
NODES = ("n1", "n2")
PLACES = tuple(Place("r0001", 1, position) for position in range(3))
ORDER = (State.UNKNOWN, State.UP, State.DEGRADED, State.DOWN)
LOOKS: tuple[tuple[Health | None, str | None], ...] = (
    (Health.UP, None),
    (Health.DEGRADED, "slowdown:thermal"),
    (Health.DEGRADED, "nvlink:link_down"),
    (Health.DOWN, "gpu:lost"),
    (Health.DOWN, "gpu:missing"),
    (None, "agent:edge"),
    (None, "agent:hung_call"),
)

Ticks = list[State]


# --- What is told ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A GPU was seen by a node's agent; ticks count from BASE."""

    gpu: str
    node: str
    evidence: Evidence


@dataclass(frozen=True)
class Story:
    """Everything that a ledger could say of a short stretch of time."""

    seen: tuple[Seen, ...] = ()
    boots: tuple[tuple[str, Boot], ...] = ()
    stops: tuple[tuple[str, Stop], ...] = ()
    placed: tuple[tuple[int, str, Place], ...] = ()  # from_ms, gpu, place


@st.composite
def _evidence(draw: st.DrawFn) -> Evidence:
    from_ms = draw(st.integers(0, TICKS - 1))
    to_ms = from_ms + draw(st.integers(1, 60))
    health, cause = draw(st.sampled_from(LOOKS))
    return Evidence(BASE + from_ms, BASE + to_ms, health, cause)


_seen = st.builds(Seen, st.sampled_from(GPUS), st.sampled_from(NODES), _evidence())
_instants = st.integers(BASE, BASE + TICKS)
_windows = st.builds(lambda a, b: Span(BASE + min(a, b), BASE + max(a, b) + 1), *[st.integers(0, TICKS - 1)] * 2)


@st.composite
def _stories(draw: st.DrawFn) -> Story:
    boots = draw(st.lists(st.tuples(st.sampled_from(NODES), _instants), max_size=4, unique=True))
    # A GPU is at one place at an instant and a place holds one GPU: no two placements at the same time.
    at = draw(st.lists(_instants, max_size=6, unique=True))
    return Story(
        seen=tuple(draw(st.lists(_seen, max_size=10))),
        boots=tuple((node, Boot(draw(st.sampled_from(["b1", "b2", "b3"])), ms)) for node, ms in boots),
        stops=tuple(draw(st.lists(st.tuples(st.sampled_from(NODES), st.builds(Stop, _instants)), max_size=2))),
        placed=tuple((ms, draw(st.sampled_from(GPUS)), draw(st.sampled_from(PLACES))) for ms in at),
    )


def facts_of(story: Story) -> list[Fact]:
    """Return the story as rows of a ledger."""
    facts = [
        Fact(
            kind=FactKind.COVERAGE,
            key=f"coverage/{number}",
            partition=0,
            from_ms=seen.evidence.from_ms,
            to_ms=seen.evidence.to_ms,
            node=seen.node,
            gpu=seen.gpu,
            health=seen.evidence.health,
            cause=seen.evidence.cause,
        )
        for number, seen in enumerate(story.seen)
    ]
    events = [(node, boot.boot_ms, _boot_body(boot)) for node, boot in story.boots]
    events += [(node, stop.at_ms, '{"kind":"clean_stop"}') for node, stop in story.stops]
    facts += [
        Fact(kind=FactKind.EVENT, key=f"event/{number}", partition=0, from_ms=at_ms, node=node, body=body)
        for number, (node, at_ms, body) in enumerate(events)
    ]
    facts += [
        Fact(kind=FactKind.PLACEMENT, key=f"placement/{number}", partition=0, from_ms=ms, gpu=gpu, body=str(place))
        for number, (ms, gpu, place) in enumerate(story.placed)
    ]
    return facts


def _boot_body(boot: Boot) -> str:
    return json.dumps({"kind": "run_started", "boot": boot.boot, "boot_ms": boot.boot_ms})


def told(facts: list[Fact]) -> History:
    """Return the history that learnt these facts in this order."""
    history = History()
    for fact in facts:
        history.learn(fact)
    return history


# --- The oracle: one question a tick --------------------------------------------------------------------------------


def at_tick(evidence: list[Evidence], tick: int) -> tuple[State, frozenset[str]]:
    """Return the worst that anybody saw at a tick, and every cause that a witness of it named."""
    here = [e for e in evidence if e.from_ms <= tick < e.to_ms]
    states = [State.UNKNOWN if e.health is None else State(e.health.value) for e in here]
    state = max(states, key=ORDER.index, default=State.UNKNOWN)
    pairs = zip(here, states, strict=True)
    return state, frozenset(e.cause for e, its in pairs if its is state and e.cause is not None)


def rebooted_ticks(evidence: list[Evidence], boots: list[Boot], stops: list[Stop]) -> set[int]:
    """Walk back from each boot of another system through the silence before it, unless a stop announced it."""
    found: set[int] = set()
    known = sorted(boots, key=lambda boot: boot.boot_ms)
    for index in range(1, len(known)):
        if known[index].boot == known[index - 1].boot:
            continue
        boot_ms = known[index].boot_ms
        tick = boot_ms
        while tick > BASE and not any(e.from_ms <= tick - 1 < e.to_ms for e in evidence):
            tick -= 1
        silent = range(tick, boot_ms)
        announced = any(tick <= stop.at_ms <= boot_ms for stop in stops)
        if tick > BASE and not announced:
            found.update(silent)
    return found


def gpu_ticks(story: Story, gpu: str, *, down_lasts: bool) -> Ticks:
    """Return a GPU's state at every tick from BASE on."""
    mine = [seen for seen in story.seen if seen.gpu == gpu]
    dead: set[int] = set()
    for node in NODES:
        at_node = [seen.evidence for seen in mine if seen.node == node]
        boots = [boot for name, boot in story.boots if name == node]
        dead |= rebooted_ticks(at_node, boots, [stop for name, stop in story.stops if name == node])
    states: Ticks = []
    for tick in range(BASE, BASE + TICKS):
        state = State.DOWN if tick in dead else at_tick([seen.evidence for seen in mine], tick)[0]
        if down_lasts and state is State.UNKNOWN and states and states[-1] is State.DOWN:
            state = State.DOWN
        states.append(state)
    return states


def sitting(story: Story, place: Place, tick: int) -> str | None:
    """Return the GPU that was the last to come to a place, if it has not gone elsewhere since."""
    came = [(ms, gpu) for ms, gpu, where in story.placed if where == place and ms <= tick]
    if not came:
        return None
    gpu = max(came)[1]
    last = max((ms, str(where)) for ms, name, where in story.placed if name == gpu and ms <= tick)
    return gpu if last[1] == str(place) else None


def place_ticks(story: Story, place: Place, *, down_lasts: bool) -> Ticks:
    """Return a place's state at every tick from BASE on: that of whichever GPU sat there."""
    rows = {gpu: gpu_ticks(story, gpu, down_lasts=down_lasts) for gpu in GPUS}
    states = []
    for number in range(TICKS):
        gpu = sitting(story, place, BASE + number)
        states.append(State.UNKNOWN if gpu is None else rows[gpu][number])
    return states


def spelt(timeline: Timeline) -> Ticks:
    """Return a timeline tick by tick."""
    return [segment.state for segment in timeline for _ in range(segment.length_ms)]


def part(ticks: Ticks, window: Span) -> Ticks:
    """Return the ticks of a window within the whole."""
    return ticks[window.from_ms - BASE : window.to_ms - BASE]


def assert_tiles(timeline: Timeline, window: Span) -> None:
    """Sorted, touching, no overlap, the whole window, and equal neighbours joined."""
    assert timeline[0].from_ms == window.from_ms
    assert timeline[-1].to_ms == window.to_ms
    for one, two in itertools.pairwise(timeline):
        assert one.to_ms == two.from_ms
        assert (one.state, one.causes) != (two.state, two.causes)


# --- timeline -------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(st.lists(_evidence(), max_size=12), _windows)
def test_merge_is_the_worst_of_every_tick_with_its_causes(evidence: list[Evidence], window: Span) -> None:
    """A merged timeline tiles its window, and each tick holds the worst state with exactly its witnesses' causes."""
    timeline = merge(evidence, window)

    assert_tiles(timeline, window)
    for segment in timeline:
        for tick in range(segment.from_ms, segment.to_ms):
            assert (segment.state, segment.causes) == at_tick(evidence, tick)
    assert sum(lengths(timeline).values()) == window.length_ms


@settings(max_examples=150)
@given(st.lists(_evidence(), max_size=12), _windows)
def test_clipping_is_cutting_the_array(evidence: list[Evidence], window: Span) -> None:
    """Clipping a timeline to a window equals merging in that window, and slicing the ticks."""
    clipped = clip(merge(evidence, WHOLE), window)

    assert clipped == merge(evidence, window)
    assert spelt(clipped) == part([at_tick(evidence, tick)[0] for tick in range(BASE, WHOLE.to_ms)], window)


@settings(max_examples=150)
@given(st.lists(_evidence(), max_size=12))
def test_silence_after_down_counts_until_anything_is_known(evidence: list[Evidence]) -> None:
    """Unknown ticks right after down become down, all others stay, and applying the rule twice changes nothing."""
    before = merge(evidence, WHOLE)
    after = gap_after_down(before)
    expected: Ticks = []
    for state in spelt(before):
        follows = state is State.UNKNOWN and bool(expected) and expected[-1] is State.DOWN
        expected.append(State.DOWN if follows else state)

    assert spelt(after) == expected
    assert_tiles(after, WHOLE)
    assert gap_after_down(after) == after


@settings(max_examples=150)
@given(st.lists(_evidence(), max_size=8), st.lists(_evidence(), max_size=8), _windows)
def test_reclassified_counts_the_ticks_that_changed(one: list[Evidence], two: list[Evidence], window: Span) -> None:
    """Between any two timelines of one window, each (from, to) holds exactly the ticks that moved so."""
    before, after = merge(one, window), merge(two, window)
    moved = Counter(pair for pair in zip(spelt(before), spelt(after), strict=True) if pair[0] is not pair[1])

    assert reclassified(before, after) == dict(moved)
    assert reclassified(before, before) == {}


@settings(max_examples=200)
@given(
    st.lists(_evidence(), max_size=8),
    st.lists(
        st.builds(Boot, st.sampled_from(["b1", "b2", "b3"]), _instants), max_size=5, unique_by=lambda b: b.boot_ms
    ),
    st.lists(st.builds(Stop, _instants), max_size=3),
    st.randoms(use_true_random=False),
)
def test_a_boot_proves_the_silence_before_it_down(
    evidence: list[Evidence], boots: list[Boot], stops: list[Stop], chance: random.Random
) -> None:
    """A reboot covers exactly the unannounced silence before it, in any order and with repetitions."""
    found = reboots(evidence, boots, stops)
    shuffled = [chance.sample(many, len(many)) + many for many in (evidence, boots, stops)]

    assert {tick for e in found for tick in range(e.from_ms, e.to_ms)} == rebooted_ticks(evidence, boots, stops)
    assert all(e.health is Health.DOWN and e.cause == "host:reboot" for e in found)
    assert set(reboots(*shuffled)) == set(found)  # type: ignore[arg-type]


# --- history --------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(_stories(), st.booleans(), _windows, st.randoms(use_true_random=False))
def test_history_is_the_oracle_whatever_the_order(
    story: Story, down_lasts: bool, window: Span, chance: random.Random
) -> None:
    """Facts learnt shuffled and repeated give each GPU and place the timeline that asking every tick gives."""
    facts = facts_of(story)
    mixed = facts + chance.sample(facts, len(facts) // 2)
    chance.shuffle(mixed)
    history = told(mixed)

    for gpu in GPUS:
        timeline = history.gpu_timeline(gpu, window, down_lasts=down_lasts)
        assert spelt(timeline) == part(gpu_ticks(story, gpu, down_lasts=down_lasts), window)
        assert timeline == told(facts).gpu_timeline(gpu, window, down_lasts=down_lasts)
    for place in PLACES:
        timeline = history.timeline(place, window, down_lasts=down_lasts)
        assert_tiles(timeline, window)
        assert spelt(timeline) == part(place_ticks(story, place, down_lasts=down_lasts), window)


@settings(max_examples=100)
@given(_stories(), st.integers(0, 10), st.randoms(use_true_random=False))
def test_open_coverage_is_coverage(story: Story, split: int, chance: random.Random) -> None:
    """Open progress counts as closed facts would, whenever and however often it is followed; so does its closing."""
    closed, still_open = story.seen[:split], story.seen[split:]
    facts = facts_of(Story(closed, story.boots, story.stops, story.placed))
    steps: list[Fact | Progress] = [*facts, *[_progress(number, one) for number, one in enumerate(still_open)] * 2]
    chance.shuffle(steps)
    history = History()
    for step in steps:
        if isinstance(step, Progress):
            history.follow(step)
        else:
            history.learn(step)
    before = [spelt(history.gpu_timeline(gpu, WHOLE)) for gpu in GPUS]
    for number, seen in enumerate(still_open):  # now each run ends: its coverage closes and nothing stays open
        history.learn(facts_of(Story((seen,)))[0])
        history.follow(_progress(number, None, seen.node))

    assert before == [gpu_ticks(story, gpu, down_lasts=True) for gpu in GPUS]
    assert [spelt(history.gpu_timeline(gpu, WHOLE)) for gpu in GPUS] == before


def _progress(number: int, seen: Seen | None, node: str = "") -> Progress:
    open_: tuple[OpenCoverage, ...] = ()
    if seen is not None:
        e, node = seen.evidence, seen.node
        open_ = (OpenCoverage(gpu=seen.gpu, from_ms=e.from_ms, to_ms=e.to_ms, health=e.health, cause=e.cause),)
    return Progress(partition=0, rack="r", node=node, run=f"run{number}", boot="b", seq=1, to_ms=BASE, open=open_)


# --- availability ---------------------------------------------------------------------------------------------------


@st.composite
def _objectives(draw: st.DrawFn) -> Objective:
    return Objective.model_validate(
        {
            "name": "x",
            "unit": draw(st.sampled_from(["gpu", "pool"])),
            "target": draw(st.sampled_from(["0.5", "0.9", "0.99", "0.995", "0.333"])),
            "settle": draw(st.sampled_from(["lo", "hi"])),
            "degraded_weight": draw(st.sampled_from(["0", "0.5", "0.3", "1"])),
            "gap_after_down": draw(st.sampled_from(["down", "unknown"])),
        }
    )


_leases = st.lists(st.builds(LeasedTime, st.sampled_from(PLACES), _windows), max_size=4)


def measured(history: History, leases: list[LeasedTime], objective: Objective) -> tuple[dict[Place, Tally], Result]:
    """Return what the code under test counts and concludes."""
    lasts = objective.gap_after_down == "down"
    by_place = tallies(leases, lambda piece: history.timeline(piece.place, piece.span, down_lasts=lasts))
    return by_place, assess(objective, by_place, Decimal(1000))


def _placed_for_good(story: Story) -> Story:
    sure = tuple((BASE, gpu, place) for gpu, place in zip(GPUS, PLACES, strict=True))
    return Story(story.seen, story.boots, story.stops, sure)


@settings(max_examples=150)
@given(_stories(), st.booleans(), _leases, _objectives(), st.randoms(use_true_random=False))
def test_availability_is_counted_ticks(
    story: Story, settled: bool, leases: list[LeasedTime], objective: Objective, chance: random.Random
) -> None:
    """Tallies, bounds and verdicts equal those of counting ticks in exact fractions, by unit and as a pool."""
    story = _placed_for_good(story) if settled else story
    facts = facts_of(story) * 2
    chance.shuffle(facts)
    by_place, result = measured(told(facts), leases, objective)
    counted: dict[Place, Counter[State]] = {}
    for piece in leases:
        ticks = place_ticks(story, piece.place, down_lasts=objective.gap_after_down == "down")
        counted.setdefault(piece.place, Counter()).update(part(ticks, piece.span))

    assert {place: _tally(count) for place, count in counted.items()} == by_place
    total = sum(counted.values(), Counter())
    assert result.tally == _tally(total)
    assert result.tally.total_ms == sum(piece.span.length_ms for piece in leases)
    units = list(counted.values()) if objective.unit == "gpu" else [total] if counted else []
    verdicts = [_verdict(count, objective) for count in units]
    found = result.units
    assert (found.met, found.missed, found.undetermined, found.total) == (
        verdicts.count(True),
        verdicts.count(False),
        verdicts.count(None),
        len(units),
    )
    assert result.met is (False if False in verdicts else None if None in verdicts or not verdicts else True)
    if not counted:
        assert result.bounds is None
        return
    assert result.bounds is not None
    down, unknown, time = _down(total, objective), total[State.UNKNOWN], total.total()
    assert (result.bounds.lo, result.bounds.hi) == (1 - (down + unknown) / time, 1 - down / time)
    assert result.bounds.settled == (result.bounds.lo if objective.settle == "lo" else result.bounds.hi)
    assert 0 <= result.bounds.lo <= result.bounds.settled <= result.bounds.hi <= 1


def _tally(count: Counter[State]) -> Tally:
    return Tally(
        up_ms=count[State.UP],
        degraded_ms=count[State.DEGRADED],
        down_ms=count[State.DOWN],
        unknown_ms=count[State.UNKNOWN],
    )


def _down(count: Counter[State], objective: Objective) -> Fraction:
    return count[State.DOWN] + Fraction(str(objective.degraded_weight)) * count[State.DEGRADED]


def _verdict(count: Counter[State], objective: Objective) -> bool | None:
    """Return the verdict by `D*q <= (q-p)*N` with unknown time as down, and as up."""
    target, time = Fraction(str(objective.target)), count.total()
    p, q = target.numerator, target.denominator
    surely, perhaps = _down(count, objective) + count[State.UNKNOWN], _down(count, objective)
    if surely * q <= (q - p) * time:
        return True
    return None if perhaps * q <= (q - p) * time else False


@settings(max_examples=100)
@given(_stories(), _objectives(), st.integers(0, 1000))
def test_a_split_span_and_a_late_one_change_nothing(story: Story, objective: Objective, at: int) -> None:
    """Halves that touch are the whole, and whatever arrives last counts as if it had been on time."""
    story = _placed_for_good(story)
    leases = [LeasedTime(place, WHOLE) for place in PLACES]
    halves = []
    for seen in story.seen:
        e = seen.evidence
        cut = e.from_ms + at % (e.to_ms - e.from_ms)
        pairs = [(e.from_ms, cut), (cut, e.to_ms)]
        halves += [Seen(seen.gpu, seen.node, Evidence(a, b, e.health, e.cause)) for a, b in pairs if a < b]
    expected = measured(told(facts_of(story)), leases, objective)
    split = Story(tuple(halves), story.boots, story.stops, story.placed)
    facts = facts_of(story)
    late = told(facts[1:])
    early = measured(late, leases, objective)  # a look in between must not freeze anything
    late.learn(facts[0])

    assert measured(told(facts_of(split)), leases, objective) == expected
    assert measured(late, leases, objective) == expected
    assert early[1].tally.total_ms == expected[1].tally.total_ms


@settings(max_examples=150)
@given(_stories(), _objectives(), st.sampled_from(GPUS), st.sampled_from(LOOKS), st.integers(0, 10))
def test_filling_a_hole_only_narrows(
    story: Story, objective: Objective, gpu: str, look: tuple[Health | None, str | None], which: int
) -> None:
    """Evidence for a stretch that nobody knew anything of moves both bounds inwards and changes no known tick."""
    objective = objective.model_copy(update={"gap_after_down": "unknown"})
    story = Story(story.seen, (), (), _placed_for_good(story).placed)
    leases = [LeasedTime(place, WHOLE) for place in PLACES]
    holes = [s for s in told(facts_of(story)).gpu_timeline(gpu, WHOLE, down_lasts=False) if s.state is State.UNKNOWN]
    if not holes:
        return
    hole = holes[which % len(holes)]
    filling = Seen(gpu, NODES[0], Evidence(hole.from_ms, hole.to_ms, *look))
    before = measured(told(facts_of(story)), leases, objective)[1]
    after = measured(told(facts_of(Story((*story.seen, filling), (), (), story.placed))), leases, objective)[1]

    assert before.bounds is not None
    assert after.bounds is not None
    assert before.bounds.lo <= after.bounds.lo <= after.bounds.hi <= before.bounds.hi
    known = 0 if look[0] is None else hole.length_ms
    assert before.tally.unknown_ms - after.tally.unknown_ms == known


@settings(max_examples=100)
@given(_stories(), _objectives())
def test_a_pool_is_the_sum_of_its_units(story: Story, objective: Objective) -> None:
    """Pool and units count the same time, and the pool's bounds are the mean of the units' over equal terms."""
    leases = [LeasedTime(place, WHOLE) for place in PLACES]
    pool, each = (objective.model_copy(update={"unit": unit}) for unit in ("pool", "gpu"))
    by_place, one = measured(told(facts_of(story)), leases, pool)
    _, many = measured(told(facts_of(story)), leases, each)
    parts = [bounds for tally in by_place.values() if (bounds := bounds_of(tally, objective)) is not None]

    assert one.tally == many.tally
    assert one.bounds == many.bounds
    assert (one.units.total, many.units.total) == (1, len(PLACES))
    assert one.bounds is not None
    assert one.bounds.lo == sum(bounds.lo for bounds in parts) / len(parts)
    assert one.bounds.hi == sum(bounds.hi for bounds in parts) / len(parts)
