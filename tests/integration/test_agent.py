"""The agent on the simulated driver: hangs, reloads, missing GPUs, full spools, a missing service."""

import ctypes
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.agent import Agent, AgentSettings
from collectors.clock import HostBoot, SystemClock
from collectors.nvml import NvmlDevice
from collectors.spool import DiskSpool, Spool
from service.bus.memory import MemoryBus
from service.core import limits
from service.core.errors import BusUnavailable
from service.core.ports import Clock
from service.core.wire import Batch, Receipt
from tests.fakedriver.driver import STATE_VARIABLE, FakeDriver, build

Fact = dict[str, Any]


class Service:
    """Takes every batch, answers with receipts, and keeps the facts; can be away."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.away = False
        self.facts: dict[tuple[str, int], Fact] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for delivery in self.bus.take(10, 0.05):
                batch = delivery.batch
                for seq, raw in enumerate(batch.facts, start=batch.first_seq):
                    self.facts.setdefault((batch.run, seq), json.loads(bytes(raw)))
                last = batch.first_seq + len(batch.facts) - 1
                self.bus.settle(delivery, Receipt(node=batch.node, run=batch.run, seq=last, hub_ms=0))

    def events(self, kind: str) -> list[Fact]:
        """Return the events of a kind in order."""
        found = [fact for _, fact in sorted(self.facts.items()) if fact["type"] == "node.event"]
        return [fact for fact in found if fact["event"]["kind"] == kind]

    def spans(self, gpu: str) -> list[tuple[str, int, int, str | None, str | None]]:
        """Return (run, from, to, health, cause) of a GPU in order."""
        return [
            (run, fact["from_ms"], fact["to_ms"], seen["health"], seen.get("cause"))
            for (run, _), fact in sorted(self.facts.items())
            if fact["type"] == "node.observed"
            for seen in fact["gpus"]
            if seen["gpu"] == gpu
        ]

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()


class Rig:
    """An agent in a thread, with everything around it."""

    def __init__(self, directory: Path, driver: FakeDriver, *, clock: Clock | None = None) -> None:
        self.driver, self.directory = driver, directory
        self.service = Service()
        self.clock = clock or SystemClock()
        self.uuids = [driver.uuid(gpu) for gpu in range(4)]

    def start(self, spool: Spool | None = None, publisher: Any = None) -> None:
        """Begin a life of the agent."""
        settings = AgentSettings(
            site="mem2", rack="r0001", node="r0001-t07", tray=7, slot=25, interval_ms=100, heartbeat_ms=500
        )
        self.agent = Agent(
            settings,
            NvmlDevice(),
            spool or DiskSpool(self.directory / "spool"),
            publisher or self.service.bus.publisher(),
            self.clock,
            HostBoot("boot", 1_782_864_000_000),
        )
        self._thread = threading.Thread(target=self.agent.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it cleanly."""
        self.agent.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


def until(what: str, ready: Callable[[], bool], seconds: float = 15) -> None:
    """Wait, bounded."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A tray of four healthy GPUs and an agent that is not started yet."""
    ctypes.CDLL(str(build() / "libnvidia-ml.so.1"), ctypes.RTLD_GLOBAL)
    with FakeDriver() as driver:
        os.environ[STATE_VARIABLE] = driver.environment()[STATE_VARIABLE]
        made = Rig(tmp_path, driver)
        yield made
        made.service.stop()
        del os.environ[STATE_VARIABLE]


def test_a_run_is_told_from_start_to_clean_stop_without_a_hole(rig: Rig) -> None:
    """Numbers have no gaps, observations touch, the inventory comes first and the goodbye last."""
    rig.start()
    until("observations", lambda: len(rig.service.spans(rig.uuids[0])) >= 3)
    rig.stop()
    facts = [fact for _, fact in sorted(rig.service.facts.items())]
    spans = rig.service.spans(rig.uuids[0])

    assert [fact["seq"] for fact in facts] == list(range(1, len(facts) + 1))
    assert facts[0]["event"]["kind"] == "run_started"
    assert [gpu["gpu"] for gpu in facts[0]["event"]["gpus"]] == rig.uuids
    assert facts[-1]["event"]["kind"] == "clean_stop"
    assert all(one[2] == two[1] for one, two in itertools.pairwise(spans))
    assert {span[3] for span in spans[1:]} == {"up"}


def test_an_xid_reaches_the_bus_and_cuts_coverage_at_the_event(rig: Rig) -> None:
    """The GPU is down from the event's own instant; its neighbours stay up."""
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.driver.raise_xid(1, 79)
    rig.driver.set_gpu_error(1, 15)
    until("down", lambda: any(span[3] == "down" for span in rig.service.spans(rig.uuids[1])))
    rig.stop()
    (event,) = rig.service.events("xid")
    down = next(span for span in rig.service.spans(rig.uuids[1]) if span[3] == "down")

    assert (event["event"]["xid"], event["gpu"]) == (79, rig.uuids[1])
    assert (down[1], down[4]) == (event["at_ms"], "xid:79")
    assert {span[3] for span in rig.service.spans(rig.uuids[2])[1:]} == {"up"}


