"""An explanation as plain sentences, to be read aloud in a dispute."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.statements.words import (
    RESULTS,
    clause,
    duration,
    instant,
    money,
    notice,
    percent,
    promise,
    settled_by,
    word,
)
from service.statements.words import month as month_name
from service.statements.words import target as target_text

Told = Mapping[str, Any]
_VERDICT = {True: "met", False: "missed", None: "undetermined: unknown time decides"}


def aloud(told: Told) -> Iterator[str]:
    """Yield the explanation line by line, from the number down to the rows."""
    period = told["period"]
    yield f"{told['tenant']}, {month_name(told['month'])}: {instant(period['from'])} to {instant(period['to'])} UTC."
    contract = told["contract"]
    yield f"By contract {contract['id']}, version {contract['version']}."
    for one in told["issued"]:
        yield f"Version {one['version']} ({one['status']}), issued {instant(one['recorded'])}, SHA-256 {one['hash']}."
    for objective in told["objectives"]:
        yield ""
        yield from _objective(objective)
    for claim in told["claims"]:
        yield ""
        yield from _claim(claim)


def _objective(one: Told) -> Iterator[str]:
    what, credit = one["objective"], one["credit"]
    yield f"{what['name']}: {target_text(what['target'])} for {promise(what['unit'])}: {_VERDICT[one['met']]}."
    if one["availability"] is None:
        yield "  Nothing was measured: no result, no credit."
        return
    bounds = one["availability"]
    yield f"  Availability {percent(bounds['settled'])}, between {percent(bounds['lo'])} and {percent(bounds['hi'])};"
    yield f"  {'; '.join(map(settled_by, one['settled_by']))}. Credit {money(credit['amount'])} {credit['currency']}."
    for line in one["formula"]:
        yield f"    {line['name']}: {line['text']}"
    for unit in one["below"]:
        yield from _unit(unit)
    if not one["below"]:
        yield "  Nothing happened to any unit that was asked for."


def _unit(unit: Told) -> Iterator[str]:
    yield f"  {unit['unit']}{_alike(unit)}: {_VERDICT[unit['met']]}."
    parts = [f"counted {duration(unit['down_ms'])} down"]
    parts += [
        f"{duration(unit[name])} {text}"
        for name, text in (("excluded_ms", "excluded"), ("unknown_ms", "unknown"), ("degraded_ms", "degraded"))
        if unit[name]
    ]
    yield f"    Of {duration(unit['denominator_ms'])} measured: {', '.join(parts)}; {settled_by(unit['settled_by'])}."
    for incident in unit["incidents"]:
        yield from _incident(incident)
    for hole in unit["unknown"]:
        said = f"; the agent said {', '.join(hole['causes'])}" if hole["causes"] else ""
        yield f"    Nobody knows how {hole['place']} was from {instant(hole['from'])} to {instant(hole['to'])}{said}."


def _alike(unit: Told) -> str:
    return f" and {unit['count'] - 1} alike" if unit["count"] > 1 else ""


def _incident(one: Told) -> Iterator[str]:
    yield f"    Incident from {instant(one['from'])} to {instant(one['to'])}: {RESULTS[one['result']]}."
    kept = f"{duration(one['down_ms'])} down in the period, {duration(one['excluded_ms'])} excluded"
    yield f"      {kept}, {duration(one['counted_ms'])} counted; causes: {', '.join(one['causes']) or 'none named'}."
    for step in one["steps"]:
        yield f"      {instant(step['from'])} to {instant(step['to'])}: {_step(step)}."
    for row in one["rows"]:
        yield f"      Row {row['key']} ({row['place']}, recorded {instant(row['recorded'])}): {_row(row)}."


def _step(step: Told) -> str:
    if step["claim"]:
        return f"down, excluded by claim {step['claim']}"
    if step["on_the_clock"] != step["down"]:
        return f"down by {step['down']}, of which the clock counts {step['on_the_clock']}"
    return "down, and it counts" if step["counted"] == 1 else f"down, and {step['counted']:g} of it counts"


def _row(row: Told) -> str:
    when = instant(row["from"]) + (f" to {instant(row['to'])}" if row["to"] else "")
    if row["kind"] == "operator":
        return f"{row['by']} said {word(row['said'])} for {when}: {row['why']}"
    if row["kind"] == "event":
        code = f" {row['xid']}" if row["xid"] else ""
        return f"{word(row['event'])}{code} at {when}"
    sure = f", surely not before {instant(row['not_before'])}" if row["not_before"] else ""
    return f"{row['gpu']} was {row['health'] or 'not to be read'} from {when}, {row['cause'] or 'no cause named'}{sure}"


def _claim(claim: Told) -> Iterator[str]:
    yield f"Claim {claim['claim']}: {word(claim['kind'])} on {', '.join(claim['places'])}."
    yield f"  For {instant(claim['from'])} to {instant(claim['to'])}, by {claim['by']}: {claim['why']}."
    told = "no notice" if claim["notice_ms"] is None else f"announced {notice(claim['notice_ms'])}"
    yield f"  Recorded {instant(claim['recorded'])} as {claim['key']}; {told}. Clause: {clause(claim['clause'])}."
    for one in claim["decisions"]:
        verb = "Approved" if one["approved"] else "Refused"
        yield f"  {verb} by {one['by']}, recorded {instant(one['recorded'])} as {one['key']}: {one['why']}."
    for one in claim["objectives"]:
        reasons = "; ".join(part["reason"] for part in one["refused"])
        refused = f"; not granted: {reasons}" if reasons else ""
        yield f"  {one['objective']}: {duration(one['excluded_ms'])} excluded{refused}."
