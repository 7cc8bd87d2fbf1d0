"""The rows of the ledger that a statement's outages stand on, and the time of which there are none."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.core import limits
from service.core.contract import Topology
from service.core.contract.places import names
from service.core.cut import Cut
from service.core.facts import Fact, FactKind
from service.core.health import State
from service.core.history import History
from service.core.model import Place, Span
from service.core.periods import parse_utc, utc_text
from service.core.ports import Ledger
from service.core.said import Asserted, Claimed, Stopped, Swapped, said_of

Drawn = Mapping[str, Any]
_KINDS = (FactKind.COVERAGE.value, FactKind.EVENT.value, FactKind.OPERATOR.value)


def evidence_json(
    ledger: Ledger, cut: Cut | None, history: History, drawn: Drawn, period: Span
) -> list[dict[str, Any]]:
    """Return, by place that was down in an outage, the rows that say so, as far as the statement's bounds."""
    wanted = _outage_spans(drawn)
    kept = dict(sorted(wanted.items())[: limits.EVIDENCE_PLACES])
    found = rows_of(ledger, cut, history, kept, period)
    return [
        {
            "place": str(place),
            "rows": [row_json(fact) for fact in rows[: limits.EVIDENCE_ROWS]],
            "further_rows": max(len(rows) - limits.EVIDENCE_ROWS, 0),
        }
        for place, rows in found.items()
    ]


def _outage_spans(drawn: Drawn) -> dict[Place, list[Span]]:
    wanted: dict[Place, list[Span]] = defaultdict(list)
    for objective in drawn["objectives"]:
        for outage in objective["outages"]:
            span = Span(parse_utc(outage["from"]), parse_utc(outage["to"]))
            for text in outage["places"]:
                wanted[Place.parse(text)].append(span)
    return wanted


@dataclass(slots=True)
class _Seen:
    """Rows of the GPUs and nodes that matter."""

    by_gpu: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    by_node: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    nodes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    told: list[Fact] = field(default_factory=list)


def rows_of(
    ledger: Ledger, cut: Cut | None, history: History, wanted: Mapping[Place, Iterable[Span]], period: Span
) -> dict[Place, list[Fact]]:
    """Return the rows that bear on places over spans: not-up coverage, events near, what people said."""
    if not wanted:
        return {}
    spans = {place: list(some) for place, some in wanted.items()}
    begin_ms = min([period.from_ms, *(span.from_ms for some in spans.values() for span in some)])
    window = Span(begin_ms, max([period.to_ms, *(span.to_ms for some in spans.values() for span in some)]))
    gpus = {place: {gpu for gpu, _ in history.placed(place, window)} for place in spans}
    seen = _read(ledger, cut, set().union(*gpus.values()), begin_ms - limits.EVIDENCE_NEAR_MS)
    return {place: _of_place(place, gpus[place], spans[place], seen) for place in sorted(spans)}


def _read(ledger: Ledger, cut: Cut | None, gpus: set[str], since_ms: int) -> _Seen:
    seen = _Seen()
    for fact in ledger.facts(kinds=_KINDS, up_to=cut, since_ms=since_ms, but_up=True):
        if fact.kind is FactKind.COVERAGE:
            if fact.gpu in gpus:
                seen.nodes[fact.gpu].add(fact.node)
                seen.by_gpu[fact.gpu].append(fact)
        elif fact.kind is FactKind.OPERATOR:
            seen.told.append(fact)
        else:
            seen.by_node[fact.node].append(fact)
    return seen


def _of_place(place: Place, gpus: set[str], spans: list[Span], seen: _Seen) -> list[Fact]:
    rows = [fact for gpu in gpus for fact in seen.by_gpu[gpu] if _overlaps(fact, spans, 0)]
    nodes = {node for gpu in gpus for node in seen.nodes[gpu]}
    rows += [
        fact
        for node in nodes
        for fact in seen.by_node[node]
        if fact.gpu in {"", *gpus} and _overlaps(fact, spans, limits.EVIDENCE_NEAR_MS)
    ]
    rows += [fact for fact in seen.told if _names(fact, place) and _overlaps(fact, spans, 0)]
    return sorted(rows, key=lambda fact: (fact.from_ms, fact.key))


