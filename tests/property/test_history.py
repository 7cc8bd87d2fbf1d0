"""Availability from evidence, against a brute-force oracle that looks at every single tick."""

import random
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.availability import assess, tallies
from service.core.contract import Objective
from service.core.facts import Fact, FactKind, OpenCoverage, Progress
from service.core.health import Health
from service.core.history import History, LeasedTime
from service.core.model import Place, Span
from service.core.timeline import Evidence, merge, reclassified

BASE = 1_782_864_000_000
TICKS = 60
WINDOW = Span(BASE + 10, BASE + 10 + TICKS)
RANK = {None: 0, "up": 1, "degraded": 2, "down": 3}
PLACES = [Place("r0001", 1, position) for position in range(2)]
GPUS = ["GPU-a", "GPU-b"]

healths = st.sampled_from([None, Health.UP, Health.DEGRADED, Health.DOWN])


@st.composite
def _evidence(draw: st.DrawFn) -> tuple[str, Evidence]:
    start = draw(st.integers(0, TICKS + 15))
    length = draw(st.integers(1, 30))
    health = draw(healths)
    cause = None if health is Health.UP else "gpu:lost" if health is Health.DOWN else "agent:edge"
    return draw(st.sampled_from(GPUS)), Evidence(BASE + start, BASE + start + length, health, cause)


histories = st.lists(_evidence(), max_size=12)


def _objective(unit: str, settle: str, weight: str, gap: str) -> Objective:
    return Objective.model_validate(
        {
            "name": "x",
            "unit": unit,
            "target": "0.9",
            "settle": settle,
            "degraded_weight": weight,
            "gap_after_down": gap,
        }
    )


objectives = st.builds(
    _objective,
    st.sampled_from(["gpu", "pool"]),
    st.sampled_from(["lo", "hi"]),
    st.sampled_from(["0", "0.5", "1"]),
    st.sampled_from(["down", "unknown"]),
)


def _facts(history: list[tuple[str, Evidence]]) -> list[Fact]:
    placements = [
        Fact(kind=FactKind.PLACEMENT, key=f"p{gpu}", partition=0, from_ms=BASE, gpu=gpu, body=str(place))
        for gpu, place in zip(GPUS, PLACES, strict=True)
    ]
    return placements + [
        Fact(
            kind=FactKind.COVERAGE,
            key=f"c{number}",
            partition=0,
            from_ms=seen.from_ms,
            to_ms=seen.to_ms,
            gpu=gpu,
            node="n",
            health=seen.health,
            cause=seen.cause,
        )
        for number, (gpu, seen) in enumerate(history)
    ]


def _ticks(history: list[tuple[str, Evidence]], gpu: str, gap: str) -> list[str | None]:
    """Return the state of each tick of the window, found by asking every witness at every tick."""
    states: list[str | None] = []
    for tick in range(BASE, WINDOW.to_ms):
        seen = [e.health.value for g, e in history if g == gpu and e.from_ms <= tick < e.to_ms and e.health]
        state = max(seen, key=RANK.__getitem__, default=None)
        if state is None and gap == "down" and states and states[-1] == "down":
            state = "down"
        states.append(state)
    return states[WINDOW.from_ms - BASE :]


def _learn(facts: list[Fact], objective: Objective) -> History:
    history = History()
    for fact in facts:
        history.learn(fact)
    return history


def _assess(history: History, objective: Objective):  # type: ignore[no-untyped-def]  # noqa: ANN202
    pieces = [LeasedTime(place, WINDOW) for place in PLACES]
    lasts = objective.gap_after_down == "down"
    by_place = tallies(pieces, lambda piece: history.timeline(piece.place, piece.span, down_lasts=lasts))
    return assess(objective, by_place, None)


