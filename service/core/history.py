"""The fold of facts: what the ledger says of every place at every time.

The same fold serves the running service, a statement and a restart. Late facts, repetitions
and disorder change nothing about the result, because timelines are computed from the whole
evidence of a GPU and not step by step.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from service.core.contract import Contract, Tenant
from service.core.contract.places import names, racks_of
from service.core.facts import Fact, FactKind, OpenCoverage, Progress, event_of
from service.core.health import Health, State
from service.core.heard import Heard, asserted, standing
from service.core.model import Place, Span
from service.core.open_notes import opened
from service.core.timeline import (
    Boot,
    Evidence,
    Segment,
    Stop,
    Timeline,
    clip,
    extend,
    gap_after_down,
    merge,
    overlaid,
    reboots,
)


@dataclass(frozen=True, slots=True)
class LeasedTime:
    """A place, and the part of a window in which a tenant leased it."""

    place: Place
    span: Span


def leased(contract: Contract, tenant: Tenant, window: Span) -> tuple[LeasedTime, ...]:
    """Return the tenant's leased place-time inside a window, a place per lease."""
    found: list[LeasedTime] = []
    for lease in tenant.leases:
        span = lease.span.clip(window)
        if span is not None:
            found.extend(LeasedTime(place, span) for place in contract.expand(lease))
    return tuple(found)


