"""From a number down to what was observed: objective, unit, incident, step, row of the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service import statement
from service.core import limits
from service.core.contract import Topology
from service.core.cut import Cut, cut_json
from service.core.errors import ConfigurationError
from service.core.facts import Fact
from service.core.history import History
from service.core.model import Place, Span
from service.core.periods import utc_text
from service.core.sla.month import Settled, settled_month
from service.core.sla.result import Outage, Result, UnitResult
from service.core.sla.steps import Step, clip
from service.projection import history_of
from service.statements.basis import Basis
from service.statements.claims import claims_json
from service.statements.evidence import places_of, row_json, rows_of, unknown_of
from service.statements.issued import versions

_Rows = Mapping[Place, list[Fact]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be explained: all of a month, one objective, or one unit (and what lies in it)."""

    tenant: str
    month: str
    objective: str | None = None
    unit: str | None = None

    def takes(self, unit: str) -> bool:
        """Return whether a unit was asked for."""
        return self.unit is None or f"{unit}/".startswith(f"{self.unit}/") or unit == "pool"


def explain(basis: Basis, asked: Asked, cut: Cut | None) -> dict[str, Any]:
    """Return the drill-down of a tenant's month as JSON.

    Raises:
        ValueError: If there is no such tenant or month.
        ConfigurationError: If there is no such objective.
        LedgerError: If the ledger does not have the cut.
    """
    tenant, contract = basis.tenant(asked.tenant, asked.month), basis.in_force(asked.month)
    history, period = history_of(basis.ledger, cut), basis.period(asked.month)
    settled = _chosen(settled_month(basis.agreement, history, asked.tenant, asked.month), asked)
    outages = [outage for one in settled for outage in one.result.outages if asked.takes(outage.unit)]
    rows = rows_of(basis.ledger, cut, history, _spans(outages), period)
    drawn = statement.draw(basis.agreement, history, tenant, asked.month)
    looking = _Looking(history, contract.topology, rows, asked)
    return {
        "tenant": asked.tenant,
        "month": asked.month,
        "period": drawn["period"],
        "contract": drawn["contract"] | {"hash": basis.contract_hash(period)},
        "cut": None if cut is None else cut_json(cut),
        "issued": [
            {"version": one.version, "status": one.status, "recorded": utc_text(one.recorded_ms), "hash": one.hash}
            for one in versions(basis.ledger, asked.tenant, asked.month, cut)
        ],
        "objectives": [looking.objective(one) for one in settled],
        "claims": claims_json(contract, tenant, basis.ledger, cut, drawn, period),
    }


def _chosen(settled: Iterable[Settled], asked: Asked) -> list[Settled]:
    every = list(settled)
    chosen = [one for one in every if asked.objective in {None, one.objective.name}]
    if not chosen:
        known = ", ".join(one.objective.name for one in every) or "none"
        msg = f"no objective {asked.objective!r} in {asked.month}; there are: {known}"
        raise ConfigurationError(msg)
    return chosen


def _spans(outages: Iterable[Outage]) -> dict[Place, list[Span]]:
    found: dict[Place, list[Span]] = defaultdict(list)
    for outage in outages:
        for place in outage.places:
            found[place].append(outage.whole)
    return found


@dataclass(frozen=True, slots=True)
class _Looking:
    """Shows results with the rows behind them."""

    history: History
    topology: Topology
    rows: _Rows
    asked: Asked

    def objective(self, one: Settled) -> dict[str, Any]:
        """Return an objective's number and, below it, every unit that took from it."""
        shown = statement.result_json(one.result, one.contract.currency)
        kept = ("objective", "availability", "exact", "met", "settled_by", "units", "formula", "credit")
        told = (unit for unit in one.result.units if self.asked.takes(unit.name))
        return {name: shown[name] for name in kept} | {"below": [self._unit(one.result, unit) for unit in told]}

    def _unit(self, result: Result, unit: UnitResult) -> dict[str, Any]:
        return {
            "unit": unit.name,
            "count": unit.count,
            "gpus": unit.gpus,
            "denominator_ms": statement.number(unit.settled.denominator_ms),
            "down_ms": statement.number(unit.hi.down_ms),
            "settled_down_ms": statement.number(unit.settled.down_ms),
            "excluded_ms": statement.number(sum(unit.settled.excluded_ms.values(), start=0)),
            "unknown_ms": unit.unknown_ms,
            "degraded_ms": unit.degraded_ms,
            "availability": statement.bounds_json(unit.bounds),
            "met": unit.met,
            "settled_by": unit.settled_by,
            "incidents": [self._incident(result, unit, outage) for outage in unit.settled.outages],
            "unknown": list(self._unknown(result, unit)) if unit.unknown_ms else [],
        }

    def _incident(self, result: Result, unit: UnitResult, outage: Outage) -> dict[str, Any]:
        steps = clip(unit.settled.steps, (outage.whole,))
        return {
            "from": utc_text(outage.whole.from_ms),
            "to": utc_text(outage.whole.to_ms),
            "down_ms": statement.number(outage.down_ms),
            "excluded_ms": statement.number(outage.excluded_ms),
            "counted_ms": statement.number(outage.counted_ms),
            "result": outage.why,
            "causes": dict(sorted(outage.causes.items())),
            "places": [str(place) for place in outage.places],
            "steps": [_step(result, step) for step in steps],
            "rows": [
                {"place": str(place)} | row_json(fact)
                for place in outage.places
                for fact in self.rows.get(place, ())
                if _touches(fact, outage.whole)
            ][: limits.EXPLAIN_ROWS],
        }

    def _unknown(self, result: Result, unit: UnitResult) -> Iterator[dict[str, Any]]:
        down_lasts = result.objective.gap_after_down == "down"
        for place in places_of(unit.name, self.topology):
            for from_ms, to_ms, causes in unknown_of(self.history, place, result.period, down_lasts=down_lasts):
                yield {
                    "place": str(place),
                    "from": utc_text(from_ms),
                    "to": utc_text(to_ms),
                    "causes": list(causes),
                }


def _touches(fact: Fact, span: Span) -> bool:
    near = limits.EVIDENCE_NEAR_MS
    ends_ms = fact.from_ms if fact.to_ms is None else fact.to_ms
    return fact.from_ms < span.to_ms + near and ends_ms >= span.from_ms - near


def _step(result: Result, step: Step) -> dict[str, Any]:
    """Return a step: what evidence says, what the clock leaves of it, and what claims leave of that."""
    claim = None if step.claim is None else result.reviewed.approved[step.claim].claim.id
    weights = {"down": step.raw, "on_the_clock": step.down, "counted": step.kept}
    return {
        "from": utc_text(step.from_ms),
        "to": utc_text(step.to_ms),
        **{name: statement.number(weight) for name, weight in weights.items()},
        "causes": sorted(step.causes),
        "claim": claim if step.kept < step.down else None,
    }
