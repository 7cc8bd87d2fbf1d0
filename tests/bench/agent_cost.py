"""What watching a tray costs: CPU, memory and scrape latency beside two other exporters."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.receiver import receiving
from tests.bench.subjects import BARE, NVITOP, OURS, Running, Subject, running
from tests.bench.table import Table, percentile, progress
from tests.bench.tray import SPEEDS, Speed, load, set_speed
from tests.bench.usage import Usage, usage
from tests.fakedriver.driver import FakeDriver
from tests.processes import get

SETTLE_SECONDS = 5
SCRAPE_SECONDS = 1.0
SUBJECTS = (OURS, NVITOP, BARE)


@dataclass(frozen=True)
class Cost:
    """What one subject cost, scraped once a second."""

    cpu_per_minute: float
    used: Usage
    series: int
    scrapes_ms: tuple[float, ...]
    calls_per_second: float


def run(seconds: int) -> Iterator[Table]:
    """Measure every subject on the same busy tray, at each speed of the driver."""
    for speed in SPEEDS:
        costs = []
        for subject in SUBJECTS:
            progress(f"agent: {subject.name}, {speed.name}, {seconds} s")
            costs.append(_cost(subject, speed, seconds))
        yield _table(speed, costs)


def _cost(subject: Subject, speed: Speed, seconds: int) -> Cost:
    with tempfile.TemporaryDirectory() as name, FakeDriver() as driver, receiving() as bus:
        load(driver)
        set_speed(driver, speed)
        with running(subject, driver, Path(name), bus) as served:
            _scrape(served, SETTLE_SECONDS)
            before, calls = usage(served.process.pid), driver.calls()
            began = time.monotonic()
            scrapes_ms, page = _scrape(served, seconds)
            took = time.monotonic() - began
            after = usage(served.process.pid)
            return Cost(
                cpu_per_minute=(after.cpu_seconds - before.cpu_seconds) * 60 / took,
                used=after,
                series=sum(not line.startswith("#") for line in page.splitlines()),
                scrapes_ms=scrapes_ms,
                calls_per_second=(driver.calls() - calls) / took,
            )


def _scrape(served: Running, times: int) -> tuple[tuple[float, ...], str]:
    """Scrape once a second; return how long each took in ms, and the last page."""
    took, page = [], ""
    for _ in range(times):
        began = time.perf_counter()
        page = get(served.url)
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(max(0.0, SCRAPE_SECONDS - (time.perf_counter() - began)))
    return tuple(took), page


def _table(speed: Speed, costs: list[Cost]) -> Table:
    def row(what: str, figures: list[str], budget: str = "") -> tuple[str, ...]:
        return (what, *figures, budget)

    zero = speed is SPEEDS[0]
    return Table(
        title=speed.name,
        columns=(*(subject.name for subject in SUBJECTS), "budget of threenines"),
        rows=[
            row(
                "CPU, s a minute",
                [f"{cost.cpu_per_minute:.2f}" for cost in costs],
                f"<= 0.30 and < {costs[1].cpu_per_minute:.2f}" if zero else f"< {costs[1].cpu_per_minute:.2f}",
            ),
            row("RSS of all its processes, MiB", [f"{cost.used.rss_mib:.1f}" for cost in costs], "<= 48"),
            row("PSS of all its processes, MiB", [f"{cost.used.pss_mib:.1f}" for cost in costs]),
            row("processes", [str(cost.used.processes) for cost in costs]),
            row("series", [str(cost.series) for cost in costs], ">= 900"),
            row("driver calls a second", [f"{cost.calls_per_second:.0f}" for cost in costs]),
            *(
                row(f"scrape {name}, ms", [f"{percentile(cost.scrapes_ms, share):.1f}" for cost in costs])
                for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
            ),
        ],
    )
