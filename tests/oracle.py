"""The ledger against a simulated world's own truth, edge by edge.

Rules of exactness; a poll is one second, and every look of a replayed agent is flushed:

event     An XID of a fault class opens an outage: the edge is exact to the event.
polled    Everything else shows at a reading: the true edge lies in `(not_before_ms, from_ms]`, which is
          at most one poll wide.
held      After an XID a recovery is not believed before the tie-break has passed: the edge is the first
          poll after it.
silence   A host goes dark: the outage begins at the end of the last coverage, at most a poll before
          the truth.
boot      A host comes back: the outage ends exactly at the boot; the next health is known from the
          first look on, within a poll.

A fault that no more polls than needed saw (2 for worse, 3 for up) is a suspicion and no edge. What no
driver shows (`world.silent`) is no part of the comparison.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collectors.racks import World
from service.core import limits
from service.core.facts import FactKind
from service.core.health import State
from service.core.history import History
from service.core.model import Span
from service.core.ports import Ledger
from service.core.timeline import Segment, Timeline

POLL_MS = limits.SECOND_MS


@dataclass(frozen=True, slots=True)
class Edge:
    """A change of state as the ledger tells it: known before until `not_before_ms`, after from `from_ms`."""

    not_before_ms: int
    from_ms: int
    before: State
    state: State


@dataclass(frozen=True, slots=True)
class Due:
    """A change of state as it was: when, and how exactly it can be known."""

    at_ms: int
    before: State
    state: State
    rule: str
    held_until_ms: int = 0

    def fits(self, edge: Edge) -> bool:
        """Return whether the ledger's edge tells this change within the rule's exactness."""
        if (self.before, self.state) != (edge.before, edge.state):
            return False
        match self.rule:
            case "event":
                return edge.not_before_ms == edge.from_ms == self.at_ms
            case "silence":
                return edge.not_before_ms == edge.from_ms and self.at_ms - POLL_MS <= edge.from_ms <= self.at_ms
            case "boot":
                return edge.not_before_ms == self.at_ms <= edge.from_ms <= self.at_ms + POLL_MS
            case "held":
                return self.held_until_ms <= edge.from_ms < self.held_until_ms + POLL_MS
            case _:
                narrow = edge.from_ms - edge.not_before_ms <= POLL_MS
                return narrow and edge.not_before_ms < self.at_ms <= edge.from_ms


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of a GPU: edges by rule, suspicions, and every disagreement in words."""

    rules: tuple[str, ...]
    suspicions: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a ledger says: the fold of it, and the lower bound that each stretch of a GPU carries."""

    history: History
    bounds: dict[tuple[str, int], int | None]


def told_by(ledger: Ledger) -> Told:
    """Return everything that a ledger says."""
    history, bounds = History(), dict[tuple[str, int], int | None]()
    for fact in ledger.facts():
        history.learn(fact)
        if fact.kind is FactKind.COVERAGE:
            bounds[fact.gpu, fact.from_ms] = fact.not_before_ms
    for progress in ledger.progress():
        history.follow(progress)
        bounds |= {(entry.gpu, entry.from_ms): entry.not_before_ms for entry in progress.open}
    return Told(history, bounds)


def compare(world: World, ledger: Told, gpu: str, window: Span) -> Comparison:
    """Return how the ledger's timeline of a GPU agrees with what an honest agent could see."""
    told = ledger.history.gpu_timeline(gpu, window, down_lasts=False)
    true = _outages(world.visible(gpu, window))
    due, suspected = _due(world, gpu, true)
    edges = list(_edges(told))
    wrong = [
        f"{gpu} {world.place_of[gpu]}: {one} told as {edge}"
        for one, edge in zip(due, edges, strict=False)
        if not one.fits(edge)
    ]
    wrong += [
        f"{gpu}: {edge} carries {ledger.bounds.get((gpu, edge.from_ms))} as its lower bound"
        for one, edge in zip(due, edges, strict=False)
        if one.rule in {"polled", "held"} and ledger.bounds.get((gpu, edge.from_ms)) != edge.not_before_ms
    ]
    if len(due) != len(edges):
        wrong.append(f"{gpu} {world.place_of[gpu]}: {len(due)} edges due, {len(edges)} told: {due} {edges}")
    boots = world.tray(world.node_of[gpu].name).boots
    wrong += [f"{gpu}: {one}" for one in (*_words(told, true), *_holes(told, due, suspected, boots))]
    return Comparison(tuple(one.rule for one in due), len(suspected), tuple(wrong))


