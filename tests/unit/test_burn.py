"""Burn windows against the worked table, for every length of month."""

from fractions import Fraction

import pytest

from service.core.contract import Objective
from service.core.periods import month_span, zone_of
from service.core.sla.burn import (
    WINDOWS,
    Window,
    budget_ms,
    burn_rate,
    fires,
    forecast_ms,
    next_edge,
    time_to_breach_ms,
    time_to_trip_ms,
)
from service.core.sla.evaluate import evaluate
from tests.sla import given_of, objective_of, terms_of

DAY = 86_400_000
OBJECTIVE = objective_of({"unit": "tray", "target": "0.999"})
FACTORS = {
    "page_fast": ("13.44", "13.92", "14.4", "14.88"),
    "page_slow": ("5.6", "5.8", "6", "6.2"),
    "ticket_fast": ("2.8", "2.9", "3", "3.1"),
    "ticket_slow": ("14/15", "29/30", "1", "31/30"),
}
TRIPS_MS = {"page_fast": 51_840, "page_slow": 129_600, "ticket_fast": 259_200, "ticket_slow": 259_200}


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
def test_factors_follow_the_length_of_the_month(window: Window) -> None:
    """Each window stands for the same share of the budget in months of 28, 29, 30 and 31 days."""
    factors = [window.factor(days * DAY) for days in (28, 29, 30, 31)]

    assert factors == [Fraction(text) for text in FACTORS[window.name]]
    assert time_to_trip_ms(window, OBJECTIVE, 30 * DAY) == TRIPS_MS[window.name]


def test_both_windows_must_burn_above_the_factor() -> None:
    """Exactly at the factor nothing fires, and a short window that recovered silences the pair."""
    page, at = WINDOWS[0], Fraction("14.4")

    assert not fires(page, at, Fraction(1000), 30 * DAY)
    assert fires(page, at + Fraction(1, 10**9), Fraction(1000), 30 * DAY)
    assert not fires(page, Fraction(1000), at, 30 * DAY)


def test_a_unit_that_is_down_burns_a_thousandfold() -> None:
    """At 99.9 a down unit burns at 1000; of 972 racks one burns at 1.03, one tray of all at 0.057."""
    assert burn_rate(1, 1, OBJECTIVE) == 1000
    assert round(float(burn_rate(1, 972, OBJECTIVE)), 3) == 1.029
    assert round(float(burn_rate(1, 972 * 18, OBJECTIVE)), 3) == 0.057
    assert burn_rate(0, 0, OBJECTIVE) == 0


def test_time_to_breach_and_forecast() -> None:
    """What is left of the budget over what is down now; D plus slope times the time left."""
    left = budget_ms(OBJECTIVE, 30 * DAY) - 1_000_000

    assert left == 1_592_000
    assert time_to_breach_ms(left, 2) == 796_000
    assert time_to_breach_ms(left, 0) is None
    assert time_to_breach_ms(Fraction(-5), 1) == 0
    assert forecast_ms(1_000, 500, DAY, 10 * DAY) == 6_000


def test_the_next_tier_edge_has_its_price() -> None:
    """40 of 43.2 minutes are gone: 3.2 minutes until the first tier, then a tenth of the fee; below the last none."""
    tiers = [{"below": "0.999", "at_least": "0.99", "pct": 10}, {"below": "0.99", "pct": 25}]
    objective: Objective = objective_of({"unit": "tray", "target": "0.999", "tiers": tiers})
    terms = terms_of({"fee": {"monthly_amount": "10000", "basis": "per_tray"}})
    month = month_span("2027-04", zone_of("UTC"))
    found = []
    for minutes in (40, 44, 433):
        result = evaluate(objective, terms, given_of({"places": ["r1/t01"], "down_minutes": minutes}, month), month)
        (unit,) = result.all_units
        found.append(next_edge(objective, unit, month.length_ms, unit.money.fee))

    assert found[0] is not None
    assert (found[0].left_ms, found[0].owed) == (Fraction(192_000), Fraction(1_000))
    assert found[1] is not None
    assert (found[1].left_ms, found[1].owed) == (Fraction(388 * 60_000), Fraction(2_500))
    assert found[2] is None
