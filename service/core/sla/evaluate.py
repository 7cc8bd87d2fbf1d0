"""An objective over a period, from everything given to everything a statement shows.

The whole pipeline runs twice, with unknown time as up and as down; where nothing is unknown once
is enough. Cost follows changes: units to which nothing happened are counted, not computed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from zoneinfo import ZoneInfo

from service.core.availability import Bounds
from service.core.contract import Exclusions, Fee, Objective, Places, Topology
from service.core.health import State
from service.core.model import Place, Span
from service.core.sla.assemble import assembled, summed, weight_of
from service.core.sla.claims import Approved, Reviewed, review
from service.core.sla.credit import NO_MONEY, Billing, credit_of, fee_of, money_of
from service.core.sla.given import Given
from service.core.sla.members import PLAIN, member_steps
from service.core.sla.pipeline import Run, Touching, cordon_of, count, inside_of, rolled, unknown_spans
from service.core.sla.result import Count, Result, UnitResult
from service.core.sla.said_of import Said
from service.core.sla.spans import Spans, intersect, length, subtract, union
from service.core.sla.steps import Steps, clip, where
from service.core.sla.units import Epoch, Tested, units_of
from service.core.sla.verdict import bounds_of, counts_of, settled, verdict
from service.core.timeline import Timeline

_Alike = tuple[tuple[tuple[Span, int], ...], Spans | None, Timeline]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one tenant's contract says of every objective alike."""

    exclusions: Exclusions = field(default_factory=Exclusions)
    fee: Fee | None = None
    topology: Topology = field(default_factory=Topology)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    fees_of_year: Fraction = Fraction(0)  # before this period, for yearly caps
    credited_of_year: Fraction = Fraction(0)


def evaluate(objective: Objective, terms: Terms, given: Given, period: Span, *, whole: Span | None = None) -> Result:
    """Return an objective's result over a period.

    Args:
        objective: The promise.
        terms: Exclusions, fee and sizes.
        given: Leases, timelines, and what people said.
        period: What is settled; of a rolling objective the window that ends last.
        whole: The period that the monthly fee pays for, when `period` is only a part of it.

    Raises:
        ValueError: If the up-rule asks for more members than a unit has.
    """
    return _Evaluation(objective, terms, given, period, whole or period).result()


