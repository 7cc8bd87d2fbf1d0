"""Calendar periods and timestamps at the edge: the only place where zones cut time."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from service.core import limits
from service.core.model import Span

_MONTH = re.compile(r"^(\d{4})-(0[1-9]|1[0-2])$")
_UTC = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_utc(text: str) -> int:
    """Return the instant spelt `2026-07-01T00:00:00Z` (up to ms) as ms UTC.

    Raises:
        ValueError: If it is spelt otherwise, is not UTC, or lies outside 2020 to 2100.
    """
    if not _UTC.match(text):
        msg = f"{text!r} is not a UTC time spelt like 2026-07-01T00:00:00Z"
        raise ValueError(msg)
    at_ms = (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    if not limits.EARLIEST_MS <= at_ms <= limits.LATEST_MS:
        msg = f"{text!r} lies outside 2020 to 2100"
        raise ValueError(msg)
    return at_ms


def utc_text(at_ms: int) -> str:
    """Return ms UTC as `2026-07-01T00:00:00.000Z`, without the fraction when it is zero."""
    text = (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + "Z"


def month_span(month: str, zone: ZoneInfo) -> Span:
    """Return the calendar month `2026-07` of a zone as a span in ms UTC.

    Raises:
        ValueError: If the month is not spelt `YYYY-MM`.
    """
    match = _MONTH.match(month)
    if match is None:
        msg = f"a month is spelt YYYY-MM, for example 2026-07: {month!r}"
        raise ValueError(msg)
    year, number = int(match[1]), int(match[2])
    following = (year + 1, 1) if number == 12 else (year, number + 1)  # noqa: PLR2004 -- December
    return Span(_start_ms(year, number, zone), _start_ms(*following, zone))


def _start_ms(year: int, month: int, zone: ZoneInfo) -> int:
    return (datetime(year, month, 1, tzinfo=zone) - _EPOCH) // timedelta(milliseconds=1)


def month_of(at_ms: int, zone: ZoneInfo) -> str:
    """Return the month `YYYY-MM` of a zone in which the instant lies."""
    local = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    return f"{local.year:04d}-{local.month:02d}"


def previous_month(month: str) -> str:
    """Return the month before `YYYY-MM`."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year - 1:04d}-12" if number == 1 else f"{year:04d}-{number - 1:02d}"