def test_a_hung_gpu_is_unknown_and_its_neighbours_go_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that never returns is nobody's evidence: null since its last good reading, others up."""
    monkeypatch.setattr(limits, "CALL_DEADLINE_MS", 400)
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[2])))
    rig.driver.set_hang(2, 60_000)
    until("hung", lambda: any(span[4] == "agent:hung_call" for span in rig.service.spans(rig.uuids[2])), seconds=20)
    shown = rig.agent.shown.overdue
    rig.driver.set_hang(2, 0)
    until("back", lambda: rig.service.spans(rig.uuids[2])[-1][3] == "up", seconds=20)
    rig.stop()
    hung = [span for span in rig.service.spans(rig.uuids[2]) if span[4] == "agent:hung_call"]

    assert shown == (rig.uuids[2],)
    assert {span[3] for span in hung} == {None}
    assert {span[3] for span in rig.service.spans(rig.uuids[0])[1:]} == {"up"}


def test_a_driver_reload_is_a_new_run_without_a_restart(rig: Rig) -> None:
    """The reload itself takes nobody down: its time is unknown, and a new run follows."""
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.driver.reload()
    until("second run", lambda: len({run for run, _ in rig.service.facts}) == 2)
    until("back", lambda: rig.service.spans(rig.uuids[0])[-1][3] == "up")
    rig.stop()

    assert len(rig.service.events("run_started")) == 2
    assert {span[3] for span in rig.service.spans(rig.uuids[0])} <= {"up", None}


def test_a_gpu_that_was_here_and_is_gone_is_missing_at_its_place(rig: Rig) -> None:
    """After a restart without one GPU its neighbours keep their positions and it is down, missing."""
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.stop()
    rig.driver.set_absent(1)
    rig.start()
    until("missing", lambda: any(span[4] == "gpu:missing" for span in rig.service.spans(rig.uuids[1])))
    rig.stop()
    started = rig.service.events("run_started")[-1]["event"]["gpus"]

    assert {gpu["gpu"]: gpu["position"] for gpu in started} == dict(zip(rig.uuids, range(4), strict=True))
    assert rig.service.spans(rig.uuids[1])[-1][3] == "down"


class _Away:
    """A publisher whose service is away until told otherwise."""

    def __init__(self, real: Any) -> None:
        self.real, self.away = real, True

    def publish(self, batch: Batch) -> None:
        if self.away:
            raise BusUnavailable("away")
        self.real.publish(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_what_was_spooled_while_the_service_was_away_arrives_later(rig: Rig) -> None:
    """Nothing is lost, nothing doubled, and the spool is empty again but for the live segment."""
    publisher = _Away(rig.service.bus.publisher())
    rig.start(publisher=publisher)
    until("facts in the spool", lambda: rig.agent.shown.facts >= 4)
    before = dict(rig.service.facts)
    publisher.away = False
    until("all of it", lambda: len(rig.service.facts) >= 6, seconds=30)
    rig.stop()

    assert before == {}
    assert [seq for _, seq in sorted(rig.service.facts)] == list(range(1, len(rig.service.facts) + 1))


def test_a_full_spool_is_told_as_a_gap_and_numbers_stay_whole(rig: Rig) -> None:
    """What the spool refused is counted and named; the run goes on without a hole in its numbers."""
    publisher = _Away(rig.service.bus.publisher())
    spool = DiskSpool(rig.directory / "spool", limit_bytes=limits.SPOOL_RESERVE_BYTES + 3_000)
    rig.start(spool, publisher)
    until("lost facts", lambda: rig.agent.shown.lost_facts > 0, seconds=30)
    publisher.away = False
    until("gap told", lambda: bool(rig.service.events("spool_gap")), seconds=30)
    rig.stop()
    gap = rig.service.events("spool_gap")[0]["event"]

    assert [seq for _, seq in sorted(rig.service.facts)] == list(range(1, len(rig.service.facts) + 1))
    assert gap["facts"] >= 1
    assert gap["reason"] == "full"
    assert gap["from_ms"] <= gap["to_ms"]


class _Jumping(SystemClock):
    """A wall clock that can be moved while the monotonic clock runs on."""

    offset_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.offset_ms


def test_a_wall_clock_that_jumps_begins_a_new_run_and_stretches_no_span(rig: Rig) -> None:
    """One hour of wall-clock jump adds no hour of coverage to any run."""
    clock = _Jumping()
    rig.clock = clock
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    clock.offset_ms = 3_600_000
    until("second run", lambda: len(rig.service.events("run_started")) == 2)
    until("observations", lambda: len({span[0] for span in rig.service.spans(rig.uuids[0])}) == 2)
    rig.stop()

    assert max(span[2] - span[1] for span in rig.service.spans(rig.uuids[0])) < 10_000
