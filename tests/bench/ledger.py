"""Figures of the ledger: verify of a month, restart of the service, import of spans."""

import itertools
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from service import backfill
from service.clock import SimulatedClock
from service.core import limits
from service.core.facts import Fact, FactKind, OpenCoverage, Progress
from service.core.health import Health
from service.core.model import partition_of
from service.core.open_notes import note
from service.core.periods import utc_text
from service.ledger.checkpoint import checkpoints_of
from service.ledger.seal_files import export, load
from service.ledger.store import SqlLedger
from service.recorder import Recorder
from service.restart import Checkpoint, NoCheckpoints, folded
from service.sealing import Sealer
from service.verify import verify

Row = tuple[str, str, str]
BASE = 1_782_864_000_000
NODES = 25_000  # of four GPUs
CHANGES_A_DAY = 1_500  # of GPUs; at 0.4736 faults per 1 000 GPU-days a tray each, 100 000 GPUs have some 600
DAYS = 31
SPANS = 400_000


def ledger_figures() -> list[Row]:
    """Verify and restart on one month of 100 000 GPUs, then the rate of an import."""
    with tempfile.TemporaryDirectory() as name:
        url, seals = f"sqlite:///{name}/l.db", Path(name) / "seals"
        write_month(url, seals)
        size = Path(name, "l.db").stat().st_size / 2**20
        return [
            ("ledger of a month, 100 000 GPUs", f"{size:.0f} MiB", ""),
            *_verified(url, seals),
            *_restarted(url),
            *import_rate(),
        ]


def _verified(url: str, seals: Path) -> list[Row]:
    ledger = SqlLedger(url, read_only=True)
    began = time.perf_counter()
    report = verify(ledger, load(seals))
    took = time.perf_counter() - began
    ledger.close()
    assert not report.findings, report.findings[:3]
    return [(f"verify of that month, {report.rows:,} rows, {report.seals} seals", f"{took:.1f} s", "<= 10")]


def _restarted(url: str) -> list[Row]:
    checkpoints, rows = checkpoints_of(url), []
    for what, kept in (("by replay", NoCheckpoints()), ("by checkpoint", checkpoints)):
        ledger = SqlLedger(url)
        began = time.perf_counter()
        fold = folded(ledger, kept)
        Recorder(ledger, SimulatedClock(BASE), "mem2", fold.placed)
        for entry in ledger.progress():
            fold.history.follow(entry)
        rows.append(
            (f"restart {what}, 100 000 GPUs, a month", f"{time.perf_counter() - began:.1f} s", "<= 15 at 550 000")
        )
        checkpoints.save(Checkpoint(cut=ledger.cut(), state=fold.state()))
        ledger.close()
    return rows


def write_month(url: str, seals: Path) -> None:
    """Write a month of a site: placements, changes, what was open each day, and a seal a day."""
    ledger, clock, chance = SqlLedger(url), SimulatedClock(BASE), random.Random(1)
    sealer = Sealer(ledger, clock, export=lambda one: export(one, seals))
    runs = [_run(number) for number in range(NODES)]
    for start in range(0, NODES, 5_000):
        facts = [fact for run in runs[start : start + 5_000] for fact in _placements(run)]
        ledger.commit(facts, runs[start : start + 5_000], BASE)
    by_partition = [list(group) for _, group in itertools.groupby(sorted(runs, key=_partition), key=_partition)]
    for day in range(DAYS):
        at_ms = BASE + (day + 1) * limits.DAY_MS
        ledger.commit(list(_changes(chance, runs, day)), [], at_ms - 1)
        clock.advance_to(at_ms)
        ledger.commit(
            [note(group[0].partition, [_grown(run, at_ms) for run in group], at_ms) for group in by_partition],
            [],
            at_ms,
        )
        due = sealer.due()
        if due is not None:
            sealer.seal(due)
    ledger.close()


def _partition(run: Progress) -> int:
    return run.partition


