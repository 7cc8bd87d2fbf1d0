"""What people tell the ledger: terms in force, claims and decisions, each with who, why and evidence.

Valid time stands in the fact's own columns; the rest is here, one struct a kind. Nothing a person
says changes what a machine saw: an exclusion is a claim until a second person approves it, an
assertion is evidence by a witness with a name, a correction names the fact that it replaces.
"""

from typing import Annotated, Literal

import msgspec

from service.core import limits
from service.core.errors import WireError
from service.core.events import Cause, Text, TimeMs
from service.core.facts import Fact, FactKind
from service.core.health import Health

OPERATOR_PARTITION = limits.PARTITIONS  # what people say, and what was decided, statements among it

Person = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.NAME_LENGTH)]
Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,79}\Z")]
Selector = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,139}\Z")]  # as leases in a contract
ExclusionKind = Literal[
    "scheduled_maintenance",
    "emergency_maintenance",
    "force_majeure",
    "tenant_caused",
    "third_party_network",
    "suspension",
    "beta",
    "law_order",
]
StopReason = Literal["tenant_access_denied", "tenant_defers_repair", "awaiting_tenant_approval", "access_window_wait"]
Instant = Literal["detection", "notice_received", "ticket_ack", "tenant_confirms", "handover_test_passed"]


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="said"):
    """Who says it, why, and on what evidence."""

    by: Person
    why: Text
    evidence: tuple[Text, ...] = ()


class Leased(_Said, frozen=True, kw_only=True, tag="lease"):
    """A tenant may use places over the fact's span; beside, and after, what the contract file says."""

    tenant: Id
    places: tuple[Selector, ...]


class Accepted(_Said, frozen=True, kw_only=True, tag="acceptance"):
    """Places passed their acceptance at the fact's start; `removed` when they left the contract instead."""

    places: tuple[Selector, ...]
    removed: bool = False


class Swapped(_Said, frozen=True, kw_only=True, tag="swap"):
    """A spare serves for a place over the fact's span; without an end until told otherwise."""

    failed: Selector
    spare: Selector


class Claimed(_Said, frozen=True, kw_only=True, tag="claim"):
    """Time that shall not count, over the fact's span: a claim until it is decided.

    `announced_ms` is when the tenant was told; notice is counted from it.
    """

    claim: Id
    kind: ExclusionKind
    places: tuple[Selector, ...]
    announced_ms: TimeMs | None = None


class Decided(_Said, frozen=True, kw_only=True, tag="decision"):
    """A claim is approved or refused; where the contract asks for four eyes, not by who claimed."""

    claim: Id
    approved: bool


class Stopped(_Said, frozen=True, kw_only=True, tag="clock_stop"):
    """The tenant holds a repair up over the fact's span: the clock of an outage stands still."""

    reason: StopReason
    places: tuple[Selector, ...]


class Marked(_Said, frozen=True, kw_only=True, tag="instant"):
    """An instant of an outage that a contract may count from or to, at the fact's start."""

    instant: Instant
    places: tuple[Selector, ...]


class Asserted(_Said, frozen=True, kw_only=True, tag="assertion"):
    """A person or a probe says how places were over the fact's span; evidence like any other."""

    places: tuple[Selector, ...]
    health: Health
    cause: Cause | None = None


class Corrected(_Said, frozen=True, kw_only=True, tag="correction"):
    """The fact named by `Fact.replaces` does not hold; what does, if anything, is a fact of its own."""


class Finalised(_Said, frozen=True, kw_only=True, tag="finalised"):
    """The statement of a tenant's month may become final, where the contract asks for that decision."""

    tenant: Id
    month: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-(0[1-9]|1[0-2])\Z")]


Said = Leased | Accepted | Swapped | Claimed | Decided | Stopped | Marked | Asserted | Corrected | Finalised

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Said)


def operator_fact(
    said: Said, key: str, partition: int, from_ms: int, to_ms: int | None = None, *, replaces: str | None = None
) -> Fact:
    """Return the row that keeps what was said; `key` makes saying it twice one fact."""
    return Fact(
        kind=FactKind.OPERATOR,
        key=key,
        partition=partition,
        from_ms=from_ms,
        to_ms=to_ms,
        body=_ENCODER.encode(said).decode(),
        replaces=replaces,
    )


def said_of(fact: Fact) -> Said:
    """Return what a person said in a row.

    Raises:
        msgspec.DecodeError: If the body is of another schema.
    """
    said: Said = _DECODER.decode(fact.body)
    return said


class Telling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a person says as it travels to the ledger's owner.

    Without `from_ms` the valid time is that of the fact that it is about: the claim of a
    decision, the fact of a correction.
    """

    v: Literal[1] = 1
    said: Said
    from_ms: TimeMs | None = None
    to_ms: TimeMs | None = None
    replaces: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.KEY_LENGTH)] | None = None


_TELLING = msgspec.json.Decoder(Telling)


def encode_telling(telling: Telling) -> bytes:
    """Return what a person says as bytes."""
    return _ENCODER.encode(telling)


def decode_telling(data: bytes) -> Telling:
    """Return what a person says, every field checked.

    Raises:
        WireError: If it is misspelt; the text names the field and what is allowed.
    """
    try:
        return _TELLING.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", str(error)) from error
