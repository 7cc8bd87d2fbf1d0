"""Calendar periods and timestamps at the edge: the only place where zones cut time."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.core import limits
from service.core.model import Span

_MONTH = re.compile(r"^(\d{4})-(0[1-9]|1[0-2])$")
_UTC = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zone_of(name: str) -> ZoneInfo:
    """Return a zone of the IANA database by name.

    Raises:
        ValueError: If there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"{name!r} is no IANA zone, for example America/Chicago"
        raise ValueError(msg) from error


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
    return Span(_start_ms(year, number, zone), _start_ms(*_following(year, number), zone))


def billing_span(month: str, anchor_day: int, zone: ZoneInfo) -> Span:
    """Return the billing month that begins on a day of the calendar month `2026-07`, in ms UTC.

    A month without that day begins on its last one.

    Raises:
        ValueError: If the month is not spelt `YYYY-MM`.
    """
    month_span(month, zone)
    year, number = int(month[:4]), int(month[5:])
    return Span(_start_ms(year, number, zone, anchor_day), _start_ms(*_following(year, number), zone, anchor_day))


def _following(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004 -- December


def _start_ms(year: int, month: int, zone: ZoneInfo, day: int = 1) -> int:
    begin = datetime(year, month, min(day, monthrange(year, month)[1]), tzinfo=zone)
    return (begin - _EPOCH) // timedelta(milliseconds=1)


def local_days(span: Span, zone: ZoneInfo) -> list[tuple[int, int, int]]:
    """Return every local date `(year, month, day)` that a span touches, in order."""
    first = (_EPOCH + timedelta(milliseconds=span.from_ms)).astimezone(zone).date()
    last = (_EPOCH + timedelta(milliseconds=span.to_ms - 1)).astimezone(zone).date()
    count = min((last - first).days + 1, limits.CLAIM_DAYS)
    days = [first + timedelta(days=number) for number in range(count)]
    return [(day.year, day.month, day.day) for day in days]


def local_ms(date: tuple[int, int, int], hour: str, zone: ZoneInfo) -> int:
    """Return the instant of a time of day `HH:MM` (up to `24:00`) of a local date, ms UTC."""
    hours, minutes = int(hour[:2]), int(hour[3:])
    day = datetime(*date, tzinfo=zone) + timedelta(days=hours // 24)
    return (day.replace(hour=hours % 24, minute=minutes) - _EPOCH) // timedelta(milliseconds=1)


def month_of(at_ms: int, zone: ZoneInfo) -> str:
    """Return the month `YYYY-MM` of a zone in which the instant lies."""
    local = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    return f"{local.year:04d}-{local.month:02d}"


def previous_month(month: str) -> str:
    """Return the month before `YYYY-MM`."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year - 1:04d}-12" if number == 1 else f"{year:04d}-{number - 1:02d}"


def following_month(month: str) -> str:
    """Return the month after `YYYY-MM`."""
    year, number = _following(int(month[:4]), int(month[5:]))
    return f"{year:04d}-{number:02d}"
