"""What changed between two versions, as a table that people read; the exact difference stays in the JSON."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from service.statements.words import DASH, VERDICTS, duration, grouped, instant, money, percent, word

_FIGURES = {
    "availability": "availability",
    "denominator_ms": "N, measured time",
    "down_ms": "D, counted down time",
    "settled_down_ms": "D*, as settled",
    "unknown_ms": "X, unknown time",
    "excluded_ms": "E, excluded time",
    "degraded_ms": "degraded time",
    "met": "target",
    "counted_ms": "counted",
    "units": "units",
    "causes": "down time by cause",
    "excluded": "excluded time",
    "outages": "incidents",
    "not_spotless": "units with something to tell",
    "settled_by": "settled by",
}
_SHOWN_ELSEWHERE = {"exact", "formula", "credit_detail"}  # each repeats another figure
_LISTED = {"outages", "not_spotless"}  # figures of units come after those of the whole
_FEWEST = 2  # parts of a path into a list: its name and a position

Document = Mapping[str, Any]


def changes(document: Document) -> list[dict[str, str]]:
    """Return the difference to the version before: of what, figure, before, after, by how much."""
    found = [
        (parts[2:3] and parts[2] in _LISTED, _row(document, parts, change))
        for change in document["difference"]
        if (parts := _parts(change))[:1] != ["objectives"] or parts[2:3] == [] or parts[2] not in _SHOWN_ELSEWHERE
    ]
    return [row for _, row in sorted(found, key=lambda item: bool(item[0]))]


def _parts(change: Mapping[str, Any]) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:]]


def _row(document: Document, parts: Sequence[str], change: Mapping[str, Any]) -> dict[str, str]:
    about, rest = "the month", list(parts)
    if parts[0] == "objectives" and len(parts) > 1:
        objective = document["objectives"][int(parts[1])]
        about, rest = objective["objective"]["name"], list(parts[2:])
        if len(rest) > _FEWEST and rest[0] in _LISTED:
            about, rest = f"{about}: {_brief(objective[rest[0]][int(rest[1])])}", rest[2:]
    row = {"about": about, "figure": _figure(rest), "by": ""}
    if "at" in change:
        return row | {side: _listed(change[name]) for side, name in (("was", "removed"), ("is", "added"))}
    return (
        row
        | {side: _value(change[side], rest) if side in change else DASH for side in ("was", "is")}
        | _by(change, rest)
    )


def _figure(path: Sequence[str]) -> str:
    if not path:
        return "objectives"
    first = _FIGURES.get(path[0], word(path[0]))
    return ", ".join([first, *(word(part.removesuffix("_ms")) for part in path[1:])])


def _listed(items: Sequence[Any]) -> str:
    return "; ".join(map(_brief, items)) or DASH


def _brief(item: Any) -> str:  # noqa: ANN401 -- any JSON value
    if isinstance(item, dict) and "unit" in item:
        return f"{item['unit']} from {instant(item['from'])}" if "from" in item else str(item["unit"])
    if isinstance(item, dict) and "objective" in item:
        return str(item["objective"]["name"])
    return str(item)


def _timed(path: Sequence[str]) -> bool:
    return any(part.endswith("_ms") or part in {"causes", "by_kind", "by_claim"} for part in path)


def _value(value: Any, path: Sequence[str]) -> str:  # noqa: ANN401
    if path[-1:] == ["met"] and (value is None or isinstance(value, bool)):
        return VERDICTS[value]
    if value is None:
        return DASH
    if isinstance(value, int | float) and not isinstance(value, bool):
        return duration(value) if _timed(path) else grouped(value)
    if "availability" in path:
        return percent(value)
    if path[-1:] == ["amount"]:
        return money(value)
    return instant(value) if isinstance(value, str) and value.endswith("Z") else _brief(value)


def _by(change: Mapping[str, Any], path: Sequence[str]) -> dict[str, str]:
    was, now = change.get("was", 0), change.get("is", 0)
    if path[-1:] == ["amount"] and isinstance(was, str) and isinstance(now, str):
        more = Decimal(now) - Decimal(was)
        return {"by": f"{'+' if more > 0 else ''}{money(str(more))}"}
    if _timed(path) and all(isinstance(one, int | float) for one in (was, now)):
        return {"by": f"{'+' if now > was else ''}{duration(now - was)}"}
    return {}
