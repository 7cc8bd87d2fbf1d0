"""Statements from facts: what people said counts, versions have their time, later facts restate."""

from decimal import Decimal
from typing import Any

import pytest

from service.core.contract import Agreement, Contract, Tenant
from service.core.facts import Fact, FactKind
from service.core.health import Health
from service.core.history import History
from service.core.model import Span
from service.core.periods import parse_utc
from service.core.said import Asserted, Claimed, Corrected, Decided, Leased, Said, Swapped, operator_fact
from service.core.sla.month import settled_month
from service.core.sla.result import Result
from service.statement import draw

BEGIN, END = parse_utc("2027-01-01T00:00:00Z"), parse_utc("2028-01-01T00:00:00Z")
MINUTE = 60_000
OUTAGE = parse_utc("2027-04-10T02:00:00Z")
TIERS = [
    {"below": "0.999", "at_least": "0.99", "pct": "10"},
    {"below": "0.99", "at_least": "0.95", "pct": "25"},
    {"below": "0.95", "pct": "100"},
]


def contract(objective: dict[str, Any] | None = None, **more: Any) -> Contract:
    """Return a contract for one tray at $10,000.00 a month."""
    terms = {"name": "x", "unit": "tray", "target": "0.999", "tiers": TIERS} | (objective or {})
    tenant = {
        "id": "a",
        "fee": {"monthly_amount": "10000"},
        "objectives": [terms],
        "leases": [{"places": ["r1/t01"], "from": BEGIN, "to": END}],
        "exclusions": {"kinds": [{"kind": "scheduled_maintenance"}]},
    }
    return Contract.model_validate({"id": "c", "version": 1, "site": "s", "landlord": "l", "tenants": [tenant]} | more)


def history(*down: tuple[int, int], trays: tuple[int, ...] = (1,)) -> History:
    """Return the history of trays that were up but for these outages of the first."""
    found = History()
    for tray in trays:
        for gpu in range(4):
            name = f"GPU-{tray}-{gpu}"
            found.learn(
                Fact(
                    kind=FactKind.PLACEMENT,
                    key=f"p{name}",
                    partition=0,
                    from_ms=BEGIN,
                    gpu=name,
                    body=f"r1/t{tray:02d}/g{gpu}",
                )
            )
            cursor = BEGIN
            for from_ms, to_ms in down if tray == trays[0] else ():
                found.learn(coverage(name, cursor, from_ms, Health.UP))
                found.learn(coverage(name, from_ms, to_ms, Health.DOWN))
                cursor = to_ms
            found.learn(coverage(name, cursor, END, Health.UP))
    return found


def coverage(gpu: str, from_ms: int, to_ms: int, health: Health) -> Fact:
    """Return a closed coverage span."""
    cause = "gpu:lost" if health is Health.DOWN else None
    key = f"c/{gpu}/{from_ms}"
    return Fact(
        kind=FactKind.COVERAGE,
        key=key,
        partition=0,
        from_ms=from_ms,
        to_ms=to_ms,
        node="n",
        gpu=gpu,
        health=health,
        cause=cause,
    )


def tell(
    found: History, key: str, said: Said, from_ms: int, to_ms: int | None = None, replaces: str | None = None
) -> None:
    """Let a history learn what a person said."""
    found.learn(operator_fact(said, key, 64, from_ms, to_ms, replaces=replaces))


def tenant(terms: Contract) -> Tenant:
    """Return the tenant."""
    return terms.tenants[0]


def april(terms: Contract | Agreement, found: History) -> Result:
    """Return the only objective's April."""
    agreement = terms if isinstance(terms, Agreement) else Agreement.of((terms,))
    return settled_month(agreement, found, "a", "2027-04")[0].result


def test_an_operator_fact_after_the_final_restates_it() -> None:
    """A claim that is approved after the month was closed takes its time out of a later version, and only there."""
    found = history((OUTAGE, OUTAGE + 60 * MINUTE))
    final = april(contract(), found)
    claimed = Claimed(by="ann", why="switch tray", claim="M1", kind="scheduled_maintenance", places=("r1/t01",))
    tell(found, "said/1", claimed, OUTAGE, OUTAGE + 30 * MINUTE)
    waiting = april(contract(), found)
    tell(found, "said/2", Decided(by="bob", why="seen", claim="M1", approved=True), parse_utc("2027-05-20T00:00:00Z"))
    later = april(contract(), found)
    tell(found, "said/3", Corrected(by="bob", why="wrong rack"), OUTAGE, replaces="said/2")

    assert (final.down_ms, final.credit.amount) == (60 * MINUTE, Decimal("1000.00"))
    assert (waiting.down_ms, waiting.reviewed.refused[0].reason) == (60 * MINUTE, "not decided yet")
    assert (later.down_ms, later.excluded_ms, later.met) == (30 * MINUTE, 30 * MINUTE, True)
    assert later.excluded_by_kind == {"scheduled_maintenance": 30 * MINUTE}
    assert april(contract(), found).down_ms == 60 * MINUTE


def test_a_correction_that_is_itself_corrected_gives_back() -> None:
    """What was taken back by mistake holds again."""
    found = history()
    tell(found, "said/1", Asserted(by="a", why="w", places=("r1/t01/g0",), health=Health.DOWN), OUTAGE, OUTAGE + MINUTE)
    once = april(contract(), found).down_ms
    tell(found, "said/2", Corrected(by="a", why="w"), OUTAGE, replaces="said/1")
    never = april(contract(), found).down_ms
    tell(found, "said/3", Corrected(by="a", why="w"), OUTAGE, replaces="said/2")

    assert (once, never, april(contract(), found).down_ms) == (MINUTE, 0, MINUTE)


