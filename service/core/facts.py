"""Rows of the ledger: what was seen, what happened, what sat where, what was decided.

A fact has valid time (`from_ms`, `to_ms`) and, once committed, recorded time. Facts are never
changed; a correction is a new fact that names the key it replaces.
"""

from enum import Enum
from typing import TypeVar

import msgspec

from service.core.health import Health


class FactKind(Enum):
    """What a row of the ledger says."""

    COVERAGE = "coverage"  # a GPU was seen in one health throughout the span
    EVENT = "event"  # something happened at `from_ms`; body is the event as it came
    PLACEMENT = "placement"  # a GPU sat at a place from `from_ms` on
    REFUSED = "refused"  # a numbered message that could not be believed; body says why
    OPERATOR = "operator"  # what a person said: a lease, a claim, a decision, …; body is `core.said`
    STATEMENT = "statement"  # a period's result as it was issued; body is the statement
    OPEN = "open"  # what was open in a partition at `from_ms`; body is `core.open_notes`, the newest holds


class Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of the ledger.

    `key` is unique and derived from the content's identity, so that the same fact can never
    be recorded twice: node, run and seq for what a node said, the GPU and start for coverage.
    `to_ms` is None for what has no end. `body` is JSON text for what has no column.
    """

    kind: FactKind
    key: str
    partition: int
    from_ms: int
    to_ms: int | None = None
    rack: str = ""
    node: str = ""
    run: str = ""
    seq: int = 0
    gpu: str = ""
    health: Health | None = None
    cause: str | None = None
    not_before_ms: int | None = None
    body: str = ""
    replaces: str | None = None
    recorded_ms: int | None = None  # set by the ledger; only an import says itself when it was recorded


class OpenCoverage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A GPU's coverage that has not ended yet: `[from_ms, to_ms)` and growing.

    Empty (`from_ms == to_ms`) when all of it is in rows already: it says only how far that is.
    """

    gpu: str
    from_ms: int
    to_ms: int
    health: Health | None
    cause: str | None = None
    not_before_ms: int | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the ledger has come with one run: the only mutable thing in it.

    Every fact of the run up to and including `seq` is committed; `open` is the coverage that
    a healthy heartbeat extends without costing a row. `ended` marks a run that stopped cleanly.
    """

    partition: int
    rack: str
    node: str
    run: str
    boot: str
    seq: int
    to_ms: int  # end of the run's coverage, or the instant of its last event
    ended: bool = False
    open: tuple[OpenCoverage, ...] = ()


class EventBody(msgspec.Struct, frozen=True, gc=False):
    """What history takes from an event's body; the rest of it, and of other kinds all, is passed over."""

    kind: str
    boot: str = ""
    boot_ms: int = 0


_EVENT_BODY = msgspec.json.Decoder(EventBody)


def event_of(fact: Fact) -> EventBody:
    """Return what history takes from an event's body.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        return _EVENT_BODY.decode(fact.body)
    except msgspec.DecodeError as error:
        msg = f"{fact.key} is damaged: {error}; run `threenines verify`"
        raise ValueError(msg) from error


Kept = TypeVar("Kept", Fact, OpenCoverage, Progress)


def changed(kept: Kept, **changes: object) -> Kept:
    """Return the same with other values in the fields named."""
    return msgspec.structs.replace(kept, **changes)