def _overlaps(fact: Fact, spans: Iterable[Span], near_ms: int) -> bool:
    ends_ms = fact.to_ms if fact.to_ms is not None else fact.from_ms + 1
    if fact.kind is FactKind.OPERATOR and fact.to_ms is None:
        ends_ms = limits.LATEST_MS
    return any(fact.from_ms < span.to_ms + near_ms and ends_ms > span.from_ms - near_ms for span in spans)


def _names(fact: Fact, place: Place) -> bool:
    said = said_of(fact)
    if isinstance(said, Swapped):
        return names(said.failed, place) or names(said.spare, place)
    return isinstance(said, Asserted | Claimed | Stopped) and any(names(text, place) for text in said.places)


def row_json(fact: Fact) -> dict[str, Any]:
    """Return a row as it is shown: what it says, of when, and since when it is recorded."""
    shown: dict[str, Any] = {
        "key": fact.key,
        "kind": fact.kind.value,
        "from": utc_text(fact.from_ms),
        "to": None if fact.to_ms is None else utc_text(fact.to_ms),
        "recorded": None if fact.recorded_ms is None else utc_text(fact.recorded_ms),
    }
    if fact.kind is FactKind.COVERAGE:
        health = fact.health.value if fact.health else None
        sure = None if fact.not_before_ms is None else utc_text(fact.not_before_ms)
        return shown | {"gpu": fact.gpu, "health": health, "cause": fact.cause, "not_before": sure}
    body = json.loads(fact.body)
    if fact.kind is FactKind.OPERATOR:
        return shown | {"said": body["said"], "by": body["by"], "why": body["why"]}
    return shown | {"gpu": fact.gpu, "event": body.get("kind"), "xid": body.get("xid")}


def unknown_json(
    history: History, drawn: Drawn, topology: Topology, period: Span, *, down_lasts: bool
) -> list[dict[str, Any]]:
    """Return the time of which nobody knows how places were, places alike together.

    With `down_lasts` every objective takes silence right after down as down: it is not unknown.
    """
    end_ms = min(period.to_ms, parse_utc(drawn["period"]["counted_to"]))
    window = Span(period.from_ms, max(end_ms, period.from_ms + 1))
    alike: dict[tuple[tuple[int, int, tuple[str, ...]], ...], list[str]] = defaultdict(list)
    for place in _unknown_places(drawn, topology)[: limits.EVIDENCE_PLACES]:
        spans = unknown_of(history, place, window, down_lasts=down_lasts)
        if spans:
            alike[spans].append(str(place))
    return [
        {
            "places": places,
            "spans": [{"from": utc_text(a), "to": utc_text(b), "causes": list(causes)} for a, b, causes in spans],
        }
        for spans, places in sorted(alike.items(), key=lambda item: item[1])
    ]


def unknown_of(
    history: History, place: Place, window: Span, *, down_lasts: bool
) -> tuple[tuple[int, int, tuple[str, ...]], ...]:
    """Return when a place's state is unknown, each time with what an agent that lived said of it."""
    segments = history.timeline(place, window, down_lasts=down_lasts)
    return tuple((s.from_ms, s.to_ms, tuple(sorted(s.causes))) for s in segments if s.state is State.UNKNOWN)


def _unknown_places(drawn: Drawn, topology: Topology) -> list[Place]:
    units = {
        unit["unit"] for objective in drawn["objectives"] for unit in objective["not_spotless"] if unit["unknown_ms"]
    }
    return sorted({place for unit in units for place in places_of(unit, topology)})


def places_of(unit: str, topology: Topology) -> list[Place]:
    """Return the places of a unit by its name; none of a unit that is no part of the hall."""
    rack, _, rest = unit.partition("/")
    if not rack or unit in {"pool", "site", "others"}:
        return []
    slots = (Place(rack, tray, position) for tray, position in topology.slots)
    return [place for place in slots if not rest or f"{place}/".startswith(f"{unit}/")]
