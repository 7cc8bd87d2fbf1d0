"""A statement as CSV: one row a fact, so that a spreadsheet can sum and filter."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

_HEADER = ("section", "objective", "name", "from", "to", "value", "unit", "detail")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_TIMES = (
    "time_ms",
    "denominator_ms",
    "down_ms",
    "settled_down_ms",
    "degraded_ms",
    "unknown_ms",
    "excluded_ms",
)
_Row = tuple[Any, ...]


def sheet(document: Mapping[str, Any]) -> str:
    """Return the statement as CSV, a line a row; no cell is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (_HEADER, *_rows(document)):
        writer.writerow([guarded(cell) for cell in row])
    return text.getvalue()


def guarded(cell: Any) -> str:  # noqa: ANN401 -- what a cell may hold
    """Return a cell's text; one that a spreadsheet would run begins with an apostrophe."""
    text = "" if cell is None else str(cell)
    if isinstance(cell, int | float | _Amount) or not text.startswith(_FORMULA):
        return text
    return f"'{text}"


def _rows(document: Mapping[str, Any]) -> Iterator[_Row]:
    period = document["period"]
    for name in ("tenant", "landlord", "site", "month", "version", "status", "issued"):
        yield "statement", "", name, period["from"], period["to"], document.get(name), "", ""
    contract = document["contract"]
    yield (
        "statement",
        "",
        "contract",
        "",
        "",
        contract["id"],
        "",
        f"version {contract['version']}, {contract.get('hash', '')}",
    )
    for one in document["objectives"]:
        yield from _objective(one)
    for claim in document.get("claims", ()):
        yield from _claim(claim)
    yield from _settlement(document)


def _objective(one: Mapping[str, Any]) -> Iterator[_Row]:
    name = one["objective"]["name"]
    yield "result", name, "target", "", "", one["objective"]["target"], "ratio", one["objective"]["unit"]
    for bound, ratio in (one["availability"] or {}).items():
        yield "result", name, f"availability {bound}", "", "", ratio, "ratio", one["exact"][bound]
    yield "result", name, "met", "", "", {True: "yes", False: "no", None: "undetermined"}[one["met"]], "", ""
    for figure in _TIMES:
        yield "result", name, figure.removesuffix("_ms"), "", "", one[figure], "unit-ms", ""
    for cause, lost in one["causes"].items():
        yield "cause", name, cause, "", "", lost, "unit-ms", ""
    for outage in one["outages"]:
        detail = "; ".join((outage["result"], *outage["causes"], *outage["claims"]))
        yield "incident", name, outage["unit"], outage["from"], outage["to"], outage["counted_ms"], "ms", detail
    for line in one["formula"]:
        yield "formula", name, line["name"], "", "", "", "", line["text"]
    credit = one["credit"]
    yield (
        "credit",
        name,
        "credit",
        "",
        "",
        credit["amount"],
        credit["currency"],
        credit["tier"] and f"{credit['tier']} %",
    )


def _claim(claim: Mapping[str, Any]) -> Iterator[_Row]:
    decided = "; ".join(
        f"{'approved' if one['approved'] else 'refused'} by {one['by']}: {one['why']}" for one in claim["decisions"]
    )
    said = f"{claim['kind']} on {' '.join(claim['places'])}, claimed by {claim['by']}: {claim['why']}"
    for one in claim["objectives"]:
        yield (
            "claim",
            one["objective"],
            claim["claim"],
            claim["from"],
            claim["to"],
            one["excluded_ms"],
            "unit-ms",
            f"{said}; {decided or 'not decided'}",
        )
        for part in one["refused"]:
            for span in part["spans"]:
                yield "refused", one["objective"], claim["claim"], span["from"], span["to"], "", "", part["reason"]


def _settlement(document: Mapping[str, Any]) -> Iterator[_Row]:
    money = document.get("settlement")
    if money is None:
        return
    for name in ("amount", "credited_before", "difference"):
        posted = f"posted to the invoice of {money['posts_to']}" if money["posts_to"] and name == "difference" else ""
        # An amount is a number of ours, below zero or not: it needs no apostrophe.
        yield "settlement", "", name.replace("_", " "), "", "", _number(money[name]), money["currency"], posted


class _Amount(str):
    """An amount of ours: below zero or not, it is no formula."""

    __slots__ = ()


def _number(text: str) -> _Amount:
    return _Amount(text)