def test_a_lease_that_people_tell_counts_beside_the_contract() -> None:
    """A second tray, leased by word from mid-month, is a second unit with its own time."""
    found = history(trays=(1, 2))
    middle = parse_utc("2027-04-16T00:00:00Z")
    tell(found, "said/1", Leased(by="a", why="w", tenant="a", places=("r1/t02",)), middle, END)
    result = april(contract(), found)

    assert result.verdicts.total == 2
    assert result.denominator_ms == 45 * 86_400_000


def test_a_swap_that_people_tell_serves() -> None:
    """A spare tray of the rack serves from the swap on, as the contract allows."""
    found = history((OUTAGE, OUTAGE + 1_440 * MINUTE), trays=(1, 18))
    tell(
        found,
        "said/1",
        Swapped(by="a", why="w", failed="r1/t01", spare="r1/t18"),
        OUTAGE + 40 * MINUTE,
        OUTAGE + 1_440 * MINUTE,
    )
    spares = {"up_rule": {"spare_policy": {"counts": "any_healthy_in_rack"}}}

    assert april(contract(), found).down_ms == 1_440 * MINUTE
    assert april(contract(spares), found).down_ms == 40 * MINUTE


def test_an_amended_contract_never_changes_the_past() -> None:
    """March stays under version 1; April is cut where version 2 begins, each part with its own budget."""
    cut = parse_utc("2027-04-16T00:00:00Z")
    strict = {"target": "0.9999", "tiers": [], "credits": {"form": {"kind": "pro_rata_minutes"}}}
    both = Agreement.of((contract(), contract(strict, version=2, supersedes=1, effective_from=cut)))
    march = parse_utc("2027-03-10T00:00:00Z")
    found = history((march, march + 50 * MINUTE), (cut - 10 * MINUTE, cut + 20 * MINUTE))
    before = settled_month(Agreement.of((contract(),)), found, "a", "2027-03")
    after = settled_month(both, found, "a", "2027-03")
    parts = settled_month(both, found, "a", "2027-04")

    assert [one.result for one in before] == [one.result for one in after]
    assert [(one.contract.version, one.result.down_ms, one.result.met) for one in parts] == [
        (1, 10 * MINUTE, True),
        (2, 20 * MINUTE, False),
    ]
    assert [one.result.denominator_ms for one in parts] == [15 * 86_400_000] * 2
    assert parts[1].result.outages[0].whole == Span(cut - 10 * MINUTE, cut + 20 * MINUTE)
    # half of the month's fee is for this half: 20 of 21,600 minutes of $5,000.00
    assert parts[1].result.credit.amount == Decimal("4.63")


def test_a_statement_shows_how_its_number_came_about() -> None:
    """Excluded time by kind and claim, causes, the version, every step of the formula, each outage with its places."""
    found = history((OUTAGE, OUTAGE + 90 * MINUTE))
    claimed = Claimed(by="ann", why="w", claim="M1", kind="scheduled_maintenance", places=("r1/t01",))
    tell(found, "said/1", claimed, OUTAGE, OUTAGE + 30 * MINUTE)
    tell(found, "said/2", Decided(by="bob", why="w", claim="M1", approved=True), OUTAGE)
    drawn = draw(contract(), found, tenant(contract()), "2027-04")
    (one,) = drawn["objectives"]

    assert (one["excluded_ms"], one["down_ms"], one["contract_version"]) == (30 * MINUTE, 60 * MINUTE, 1)
    assert one["excluded"]["by_claim"] == {"M1": 30 * MINUTE}
    assert one["causes"] == {"gpu:lost": 90 * MINUTE}
    assert one["outages"][0]["places"] == [f"r1/t01/g{gpu}" for gpu in range(4)]
    assert one["outages"][0]["claims"] == ["M1"]
    assert one["credit"] == {"amount": "1000.00", "currency": "USD", "tier": "10"}
    assert drawn["credit"]["amount"] == "1000.00"
    names = [line["name"] for line in one["formula"]]
    assert names[:5] == ["denominator", "down", "availability", "budget", "sum of units against the target"]
    assert names[5:] == ["r1/t01: tier", "r1/t01: base", "rounded"]
    assert "3600000000 <= 2592000000: no" in one["formula"][4]["text"]


def test_several_objectives_stack_as_the_contract_says() -> None:
    """The same outage under two objectives: their sum where they are separate, the larger one where max is said."""
    found = history((OUTAGE, OUTAGE + 90 * MINUTE))
    amounts = {}
    for stack in ("sum", "max"):
        terms = contract({"credits": {"stack": stack}})
        value = terms.model_dump(by_alias=True)
        first = value["tenants"][0]["objectives"][0]
        value["tenants"][0]["objectives"] = (first, first | {"name": "y", "unit": "rack"})
        both = Contract.model_validate(value)
        amounts[stack] = draw(both, found, tenant(both), "2027-04")["credit"]["amount"]

    assert amounts == {"sum": "2000.00", "max": "1000.00"}


def test_a_yearly_cap_knows_the_months_before() -> None:
    """What earlier months of the year were credited leaves less of the cap."""
    march = parse_utc("2027-03-10T00:00:00Z")
    found = history((march, march + 90 * MINUTE), (OUTAGE, OUTAGE + 90 * MINUTE))
    terms = contract({"credits": {"caps": {"annual_money": "1500.00"}}})

    assert april(terms, found).credit.amount == Decimal("500.00")


def test_an_up_rule_that_no_unit_can_meet_is_an_error() -> None:
    """Sixteen of the one tray that is leased can never be up: refused when the contract is read."""
    with pytest.raises(ValueError, match="k 16 of 1 leased trays of r1 can never be up"):
        contract({"unit": "rack", "up_rule": {"kind": "k_of_n", "n": 18, "k": 16}})
