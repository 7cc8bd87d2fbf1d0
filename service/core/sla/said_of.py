"""What people said of each place, looked up by place: spares in service, marks, stops and claims."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from service.core.contract import Objective
from service.core.contract.uprule import SparePolicy
from service.core.health import State
from service.core.model import Place, Span
from service.core.sla.claims import Approved
from service.core.sla.given import Given, Mark, Stop
from service.core.sla.members import PLAIN, Handling
from service.core.sla.spans import Spans, subtract, union
from service.core.timeline import Timeline, clip


@dataclass(frozen=True, slots=True)
class _Served:
    """A spare that a contract lets serve for a place."""

    spare: Place
    span: Span


class Said:
    """Handling and effective timeline of every place, for one objective."""

    def __init__(self, given: Given, objective: Objective, approved: Sequence[Approved]) -> None:
        """Index by rack and place what was said; nothing is computed yet."""
        self._given, self._objective = given, objective
        self._approved = tuple(enumerate(approved))
        self._stops = tuple(stop for stop in given.stops if _stops(stop, objective))
        self._swaps = _served(given, objective.up_rule.spare_policy)
        self._quiet = not (self._stops or self._swaps or given.marks or approved)
        self._by_rack: dict[str, list[tuple[int, Approved]]] = defaultdict(list)
        for rank, one in self._approved:
            for rack in one.claim.places.racks:
                self._by_rack[rack].append((rank, one))

    def timeline(self, place: Place) -> Timeline:
        """Return how a place was served: by itself, or by a spare while one stood in for it."""
        own = self._given.timelines.get(place, ())
        for served in self._swaps.get(place, ()):
            spare = clip(self._given.timelines.get(served.spare, ()), served.span)
            rest = subtract(tuple(Span(s.from_ms, s.to_ms) for s in own), (served.span,))
            kept = [part for span in rest for part in clip(own, span)]
            own = tuple(sorted((*kept, *spare), key=lambda segment: segment.from_ms))
        return own

    def handling(self, place: Place) -> Handling:
        """Return everything said of a place that changes how its down time counts."""
        if self._quiet:
            return PLAIN
        claims = tuple((rank, one) for rank, one in self._by_rack.get(place.rack, ()) if place in one.claim.places)
        found = Handling(
            starts_ms=self._marks(place, self._objective.clock_start),
            ends_ms=self._marks(place, self._objective.clock_end),
            stops=union(stop.span for stop in self._stops if place in stop.places),
            forgiven=self._forgiven(place),
            claims=claims,
        )
        return PLAIN if found == PLAIN else found

    def _marks(self, place: Place, instant: str) -> tuple[int, ...]:
        return tuple(sorted(one.at_ms for one in self._given.marks if _is(one, place, instant)))

    def _forgiven(self, place: Place) -> Spans:
        """Return what a swap within its grace undoes: the failure before it, unknown time included."""
        grace_ms = self._objective.up_rule.spare_policy.swap_grace_ms
        if not grace_ms or place not in self._swaps:
            return ()
        own = self._given.timelines.get(place, ())
        bad = union(Span(s.from_ms, s.to_ms) for s in own if s.state in {State.DOWN, State.UNKNOWN})
        found = []
        for served in self._swaps[place]:
            at_ms = served.span.from_ms
            near = (span for span in bad if span.from_ms < at_ms <= span.to_ms)
            found += [Span(span.from_ms, at_ms) for span in near if at_ms - span.from_ms <= grace_ms]
        return union(found)


def _is(mark: Mark, place: Place, instant: str) -> bool:
    return mark.instant == instant and place in mark.places


def _stops(stop: Stop, objective: Objective) -> bool:
    rule = objective.clock_stop
    return stop.reason in rule.on and (bool(stop.evidence) or not rule.evidence_required)


def _served(given: Given, policy: SparePolicy) -> dict[Place, list[_Served]]:
    found: dict[Place, list[_Served]] = defaultdict(list)
    for swap in sorted(given.swaps, key=lambda swap: swap.span):
        for failed, spare in zip(swap.failed, swap.spare, strict=False):
            same = failed.rack == spare.rack
            anywhere = policy.counts == "any_in_pool" and not policy.same_domain_required
            if policy.counts != "contracted_only" and (same or anywhere):
                found[failed].append(_Served(spare, swap.span))
    return found
