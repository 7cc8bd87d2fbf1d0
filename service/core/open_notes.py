"""What is open, written down: so that a seal covers it and a cut holds it.

One row a partition, complete: the newest within a cut says everything that was open then.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from service.core.facts import Fact, FactKind, OpenCoverage, Progress
from service.core.health import Health


def note(partition: int, runs: Iterable[Progress], at_ms: int) -> Fact:
    """Return the row that says what these runs of a partition have open at an instant."""
    body = [_run_json(run) for run in sorted(runs, key=lambda run: (run.node, run.run))]
    return Fact(
        kind=FactKind.OPEN,
        key=f"open/{partition}/{at_ms}",
        partition=partition,
        from_ms=at_ms,
        body=json.dumps(body, separators=(",", ":")),
    )


def _run_json(run: Progress) -> list[Any]:
    grouped: dict[tuple[int, int, str | None, str | None, int | None], list[str]] = {}
    for entry in run.open:
        if entry.from_ms < entry.to_ms:
            health = entry.health.value if entry.health else None
            look = (entry.from_ms, entry.to_ms, health, entry.cause, entry.not_before_ms)
            grouped.setdefault(look, []).append(entry.gpu)
    return [
        run.node,
        run.run,
        run.rack,
        run.boot,
        run.seq,
        run.to_ms,
        [[*look, gpus] for look, gpus in grouped.items()],
    ]


def opened(fact: Fact) -> tuple[Progress, ...]:
    """Return what a note says was open, as the progress of its runs."""
    return tuple(
        Progress(
            partition=fact.partition,
            rack=rack,
            node=node,
            run=run,
            boot=boot,
            seq=seq,
            to_ms=to_ms,
            open=tuple(_entries(groups)),
        )
        for node, run, rack, boot, seq, to_ms, groups in json.loads(fact.body)
    )


def _entries(groups: list[Any]) -> Iterator[OpenCoverage]:
    for from_ms, to_ms, health, cause, not_before_ms, gpus in groups:
        for gpu in gpus:
            yield OpenCoverage(
                gpu=gpu,
                from_ms=from_ms,
                to_ms=to_ms,
                health=Health(health) if health else None,
                cause=cause,
                not_before_ms=not_before_ms,
            )