class _Evaluation:
    def __init__(self, objective: Objective, terms: Terms, given: Given, period: Span, whole: Span) -> None:
        self.objective, self.terms, self.given = objective, terms, given
        self.period, self.whole = period, whole
        self.reviewed: Reviewed = review(given.claims, given.decisions, terms.exclusions, period, terms.zone)
        self.said = Said(given, objective, self.reviewed.approved)
        self._timelines: dict[Place, Timeline] = {}
        self._steps: dict[Place, tuple[Steps, Steps]] = {}
        self._cordons: dict[tuple[str, bool], Steps] = {}
        self.as_up, self.as_down = self._run(as_down=False), self._run(as_down=True)

    @property
    def pooled(self) -> bool:
        """Whether the unit is the sum of what it is made of."""
        return (
            self.objective.unit in {"pool", "site"}
            and self.objective.up_rule.kind_of(self.objective.unit) == "weighted"
        )

    def _run(self, *, as_down: bool) -> Run:
        exclusions = self.terms.exclusions
        return Run(
            objective=self.objective,
            period=self.period,
            steps_of=lambda place: self._steps_of(place, as_down=as_down),
            cordons=lambda rack: self._cordon(rack, as_down=as_down),
            claims=self.reviewed.approved,
            window_claims=exclusions.extent == "window",
            shrinks=exclusions.mode == "from_denominator",
        )

    def _timeline(self, place: Place) -> Timeline:
        if place not in self._timelines:
            self._timelines[place] = self.said.timeline(place)
        return self._timelines[place]

    def _both(self, place: Place) -> tuple[Steps, Steps]:
        """Return a place's steps with unknown time as up, and as down: the same object where nothing is unknown."""
        if place not in self._steps:
            timeline, handling = self._timeline(place), self.said.handling(place)
            up = down = member_steps(timeline, self.objective, handling, as_down=False)
            if any(segment.state is State.UNKNOWN for segment in timeline):
                down = member_steps(timeline, self.objective, handling, as_down=True)
            self._steps[place] = up, up if up == down else down
        return self._steps[place]

    def _steps_of(self, place: Place, *, as_down: bool) -> Steps:
        return self._both(place)[as_down]

    @cached_property
    def _racks(self) -> dict[str, tuple[Epoch, ...]]:
        """Racks with something in them, for the rule that cordons a whole rack."""
        if self.objective.up_rule.below_k != "rack_down" or self.objective.unit in {"rack", "nvlink_domain"}:
            return {}
        racks = units_of("rack", "tray", self.given, self.terms.topology, self.period)
        return {one.rack: one.epochs for one in racks if any(epoch.touched for epoch in one.epochs)}

    def _cordon(self, rack: str, *, as_down: bool) -> Steps:
        if rack not in self._racks:
            return ()
        key = (rack, as_down)
        if key not in self._cordons:
            run = self.as_down if as_down else self.as_up
            # One epoch is the rule; where leases change, each part is judged by the trays it has.
            parts = [clip(cordon_of(rack, epoch, run), (epoch.span,)) for epoch in self._racks[rack]]
            single = len(parts) == 1
            self._cordons[key] = (
                cordon_of(rack, self._racks[rack][0], run) if single else tuple(s for part in parts for s in part)
            )
        return self._cordons[key]

    def _units(self) -> Iterator[Tested]:
        unit, level = self.objective.unit, self.objective.up_rule.level_of(self.objective.unit)
        if self.pooled:
            unit, level = level, "tray" if level == "rack" else "gpu"
        found = units_of(unit, level, self.given, self.terms.topology, self.period, self._windows())
        yield from _merged(_by_weight(found) if self.pooled else found, self._racks)

    def _windows(self) -> list[Places]:
        """Return the places of claims that shrink a denominator though nothing was down."""
        exclusions = self.terms.exclusions
        if exclusions.extent != "window" or exclusions.mode == "as_up":
            return []
        return [one.claim.places for one in self.reviewed.approved]

    def result(self) -> Result:
        """Return everything."""
        tested = list(self._units())
        measured = self._measured(tested)
        gpu_ms = sum(one.gpu_ms * one.count for one in measured)
        billing = Billing(
            fee=self.terms.fee,
            topology=self.terms.topology,
            zone=self.terms.zone,
            period=self.period,
            whole=self.whole,
            gpu_ms=gpu_ms,
            gpus=sum(one.gpus * one.count for one in measured),
            fees_of_year=self.terms.fees_of_year,
            credited_of_year=self.terms.credited_of_year,
        )
        priced: dict[int, UnitResult] = {}
        for one in measured:
            if id(one) not in priced:
                priced[id(one)] = self._priced(one, billing)
        units = tuple(_told(unit, priced[id(one)]) for unit, one in zip(tested, measured, strict=True))
        tested_units = (self._pool(units, billing),) if self.pooled and units else units
        fee = sum((unit.money.fee * unit.count for unit in tested_units), start=Fraction(0))
        return assembled(
            self.objective,
            self.period,
            units,
            tested_units,
            credit_of(self.objective, tested_units, fee, billing),
            self.reviewed,
        )

    def _measured(self, tested: Iterable[Tested]) -> list[UnitResult]:
        """Return the result of each unit; GPUs of which nothing was said and that were alike throughout share one.

        A tray or a rack fails as a whole: most GPUs that were ever down were so with others.
        """
        alike: dict[_Alike, UnitResult] = {}
        found: list[UnitResult] = []
        for unit in tested:
            key = self._alike(unit)
            known = alike.get(key) if key is not None else None
            if known is None:
                known = self._measure(unit)
            if key is not None:
                alike[key] = known
            found.append(known)
        return found

    def _alike(self, unit: Tested) -> "_Alike | None":
        """Return everything that a single GPU's result follows from, or None where anybody said something of it."""
        first = unit.epochs[0]
        if len(first.touched) != 1 or unit.rack in self._racks:
            return None
        if any(epoch.gpus != 1 or epoch.touched != first.touched for epoch in unit.epochs):
            return None
        place = first.touched[0]
        if self.said.handling(place) is not PLAIN:
            return None
        return tuple((epoch.span, epoch.members) for epoch in unit.epochs), unit.accepted, self._timeline(place)

    def _measure(self, unit: Tested) -> UnitResult:
        touching = self._touching(unit)
        measured, countable = inside_of(unit, self.objective, self.period)
        low = high = count(unit, self.as_up, touching)
        unknown: Spans = ()
        if self._open(unit):
            low = count(unit, self.as_down, touching)
            unknown = unknown_spans(unit, self.as_up, self.as_down, countable)
        return self._unit(unit, low, high, measured, length(unknown), self._degraded(unit, countable))

    def _open(self, unit: Tested) -> bool:
        """Return whether unknown time could change anything: whether both runs differ in any member."""
        for epoch in unit.epochs:
            for place in epoch.touched:
                up, down = self._both(place)
                if up is not down:
                    return True
        return self._cordon(unit.rack, as_down=True) != self._cordon(unit.rack, as_down=False)

    def _unit(
        self, unit: Tested, as_down: Count, as_up: Count, measured: Spans, unknown_ms: int, degraded_ms: int
    ) -> UnitResult:
        low, high = counts_of(self.objective, as_down, as_up, unknown_ms)
        chosen, by = settled(self.objective, low, high, unknown_ms)
        gpu_ms = sum(length(intersect(measured, (epoch.span,))) * epoch.gpus for epoch in unit.epochs)
        return UnitResult(
            name=unit.name,
            count=unit.count,
            gpus=max(epoch.gpus for epoch in unit.epochs),
            time_ms=length(measured),
            gpu_ms=gpu_ms,
            inside=measured,
            lo=low,
            hi=high,
            settled=chosen,
            settled_by=by,
            unknown_ms=unknown_ms,
            degraded_ms=degraded_ms,
            bounds=bounds_of(low, high, chosen),
            met=verdict(self.objective, low, high),
            money=NO_MONEY,
        )

    def _touching(self, unit: Tested) -> Touching:
        """Return what was said of the members that were ever down, or not known to be up."""
        if not (self.reviewed.approved or self.given.stops):
            return Touching((), (), ())
        touched = [place for epoch in unit.epochs for place in epoch.touched]
        active = [place for place in touched if self._steps_of(place, as_down=True)]
        claims = tuple(enumerate(self.reviewed.approved)) if touched else ()
        return Touching(
            union(span for place in active for span in self.said.handling(place).stops),
            tuple((rank, one.spans) for rank, one in claims if _touches(one, active)),
            union(
                span
                for epoch in unit.epochs
                for _, one in claims
                if epoch.gpus == sum(place in one.claim.places for place in epoch.touched)
                for span in intersect(one.spans, (epoch.span,))
            ),
        )

    def _degraded(self, unit: Tested, countable: Spans) -> int:
        """Return how long the unit had a degraded member and was not down."""
        found = 0
        for epoch in unit.epochs:
            spans: list[Span] = []
            for place in epoch.touched:
                inside = (Span(s.from_ms, s.to_ms) for s in self._timeline(place) if s.state is State.DEGRADED)
                spans += intersect(union(inside), intersect(countable, (epoch.span,)))
            if spans and self.objective.unit != "gpu":
                down = where(rolled(epoch, unit.rack, self.as_up), lambda step: step.raw == 1)
                spans = list(subtract(union(spans), down))
            found += length(spans)
        return found

    def _priced(self, unit: UnitResult, billing: Billing) -> UnitResult:
        if billing.fee is None:
            return unit
        fee = fee_of(billing, unit.gpus, unit.gpu_ms, unit.inside)
        if self.pooled:  # a member has a fee, but only the pool is tested
            return replace(unit, money=replace(NO_MONEY, fee=fee))
        return replace(
            unit, money=money_of(self.objective, unit.settled, _settled_ratio(unit.bounds), fee, unit.time_ms)
        )

    def _pool(self, members: Sequence[UnitResult], billing: Billing) -> UnitResult:
        """Return the weighted sum of members as the one unit that is tested."""
        low, high = (summed(members, lambda unit, b=bound: getattr(unit, b)) for bound in ("lo", "hi"))  # type: ignore[misc]
        unknown = sum(unit.unknown_ms * weight_of(unit) for unit in members)
        units = sum(weight_of(unit) for unit in members)
        chosen, by = settled(self.objective, low, high, unknown // units)
        affected = self.objective.credits.base == "affected_unit_fee"
        paying = [unit for unit in members if unit.settled.down_ms or not affected]
        fee = sum((unit.money.fee * unit.count for unit in paying), start=Fraction(0))
        time_ms = sum(unit.time_ms * weight_of(unit) for unit in members)
        bounds = bounds_of(low, high, chosen)
        return UnitResult(
            name=self.objective.unit,
            count=1,
            gpus=billing.gpus,
            time_ms=time_ms,
            gpu_ms=billing.gpu_ms,
            inside=union(span for unit in members for span in unit.inside),
            lo=low,
            hi=high,
            settled=chosen,
            settled_by=by,
            unknown_ms=unknown,
            degraded_ms=sum(unit.degraded_ms * weight_of(unit) for unit in members),
            bounds=bounds,
            met=verdict(self.objective, low, high),
            money=money_of(self.objective, chosen, _settled_ratio(bounds), fee, time_ms),
        )


def _settled_ratio(bounds: Bounds | None) -> Fraction | None:
    return bounds.settled if bounds is not None else None


def _touches(approved: Approved, places: Sequence[Place]) -> bool:
    return any(place in approved.claim.places for place in places)


def _by_weight(units: Iterable[Tested]) -> Iterator[Tested]:
    """Yield members of a pool by stretches over which they weigh the same."""
    for unit in units:
        for epoch in unit.epochs:
            yield replace(unit, epochs=(epoch,))


def _merged(units: Iterable[Tested], cordoned: Mapping[str, tuple[Epoch, ...]]) -> Iterator[Tested]:
    """Yield units, those that nothing happened to together when they are alike."""
    alike: dict[tuple[tuple[Epoch, ...], Spans | None], int] = defaultdict(int)
    for unit in units:
        if unit.rack in cordoned or any(epoch.touched for epoch in unit.epochs):
            yield unit
        else:
            alike[unit.epochs, unit.accepted] += unit.count
    for (epochs, accepted), number in alike.items():
        yield Tested("others", "", number, epochs, accepted)


def _told(unit: Tested, result: UnitResult) -> UnitResult:
    """Return a result under the name of its unit, where it was measured on another that was alike."""
    if result.name == unit.name:
        return result
    places = unit.epochs[0].touched
    low = _renamed(result.lo, unit.name, places)
    high = low if result.hi is result.lo else _renamed(result.hi, unit.name, places)
    same = next((new for old, new in ((result.lo, low), (result.hi, high)) if result.settled is old), None)
    settled = same or _renamed(result.settled, unit.name, places)
    return replace(result, name=unit.name, lo=low, hi=high, settled=settled)


def _renamed(count: Count, name: str, places: tuple[Place, ...]) -> Count:
    return replace(count, outages=tuple(replace(one, unit=name, places=places) for one in count.outages))
