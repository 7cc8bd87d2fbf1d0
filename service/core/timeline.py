"""Evidence to timeline: who saw what, merged by the worst, with honest holes.

A timeline is a tuple of segments that tile a window: sorted, touching, no overlap, equal
neighbours joined. It is computed from evidence in any order and with any repetition, and the
result is the same: that is what lets late facts and duplicates do no harm.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.core.health import Health, State, state_of, worst
from service.core.model import Span

NO_CAUSES: frozenset[str] = frozenset()
_HEALTH_OF = {State.UP: Health.UP, State.DEGRADED: Health.DEGRADED, State.DOWN: Health.DOWN, State.UNKNOWN: None}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Somebody saw a GPU in this health throughout `[from_ms, to_ms)`."""

    from_ms: int
    to_ms: int
    health: Health | None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a timeline: its state, and every cause that a witness of it named."""

    from_ms: int
    to_ms: int
    state: State
    causes: frozenset[str] = NO_CAUSES

    @property
    def length_ms(self) -> int:
        """Length in ms, at least 1."""
        return self.to_ms - self.from_ms


Timeline = tuple[Segment, ...]


def merge(evidence: Iterable[Evidence], window: Span) -> Timeline:
    """Return the timeline of a window: overlapping evidence merges by `worst`, holes are unknown.

    All causes of witnesses of the winning state are kept, and for unknown those of agents
    that lived and could not tell. Cost: n log n in the evidence, independent of time.
    """
    points = _points(evidence, window)
    active: Counter[tuple[State, str | None]] = Counter()
    segments: list[Segment] = []
    cursor = window.from_ms
    for at_ms, delta, key in points:
        if at_ms > cursor:
            _append(segments, cursor, at_ms, active)
            cursor = at_ms
        active[key] += delta
        if not active[key]:
            del active[key]
    if cursor < window.to_ms:
        _append(segments, cursor, window.to_ms, active)
    return tuple(segments)


def _points(evidence: Iterable[Evidence], window: Span) -> list[tuple[int, int, tuple[State, str | None]]]:
    points = []
    for seen in evidence:
        from_ms, to_ms = max(seen.from_ms, window.from_ms), min(seen.to_ms, window.to_ms)
        if from_ms < to_ms:
            key = (state_of(seen.health), seen.cause)
            points.append((from_ms, 1, key))
            points.append((to_ms, -1, key))
    points.sort(key=lambda point: (point[0], point[1]))
    return points


def _append(segments: list[Segment], from_ms: int, to_ms: int, active: Counter[tuple[State, str | None]]) -> None:
    state = worst(key[0] for key in active)
    causes = frozenset(cause for seen, cause in active if seen is state and cause is not None)
    extend(segments, Segment(from_ms, to_ms, state, causes))


def extend(segments: list[Segment], segment: Segment) -> None:
    """Append a segment that touches the last one, joining it when both say the same."""
    last = segments[-1] if segments else None
    if last is not None and (last.state, last.causes) == (segment.state, segment.causes):
        segments[-1] = Segment(last.from_ms, segment.to_ms, last.state, last.causes)
    else:
        segments.append(segment)


@dataclass(frozen=True, slots=True)
class Boot:
    """A host came up: its boot id, and since when by its own account."""

    boot: str
    boot_ms: int


@dataclass(frozen=True, slots=True)
class Stop:
    """An agent stopped on purpose at this instant."""

    at_ms: int


def reboots(evidence: Sequence[Evidence], boots: Sequence[Boot], stops: Sequence[Stop]) -> tuple[Evidence, ...]:
    """Return the evidence that boots give of silence: the host was down before it came up.

    The silence between the last evidence and a boot proves that the host was down, unless a
    clean stop announced the silence: then nobody knows when it went down, and it stays
    unknown. The first boot ever proves nothing.

    Args:
        evidence: Everything seen of one GPU on this host, any order.
        boots: Boots of the host, any order, repetitions allowed.
        stops: Clean stops of its agents, any order.
    """
    known = sorted({boot.boot_ms: boot for boot in boots}.values(), key=lambda boot: boot.boot_ms)
    found = []
    for previous, boot in itertools.pairwise(known):
        if previous.boot == boot.boot:
            continue
        last_ms = max((seen.to_ms for seen in evidence if seen.to_ms <= boot.boot_ms), default=None)
        covered = any(seen.from_ms < boot.boot_ms < seen.to_ms for seen in evidence)
        if last_ms is None or covered or last_ms >= boot.boot_ms:
            continue
        if any(last_ms <= stop.at_ms <= boot.boot_ms for stop in stops):
            continue
        found.append(Evidence(last_ms, boot.boot_ms, Health.DOWN, "host:reboot"))
    return tuple(found)


def gap_after_down(timeline: Timeline) -> Timeline:
    """Return the timeline with silence right after `down` counted as down.

    A contract's rule (`gap_after_down: down`): otherwise the largest outages would hide as
    missing data. The silence lasts until anything else is known.
    """
    segments: list[Segment] = []
    for segment in timeline:
        last = segments[-1] if segments else None
        if segment.state is State.UNKNOWN and last is not None and last.state is State.DOWN:
            extend(
                segments,
                Segment(segment.from_ms, segment.to_ms, State.DOWN, frozenset({"silence:after_down"})),
            )
        else:
            extend(segments, segment)
    return tuple(segments)


def overlaid(timeline: Timeline, evidence: Iterable[Evidence], window: Span) -> Timeline:
    """Return a timeline with further evidence merged in, by `worst` like any other."""
    known = [
        Evidence(segment.from_ms, segment.to_ms, _HEALTH_OF[segment.state], cause)
        for segment in timeline
        for cause in sorted(segment.causes) or (None,)
    ]
    return merge([*known, *evidence], window)


def clip(timeline: Timeline, window: Span) -> Timeline:
    """Return the part of a timeline inside a window."""
    return tuple(
        Segment(max(s.from_ms, window.from_ms), min(s.to_ms, window.to_ms), s.state, s.causes)
        for s in timeline
        if s.from_ms < window.to_ms and s.to_ms > window.from_ms
    )


def lengths(timeline: Timeline) -> dict[State, int]:
    """Return ms by state; the sum is the length of the window."""
    total = dict.fromkeys(State, 0)
    for segment in timeline:
        total[segment.state] += segment.length_ms
    return total


def reclassified(before: Timeline, after: Timeline) -> dict[tuple[State, State], int]:
    """Return ms that changed state between two timelines of the same window, by (from, to)."""
    moved: Counter[tuple[State, State]] = Counter()
    edges = sorted({s.from_ms for s in before} | {s.from_ms for s in after})
    ends = [*edges[1:], before[-1].to_ms] if before else []
    old, new = iter(before), iter(after)
    was, is_ = next(old, None), next(new, None)
    for from_ms, to_ms in zip(edges, ends, strict=False):
        while was is not None and was.to_ms <= from_ms:
            was = next(old, None)
        while is_ is not None and is_.to_ms <= from_ms:
            is_ = next(new, None)
        if was is not None and is_ is not None and was.state is not is_.state:
            moved[was.state, is_.state] += to_ms - from_ms
    return dict(moved)
