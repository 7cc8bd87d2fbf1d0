"""`make bench`: figures beside the budgets of the design; prints a table, judges nothing.

Each figure names what was measured. Times are of this machine under whatever else it does;
`tests/bench/RESULTS.md` keeps them with machine and date.
"""

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from service.clock import SimulatedClock
from service.core.events import GpuPlaced, GpuSeen, NodeEvent, NodeObserved, RunStarted
from service.core.health import Health
from service.core.ports import Delivery
from service.core.wire import Batch, encode
from service.ledger.store import SqlLedger
from service.recorder import Recorder
from tests.fakedriver.driver import FakeDriver
from tests.processes import ROOT, end, free_port, get, start, threenines, wait_for

BASE = 1_782_864_000_000
AGENT_SECONDS = 30
XIDS = 200


def main() -> None:
    """Run every bench and print a row each: what, figure, budget."""
    print(f"machine: {os.cpu_count()} cores, {os.uname().machine}, Python {sys.version.split()[0]}")
    rows = [*agent_cost(), *xid_latency(), *recorder_rate(), *demo_time()]
    width = max(len(what) for what, _, _ in rows)
    for what, figure, budget in rows:
        print(f"{what:<{width}}  {figure:<24} {budget}")


Row = tuple[str, str, str]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def agent_cost() -> list[Row]:
    """CPU and memory of one agent, 4 GPUs polled and scraped at 1 Hz, service running."""
    with tempfile.TemporaryDirectory() as name, FakeDriver() as driver:
        directory, service_port, node_port = Path(name), free_port(), free_port()
        service = _service(directory, service_port)
        agent = start(
            _agent_command(directory, service_port, node_port),
            env=driver.environment(),
            log=directory / "agent.log",
        )
        url = f"http://127.0.0.1:{node_port}/metrics"
        wait_for("agent", lambda: "gpu_power_watts" in get(url))
        before, took, text = _cpu_seconds(agent.pid), [], ""
        for _ in range(AGENT_SECONDS):
            began = time.perf_counter()
            text = get(url)
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(max(0.0, 1 - (time.perf_counter() - began)))
        spent, peak = _cpu_seconds(agent.pid) - before, _peak_mib(agent.pid)
        series = sum(not line.startswith("#") for line in text.splitlines())
        end(agent)
        end(service)
    return [
        ("agent CPU, 4 GPUs at 1 Hz, scraped at 1 Hz", f"{spent * 60 / AGENT_SECONDS:.2f} CPU-s/min", "<= 0.30"),
        ("agent memory, peak", f"{peak:.1f} MiB", "<= 48"),
        ("agent series", str(series), ">= 900 (next issue)"),
        ("node scrape, p50", f"{statistics.median(took):.1f} ms", ""),
    ]


def _service(directory: Path, port: int) -> "subprocess.Popen[bytes]":
    contract, ledger = str(ROOT / "service/data/demo.yaml"), f"sqlite:///{directory / 'l.db'}"
    arguments = threenines("serve", "--contract", contract, "--ledger", ledger, "--listen", f"127.0.0.1:{port}")
    service = start(arguments, log=directory / "service.log")
    wait_for("service", lambda: "ready" in get(f"http://127.0.0.1:{port}/readyz"))
    return service


def _agent_command(directory: Path, service_port: int, node_port: int) -> list[str]:
    return threenines(
        "agent",
        *("--to", f"http://127.0.0.1:{service_port}", "--rack", "r0001", "--tray", "7"),
        *("--spool", str(directory / "spool"), "--listen", f"127.0.0.1:{node_port}"),
    )


def xid_latency() -> list[Row]:
    """From an XID at the driver to the event handed to the bus, in one process."""
    source = ROOT / "tests/bench/xid_latency.py"
    with FakeDriver() as driver:
        command = [sys.executable, "-m", "tests.bench.xid_latency", str(XIDS)]
        done = subprocess.run(
            command, env=driver.environment(), cwd=source.parents[2], capture_output=True, text=True, check=True
        )
    took = sorted(float(line) for line in done.stdout.split())
    p99 = took[int(len(took) * 0.99)]
    return [
        ("XID at driver to event on the bus, p50", f"{statistics.median(took):.2f} ms", ""),
        ("XID at driver to event on the bus, p99", f"{p99:.2f} ms", "<= 50"),
    ]


def recorder_rate(nodes: int = 500, each: int = 40) -> list[Row]:
    """Observations of 4 GPUs booked into a SQLite file by one thread, in process."""
    chance = random.Random(1)
    deliveries = [_delivery(node, each, chance) for node in range(nodes)]
    with tempfile.TemporaryDirectory() as name:
        ledger = SqlLedger(f"sqlite:///{name}/l.db")
        recorder = Recorder(ledger, SimulatedClock(BASE + 10**9), "mem2")
        began, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
        for first in range(0, nodes, 50):
            recorder.record(deliveries[first : first + 50])
        took, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu
        ledger.close()
    count = nodes * each
    return [
        ("recorder to durable SQLite, observations/s", f"{count / took:,.0f}", ">= 100 000 over NATS (issue 7)"),
        ("recorder CPU per observation of 4 GPUs", f"{used / count * 1e6:.1f} us", "<= 10"),
    ]


def _delivery(node: int, each: int, chance: random.Random) -> Delivery:
    name, run = f"r{node // 18:04d}-t{node % 18 + 1:02d}", f"run{node}"
    gpus = tuple(f"GPU-{node}-{number}" for number in range(4))
    head: dict[str, Any] = {"site": "mem2", "rack": name[:5], "node": name, "slot": 1, "boot": "b", "run": run}
    placed = tuple(GpuPlaced(gpu=gpu, position=at) for at, gpu in enumerate(gpus))
    started = RunStarted(tray=node % 18 + 1, boot_ms=BASE, gpus=placed)
    facts = [encode(NodeEvent(**head, seq=1, at_ms=BASE, sent_ms=BASE, mono_ms=0, event=started))]
    for number in range(each):
        down = chance.random() < 0.001
        seen = tuple(
            GpuSeen(gpu=gpu, health=Health.DOWN if down else Health.UP, cause="gpu:lost" if down else None)
            for gpu in gpus
        )
        at_ms = BASE + number * 5_000
        observed = NodeObserved(
            **head, seq=number + 2, from_ms=at_ms, to_ms=at_ms + 5_000, sent_ms=at_ms, mono_ms=0, gpus=seen
        )
        facts.append(encode(observed))
    batch = Batch(node=name, run=run, first_seq=1, facts=tuple(map(msgspec.Raw, facts)))
    return Delivery(batch=batch, speaker=None, token=node)


def demo_time() -> list[Row]:
    """The headless demo: a month of four racks through the whole path."""
    began = time.perf_counter()
    subprocess.run(threenines("demo", "--headless", "--json"), cwd=ROOT, capture_output=True, check=True)
    return [("headless demo, process start included", f"{time.perf_counter() - began:.1f} s", "<= 45")]


if __name__ == "__main__":
    main()