class History:
    """Everything known of every GPU and place. Not thread-safe; one owner."""

    def __init__(self) -> None:
        """Begin with nothing: every place is unknown at every time."""
        self._evidence: dict[str, dict[str, list[Evidence]]] = defaultdict(lambda: defaultdict(list))
        self._seen_by: dict[str, set[str]] = defaultdict(set)  # GPUs of which a node gave closed evidence
        self._open: dict[tuple[str, str], tuple[OpenCoverage, ...]] = {}
        self._open_by_gpu: dict[str, dict[tuple[str, str], OpenCoverage]] = defaultdict(dict)
        self._boots: dict[str, set[Boot]] = defaultdict(set)
        self._stops: dict[str, set[Stop]] = defaultdict(set)
        self._at_place: dict[Place, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._of_gpu: dict[str, dict[int, Place]] = defaultdict(dict)
        self._revision: dict[str, int] = defaultdict(int)
        self._told: dict[str, Fact] = {}
        self._heard: tuple[Heard, ...] | None = None

    def learn(self, fact: Fact) -> None:
        """Take in one fact of the ledger."""
        if fact.kind is FactKind.COVERAGE and fact.to_ms is not None:
            seen = Evidence(fact.from_ms, fact.to_ms, fact.health, fact.cause)
            self._evidence[fact.gpu][fact.node].append(seen)
            self._seen_by[fact.node].add(fact.gpu)
            self._revision[fact.gpu] += 1
        elif fact.kind is FactKind.PLACEMENT:
            place = Place.parse(fact.body)
            sat = self._at_place.get(place)
            if sat is None:  # a fleet of GPUs, nearly all placed once
                self._at_place[place] = defaultdict(set, {fact.gpu: {fact.from_ms}})
            else:
                sat[fact.gpu].add(fact.from_ms)
            self._of_gpu[fact.gpu][fact.from_ms] = place
        elif fact.kind is FactKind.EVENT:
            self._learn_event(fact)
        elif fact.kind is FactKind.OPERATOR:
            self._told[fact.key] = fact
            self._heard = None
        elif fact.kind is FactKind.OPEN:
            for progress in opened(fact):
                self.follow(progress)

    def forget(self, fact: Fact) -> None:
        """Take back one fact that was learnt: a correction names it."""
        if fact.kind is FactKind.COVERAGE and fact.to_ms is not None:
            self._evidence[fact.gpu][fact.node].remove(Evidence(fact.from_ms, fact.to_ms, fact.health, fact.cause))
            self._revision[fact.gpu] += 1
        elif fact.kind is FactKind.PLACEMENT:
            self._at_place[Place.parse(fact.body)][fact.gpu].discard(fact.from_ms)
            self._of_gpu[fact.gpu].pop(fact.from_ms, None)
            self._revision[fact.gpu] += 1
        elif fact.kind is FactKind.EVENT:
            self._forget_event(fact)

    def _forget_event(self, fact: Fact) -> None:
        event = event_of(fact)
        if event.kind == "run_started":
            self._boots[fact.node].discard(Boot(event.boot, event.boot_ms))
        elif event.kind == "clean_stop":
            self._stops[fact.node].discard(Stop(fact.from_ms))
        for gpu in self._seen_by.get(fact.node, ()):
            self._revision[gpu] += 1

    def _learn_event(self, fact: Fact) -> None:
        event = event_of(fact)
        if event.kind == "run_started":
            self._boots[fact.node].add(Boot(event.boot, event.boot_ms))
        elif event.kind == "clean_stop":
            self._stops[fact.node].add(Stop(fact.from_ms))
        for gpu in self._seen_by.get(fact.node, ()):
            self._revision[gpu] += 1

    def follow(self, progress: Progress) -> None:
        """Replace the open coverage of a run."""
        run = (progress.node, progress.run)
        for entry in self._open.get(run, ()):
            self._open_by_gpu[entry.gpu].pop(run, None)
        self._open[run] = progress.open
        for entry in progress.open:
            if entry.from_ms < entry.to_ms:
                self._open_by_gpu[entry.gpu][run] = entry

    def gpu_timeline(self, gpu: str, window: Span, *, down_lasts: bool = True) -> Timeline:
        """Return a GPU's timeline; with `down_lasts`, silence right after down counts as down.

        The rule looks back beyond the window: an outage that began before it goes on in it.
        """
        evidence = list(self._all_evidence(gpu))
        start_ms = min([window.from_ms, *(seen.from_ms for seen in evidence)])
        timeline = merge(evidence, Span(start_ms, window.to_ms))
        return clip(gap_after_down(timeline) if down_lasts else timeline, window)

    def _all_evidence(self, gpu: str) -> Iterable[Evidence]:
        by_node: dict[str, list[Evidence]] = {node: list(seen) for node, seen in self._evidence.get(gpu, {}).items()}
        for (node, _), entry in self._open_by_gpu.get(gpu, {}).items():
            by_node.setdefault(node, []).append(Evidence(entry.from_ms, entry.to_ms, entry.health, entry.cause))
        for node, seen in by_node.items():
            yield from seen
            yield from reboots(seen, tuple(self._boots.get(node, ())), tuple(self._stops.get(node, ())))

    def placed(self, place: Place, window: Span) -> tuple[tuple[str, Span], ...]:
        """Return which GPU sat at a place and when, inside a window; holes stay holes."""
        starts = sorted(
            (from_ms, gpu) for gpu, instants in self._at_place.get(place, {}).items() for from_ms in instants
        )
        pieces = []
        for index, (from_ms, gpu) in enumerate(starts):
            ends = [other for other, _ in starts[index + 1 : index + 2]]
            ends += [at for at, where in self._of_gpu[gpu].items() if at > from_ms and where != place]
            to_ms = min(ends, default=window.to_ms)
            piece = Span(from_ms, max(to_ms, from_ms + 1)).clip(window)
            if piece is not None and to_ms > from_ms:
                pieces.append((gpu, piece))
        return tuple(pieces)

    def timeline(self, place: Place, window: Span, *, down_lasts: bool = True) -> Timeline:
        """Return a place's timeline: the timelines of the GPUs that sat there, one after another."""
        segments: list[Segment] = []
        cursor = window.from_ms
        for gpu, span in self.placed(place, window):
            if span.from_ms > cursor:
                extend(segments, Segment(cursor, span.from_ms, State.UNKNOWN))
            for segment in self.gpu_timeline(gpu, span, down_lasts=down_lasts):
                extend(segments, segment)
            cursor = span.to_ms
        if cursor < window.to_ms:
            extend(segments, Segment(cursor, window.to_ms, State.UNKNOWN))
        said = self._asserted_of(place)
        return overlaid(tuple(segments), said, window) if said else tuple(segments)

    def heard(self) -> tuple[Heard, ...]:
        """Return what people said and nobody took back."""
        if self._heard is None:
            self._heard = standing(self._told.values())
        return self._heard

    def _asserted_of(self, place: Place) -> list[Evidence]:
        return [
            Evidence(span.from_ms, span.to_ms, said.health, said.cause)
            for said, span in asserted(self.heard())
            if any(names(selector, place) for selector in said.places)
        ]

    def exceptions(
        self, places: Iterable[Place], asked: Span, window: Span, *, down_lasts: bool = True
    ) -> dict[Place, Timeline]:
        """Return the timelines of those places that were not up throughout the time that is asked for.

        Args:
            places: Each once.
            asked: What decides whether a place is an exception.
            window: What the timelines span: more on either side shows outages whole.
            down_lasts: Silence right after down counts as down.
        """
        racks = {rack for said, _ in asserted(self.heard()) for text in said.places for rack in racks_of(text)}
        return {
            place: self.timeline(place, window, down_lasts=down_lasts)
            for place in places
            if place.rack in racks or not self._spotless(place, asked)
        }

    def _spotless(self, place: Place, window: Span) -> bool:
        """Return whether one GPU sat at a place and one agent saw it up without a hole."""
        sat = self._at_place.get(place)
        if sat is None or len(sat) != 1:
            return False
        ((gpu, instants),) = sat.items()
        if min(instants) > window.from_ms or len(set(self._of_gpu[gpu].values())) != 1:
            return False
        seen: list[Evidence | OpenCoverage] = list(self._open_by_gpu.get(gpu, {}).values())
        for pieces in self._evidence.get(gpu, {}).values():
            seen += pieces
        return _covered(seen, window)

    def gpus(self) -> tuple[str, ...]:
        """Return every GPU that was ever placed or seen."""
        return tuple(sorted({*self._of_gpu, *self._evidence, *self._open_by_gpu}))

    def state(self) -> dict[str, Any]:
        """Return what was learnt as plain values, for a checkpoint.

        What is open and what people said is not in it: both are few, and read again.
        """
        return {
            "evidence": {
                gpu: {node: [_plain(seen) for seen in every] for node, every in nodes.items()}
                for gpu, nodes in self._evidence.items()
            },
            "boots": {node: [(boot.boot, boot.boot_ms) for boot in every] for node, every in self._boots.items()},
            "stops": {node: [stop.at_ms for stop in every] for node, every in self._stops.items()},
            "places": {
                str(place): {gpu: list(instants) for gpu, instants in gpus.items()}
                for place, gpus in self._at_place.items()
            },
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned; only for a history that has learnt nothing yet."""
        for gpu, nodes in state["evidence"].items():
            for node, every in nodes.items():
                self._evidence[gpu][node] = [_evidence(*values) for values in every]
                self._seen_by[node].add(gpu)
        for node, boots in state["boots"].items():
            self._boots[node] = {Boot(boot, boot_ms) for boot, boot_ms in boots}
        for node, stops in state["stops"].items():
            self._stops[node] = {Stop(at_ms) for at_ms in stops}
        for text, gpus in state["places"].items():
            place = Place.parse(text)
            for gpu, instants in gpus.items():
                self._at_place[place][gpu] = set(instants)
                self._of_gpu[gpu].update(dict.fromkeys(instants, place))

    def revision(self, gpu: str) -> int:
        """Return a number that changes whenever closed evidence of the GPU changes."""
        return self._revision[gpu]


def _evidence(from_ms: int, to_ms: int, word: str | None, cause: str | None) -> Evidence:
    return Evidence(from_ms, to_ms, Health(word) if word else None, cause)


def _plain(seen: Evidence) -> tuple[int, int, str | None, str | None]:
    return seen.from_ms, seen.to_ms, seen.health.value if seen.health else None, seen.cause


def _covered(seen: list[Evidence | OpenCoverage], window: Span) -> bool:
    """Return whether evidence of up, and of nothing else, covers a window without a hole."""
    cursor = window.from_ms
    for one in sorted(seen, key=attrgetter("from_ms")) if len(seen) > 1 else seen:
        if one.to_ms <= window.from_ms or one.from_ms >= window.to_ms:
            continue
        if one.health is not Health.UP or one.from_ms > cursor:
            return False
        cursor = max(cursor, one.to_ms)
    return cursor >= window.to_ms