def _outages(timeline: Timeline) -> list[Segment]:
    """Return a timeline by state alone, with every word of each stretch."""
    found: list[Segment] = []
    for one in timeline:
        if found and found[-1].state is one.state:
            found[-1] = Segment(found[-1].from_ms, one.to_ms, one.state, found[-1].causes | one.causes)
        else:
            found.append(one)
    return found


def _edges(timeline: Timeline) -> Iterator[Edge]:
    last = None
    for one in timeline:
        if one.state is State.UNKNOWN:
            continue
        if last is not None and last.state is not one.state:
            yield Edge(last.to_ms, one.from_ms, last.state, one.state)
        last = one


def _due(world: World, gpu: str, true: Sequence[Segment]) -> tuple[list[Due], list[Segment]]:
    node = world.node_of[gpu].name
    due: list[Due] = []
    suspected: list[Segment] = []
    known = true[0].state
    for before, one in itertools.pairwise(true):
        rule, held_ms = _rule(world, node, gpu, before, one)
        if rule in {"polled", "held"} and _polls(one) < (3 if one.state is State.UP else 2):
            suspected.append(one)
        elif one.state is not known:
            due.append(Due(one.from_ms, known, one.state, rule, held_ms))
            known = one.state
    return due, suspected


def _polls(one: Segment) -> int:
    return -(-one.to_ms // POLL_MS) - -(-one.from_ms // POLL_MS)


def _rule(world: World, node: str, gpu: str, before: Segment, one: Segment) -> tuple[str, int]:
    at_ms = one.from_ms
    if not world.host_up(node, at_ms):
        return "silence", 0
    if not world.host_up(node, at_ms - 1):
        return "boot", 0
    if one.state is State.DOWN and any(
        fault.shape.event_after_ms is not None and fault.from_ms + fault.shape.event_after_ms == at_ms
        for fault in world.faults_of(gpu)
    ):
        return "event", 0
    held_ms = _held_until_ms(world, gpu, before)
    return ("held", held_ms) if one.state is State.UP and held_ms > at_ms else ("polled", 0)


def _held_until_ms(world: World, gpu: str, outage: Segment) -> int:
    raised = [
        fault.from_ms + after
        for fault in world.faults_of(gpu)
        if (after := fault.shape.event_after_ms) is not None and outage.from_ms <= fault.from_ms + after < outage.to_ms
    ]
    return max(raised, default=-limits.TIE_BREAK_MS) + limits.TIE_BREAK_MS


def _words(told: Timeline, true: Sequence[Segment]) -> Iterator[str]:
    """Yield stretches whose causes no honest agent would have written."""
    for one in told:
        if one.state in {State.DOWN, State.DEGRADED}:
            near = [s for s in true if s.from_ms - POLL_MS < one.to_ms and s.to_ms + POLL_MS > one.from_ms]
            allowed = frozenset(word for s in near if s.state is one.state for word in s.causes)
            if not one.causes <= allowed:
                yield f"causes {sorted(one.causes)} where {sorted(allowed)} held: {one}"


def _holes(told: Timeline, due: Sequence[Due], suspected: Sequence[Segment], boots: Sequence[int]) -> Iterator[str]:
    """Yield unknown stretches that no edge, no suspicion and no boot explains."""
    instants = [*boots, *(max(one.at_ms, one.held_until_ms) for one in due)]
    instants += [edge for one in suspected for edge in (one.from_ms, one.to_ms)]
    for one in told:
        if one.state is State.UNKNOWN and not any(one.from_ms - POLL_MS <= at <= one.to_ms for at in instants):
            yield f"a hole: {one}"
