"""The contract of the reference site: its term, its fee, and what each unit definition costs on the same facts."""

import random
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from service.contracts import load
from service.core.contract import Contract
from service.core.health import Health
from service.core.model import Place, Span
from service.core.periods import following_month, month_span
from service.core.sla.evaluate import evaluate
from service.core.sla.given import Given, Held
from service.core.sla.month import terms_of
from service.core.sla.result import Result
from service.core.timeline import Evidence
from tests.sla import timeline

FILE = Path(__file__).parents[2] / "deploy/examples/colossus2.yaml"
RACKS, TRAYS, GPUS = 972, 18, 4


@pytest.fixture(scope="module")
def contract() -> Contract:
    """Return the example as it is shipped."""
    return load(FILE)


def months(contract: Contract) -> list[Span]:
    """Return every calendar month of the anchor tenant's term."""
    term = contract.tenants[0].term
    assert term is not None
    found, month = [], "2026-07"
    while (span := month_span(month, contract.zone_info)).from_ms < term.to_ms:
        found.append(span)
        month = following_month(month)
    return found


def test_the_term_is_42_months_and_6_3_billion(contract: Contract) -> None:
    """42 calendar months of $150 M are $6.3 B; 25 have 31 days, 14 have 30, two 28, one 29."""
    tenant = contract.tenants[0]
    spans = months(contract)
    lengths = [span.length_ms // 86_400_000 for span in spans]
    fees = []
    for span in spans:
        given = Given(held=tuple(Held(contract.places(lease), lease.span) for lease in tenant.leases))
        result = evaluate(tenant.objectives[-1], terms_of(contract, tenant), given, span)
        assert result.pool is not None
        fees.append(result.pool.money.fee)
        assert result.credit.amount == 0
        assert result.denominator_ms == RACKS * TRAYS * GPUS * span.length_ms

    assert len(spans) == 42
    assert [lengths.count(days) for days in (31, 30, 29, 28)] == [25, 14, 1, 2]
    assert sum(fees) == 6_300_000_000


def faults(span: Span) -> dict[Place, list[Evidence]]:
    """Return a month of tray faults at 0.4736 per 1 000 GPU-days, twelve hours to repair on average."""
    chance = random.Random(972)
    count = round(RACKS * TRAYS * GPUS * span.length_ms / 86_400_000 * 0.4736 / 1000)
    found: dict[Place, list[Evidence]] = {}
    for _ in range(count):
        rack, tray = f"r{chance.randrange(1, RACKS + 1):04d}", chance.randrange(1, TRAYS + 1)
        from_ms = span.from_ms + chance.randrange(span.length_ms)
        to_ms = from_ms + int(chance.lognormvariate(0, 0.8) * 8.72 * 3_600_000)
        for gpu in range(GPUS):
            found.setdefault(Place(rack, tray, gpu), []).append(Evidence(from_ms, to_ms, Health.DOWN, "xid:79"))
    return found


def test_each_unit_definition_has_its_price_on_the_same_facts(contract: Contract) -> None:
    """One month, one set of faults: five definitions, five credits, in the order that the sheet found."""
    tenant, span = contract.tenants[0], month_span("2026-09", contract.zone_info)
    wide = Span(span.from_ms - 40 * 86_400_000, span.to_ms + 40 * 86_400_000)
    timelines = {place: timeline(evidence, [], wide) for place, evidence in faults(span).items()}
    held = tuple(Held(contract.places(lease), lease.span) for lease in tenant.leases)
    given = Given(held=held, timelines=timelines)
    results = {one.name: evaluate(one, terms_of(contract, tenant), given, span) for one in tenant.objectives}
    cost = {name: result.credit.amount for name, result in results.items()}

    assert cost["pool-999"] == Decimal(0)
    assert cost["rack-16of18"] == Decimal(0)
    assert Decimal(1_000_000) < cost["tray-999"] < Decimal(3_000_000)
    assert cost["gpu-999"] == cost["tray-999"]  # whole trays failed, so the same GPUs missed
    assert Decimal(20_000_000) < cost["rack-18of18"] < Decimal(40_000_000)
    for result in results.values():
        assert result.credit.exact == owed(result)
    assert sum(cost.values()) == sum((_cents(owed(result)) for result in results.values()), start=Decimal(0))


def owed(result: Result) -> Fraction:
    """Return the credit summed unit by unit from the tiers of the file."""
    fee = Fraction(150_000_000)
    units = [result.pool] if result.pool is not None else list(result.all_units)
    total = sum(unit.gpu_ms * unit.count for unit in units)
    found = Fraction(0)
    for unit in units:
        ratio = 1 - Fraction(unit.settled.down_ms) / unit.settled.denominator_ms
        pct = (
            0
            if ratio >= Fraction("0.999")
            else 10
            if ratio >= Fraction("0.99")
            else 25
            if ratio >= Fraction("0.95")
            else 100
        )
        found += fee * unit.count * unit.gpu_ms / total * pct / 100
    return found


def _cents(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 100)) / 100
