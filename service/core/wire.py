"""Bytes to messages and back: strict, bounded, versioned JSON."""

import math
from typing import TYPE_CHECKING

import msgspec

from service.core import limits
from service.core.errors import WireError
from service.core.events import Fact, Name, NodeEvent, NodeObserved, NodeReading

if TYPE_CHECKING:
    from collections.abc import Sequence


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Consecutive facts of one run of one node, oldest first, each as its own bytes.

    The number of each fact is known from `first_seq`, so that a fact whose bytes cannot be
    understood is refused by number and the rest of the batch still counts.
    """

    v: int = 1
    node: Name
    run: Name
    first_seq: int
    facts: tuple[msgspec.Raw, ...]


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the ledger has committed of a run: every fact up to and including `seq`.

    `hub_ms` is the service's wall clock when it answered, for the agent's clock offset.
    """

    node: str
    run: str
    seq: int
    hub_ms: int


_ENCODER = msgspec.json.Encoder()
_FACT = msgspec.json.Decoder(Fact)
_READING = msgspec.json.Decoder(NodeReading)
_BATCH = msgspec.json.Decoder(Batch)
_RECEIPTS = msgspec.json.Decoder(tuple[Receipt, ...])


def encode(message: NodeObserved | NodeEvent | NodeReading | Batch) -> bytes:
    """Return the message as canonical JSON bytes (field order of the definition)."""
    return _ENCODER.encode(message)


def encode_receipts(receipts: "Sequence[Receipt]") -> bytes:
    """Return receipts as one JSON array."""
    return _ENCODER.encode(tuple(receipts))


def decode_fact(data: bytes | msgspec.Raw) -> Fact:
    """Return the fact that these bytes spell.

    Raises:
        WireError: `too_large`, `malformed` (not our schema) or `contradiction`.
    """
    raw = bytes(data)
    if len(raw) > limits.MESSAGE_BYTES:
        raise WireError("too_large", f"a fact of {len(raw)} bytes; at most {limits.MESSAGE_BYTES}")
    try:
        fact: Fact = _FACT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", str(error)) from error
    if isinstance(fact, NodeObserved):
        _check_observed(fact)
    return fact


def _check_observed(fact: NodeObserved) -> None:
    if fact.from_ms >= fact.to_ms:
        raise WireError("contradiction", f"span [{fact.from_ms}, {fact.to_ms}) is empty or reversed")
    names = [seen.gpu for seen in fact.gpus]
    if len(set(names)) != len(names):
        raise WireError("contradiction", "the same GPU twice in one observation")
    for seen in fact.gpus:
        if seen.not_before_ms is not None and seen.not_before_ms > fact.from_ms:
            raise WireError("contradiction", f"{seen.gpu}: not_before_ms lies after the span began")
        if seen.health is None and seen.cause is None:
            raise WireError("contradiction", f"{seen.gpu}: health null needs a cause")


def decode_reading(data: bytes) -> NodeReading:
    """Return the reading that these bytes spell; infinities and NaN are refused.

    Raises:
        WireError: `too_large`, `malformed` or `contradiction`.
    """
    if len(data) > limits.MESSAGE_BYTES:
        raise WireError("too_large", f"a reading of {len(data)} bytes; at most {limits.MESSAGE_BYTES}")
    try:
        reading = _READING.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", str(error)) from error
    if not all(math.isfinite(v) for values in reading.values.values() for v in values.values()):
        raise WireError("contradiction", "a reading must be finite")
    return reading


def decode_batch(data: bytes) -> Batch:
    """Return the batch that these bytes spell; its facts stay undecoded.

    Raises:
        WireError: `too_large`, `malformed` or `version`.
    """
    if len(data) > limits.BATCH_BYTES:
        raise WireError("too_large", f"a batch of {len(data)} bytes; at most {limits.BATCH_BYTES}")
    try:
        batch = _BATCH.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", str(error)) from error
    if batch.v != 1:
        raise WireError("version", f"batch of version {batch.v}; this service speaks 1")
    if batch.first_seq < 1 or len(batch.facts) > limits.BATCH_MESSAGES:
        raise WireError("malformed", f"first_seq {batch.first_seq} with {len(batch.facts)} facts")
    return batch


def decode_receipts(data: bytes) -> tuple[Receipt, ...]:
    """Return the receipts that these bytes spell.

    Raises:
        WireError: `malformed`.
    """
    try:
        return _RECEIPTS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError("malformed", str(error)) from error
