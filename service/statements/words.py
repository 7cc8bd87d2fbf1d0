"""Numbers and words of a statement as people read them; nothing here is computed with."""

import calendar
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any

_PARTS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"))

DASH = "\u2013"  # for what is not there
VERDICTS = {True: "met", False: "missed", None: "undetermined"}
STATUSES = {"preview": "Preview", "draft": "Draft", "final": "Final", "restated": "Restated"}
RESULTS = {
    "counted": "counted",
    "excluded": "excluded by a claim",
    "below_minimum": "shorter than the minimum",
    "clock_stopped": "clock stood still",
}
SETTLED_BY = {
    "nothing unknown": "nothing was unknown",
    "lo": "unknown time counts as down (lo)",
    "hi": "unknown time counts as up (hi)",
    "midpoint": "half way between both bounds",
    "dispute": "open: to be disputed; shown with unknown time as up",
    "count_up": "unknown time counts as up",
    "count_down": "unknown time counts as down",
    "exclude": "unknown time is left out",
    "over_limit: count_down": "more unknown time than the contract allows: it counts as down",
}


def duration(value: float | None) -> str:
    """Return ms as days, hours, minutes and seconds, without those that are 0: `1 d 2 h 4.25 s`."""
    if value is None:
        return DASH
    sign, rest, words = ("-" if value < 0 else ""), Fraction(str(abs(value))), []
    for size, name in _PARTS:
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count} {name}")
    seconds = Decimal(int(rest)) / 1000
    if seconds or not words:
        words.append(f"{seconds.normalize():f} s")
    return sign + " ".join(words)


def grouped(value: float | None) -> str:
    """Return a number with its thousands set apart by narrow spaces."""
    if value is None:
        return DASH
    return f"{value:,}".replace(",", "\u202f")


def percent(ratio: str | None) -> str:
    """Return a decimal ratio in percent with three places, floored: never nicer than it is."""
    if ratio is None:
        return DASH
    return f"{(Decimal(ratio) * 100).quantize(Decimal('0.001'), rounding=ROUND_FLOOR)} %"


_UNITS = {"gpu": "GPU", "nvlink_domain": "NVLink domain"}


def unit(name: str) -> str:
    """Return an availability unit as people write it."""
    return _UNITS.get(name, word(name))


def promise(name: str) -> str:
    """Return for what a target is promised: each of many units, or the one that is their sum."""
    return f"the {name}" if name in {"pool", "site"} else f"each {unit(name)}"


def notice(value: int) -> str:
    """Return how long before its beginning a claim was announced, or how long after."""
    return f"{duration(abs(value))} {'before' if value >= 0 else 'after'} it began"


def target(ratio: str) -> str:
    """Return a target in percent, as it was agreed: `99.9 %`."""
    return f"{(Decimal(ratio) * 100).normalize():f} %"


def instant(text: str | None) -> str:
    """Return a UTC timestamp with a space for its T; a dash for None."""
    return DASH if text is None else text.replace("T", " ").removesuffix("Z")


def money(amount: str) -> str:
    """Return an amount with its thousands set apart."""
    return f"{Decimal(amount):,}".replace(",", "\u202f")


def month(text: str) -> str:
    """Return `2026-07` as `July 2026`."""
    return f"{calendar.month_name[int(text[5:])]} {text[:4]}"


def word(text: str) -> str:
    """Return a word of the contract as people write it: `force_majeure` is force majeure."""
    return text.replace("_", " ")


def settled_by(text: str) -> str:
    """Return what a rule for unknown time means."""
    return SETTLED_BY.get(text, word(text))


def clause(rule: Mapping[str, Any] | None) -> str:
    """Return what a contract says of a kind of exclusion, in one line."""
    if rule is None:
        return "the contract names no exclusion of this kind"
    parts = []
    for name, value in rule.items():
        if name == "kind":
            continue
        shown = duration(value) if name.endswith("_ms") else value
        if isinstance(value, list):
            shown = ", ".join(_item(one) for one in value)
        parts.append(f"{word(name.removesuffix('_ms'))}: {shown}")
    return f"{word(rule['kind'])}" + (f" ({'; '.join(parts)})" if parts else "")


def _item(one: Any) -> str:  # noqa: ANN401 -- a text, or daily hours
    return f"{one['from']} to {one['to']}" if isinstance(one, dict) else str(one)
