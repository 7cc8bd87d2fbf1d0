"""How long an XID takes: from the driver to the bus, and to the counter on the node's page."""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.receiver import Receiver, receiving
from tests.bench.subjects import OURS, Running, running
from tests.bench.table import Table, percentile, progress
from tests.bench.tray import load
from tests.fakedriver.driver import FakeDriver
from tests.processes import get

XIDS = 200
XID = 13
SETTLE_SECONDS = 2.0
GIVE_UP_SECONDS = 10.0
PAUSE_SECONDS = 0.02
_COUNTER = re.compile(rf'^threenines_gpu_xid_events_total\{{[^}}]*xid="{XID}"[^}}]*\}} (\S+)', re.MULTILINE)


def run(_seconds: int) -> Iterator[Table]:
    """Raise XIDs one after another at a running agent and time each, first to the bus, then to the page."""
    with tempfile.TemporaryDirectory() as name, FakeDriver() as driver, receiving() as bus:
        load(driver)
        with running(OURS, driver, Path(name), bus) as served:
            time.sleep(SETTLE_SECONDS)
            progress(f"xid: {XIDS} to the bus")
            to_bus = [_to_bus(driver, bus, number) for number in range(XIDS)]
            progress(f"xid: {XIDS} to the page")
            to_page = [_to_page(driver, served, number) for number in range(XIDS)]
    yield Table(
        title=f"XID at the driver, {XIDS} each",
        columns=("p50 ms", "p99 ms", "max ms", "budget"),
        rows=[_row("to the event on the bus", to_bus), _row("to the counter on the page, scrape included", to_page)],
    )


def _row(what: str, took_ms: list[float]) -> tuple[str, ...]:
    figures = (percentile(took_ms, share) for share in (0.5, 0.99, 1.0))
    return (what, *(f"{figure:.2f}" for figure in figures), "p99 <= 50")


def _to_bus(driver: FakeDriver, bus: Receiver, number: int) -> float:
    wanted = bus.xids + 1
    began = time.perf_counter()
    driver.raise_xid(number % 4, XID)
    arrived = bus.wait_for_xids(wanted, GIVE_UP_SECONDS)
    assert arrived is not None, "an XID never reached the bus"
    time.sleep(PAUSE_SECONDS)
    return (arrived - began) * 1000


def _to_page(driver: FakeDriver, served: Running, number: int) -> float:
    wanted = _count(served) + 1
    began = time.perf_counter()
    driver.raise_xid(number % 4, XID)
    while _count(served) < wanted:
        assert time.perf_counter() - began < GIVE_UP_SECONDS, "an XID never reached the page"
    return (time.perf_counter() - began) * 1000


def _count(served: Running) -> float:
    return sum(map(float, _COUNTER.findall(get(served.url))))
