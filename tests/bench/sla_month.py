"""One month of 100 000 GPUs: statement, verify, import and any window; beside it 15 s samples in Prometheus."""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.contracts import load
from service.core.contract import Contract, Tenant
from service.core.limits import MINUTE_MS, SECOND_MS
from service.core.model import Place, Span
from service.ledger.store import SqlLedger
from service.projection import Projection
from tests.bench.measured import Measured, measured
from tests.bench.sla_fleet import EVERYTHING, MONTH, Fleet, gpu_name, record, write_spans
from tests.bench.sla_peer import Peer, write_blocks
from tests.bench.table import Table, percentile, progress
from tests.processes import threenines

GPUS = 100_000
PEER_GPUS = 1_000
_TIMES = 3  # a command is run so often, its median told
_WINDOWS = 500
_LARGE_WINDOWS = 20
_PIECES = 5  # spans of one GPU in the imported file
_PEER_RATIO = "avg_over_time(up[30d])"


def run(_seconds: int, gpus: int = GPUS, peer_gpus: int = PEER_GPUS) -> Iterator[Table]:
    """Record the month once, then measure everything that reads it."""
    fleet = Fleet.of(gpus)
    observed = list(fleet.places)[:peer_gpus]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as beside:
        directory = Path(name)
        blocks = beside.submit(write_blocks, fleet, observed, directory)
        began = time.perf_counter()
        record(fleet, directory / "l.db")
        progress(f"sla: recorded in {time.perf_counter() - began:.0f} s")
        fleet.write_contract(directory / "contract.yaml")
        fleet.write_contract(directory / "shared.yaml", shared=True)
        blocks.result()
        yield _commands(fleet, directory)
        yield _imported(fleet, directory)
        yield _windows(fleet, directory)
        yield _beside(fleet, observed, directory)


def _commands(fleet: Fleet, directory: Path) -> Table:
    """Time the commands that read the ledger, as processes of their own."""
    book = ["--ledger", f"sqlite:///{directory / 'l.db'}"]
    terms = ["--contract", str(directory / "contract.yaml"), "--tenant", EVERYTHING, "--month", MONTH, "-o", "json"]
    statement = _median("statement", threenines("statement", *book, *terms), directory)
    verify = _median("verify", threenines("verify", *book), directory)
    drawn = json.loads(statement.output)["objectives"]
    exact_ms = fleet.down_ms(list(fleet.places), fleet.month)
    wrong_ms = max(abs(one["down_ms"] - exact_ms) + one["unknown_ms"] for one in drawn)
    return Table(
        title=f"one month of {fleet.gpus} GPUs, {_size(directory / 'l.db')}, process start included",
        columns=("figure", "budget"),
        rows=[
            (
                "faults, and GPUs that were ever down or degraded",
                f"{_faults(fleet)}, {len(drawn[0]['not_spotless'])}",
                "",
            ),
            ("statement of all of it, seconds", f"{statement.seconds:.2f}", "<= 3"),
            ("statement, CPU seconds", f"{statement.cpu_seconds:.2f}", ""),
            ("statement, peak MiB", f"{statement.peak_mib:.0f}", "<= 1 024"),
            ("statement, error of its downtime in GPU-ms", str(wrong_ms), "0"),
            ("verify, seconds", f"{verify.seconds:.2f}", "<= 10"),
            ("verify, CPU seconds", f"{verify.cpu_seconds:.2f}", ""),
            ("verify, peak MiB", f"{verify.peak_mib:.0f}", ""),
        ],
    )


