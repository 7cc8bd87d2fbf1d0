"""How many observations a second the recorder books into a durable ledger."""

import random
import resource
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from service.clock import SimulatedClock
from service.core.events import GpuPlaced, GpuSeen, NodeEvent, NodeObserved, RunStarted
from service.core.health import Health
from service.core.ports import Delivery
from service.core.wire import Batch, encode
from service.ledger.store import SqlLedger
from service.recorder import Recorder
from tests.bench.table import Table, progress

BASE_MS = 1_782_864_000_000
NODES = 500
EACH = 40
BATCHES_AT_ONCE = 50


def run(_seconds: int) -> Iterator[Table]:
    """Book observations of 4 GPUs into a SQLite file by one thread, in process."""
    progress(f"recorder: {NODES * EACH} observations")
    chance = random.Random(1)
    deliveries = [_delivery(node, chance) for node in range(NODES)]
    with tempfile.TemporaryDirectory() as name:
        ledger = SqlLedger(f"sqlite:///{name}/l.db")
        recorder = Recorder(ledger, SimulatedClock(BASE_MS + 10**9), "mem2")
        began, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
        for first in range(0, NODES, BATCHES_AT_ONCE):
            recorder.record(deliveries[first : first + BATCHES_AT_ONCE])
        took, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu
        ledger.close()
    count = NODES * EACH
    yield Table(
        title="recorder to durable SQLite, observations of 4 GPUs",
        columns=("figure", "budget"),
        rows=[
            ("observations a second", f"{count / took:,.0f}", ">= 100 000 over NATS (issue 7)"),
            ("CPU an observation, us", f"{used / count * 1e6:.1f}", "<= 10"),
        ],
    )


def _delivery(node: int, chance: random.Random) -> Delivery:
    name, run_id = f"r{node // 18:04d}-t{node % 18 + 1:02d}", f"run{node}"
    gpus = tuple(f"GPU-{node}-{number}" for number in range(4))
    head: dict[str, Any] = {"site": "mem2", "rack": name[:5], "node": name, "slot": 1, "boot": "b", "run": run_id}
    placed = tuple(GpuPlaced(gpu=gpu, position=at) for at, gpu in enumerate(gpus))
    started = RunStarted(tray=node % 18 + 1, boot_ms=BASE_MS, gpus=placed)
    facts = [encode(NodeEvent(**head, seq=1, at_ms=BASE_MS, sent_ms=BASE_MS, mono_ms=0, event=started))]
    facts += [encode(_observed(head, gpus, number, chance)) for number in range(EACH)]
    batch = Batch(node=name, run=run_id, first_seq=1, facts=tuple(map(msgspec.Raw, facts)))
    return Delivery(batch=batch, speaker=None, token=node)


def _observed(head: dict[str, Any], gpus: tuple[str, ...], number: int, chance: random.Random) -> NodeObserved:
    down = chance.random() < 0.001
    seen = tuple(
        GpuSeen(gpu=gpu, health=Health.DOWN if down else Health.UP, cause="gpu:lost" if down else None) for gpu in gpus
    )
    at_ms = BASE_MS + number * 5_000
    return NodeObserved(**head, seq=number + 2, from_ms=at_ms, to_ms=at_ms + 5_000, sent_ms=at_ms, mono_ms=0, gpus=seen)
