"""Situations for the engine, built from plain data: outages of places in a time that was up otherwise."""

from collections import defaultdict
from fractions import Fraction
from typing import Any

from service.core.contract import Exclusions, Fee, Objective, Places, Topology
from service.core.health import Health
from service.core.model import Place, Span
from service.core.periods import parse_utc, zone_of
from service.core.sla.evaluate import Terms
from service.core.sla.given import Acceptance, Claim, Decision, Given, Held, Mark, Stop, Swap
from service.core.timeline import Evidence, Timeline, merge

TOPOLOGY = Topology()
MARGIN_MS = 40 * 86_400_000


def terms_of(value: dict[str, Any], zone: str = "UTC") -> Terms:
    """Return a tenant's terms from YAML."""
    return Terms(
        exclusions=Exclusions.model_validate(value.get("exclusions", {})),
        fee=Fee.model_validate(value["fee"]) if "fee" in value else None,
        zone=zone_of(zone),
    )


def objective_of(*parts: dict[str, Any]) -> Objective:
    """Return an objective from YAML mappings, later ones over earlier ones."""
    merged: dict[str, Any] = {"name": "x"}
    for part in parts:
        merged |= part
    return Objective.model_validate(merged)


def places(*selectors: str) -> Places:
    """Return the places that selectors name, in racks of the usual size."""
    return Places.of(selectors, TOPOLOGY)


def span(value: dict[str, Any]) -> Span:
    """Return the span of a mapping with `from` and `to`."""
    return Span(parse_utc(value["from"]), parse_utc(value["to"]))


def given_of(case: dict[str, Any], month: Span) -> Given:
    """Return everything that a case of a fixture says; where it says nothing, all was up."""
    window = Span(month.from_ms - MARGIN_MS, month.to_ms + MARGIN_MS)
    held = case.get("held") or [{"places": case["places"], "from": None}]
    return Given(
        held=tuple(Held(places(*one["places"]), span(one) if one["from"] else window) for one in held),
        timelines=_timelines([*_down(case, month), *case.get("down", ())], case.get("unknown", ()), window),
        acceptances=tuple(
            Acceptance(places(*one["places"]), parse_utc(one["at"]), one.get("removed", False))
            for one in case.get("accepted", ())
        ),
        swaps=tuple(Swap(places(one["failed"]), places(one["spare"]), span(one)) for one in case.get("swaps", ())),
        claims=tuple(_claim(one) for one in case.get("claims", ())),
        decisions=tuple(
            Decision(
                claim=one["id"], approved=one.get("approved", True), by=one.get("approver", "b"), at_ms=span(one).to_ms
            )
            for one in case.get("claims", ())
            if not one.get("undecided")
        ),
        stops=tuple(
            Stop(one["reason"], places(*one["places"]), span(one), tuple(one.get("evidence", ())))
            for one in case.get("stops", ())
        ),
        marks=tuple(
            Mark(one["instant"], places(*one["places"]), parse_utc(one["at"])) for one in case.get("marks", ())
        ),
    )


def _claim(one: dict[str, Any]) -> Claim:
    return Claim(
        id=one["id"],
        kind=one["kind"],
        places=places(*one["places"]),
        span=span(one),
        by=one.get("by", "a"),
        announced_ms=parse_utc(one["announced"]) if "announced" in one else None,
        evidence=tuple(one.get("evidence", ())),
    )


def _down(case: dict[str, Any], month: Span) -> list[dict[str, Any]]:
    """Return outages given by length: from ten o'clock of the second day on, a day apart."""
    each = case.get("down_each", {"minutes": case.get("down_minutes", 0), "seconds": 0, "times": 1})
    length_ms = (each["minutes"] * 60 + each["seconds"]) * 1000 + case.get("down_ms", 0)
    where = (case.get("places") or case["held"][0]["places"])[0]
    begin = month.from_ms + 34 * 3_600_000
    starts = [begin + number * 3_600_000 for number in range(each["times"])] if length_ms else []
    return [{"place": where, "span": Span(at, at + length_ms)} for at in starts]


def _timelines(down: list[dict[str, Any]], unknown: Any, window: Span) -> dict[Place, Timeline]:
    found: dict[Place, list[Evidence]] = defaultdict(list)
    holes: dict[Place, list[Span]] = defaultdict(list)
    for one in down:
        health = Health(one.get("state", "down"))
        when = one["span"] if "span" in one else span(one)
        for place in places(one["place"]):
            found[place].append(Evidence(when.from_ms, when.to_ms, health, one.get("cause")))
    for one in unknown:
        for place in places(one["place"]):
            holes[place].append(span(one))
    return {place: timeline(found[place], holes[place], window) for place in {*found, *holes}}


def timeline(evidence: list[Evidence], holes: list[Span], window: Span) -> Timeline:
    """Return a timeline that was up but for this evidence, and unobserved in the holes."""
    cursor, up = window.from_ms, []
    for hole in sorted(holes):
        if hole.from_ms > cursor:
            up.append(Evidence(cursor, hole.from_ms, Health.UP))
        cursor = max(cursor, hole.to_ms)
    if cursor < window.to_ms:
        up.append(Evidence(cursor, window.to_ms, Health.UP))
    return merge([*up, *evidence], window)


def cut(ratio: Fraction, digits: int = 9) -> str:
    """Return a ratio as text, cut after some digits."""
    scaled = ratio.numerator * 10**digits // ratio.denominator
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