@settings(max_examples=400)
@given(histories, objectives, st.randoms(use_true_random=False))
def test_availability_equals_brute_force(
    history: list[tuple[str, Evidence]], objective: Objective, chance: random.Random
) -> None:
    """Whatever the order and however often facts are told, the result is that of counting ticks."""
    facts = _facts(history) + chance.sample(_facts(history), min(3, len(history)))
    chance.shuffle(facts)
    result = _assess(_learn(facts, objective), objective)

    weight = Fraction(objective.degraded_weight)
    rows = [_ticks(history, gpu, objective.gap_after_down) for gpu in GPUS]
    down = [row.count("down") + weight * row.count("degraded") for row in rows]
    unknown = [row.count(None) for row in rows]
    hi = 1 - sum(down) / Fraction(2 * TICKS)
    lo = 1 - (sum(down) + sum(unknown)) / Fraction(2 * TICKS)
    verdicts = []
    for d, x, n in (
        zip(down, unknown, [TICKS] * 2, strict=True)
        if objective.unit == "gpu"
        else [(sum(down), sum(unknown), 2 * TICKS)]
    ):
        met_hi, met_lo = d * 10 <= n, (d + x) * 10 <= n
        verdicts.append(True if met_lo else None if met_hi else False)

    assert result.bounds is not None
    assert (result.bounds.lo, result.bounds.hi) == (lo, hi)
    assert result.bounds.settled in {lo, hi}
    assert 0 <= lo <= hi <= 1
    assert (result.units.met, result.units.missed) == (verdicts.count(True), verdicts.count(False))
    assert result.tally.total_ms == 2 * TICKS


@settings(max_examples=200)
@given(histories, objectives, st.data())
def test_open_coverage_counts_like_closed(
    history: list[tuple[str, Evidence]], objective: Objective, data: st.DataObject
) -> None:
    """Coverage that is still open in `progress` counts as if it were closed at its end."""
    split = data.draw(st.integers(0, len(history)))
    closed = _learn(_facts(history), objective)
    mixed = _learn(_facts(history[:split]), objective)
    for number, (gpu, seen) in enumerate(history[split:]):
        entry = OpenCoverage(gpu=gpu, from_ms=seen.from_ms, to_ms=seen.to_ms, health=seen.health, cause=seen.cause)
        mixed.follow(
            Progress(
                partition=0, rack="r", node="n", run=f"x{number}", boot="b", seq=1, to_ms=seen.to_ms, open=(entry,)
            )
        )

    assert _assess(mixed, objective) == _assess(closed, objective)


@settings(max_examples=200)
@given(histories, st.integers(1, 200), objectives)
def test_splitting_a_span_changes_nothing(history: list[tuple[str, Evidence]], at: int, objective: Objective) -> None:
    """Two touching halves are the whole."""
    split: list[tuple[str, Evidence]] = []
    for gpu, seen in history:
        cut = seen.from_ms + at % (seen.to_ms - seen.from_ms)
        parts = [(seen.from_ms, cut), (cut, seen.to_ms)]
        split += [(gpu, Evidence(a, b, seen.health, seen.cause)) for a, b in parts if a < b]

    assert _assess(_learn(_facts(split), objective), objective) == _assess(
        _learn(_facts(history), objective), objective
    )


@settings(max_examples=200)
@given(histories, _evidence())
def test_more_evidence_never_widens_the_bounds(history: list[tuple[str, Evidence]], late: tuple[str, Evidence]) -> None:
    """A late fact may move the bounds inwards, and only inwards, when silence counts as unknown."""
    objective = _objective("pool", "lo", "1", "unknown")
    before = _assess(_learn(_facts(history), objective), objective)
    after = _assess(_learn(_facts([*history, late]), objective), objective)

    assert after.bounds.lo <= after.bounds.hi <= before.bounds.hi
    assert after.tally.unknown_ms <= before.tally.unknown_ms
    assert after.bounds.hi - after.bounds.lo <= before.bounds.hi - before.bounds.lo


@settings(max_examples=200)
@given(histories, _evidence())
def test_reclassified_time_accounts_for_every_difference(
    history: list[tuple[str, Evidence]], late: tuple[str, Evidence]
) -> None:
    """State by state, old time minus what left plus what came is the new time."""
    before = merge([seen for _, seen in history], WINDOW)
    after = merge([*(seen for _, seen in history), late[1]], WINDOW)
    moved = reclassified(before, after)
    for state in {segment.state for segment in (*before, *after)}:
        old = sum(segment.length_ms for segment in before if segment.state is state)
        new = sum(segment.length_ms for segment in after if segment.state is state)
        left = sum(length for (was, _), length in moved.items() if was is state)
        came = sum(length for (_, is_), length in moved.items() if is_ is state)

        assert old - left + came == new