def _run(number: int) -> Progress:
    rack, node = f"r{number // 18 + 1:04d}", f"r{number // 18 + 1:04d}-t{number % 18 + 1:02d}"
    entries = tuple(
        OpenCoverage(
            gpu=f"GPU-{number:08x}-0000-4000-8000-{at:012x}", from_ms=BASE, to_ms=BASE + 5_000, health=Health.UP
        )
        for at in range(4)
    )
    run = f"01J{number:023d}"
    return Progress(
        partition=partition_of(rack),
        rack=rack,
        node=node,
        run=run,
        boot="b" * 36,
        seq=9,
        to_ms=BASE + 5_000,
        open=entries,
    )


def _grown(run: Progress, to_ms: int) -> Progress:
    entry = run.open[0]
    grown = tuple(
        OpenCoverage(gpu=one.gpu, from_ms=entry.from_ms, to_ms=to_ms, health=entry.health) for one in run.open
    )
    return Progress(
        partition=run.partition,
        rack=run.rack,
        node=run.node,
        run=run.run,
        boot=run.boot,
        seq=9,
        to_ms=to_ms,
        open=grown,
    )


def _placements(run: Progress) -> Iterator[Fact]:
    tray = int(run.node[-2:])
    for at, entry in enumerate(run.open):
        place = f"{run.rack}/t{tray:02d}/g{at}"
        key = f"placement/{place}/{entry.gpu}/{run.run}/1"
        yield Fact(
            kind=FactKind.PLACEMENT, key=key, partition=run.partition, from_ms=BASE, rack=run.rack, node=run.node,
            run=run.run, seq=1, gpu=entry.gpu, body=place,
        )  # fmt: skip


def _changes(chance: random.Random, runs: list[Progress], day: int) -> Iterator[Fact]:
    for number in range(CHANGES_A_DAY):
        run = chance.choice(runs)
        from_ms = BASE + day * limits.DAY_MS + number * 50_000
        for at, (health, cause) in enumerate(((Health.UP, None), (Health.DOWN, "gpu:lost"))):
            start_ms = from_ms + at * 10_000
            gpu = run.open[number % 4].gpu
            yield Fact(
                kind=FactKind.COVERAGE, key=f"coverage/{run.node}/{run.run}/{gpu}/{start_ms}", partition=run.partition,
                from_ms=start_ms, to_ms=start_ms + 10_000, rack=run.rack, node=run.node, run=run.run,
                seq=day * CHANGES_A_DAY + number, gpu=gpu, health=health, cause=cause,
            )  # fmt: skip


def import_rate(spans: int = SPANS) -> list[Row]:
    """A CSV of spans into a new ledger, every commit durable; then the same again, which changes nothing."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "spans.csv"
        _write_spans(file, spans)
        rows = []
        ledger = SqlLedger(f"sqlite:///{name}/l.db")
        for what in ("import", "the same import again"):
            began, cpu = time.perf_counter(), time.process_time()
            report = backfill.run(file, ledger, BASE, 4, lambda _: None)
            took, used = time.perf_counter() - began, time.process_time() - cpu
            assert report.taken + report.known == spans
            figure = f"{spans / took:,.0f} ({used / spans * 1e6:.1f} us CPU each)"
            rows.append((f"{what}, spans/s", figure, ">= 100 000" if what == "import" else ""))
        ledger.close()
    return rows


def _write_spans(file: Path, spans: int) -> None:
    with file.open("w") as out:
        out.write("gpu,rack,tray,health,cause,from,to\n")
        for number in range(spans):
            gpu, step = divmod(number, 20)
            from_ms = BASE + step * 3_600_123
            look = "up," if step % 2 == 0 else "down,gpu:lost"
            place = f"r{gpu // 72 + 1:04d},{gpu % 72 // 4 + 1}"
            times = f"{utc_text(from_ms)},{utc_text(from_ms + 3_600_123)}"
            out.write(f"GPU-{gpu:08x}-0000-4000-8000-000000000000,{place},{look},{times}\n")
