"""The fold of ledger and bus in memory, and the numbers that follow from it.

Counters tell what was known live and are never rewritten: late evidence that changes counted
time goes to `reclassified`. Gauges are recomputed from the whole evidence at every roll-up, up
to the coverage frontier and not to now. The ledger is the truth, this is a view of it.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from service.core import limits
from service.core.availability import Result, Tally, assess, budget_left_ms, tallies, tally_of
from service.core.contract import Contract, Objective, Tenant, exact
from service.core.cut import Cut
from service.core.facts import Fact, Progress
from service.core.health import State
from service.core.history import History, LeasedTime, leased
from service.core.model import Place, Span
from service.core.periods import month_of, month_span
from service.core.ports import Ledger
from service.core.timeline import Timeline, clip, reclassified

BURN_WINDOWS_MS = {
    "5m": 5 * limits.MINUTE_MS,
    "30m": 30 * limits.MINUTE_MS,
    "1h": limits.HOUR_MS,
    "2h": 2 * limits.HOUR_MS,
    "6h": 6 * limits.HOUR_MS,
    "1d": limits.DAY_MS,
    "3d": 3 * limits.DAY_MS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveView:
    """An objective's month to date; times in unit-ms, burn rates by window (1 = on budget)."""

    tenant: str
    result: Result
    budget_ms: Fraction
    budget_left_ms: Fraction
    burn: dict[str, Fraction]
    time_to_breach_ms: Fraction | None  # None when nothing is down now


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything published, as of one roll-up; immutable."""

    at_ms: int
    frontier_ms: int
    month: str
    objectives: tuple[ObjectiveView, ...]
    tenant_gpus: dict[tuple[str, State], int]  # leased GPUs by state at the frontier
    rack_gpus: dict[tuple[str, State], int]
    nodes_live: int
    nodes_silent: int
    gpu_ms: dict[tuple[str, State], int]  # counters since this process began
    reclassified_ms: dict[tuple[str, State, State], int]


class Projection:
    """What is known now. Thread-safe: one lock around fold and roll-up."""

    def __init__(self, contract: Contract, *, grace_ms: int = limits.GRACE_MS) -> None:
        """Begin with nothing known."""
        self._contract, self._grace_ms = contract, grace_ms
        self._lock = threading.Lock()
        self._history = History()
        self._node_end_ms: dict[str, int] = {}
        self._frontier_ms: int | None = None
        self._gpu_ms: Counter[tuple[str, State]] = Counter()
        self._moved_ms: Counter[tuple[str, State, State]] = Counter()
        self._counted: dict[tuple[str, Place], tuple[int, Timeline]] = {}
        self.snapshot: Snapshot | None = None

    def set_grace(self, grace_ms: int) -> None:
        """Change how long a silent node holds the frontier back."""
        with self._lock:
            self._grace_ms = grace_ms

    def restore(self, ledger: Ledger, history: History | None = None) -> None:
        """Take up the fold of a ledger's facts; without one, fold them from the beginning."""
        if history is not None:
            self._history = history
        self.apply(ledger.facts() if history is None else (), ledger.progress())

    def apply(self, facts: Iterable[Fact], progress: Iterable[Progress]) -> None:
        """Fold what was committed."""
        with self._lock:
            for fact in facts:
                self._history.learn(fact)
            for entry in progress:
                self._history.follow(entry)
                known = self._node_end_ms.get(entry.node, 0)
                self._node_end_ms[entry.node] = max(known, entry.to_ms)

    def forget(self, facts: Iterable[Fact]) -> None:
        """Take back facts that corrections name."""
        with self._lock:
            for fact in facts:
                self._history.forget(fact)

    def place_timeline(self, place: Place, window: Span) -> Timeline:
        """Return how a place was over a window."""
        with self._lock:
            return self._history.timeline(place, window)

    def roll_up(self, now_ms: int) -> Snapshot:
        """Advance the counters to the frontier and recompute every gauge."""
        with self._lock:
            live = [end for end in self._node_end_ms.values() if end > now_ms - self._grace_ms]
            frontier_ms = min([now_ms, *live]) if live else now_ms - self._grace_ms
            self._count(max(frontier_ms, self._frontier_ms or 0))
            self.snapshot = self._view(now_ms, len(live))
        return self.snapshot

    def _count(self, frontier_ms: int) -> None:
        if self._frontier_ms is not None and frontier_ms > self._frontier_ms:
            self._reclassify()
            window = Span(self._frontier_ms, frontier_ms)
            for tenant in self._contract.tenants:
                for piece in leased(self._contract, tenant, window):
                    self._count_piece(tenant.id, piece)
        self._frontier_ms = frontier_ms

    def _count_piece(self, tenant_id: str, piece: LeasedTime) -> None:
        timeline = self._history.timeline(piece.place, piece.span)
        for segment in timeline:
            self._gpu_ms[tenant_id, segment.state] += segment.length_ms
        key = (tenant_id, piece.place)
        _, before = self._counted.get(key, (0, ()))
        contiguous = before if before and before[-1].to_ms == piece.span.from_ms else ()
        self._counted[key] = (self._revision(piece), (*contiguous, *timeline))

    def _revision(self, piece: LeasedTime) -> int:
        placed = self._history.placed(piece.place, piece.span)
        return sum(self._history.revision(gpu) for gpu, _ in placed)

    def _reclassify(self) -> None:
        for (tenant_id, place), (revision, before) in self._counted.items():
            window = Span(before[0].from_ms, before[-1].to_ms)
            current = self._revision(LeasedTime(place, window))
            if current == revision:
                continue
            after = self._history.timeline(place, window)
            for (was, is_), length_ms in reclassified(before, after).items():
                self._moved_ms[tenant_id, was, is_] += length_ms
            self._counted[tenant_id, place] = (current, after)

    def _view(self, now_ms: int, live: int) -> Snapshot:
        frontier_ms = self._frontier_ms or now_ms
        zone = self._contract.zone_info
        month = month_of(frontier_ms - 1, zone)
        period = month_span(month, zone)
        objectives: list[ObjectiveView] = []
        tenant_gpus: Counter[tuple[str, State]] = Counter()
        rack_gpus: Counter[tuple[str, State]] = Counter()
        for tenant in self._contract.tenants:
            window = Span(min(period.from_ms, frontier_ms - BURN_WINDOWS_MS["3d"]), frontier_ms)
            pieces = leased(self._contract, tenant, window)
            timelines = {piece: self._history.timeline(piece.place, piece.span) for piece in pieces}
            for piece, timeline in timelines.items():
                if piece.span.to_ms == frontier_ms:
                    tenant_gpus[tenant.id, timeline[-1].state] += 1
                    rack_gpus[piece.place.rack, timeline[-1].state] += 1
            objectives += [
                self._objective(tenant, objective, timelines, period, frontier_ms) for objective in tenant.objectives
            ]
        return Snapshot(
            at_ms=now_ms,
            frontier_ms=frontier_ms,
            month=month,
            objectives=tuple(objectives),
            tenant_gpus=dict(tenant_gpus),
            rack_gpus=dict(rack_gpus),
            nodes_live=live,
            nodes_silent=len(self._node_end_ms) - live,
            gpu_ms=dict(self._gpu_ms),
            reclassified_ms=dict(self._moved_ms),
        )

    def _objective(
        self,
        tenant: Tenant,
        objective: Objective,
        timelines: dict[LeasedTime, Timeline],
        period: Span,
        frontier_ms: int,
    ) -> ObjectiveView:
        to_date = Span(period.from_ms, max(frontier_ms, period.from_ms + 1))
        pieces = leased(self._contract, tenant, to_date)
        by_span = {(piece.place, piece.span.to_ms): timeline for piece, timeline in timelines.items()}
        lookup = lambda piece: clip(by_span[piece.place, piece.span.to_ms], piece.span)  # noqa: E731
        fee = tenant.fee.monthly_amount if tenant.fee else None
        result = assess(objective, tallies(pieces, lookup), fee)
        period_ms = sum(piece.span.length_ms for piece in leased(self._contract, tenant, period))
        left = budget_left_ms(result.tally, objective, period_ms)
        down_now = sum(1 for timeline in timelines.values() if timeline[-1].state is State.DOWN)
        return ObjectiveView(
            tenant=tenant.id,
            result=result,
            budget_ms=(1 - exact(objective.target)) * period_ms,
            budget_left_ms=left,
            burn={
                name: _burn(objective, timelines.values(), Span(frontier_ms - length, frontier_ms))
                for name, length in BURN_WINDOWS_MS.items()
            },
            time_to_breach_ms=max(left, Fraction(0)) / down_now if down_now else None,
        )


def _burn(objective: Objective, timelines: Iterable[Timeline], window: Span) -> Fraction:
    total = Tally()
    for timeline in timelines:
        inside = clip(timeline, window)
        if inside:
            total = total.plus(tally_of(inside))
    if not total.total_ms:
        return Fraction(0)
    down = total.counted_down(exact(objective.degraded_weight))
    return down / total.total_ms / (1 - exact(objective.target))


def history_of(ledger: Ledger, up_to: Cut | None = None) -> History:
    """Return the fold of a ledger, outside the running service.

    Up to a cut it is the same for ever: what was open then is what a note within the cut says.
    Without one, all of the ledger counts and what is open now with it.
    """
    history = History()
    for fact in ledger.facts(up_to=up_to):
        history.learn(fact)
    for progress in ledger.progress() if up_to is None else ():
        history.follow(progress)
    return history


def causes_of(timelines: Iterable[Timeline]) -> dict[str, int]:
    """Return down unit-ms by cause; time with several causes counts for each."""
    total: dict[str, int] = defaultdict(int)
    for timeline in timelines:
        for segment in timeline:
            if segment.state is State.DOWN:
                for cause in segment.causes:
                    total[cause] += segment.length_ms
    return dict(total)
