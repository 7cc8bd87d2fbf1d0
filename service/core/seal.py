"""Seals: the daily digest of what was recorded, chained, so that nobody rewrites and re-seals.

A seal names the last row of every partition with its hash, the seal before it, and, where the
service has a key, who signed it. It is worth something once it has left the landlord's hands.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from service.core.cut import Cut, cut_json, cut_of

FIRST = "0" * 64  # the seal before the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One day's seal.

    `day` is the last whole day (UTC) that it covers, `cut` the rows, `rows` how many of them the
    seal before did not cover, and `order` (see `order_of`) how those followed each other. `digest`
    is over all of these and `previous`; `signature` (hex, Ed25519) is over `signed_bytes`, by the
    key whose SHA-256 begins with `key`.
    """

    day: str
    at_ms: int
    previous: str
    cut: Cut
    rows: int
    order: str
    digest: str
    signature: str | None = None
    key: str | None = None


def order_of(partitions: Iterable[int]) -> str:
    """Return the digest of an order of recording: to which partition each row went, hex.

    Chains fix the order within partitions; this fixes how they interleave.
    """
    digest = hashlib.sha256()
    for partition in partitions:
        digest.update(b"%d," % partition)
    return digest.hexdigest()


def seal(day: str, at_ms: int, cut: Cut, order: str, previous: Seal | None) -> Seal:
    """Return the seal of a day over a cut, without a signature; `order` is that of the rows that are new in it."""
    before = previous.cut if previous else {}
    rows = sum(row - before.get(partition, (0, ""))[0] for partition, (row, _) in cut.items())
    before_it = previous.digest if previous else FIRST
    made = Seal(day=day, at_ms=at_ms, previous=before_it, cut=cut, rows=rows, order=order, digest="")
    return replace(made, digest=digest_of(made))


def digest_of(one: Seal) -> str:
    """Return the digest that a seal must bear, hex."""
    fields = [1, one.day, one.at_ms, one.previous, one.rows, one.order, cut_json(one.cut)]
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def signed_bytes(one: Seal) -> bytes:
    """Return the bytes that a signature is over."""
    return f"threenines seal {one.digest}".encode()


def seal_text(one: Seal) -> str:
    """Return a seal as its file holds it; the same seal is the same bytes."""
    value: dict[str, Any] = {
        "v": 1,
        "day": one.day,
        "at_ms": one.at_ms,
        "previous": one.previous,
        "rows": one.rows,
        "order": one.order,
        "cut": cut_json(one.cut),
        "digest": one.digest,
        "signature": one.signature,
        "key": one.key,
    }
    return json.dumps(value, indent=1) + "\n"


def seal_of(text: str) -> Seal:
    """Return the seal of a file's text; whether it is genuine is another question.

    Raises:
        ValueError: If the text is no seal.
    """
    try:
        value = json.loads(text)
        return Seal(
            day=_word(value["day"]),
            at_ms=int(value["at_ms"]),
            previous=_word(value["previous"]),
            cut=cut_of(value["cut"]),
            rows=int(value["rows"]),
            order=_word(value["order"]),
            digest=_word(value["digest"]),
            signature=value["signature"],
            key=value["key"],
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        msg = f"no seal: {error}"
        raise ValueError(msg) from error


def _word(value: object) -> str:
    if not isinstance(value, str):
        msg = f"{value!r} is no text"
        raise ValueError(msg)  # noqa: TRY004 -- one kind of error for a bad file
    return value


def fault_of(one: Seal, previous: Seal | None) -> str | None:
    """Return what is wrong with a seal that follows another, or None."""
    if digest_of(one) != one.digest:
        return "its digest is not that of its content"
    if one.previous != (previous.digest if previous else FIRST):
        return f"it does not follow the seal of {previous.day}" if previous else "the seals before it are missing"
    if previous is not None and any(one.cut.get(p, (0, ""))[0] < row for p, (row, _) in previous.cut.items()):
        return f"it covers fewer rows than the seal of {previous.day}"
    return None
