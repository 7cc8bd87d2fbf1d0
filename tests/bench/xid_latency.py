"""Prints, a line each in ms, how long an XID takes from the driver to the agent's bus."""

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from collectors.agent import Agent, AgentSettings
from collectors.clock import HostBoot, SystemClock
from collectors.nvml import NvmlDevice
from collectors.spool import DiskSpool
from service.bus.memory import MemoryBus
from service.core.wire import Receipt
from tests.fakedriver.driver import STATE_VARIABLE, FakeDriver


def main(count: int) -> None:
    """Raise XIDs one after another and time each until its event is taken from the bus."""
    driver = FakeDriver(Path(os.environ[STATE_VARIABLE]), attach=True)
    bus = MemoryBus()
    settings = AgentSettings(site="mem2", rack="r0001", node="r0001-t07", tray=7, slot=1)
    with tempfile.TemporaryDirectory() as name:
        spool = DiskSpool(Path(name) / "spool")
        agent = Agent(settings, NvmlDevice(), spool, bus.publisher(), SystemClock(), HostBoot("b", 1_782_864_000_000))
        thread = threading.Thread(target=agent.run, daemon=True)
        thread.start()
        time.sleep(1.5)
        _settle(bus, 0.5)
        for number in range(count):
            began = time.perf_counter()
            driver.raise_xid(number % 4, 13)
            while not _settle(bus, 1.0):
                pass
            print((time.perf_counter() - began) * 1000)
            time.sleep(0.01)
        agent.stop()
        thread.join(10)


def _settle(bus: MemoryBus, wait_seconds: float) -> bool:
    """Answer what waits; return whether an XID was among it."""
    found = False
    for delivery in bus.take(100, wait_seconds):
        batch = delivery.batch
        kinds = [json.loads(bytes(raw)).get("event", {}).get("kind") for raw in batch.facts]
        found = found or "xid" in kinds
        last = batch.first_seq + len(batch.facts) - 1
        bus.settle(delivery, Receipt(node=batch.node, run=batch.run, seq=last, hub_ms=0))
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]))
