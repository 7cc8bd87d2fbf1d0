"""When a statement is due, and what a version of one is: draft, final, restated.

Every statement that is issued is a version of its month, counted from 1, and stays as it was. The
draft comes at the month's end, the final when it can no longer be disputed, a restatement whenever
what was recorded since changes its numbers.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from service.core import limits
from service.core.contract import Tenant
from service.core.contract.parties import Reporting
from service.core.facts import Fact, FactKind
from service.core.periods import month_span
from service.core.sla.rolling import period_of

_SATURDAY = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = ("objectives", "credit")  # what a restatement is about; the rest says how it is known


class Status(Enum):
    """What a version is; a preview was drawn and not issued."""

    PREVIEW = "preview"
    DRAFT = "draft"
    FINAL = "final"
    RESTATED = "restated"


SETTLED = frozenset({Status.FINAL.value, Status.RESTATED.value})  # money follows from these


def numbers(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a document that a tenant is paid by; a claim that took nothing is none of it."""
    found = {name: document.get(name) for name in _NUMBERS}
    return found | {"objectives": [_counted(one) for one in document.get("objectives", ())]}


def _counted(objective: Mapping[str, Any]) -> dict[str, Any]:
    excluded = objective.get("excluded", {})
    return {**objective, "excluded": {name: excluded[name] for name in excluded if name != "refused"}}


def key_of(tenant: str, month: str, version: int) -> str:
    """Return the key of a version's row."""
    return f"statement/{tenant}/{month}/{version}"


def named_in(key: str) -> tuple[str, str, int]:
    """Return tenant, month and version of a row's key.

    Raises:
        ValueError: If it is none.
    """
    parts = key.split("/")
    if len(parts) != 4 or parts[0] != "statement" or not parts[3].isdecimal():  # noqa: PLR2004 -- see `key_of`
        msg = f"{key!r} names no statement"
        raise ValueError(msg)
    return parts[1], parts[2], int(parts[3])


def decision_key(tenant: str, month: str) -> str:
    """Return the key of the decision that a month is final."""
    return f"said/finalised/{tenant}/{month}"


def ends_ms(tenant: Tenant, month: str, zone: ZoneInfo) -> int:
    """Return when all that a tenant's month settles is over: billing months end later than the calendar's."""
    periods = [period_of(objective, month, zone) for objective in tenant.objectives]
    return max([month_span(month, zone).to_ms, *(period.to_ms for period in periods)])


def published_by_ms(period_to_ms: int, business_day: int | None, zone: ZoneInfo) -> int:
    """Return until when the draft must be out: the end of the n-th business day (Monday to Friday) after the period."""
    if business_day is None:
        return period_to_ms
    day = (_EPOCH + timedelta(milliseconds=period_to_ms)).astimezone(zone).replace(hour=0, minute=0, second=0)
    left = business_day
    while True:  # at most 31 business days
        left -= day.weekday() < _SATURDAY
        day += timedelta(days=1)
        if not left:
            return (day - _EPOCH) // timedelta(milliseconds=1)


def final_due_ms(period_to_ms: int, drafted_ms: int, reporting: Reporting, zone: ZoneInfo) -> int:
    """Return when a draft becomes final.

    The days of dispute begin when the draft must be out, or when it was, if that was later: a late
    draft does not shorten them.
    """
    out_ms = published_by_ms(period_to_ms, reporting.statement_by_business_day, zone)
    return max(out_ms, drafted_ms) + reporting.dispute_days * limits.DAY_MS


def concerns(fact: Fact, period_to_ms: int) -> bool:
    """Return whether a row that was recorded after a statement may change its month's numbers.

    A note of what is open may reach back as far as an agent keeps what it could not send.
    """
    if fact.kind in {FactKind.STATEMENT, FactKind.REFUSED}:
        return False
    reach_ms = limits.OPEN_REACH_MS if fact.kind is FactKind.OPEN else limits.DAY_MS
    return fact.from_ms < period_to_ms + reach_ms
