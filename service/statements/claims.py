"""Claims that concern a statement: clause, notice, who claimed, who decided, and what became of each."""

from collections.abc import Iterable, Mapping
from typing import Any

from service.core.contract import Contract, Places, Tenant
from service.core.cut import Cut
from service.core.facts import Fact, FactKind
from service.core.model import Span
from service.core.periods import utc_text
from service.core.ports import Ledger
from service.core.said import Claimed, Decided, Leased, said_of

Drawn = Mapping[str, Any]


def claims_json(
    contract: Contract, tenant: Tenant, ledger: Ledger, cut: Cut | None, drawn: Drawn, period: Span
) -> list[dict[str, Any]]:
    """Return every claim on the tenant's places that touches the period, by time."""
    told = list(ledger.facts(kinds=[FactKind.OPERATOR.value], up_to=cut))
    held = _held(contract, tenant, told)
    decisions = [(fact, said) for fact in told if isinstance(said := said_of(fact), Decided)]
    found = []
    for fact in sorted(told, key=lambda fact: (fact.from_ms, fact.key)):
        said = said_of(fact)
        if isinstance(said, Claimed) and _concerns(fact, said, held, contract, period):
            mine = [_decision(one, decided) for one, decided in decisions if decided.claim == said.claim]
            found.append(_claim(fact, said, tenant) | {"decisions": mine, "objectives": _became(said.claim, drawn)})
    return found


def _held(contract: Contract, tenant: Tenant, told: Iterable[Fact]) -> list[Places]:
    found = [contract.places(lease) for lease in tenant.leases]
    for fact in told:
        said = said_of(fact)
        if isinstance(said, Leased) and said.tenant == tenant.id:
            found.append(Places.of(said.places, contract.topology))
    return found


def _concerns(fact: Fact, said: Claimed, held: list[Places], contract: Contract, period: Span) -> bool:
    if fact.from_ms >= period.to_ms or (fact.to_ms is not None and fact.to_ms <= period.from_ms):
        return False
    return any(place in places for place in Places.of(said.places, contract.topology) for places in held)


def _claim(fact: Fact, said: Claimed, tenant: Tenant) -> dict[str, Any]:
    rule = tenant.exclusions.rule(said.kind)
    announced = said.announced_ms
    return {
        "claim": said.claim,
        "kind": said.kind,
        "places": list(said.places),
        "from": utc_text(fact.from_ms),
        "to": None if fact.to_ms is None else utc_text(fact.to_ms),
        "announced": None if announced is None else utc_text(announced),
        "notice_ms": None if announced is None else fact.from_ms - announced,
        "clause": None if rule is None else rule.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    } | _who(fact, said)


def _who(fact: Fact, said: Claimed | Decided) -> dict[str, Any]:
    return {
        "by": said.by,
        "why": said.why,
        "said_evidence": list(said.evidence),
        "key": fact.key,
        "recorded": None if fact.recorded_ms is None else utc_text(fact.recorded_ms),
    }


def _decision(fact: Fact, said: Decided) -> dict[str, Any]:
    return {"approved": said.approved} | _who(fact, said)


def _became(claim: str, drawn: Drawn) -> list[dict[str, Any]]:
    """Return, by objective, what a claim took out of the count, and what of it was refused and why."""
    return [
        {
            "objective": one["objective"]["name"],
            "excluded_ms": one["excluded"]["by_claim"].get(claim, 0),
            "refused": [
                {"reason": part["reason"], "spans": part["spans"]}
                for part in one["excluded"]["refused"]
                if part["claim"] == claim
            ],
        }
        for one in drawn["objectives"]
    ]
