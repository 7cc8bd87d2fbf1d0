"""Facts, progress and seals to table rows and back."""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping

from service.core.errors import LedgerError
from service.core.facts import Fact, FactKind, OpenCoverage, Progress
from service.core.health import Health
from service.core.seal import Seal, seal_of, seal_text
from service.ledger.schema import FACT

# In the order in which `chain.canonical` takes them; its result and the hash before it follow.
HASHED_COLUMNS = (
    "row",
    "kind",
    "key",
    "partition",
    "from_ms",
    "to_ms",
    "rack",
    "node",
    "run",
    "seq",
    "gpu",
    "health",
    "cause",
    "not_before_ms",
    "body",
    "replaces",
    "recorded_ms",
)
FACT_COLUMNS = (*HASHED_COLUMNS, "previous_hash", "hash")
FACT_SELECTED = (FACT.c.id, *(FACT.c[name] for name in HASHED_COLUMNS))  # what `fact_of` takes, in order
ROW, KEY, PARTITION = 1, 3, 4  # where these stand in it
_KINDS = {kind.value: kind for kind in FactKind}
_HEALTHS: dict[str | None, Health | None] = {None: None, **{health.value: health for health in Health}}


def hashed_values(fact: Fact, row: int, recorded_ms: int) -> tuple[Any, ...]:
    """Return the values of a fact's row, in the order of `HASHED_COLUMNS`."""
    health = fact.health
    return (
        row,
        fact.kind._value_,
        fact.key,
        fact.partition,
        fact.from_ms,
        fact.to_ms,
        fact.rack,
        fact.node,
        fact.run,
        fact.seq,
        fact.gpu,
        None if health is None else health._value_,  # twice as fast as `value`, for every row
        fact.cause,
        fact.not_before_ms,
        fact.body,
        fact.replaces,
        recorded_ms,
    )


def fact_of(values: Sequence[Any]) -> Fact:
    """Return the fact of a row of `FACT_SELECTED`.

    Raises:
        LedgerError: If a word in it is none of ours: the row is damaged, or of a newer release.
    """
    (_, row, kind, key, partition, from_ms, to_ms, rack, node, run, seq, gpu, health, cause, *rest) = values
    not_before_ms, body, replaces, recorded_ms = rest
    try:
        return Fact(
            kind=_KINDS[kind],
            key=key,
            partition=partition,
            from_ms=from_ms,
            to_ms=to_ms,
            rack=rack,
            node=node,
            run=run,
            seq=seq,
            gpu=gpu,
            health=_HEALTHS[health],
            cause=cause,
            not_before_ms=not_before_ms,
            body=body,
            replaces=replaces,
            recorded_ms=recorded_ms,
        )
    except (KeyError, TypeError) as error:
        msg = f"row {row} of partition {partition} is damaged: {error} is no word of ours; run `threenines verify`"
        raise LedgerError(msg) from error


def progress_row(progress: Progress) -> dict[str, Any]:
    """Return the table row of a run's progress."""
    values: dict[str, Any] = {
        "node": progress.node,
        "run": progress.run,
        "partition": progress.partition,
        "rack": progress.rack,
        "boot": progress.boot,
        "seq": progress.seq,
        "to_ms": progress.to_ms,
        "ended": int(progress.ended),
        "open": json.dumps([_open_list(entry) for entry in progress.open], separators=(",", ":")),
    }
    return values | {"checksum": _checksum(values)}


def _checksum(values: Mapping[str, Any] | RowMapping) -> int:
    names = ("node", "run", "partition", "rack", "boot", "seq", "to_ms", "ended", "open")
    return zlib.crc32("\0".join([str(values[name]) for name in names]).encode())


def _open_list(entry: OpenCoverage) -> list[Any]:
    health = entry.health.value if entry.health else None
    return [entry.gpu, entry.from_ms, entry.to_ms, health, entry.cause, entry.not_before_ms]


def progress_of(row: RowMapping) -> Progress:
    """Return the progress of a table row.

    Raises:
        LedgerError: If the row is damaged.
    """
    if row["checksum"] is not None and row["checksum"] != _checksum(row):
        msg = f"the progress of {row['node']}, run {row['run']}, is damaged; restore a backup, agents resend the rest"
        raise LedgerError(msg)
    return Progress(
        partition=row["partition"],
        rack=row["rack"],
        node=row["node"],
        run=row["run"],
        boot=row["boot"],
        seq=row["seq"],
        to_ms=row["to_ms"],
        ended=bool(row["ended"]),
        open=tuple(_open_of(values) for values in json.loads(row["open"])),
    )


def _open_of(values: Sequence[Any]) -> OpenCoverage:
    gpu, from_ms, to_ms, health, cause, not_before_ms = values
    return OpenCoverage(
        gpu=gpu,
        from_ms=from_ms,
        to_ms=to_ms,
        health=_HEALTHS[health],
        cause=cause,
        not_before_ms=not_before_ms,
    )


def seal_row(one: Seal) -> dict[str, Any]:
    """Return the table row of a seal."""
    return {"day": one.day, "at_ms": one.at_ms, "digest": one.digest, "text": seal_text(one)}


def kept_seal(row: RowMapping) -> Seal:
    """Return the seal of a table row.

    Raises:
        LedgerError: If it is damaged.
    """
    try:
        one = seal_of(row["text"])
    except (TypeError, ValueError) as error:
        msg = f"the seal of {row['day']} in the ledger is damaged: {error}; its exported file holds it"
        raise LedgerError(msg) from error
    if seal_row(one) != dict(row):
        msg = f"the seal of {row['day']} in the ledger is damaged; its exported file holds it"
        raise LedgerError(msg)
    return one
