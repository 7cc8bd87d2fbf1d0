"""Facts and progress to table rows and back."""

import json
from typing import Any

from sqlalchemy import RowMapping

from service.core.facts import Fact, FactKind, OpenCoverage, Progress
from service.core.health import Health


def fact_row(fact: Fact, row: int, previous_hash: str, digest: str) -> dict[str, Any]:
    """Return the table row of a fact whose recorded time is set."""
    return {
        "partition": fact.partition,
        "row": row,
        "kind": fact.kind.value,
        "key": fact.key,
        "rack": fact.rack,
        "node": fact.node,
        "run": fact.run,
        "seq": fact.seq,
        "gpu": fact.gpu,
        "from_ms": fact.from_ms,
        "to_ms": fact.to_ms,
        "health": fact.health.value if fact.health else None,
        "cause": fact.cause,
        "not_before_ms": fact.not_before_ms,
        "body": fact.body,
        "replaces": fact.replaces,
        "recorded_ms": fact.recorded_ms,
        "previous_hash": previous_hash,
        "hash": digest,
    }


def fact_of(row: RowMapping) -> Fact:
    """Return the fact of a table row."""
    return Fact(
        kind=FactKind(row["kind"]),
        key=row["key"],
        partition=row["partition"],
        from_ms=row["from_ms"],
        to_ms=row["to_ms"],
        rack=row["rack"],
        node=row["node"],
        run=row["run"],
        seq=row["seq"],
        gpu=row["gpu"],
        health=Health(row["health"]) if row["health"] else None,
        cause=row["cause"],
        not_before_ms=row["not_before_ms"],
        body=row["body"],
        replaces=row["replaces"],
        recorded_ms=row["recorded_ms"],
    )


def progress_row(progress: Progress) -> dict[str, Any]:
    """Return the table row of a run's progress."""
    return {
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


def _open_list(entry: OpenCoverage) -> list[Any]:
    health = entry.health.value if entry.health else None
    return [entry.gpu, entry.from_ms, entry.to_ms, health, entry.cause, entry.not_before_ms]


def progress_of(row: RowMapping) -> Progress:
    """Return the progress of a table row."""
    return Progress(
        partition=row["partition"],
        rack=row["rack"],
        node=row["node"],
        run=row["run"],
        boot=row["boot"],
        seq=row["seq"],
        to_ms=row["to_ms"],
        ended=bool(row["ended"]),
        open=tuple(
            OpenCoverage(
                gpu=gpu,
                from_ms=from_ms,
                to_ms=to_ms,
                health=Health(health) if health else None,
                cause=cause,
                not_before_ms=not_before_ms,
            )
            for gpu, from_ms, to_ms, health, cause, not_before_ms in json.loads(row["open"])
        ),
    )
