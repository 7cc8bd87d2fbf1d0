"""Real SLAs and boundary cases with their worked numbers, as data in `sla/`."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.contracts import _Loader as Loader
from service.core.periods import month_span, parse_utc, zone_of
from service.core.sla.result import Result
from service.core.sla.rolling import period_of, settle
from tests.sla import cut, given_of, objective_of, terms_of

FILES = sorted((Path(__file__).parent / "sla").glob("*.yaml"))


def _cases() -> list[Any]:
    found = []
    for path in FILES:
        sheet = yaml.load(path.read_text(), Loader=Loader)
        found += [pytest.param(sheet, case, id=f"{path.stem}: {case['name']}") for case in sheet.pop("cases")]
    return found


def result_of(sheet: dict[str, Any], case: dict[str, Any]) -> Result:
    """Return the engine's result for a case on its sheet."""
    both = sheet | case
    zone = zone_of(both.get("zone", "UTC"))
    objective = objective_of(sheet["objective"], case.get("objective", {}))
    month = month_span(both["month"], zone)
    terms = terms_of(sheet.get("terms", {}) | case.get("terms", {}), both.get("zone", "UTC"))
    return settle(objective, terms, given_of(both, month), period_of(objective, both["month"], zone))


@pytest.mark.parametrize(("sheet", "case"), _cases())
def test_a_worked_number_comes_out_exactly(sheet: dict[str, Any], case: dict[str, Any]) -> None:
    """The engine says what the sheet worked out by hand, to the ms and to the cent."""
    result = result_of(sheet, case)
    expect = case["expect"]
    found = {key: _found(result, key, wanted) for key, wanted in expect.items()}

    assert found == expect
    breaches = [[parse_utc(at) for at in span] for span in case.get("breaches", ())]
    assert [[span.from_ms, span.to_ms] for span in result.breaches] == breaches or "breaches" not in case


def _found(result: Result, key: str, wanted: Any) -> Any:
    readers: dict[str, Callable[[], Any]] = {
        "met": lambda: result.met,
        "down_ms": lambda: result.down_ms,
        "unknown_ms": lambda: result.unknown_ms,
        "excluded_ms": lambda: result.excluded_ms,
        "excluded_by_claim": lambda: result.excluded_by_claim,
        "denominator_ms": lambda: result.denominator_ms,
        "settled": lambda: _ratio(result, "settled"),
        "lo": lambda: cut(result.bounds.lo) if result.bounds else None,
        "hi": lambda: cut(result.bounds.hi) if result.bounds else None,
        "shown": lambda: cut(result.bounds.settled) if result.bounds else None,
        "shown_percent": lambda: cut(result.bounds.settled * 100, 3) if result.bounds else None,
        "bounds": lambda: result.bounds,
        "credit": lambda: str(result.credit.amount),
        "tier": lambda: None if result.credit.tier_pct is None else str(result.credit.tier_pct),
        "free_hours": lambda: result.credit.free_hours,
        "free_amount": lambda: str(result.credit.free_amount),
        "pool_minutes": lambda: str(
            Fraction(result.down_ms) / sum(u.gpus * u.count for u in result.all_units) / 60_000
        ),
        "causes": lambda: (
            result.outages[0].causes | {k: sum(o.causes.get(k, 0) for o in result.outages) for k in wanted}
        ),
        "verdicts": lambda: {name: getattr(result.verdicts, name) for name in wanted},
        "units": lambda: {u.name: str(u.bounds.settled) for u in result.units if u.bounds and u.name in wanted},
        "outages": lambda: len(result.outages),
        "counted": lambda: [outage.counted_ms for outage in result.outages],
        "whole_ms": lambda: [outage.whole.length_ms for outage in result.outages],
        "refused": lambda: {one.claim.id: one.reason for one in result.reviewed.refused},
    }
    return readers[key]()


def _ratio(result: Result, bound: str) -> str | None:
    return str(getattr(result.bounds, bound)) if result.bounds else None


def test_every_sheet_is_there() -> None:
    """The six real SLAs and the boundary cases each have a file, and each file has cases."""
    assert [path.stem[:2] for path in FILES] == ["01", "04", "05", "12", "13", "14", "bo"]
    assert len(_cases()) >= 60
