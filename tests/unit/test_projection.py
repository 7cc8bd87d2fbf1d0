"""What is published of a running month follows from the same engine as its statement."""

from fractions import Fraction

from service.core.contract import Agreement, Contract
from service.core.facts import Fact, FactKind, OpenCoverage, Progress
from service.core.health import Health
from service.core.periods import parse_utc
from service.core.sla.month import settled_month
from service.ledger.store import SqlLedger
from service.projection import Projection, history_of

BEGIN = parse_utc("2027-04-01T00:00:00Z")
NOW = parse_utc("2027-04-10T12:00:00Z")
HOUR = 3_600_000


def contract() -> Contract:
    """Return a contract over two trays, by tray and as a pool."""
    tiers = [{"below": "0.999", "at_least": "0.99", "pct": "10"}, {"below": "0.99", "pct": "25"}]
    tray = {"name": "tray", "unit": "tray", "target": "0.999", "tiers": tiers}
    lease = {"places": ["r1/t01", "r1/t02"], "from": BEGIN, "to": parse_utc("2028-01-01T00:00:00Z")}
    tenant = {
        "id": "a",
        "fee": {"monthly_amount": "20000"},
        "objectives": [tray, tray | {"name": "pool", "unit": "pool"}],
        "leases": [lease],
    }
    return Contract.model_validate({"id": "c", "version": 1, "site": "s", "landlord": "l", "tenants": [tenant]})


def ledger() -> SqlLedger:
    """Return a ledger in which the first tray has been down for an hour, and still is."""
    facts, progress = [], []
    for tray in (1, 2):
        entries = []
        for position in range(4):
            gpu = f"GPU-{tray}-{position}"
            place = f"r1/t{tray:02d}/g{position}"
            facts.append(Fact(kind=FactKind.PLACEMENT, key=place, partition=0, from_ms=BEGIN, gpu=gpu, body=place))
            begin, health = BEGIN, Health.UP
            if tray == 1:
                begin, health = NOW - HOUR, Health.DOWN
                facts.append(
                    Fact(
                        kind=FactKind.COVERAGE,
                        key=gpu,
                        partition=0,
                        from_ms=BEGIN,
                        to_ms=begin,
                        node=f"t{tray}",
                        gpu=gpu,
                        health=Health.UP,
                    )
                )
            entries.append(OpenCoverage(gpu=gpu, from_ms=begin, to_ms=NOW, health=health))
        progress.append(
            Progress(partition=0, rack="r1", node=f"t{tray}", run="x", boot="b", seq=1, to_ms=NOW, open=tuple(entries))
        )
    book = SqlLedger("sqlite://")
    book.commit(facts, progress, NOW)
    return book


def test_the_running_month_is_that_of_its_statement() -> None:
    """Month to date, budget, burn, time to breach and the next edge, of units and of the pool."""
    projection, book = Projection(contract()), ledger()
    projection.restore(book)
    tray, pool = projection.roll_up(NOW).objectives
    statement = settled_month(Agreement.of((contract(),)), history_of(book), "a", "2027-04", up_to_ms=NOW)
    book.close()

    assert [tray.result, pool.result] == [one.result for one in statement]
    assert tray.budget_ms == 2 * 2_592_000
    assert tray.budget_left_ms == 2 * 2_592_000 - HOUR
    assert pool.budget_left_ms == 4 * tray.budget_left_ms
    assert tray.burn["1h"] == 500  # one of two units is down
    assert tray.burn["2h"] == 250
    assert tray.time_to_breach_ms == tray.budget_left_ms
    assert pool.time_to_breach_ms == pool.budget_left_ms / 4
    assert tray.next_edge is not None
    assert (tray.next_edge.unit, tray.next_edge.left_ms) == ("others", Fraction(2_592_000))
    assert tray.forecast_ratio == 1 - (HOUR + Fraction(HOUR, 24 * HOUR) * (parse_utc("2027-05-01T00:00:00Z") - NOW)) / (
        2 * 30 * 24 * HOUR
    )
