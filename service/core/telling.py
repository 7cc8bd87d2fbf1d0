"""From what a person says to a row of the ledger: its key, its valid time, and why it may be refused.

The key comes from what the fact is about, so that saying it twice records it once, and saying
something else about the same is an error and not a second truth.
"""

import hashlib
import re
from collections.abc import Callable

from service.core.errors import FactRefused
from service.core.facts import Fact, FactKind
from service.core.said import (
    OPERATOR_PARTITION,
    Accepted,
    Asserted,
    Claimed,
    Corrected,
    Decided,
    Finalised,
    Leased,
    Marked,
    Said,
    Stopped,
    Swapped,
    Telling,
    operator_fact,
    said_of,
)

Lookup = Callable[[str], Fact | None]  # a key to its fact, if that still stands
_PLACES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}(/t\d{1,3}(/g\d{1,2})?)?")
_RANGE = re.compile(r"([A-Za-z_-]+)(\d+)\.\.([A-Za-z_-]+)(\d+)")
_KEY_TEXT = 160  # a longer list of places is named by its hash
_SPANS = (Leased, Claimed, Stopped, Asserted, Finalised)  # have a beginning and an end
_INSTANTS = (Accepted, Marked)  # have a beginning only
_FIXED = {FactKind.OPEN, FactKind.REFUSED, FactKind.STATEMENT}


def fact_of(telling: Telling, lookup: Lookup, *, four_eyes: bool = True) -> Fact:
    """Return the row that keeps what a person said.

    Args:
        telling: What was said, its fields checked already.
        lookup: Finds the fact of a key, None when there is none or a correction took it back.
        four_eyes: Refuse a decision by who made the claim; a contract may waive it.

    Raises:
        FactRefused: If it contradicts the record or itself; the text says what would be right.
    """
    said = telling.said
    _check_places(said)
    if isinstance(said, Decided):
        claim = _claim_of(said, lookup, four_eyes=four_eyes)
        return operator_fact(said, key_of(telling), OPERATOR_PARTITION, claim.from_ms, claim.to_ms)
    if isinstance(said, Corrected):
        wrong = _wrong_one(telling, lookup)
        key = key_of(telling)
        return operator_fact(said, key, OPERATOR_PARTITION, wrong.from_ms, wrong.to_ms, replaces=wrong.key)
    if telling.replaces is not None:
        msg = "only a correction replaces a fact: `fact correct` it first, then say what holds"
        raise FactRefused(msg)
    from_ms = _from_ms(telling)
    return operator_fact(said, key_of(telling), OPERATOR_PARTITION, from_ms, telling.to_ms)


def _from_ms(telling: Telling) -> int:
    said, from_ms, to_ms = telling.said, telling.from_ms, telling.to_ms
    if from_ms is None:
        msg = "it needs the time from which it holds"
        raise FactRefused(msg)
    if isinstance(said, _SPANS) and to_ms is None:
        msg = "it needs the time until which it holds"
        raise FactRefused(msg)
    if isinstance(said, _INSTANTS) and to_ms is not None:
        msg = "it happened at an instant: leave its end out"
        raise FactRefused(msg)
    if to_ms is not None and from_ms >= to_ms:
        msg = "it must end after it begins"
        raise FactRefused(msg)
    return from_ms


def _claim_of(said: Decided, lookup: Lookup, *, four_eyes: bool) -> Fact:
    claim = lookup(f"said/claim/{said.claim}")
    if claim is None:
        msg = f"no claim {said.claim} stands; `threenines fact list` shows which do"
        raise FactRefused(msg)
    proposed = said_of(claim)
    if four_eyes and said.by == proposed.by:
        msg = f"{said.by} made claim {said.claim}: a second person decides it"
        raise FactRefused(msg)
    return claim


def _wrong_one(telling: Telling, lookup: Lookup) -> Fact:
    wrong = lookup(telling.replaces) if telling.replaces is not None else None
    if wrong is None:
        msg = f"no fact {telling.replaces} stands; a correction names the key of one that does"
        raise FactRefused(msg)
    if wrong.kind in _FIXED:
        msg = f"{wrong.key} is a {wrong.kind.value}: what it stands on can be corrected, and then it is restated"
        raise FactRefused(msg)
    return wrong


def _check_places(said: Said) -> None:
    places = (said.failed, said.spare) if isinstance(said, Swapped) else getattr(said, "places", ("-",))
    if not places:
        msg = "it names no place"
        raise FactRefused(msg)
    for text in places if places != ("-",) else ():
        if not _is_selector(text):
            msg = f"{text!r} selects nothing: write r0001, r0001/t07, r0001/t07/g2 or r0001..r0009"
            raise FactRefused(msg)


def _is_selector(text: str) -> bool:
    spread = _RANGE.fullmatch(text)
    if spread is not None:
        return spread[1] == spread[3] and int(spread[2]) <= int(spread[4])
    return _PLACES.fullmatch(text) is not None


def key_of(telling: Telling) -> str:
    """Return the key of what is said: its kind and what it is about."""
    said, at = telling.said, telling.from_ms
    match said:
        case Claimed() | Decided():
            about = said.claim
        case Finalised():
            about = f"{said.tenant}/{said.month}"
        case Leased():
            about = f"{said.tenant}/{_named(said.places)}/{at}"
        case Accepted():
            about = f"{'removed' if said.removed else 'accepted'}/{_named(said.places)}/{at}"
        case Swapped():
            about = f"{said.failed}/{said.spare}/{at}"
        case Stopped():
            about = f"{said.reason}/{_named(said.places)}/{at}"
        case Marked():
            about = f"{said.instant}/{_named(said.places)}/{at}"
        case Asserted():
            about = f"{said.by}/{_named(said.places)}/{at}"
        case Corrected():
            about = telling.replaces or ""
    return f"said/{said.__struct_config__.tag}/{about}"


def _named(places: tuple[str, ...]) -> str:
    text = "+".join(sorted(places))
    return text if len(text) <= _KEY_TEXT else hashlib.sha256(text.encode()).hexdigest()
