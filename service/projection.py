"""The fold of ledger and bus in memory, and the numbers that follow from it.

Counters tell what was known live and are never rewritten: late evidence that changes counted
time goes to `reclassified`. Gauges are recomputed from the whole evidence at every roll-up, up
to the coverage frontier and not to now. The ledger is the truth, this is a view of it.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from service.core import limits
from service.core.contract import Contract, Objective, Tenant
from service.core.cut import Cut
from service.core.facts import Fact, FactKind, Progress
from service.core.health import State
from service.core.history import History, LeasedTime, leased
from service.core.model import Place, Span
from service.core.periods import month_of
from service.core.ports import Ledger
from service.core.sla.burn import Edge, budget_ms, burn_rate, forecast_ms, next_edge, time_to_breach_ms
from service.core.sla.evaluate import Terms, evaluate
from service.core.sla.given import Given
from service.core.sla.month import Known, terms_of, within
from service.core.sla.result import Result
from service.core.sla.rolling import period_of, settle
from service.core.sla.steps import Weight
from service.core.timeline import Timeline, reclassified

BURN_WINDOWS_MS = {
    "5m": 5 * limits.MINUTE_MS,
    "30m": 30 * limits.MINUTE_MS,
    "1h": limits.HOUR_MS,
    "2h": 2 * limits.HOUR_MS,
    "6h": 6 * limits.HOUR_MS,
    "1d": limits.DAY_MS,
    "3d": 3 * limits.DAY_MS,
}
_LEARNT = tuple(
    kind.value for kind in (FactKind.COVERAGE, FactKind.PLACEMENT, FactKind.EVENT, FactKind.OPERATOR)
)  # statements and what was refused are bodies that no history needs
_SLOPE_MS = limits.DAY_MS  # the forecast goes on as the last day went


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveView:
    """An objective's month to date; times in unit-ms, burn rates by window (1 = on budget)."""

    tenant: str
    result: Result
    budget_ms: Fraction
    budget_left_ms: Fraction
    burn: dict[str, Fraction]
    time_to_breach_ms: Fraction | None  # None when nothing is down now
    forecast_ratio: Fraction | None  # at the period's end, going on as over the last day
    next_edge: Edge | None  # of the unit that is nearest to one


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

    def over(self, tenant: Tenant, objective: Objective, window: Span) -> Result:
        """Return an objective's result over any window that is covered by now."""
        with self._lock:
            known = Known(self._history).given(self._contract, tenant, objective, window)
            return evaluate(objective, terms_of(self._contract, tenant), known, window)

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
        objectives: list[ObjectiveView] = []
        tenant_gpus: Counter[tuple[str, State]] = Counter()
        rack_gpus: Counter[tuple[str, State]] = Counter()
        for tenant in self._contract.tenants:
            for piece in leased(self._contract, tenant, Span(frontier_ms - 1, frontier_ms)):
                state = self._history.timeline(piece.place, piece.span)[-1].state
                tenant_gpus[tenant.id, state] += 1
                rack_gpus[piece.place.rack, state] += 1
            lookup = Known(self._history)
            objectives += [self._objective(tenant, one, lookup, month, frontier_ms) for one in tenant.objectives]
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
        self, tenant: Tenant, objective: Objective, lookup: Known, month: str, frontier_ms: int
    ) -> ObjectiveView:
        whole = period_of(objective, month, self._contract.zone_info)
        to_date = Span(whole.from_ms, max(min(frontier_ms, whole.to_ms), whole.from_ms + 1))
        oldest_ms = min(to_date.from_ms, frontier_ms - max(BURN_WINDOWS_MS.values()))
        reach = Span(oldest_ms, to_date.to_ms)
        known = lookup.given(self._contract, tenant, objective, reach, up_to_ms=to_date.to_ms)
        terms = terms_of(self._contract, tenant)
        result = settle(objective, terms, known, to_date)
        spans = {name: Span(frontier_ms - length, frontier_ms) for name, length in BURN_WINDOWS_MS.items()}
        recent = {
            name: evaluate(objective, terms, within(known, objective, span), span) for name, span in spans.items()
        }
        measured = evaluate(objective, terms, replace(known, timelines={}), whole).denominator_ms
        return _viewed(tenant, objective, result, recent, measured, _Rest(terms, known, frontier_ms, whole))


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left of a period, and what is known of it."""

    terms: Terms
    known: Given
    frontier_ms: int
    whole: Span

    @property
    def left_ms(self) -> int:
        return max(self.whole.to_ms - self.frontier_ms, 0)

    def down_now(self, objective: Objective) -> Weight:
        """Return the summed weight of what is down: the counted time of the last ms."""
        last = Span(self.frontier_ms - 1, self.frontier_ms)
        return evaluate(objective, self.terms, within(self.known, objective, last), last).down_ms


def _viewed(
    tenant: Tenant, objective: Objective, result: Result, recent: dict[str, Result], measured: Weight, rest: _Rest
) -> ObjectiveView:
    budget = budget_ms(objective, measured)
    left = budget - result.settled_down_ms
    forecast = forecast_ms(result.settled_down_ms, recent["1d"].down_ms, _SLOPE_MS, rest.left_ms)
    return ObjectiveView(
        tenant=tenant.id,
        result=result,
        budget_ms=budget,
        budget_left_ms=left,
        burn={name: burn_rate(one.down_ms, one.denominator_ms, objective) for name, one in recent.items()},
        time_to_breach_ms=time_to_breach_ms(left, rest.down_now(objective)),
        forecast_ratio=1 - min(forecast / measured, Fraction(1)) if measured else None,
        next_edge=_nearest_edge(objective, result, rest.whole),
    )


def _nearest_edge(objective: Objective, result: Result, whole: Span) -> Edge | None:
    """Return the tier edge that is reached first; a pool has one, units have one each."""
    if result.pool is not None:
        full = Fraction(result.pool.time_ms * whole.length_ms, result.period.length_ms)
        return next_edge(objective, result.pool, full, result.pool.money.fee)
    edges = (next_edge(objective, unit, whole.length_ms, unit.money.fee) for unit in result.all_units)
    return min((edge for edge in edges if edge is not None), key=lambda edge: edge.left_ms, default=None)


def history_of(ledger: Ledger, up_to: Cut | None = None) -> History:
    """Return the fold of a ledger, outside the running service.

    Up to a cut it is the same for ever: what was open then is what a note within the cut says.
    Without one, all of the ledger counts and what is open now with it.
    """
    history = History()
    kinds = _LEARNT if up_to is None else (*_LEARNT, FactKind.OPEN.value)  # progress says what the newest note says
    for fact in ledger.facts(kinds=kinds, up_to=up_to):
        history.learn(fact)
    for progress in ledger.progress() if up_to is None else ():
        history.follow(progress)
    return history