def _median(what: str, command: Sequence[str], directory: Path) -> Measured:
    """Run a command some times and return the run of median time; the first, which warms the page cache, is not one."""
    runs = []
    for number in range(_TIMES + 1):
        progress(f"sla: {what}, run {number + 1} of {_TIMES + 1}")
        one = measured(command, directory / "commands.log")
        if one.status > 1:  # 1: a target was missed
            raise RuntimeError((directory / "commands.log").read_text())
        runs.append(one)
    return sorted(runs[1:], key=lambda one: one.seconds)[_TIMES // 2]


def _faults(fleet: Fleet) -> int:
    return sum(one.shape.cause is not None for one in fleet.faults)


def _size(path: Path) -> str:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return f"{sum(file.stat().st_size for file in files) / 2**20:.0f} MiB"


def _imported(fleet: Fleet, directory: Path) -> Table:
    """Time an import of the month into an empty ledger, durable at its end."""
    spans = write_spans(fleet, directory / "spans.csv", _PIECES)
    progress(f"sla: import of {spans} spans")
    command = threenines("import", str(directory / "spans.csv"), "--ledger", f"sqlite:///{directory / 'imported.db'}")
    one = measured(command, directory / "commands.log")
    return Table(
        title=f"import of {spans} spans of {fleet.gpus} GPUs, process start included",
        columns=("figure", "budget"),
        rows=[
            ("spans a second", f"{spans / one.seconds:,.0f}", ">= 100 000"),
            ("CPU seconds", f"{one.cpu_seconds:.2f}", ""),
            ("peak MiB", f"{one.peak_mib:.0f}", ""),
        ],
    )


def _windows(fleet: Fleet, directory: Path) -> Table:
    """Time windows of all lengths and tenants of all sizes on the projection of a running service."""
    ledger = SqlLedger(f"sqlite:///{directory / 'l.db'}", read_only=True)
    chance = random.Random(1)
    shared, whole = load(directory / "shared.yaml"), load(directory / "contract.yaml")
    asked = [(chance.choice(shared.tenants), _window(fleet, chance)) for _ in range(_WINDOWS)]
    large = [(whole.tenants[0], _window(fleet, chance)) for _ in range(_LARGE_WINDOWS)]
    took, wrong_ms = _asked(fleet, shared, ledger, asked)
    large_took, large_wrong_ms = _asked(fleet, whole, ledger, large)
    ledger.close()
    sizes = [len(_places(shared, tenant)) for tenant in shared.tenants]
    return Table(
        title=f"any window in the running service, of {len(sizes)} tenants of {min(sizes)} to {max(sizes)} GPUs",
        columns=("all of them", f"one of {fleet.gpus} GPUs", "budget"),
        rows=[
            ("p50, ms", f"{statistics.median(took):.1f}", f"{statistics.median(large_took):.0f}", ""),
            ("p99, ms", f"{percentile(took, 0.99):.1f}", f"{percentile(large_took, 0.99):.0f}", "<= 10"),
            ("error against brute force, GPU-ms", str(wrong_ms), str(large_wrong_ms), "0"),
        ],
    )


def _window(fleet: Fleet, chance: random.Random) -> Span:
    """Return a window of the month: its length between a minute and all of it, each magnitude as likely."""
    whole_ms = fleet.month.length_ms
    length_ms = round(MINUTE_MS * math.exp(chance.uniform(0, math.log(whole_ms / MINUTE_MS))))
    from_ms = fleet.month.from_ms + chance.randint(0, whole_ms - length_ms)
    return Span(from_ms, from_ms + length_ms)


def _asked(
    fleet: Fleet, contract: Contract, ledger: SqlLedger, asked: Sequence[tuple[Tenant, Span]]
) -> tuple[list[float], int]:
    """Return the ms of each query, and how far the worst was from the drawn faults."""
    progress(f"sla: {len(asked)} windows of {len(contract.tenants)} tenants")
    projection = Projection(contract)
    projection.restore(ledger)
    took, wrong_ms = [], 0
    for number, (tenant, window) in enumerate(asked):
        objective = tenant.objectives[number % len(tenant.objectives)]
        began = time.perf_counter()
        result = projection.over(tenant, objective, window)
        took.append((time.perf_counter() - began) * 1000)
        exact_ms = fleet.down_ms(_places(contract, tenant), window)
        wrong_ms = max(wrong_ms, math.ceil(abs(float(result.down_ms - exact_ms))) + result.unknown_ms)
    return took, wrong_ms


def _places(contract: Contract, tenant: Tenant) -> list[Place]:
    return [place for lease in tenant.leases for place in contract.expand(lease)]


def _beside(fleet: Fleet, observed: Sequence[Place], directory: Path) -> Table:
    """Ask Prometheus for the same month, of fewer GPUs, and compare what it says with what happened."""
    exact = {gpu_name(place): fleet.down_ms([place], fleet.month) / SECOND_MS for place in observed}
    peer = Peer(directory)
    idle_mib = peer.peak_mib
    progress(f"sla: {_PEER_RATIO} of {len(observed)} GPUs")
    each = peer.down_seconds(_PEER_RATIO, fleet)
    pool = peer.down_seconds(f"avg({_PEER_RATIO})", fleet)
    again = peer.down_seconds(f"avg({_PEER_RATIO})", fleet)
    peak_mib = peer.peak_mib
    peer.stop()
    errors = [abs(each.down_seconds[gpu] - seconds) for gpu, seconds in exact.items()]
    ever = [error for error, seconds in zip(errors, exact.values(), strict=True) if seconds]
    pool_error = abs(pool.down_seconds["pool"] - sum(exact.values()) / len(exact))
    samples = len(observed) * fleet.month.length_ms // (15 * SECOND_MS)
    return Table(
        title=f"the same month in Prometheus: {len(observed)} of the GPUs, {samples:,} samples",
        columns=("figure",),
        rows=[
            ("size on disk", _size(directory / "tsdb")),
            (f"{_PEER_RATIO} of each GPU, seconds", f"{each.seconds:.2f}"),
            (f"avg({_PEER_RATIO}) of the pool, seconds: first, again", f"{pool.seconds:.2f}, {again.seconds:.2f}"),
            ("peak MiB: before the queries, after", f"{idle_mib:.0f}, {peak_mib:.0f}"),
            ("error of a GPU's downtime, seconds: largest", f"{max(errors):.1f}"),
            (f"the same, mean of the {len(ever)} that were ever down", f"{statistics.fmean(ever) if ever else 0:.1f}"),
            ("error of the pool's downtime, seconds of a GPU", f"{pool_error:.3f}"),
            (
                f"extrapolated, not measured: seconds for all {fleet.gpus} GPUs",
                f"{each.seconds * fleet.gpus / len(observed):.0f}",
            ),
        ],
    )


def main() -> None:
    """Run this bench alone, of other sizes where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, default=GPUS, help="GPUs of the fleet, in whole racks")
    parser.add_argument("--peer-gpus", type=int, default=PEER_GPUS, help="how many of them Prometheus holds")
    arguments = parser.parse_args()
    for table in run(0, arguments.gpus, arguments.peer_gpus):
        sys.stdout.write(f"\n{table.text()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
