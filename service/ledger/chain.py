"""The hash chain: each row of a partition carries the digest of all rows before it."""

import hashlib
import json

from service.core.facts import Fact

GENESIS = "0" * 64


def canonical(fact: Fact, partition_row: int) -> bytes:
    """Return the bytes that are hashed: every field, in fixed order, as JSON without spaces."""
    fields = [
        partition_row,
        fact.kind.value,
        fact.key,
        fact.partition,
        fact.from_ms,
        fact.to_ms,
        fact.rack,
        fact.node,
        fact.run,
        fact.seq,
        fact.gpu,
        fact.health.value if fact.health else None,
        fact.cause,
        fact.not_before_ms,
        fact.body,
        fact.replaces,
        fact.recorded_ms,
    ]
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode()


def link(previous_hash: str, fact: Fact, partition_row: int) -> str:
    """Return the hash of a row: SHA-256 over the previous hash and the row's canonical bytes."""
    return hashlib.sha256(previous_hash.encode() + canonical(fact, partition_row)).hexdigest()
