"""The agent on the simulated driver: hangs, reloads, missing GPUs, full spools, a missing service."""

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectors.agent import Agent
from collectors.catalogue import Round
from collectors.clock import HostBoot, SystemClock
from collectors.device import Device, DeviceEvent, Inventory, Reading, Survey
from collectors.isolated import IsolatedDevice
from collectors.runs import AgentSettings
from collectors.spool import DiskSpool
from service.bus.memory import MemoryBus
from service.core import limits
from service.core.errors import BusUnavailable
from service.core.ports import Clock
from service.core.wire import Batch, Receipt
from tests.fakedriver.driver import STATE_VARIABLE, FakeDriver, Place

Fact = dict[str, Any]
Span = tuple[str, int, int, str | None, str | None]  # run, from, to, health, cause


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

    def spans(self, gpu: str) -> list[Span]:
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
        self.device = IsolatedDevice()
        self.uuids = [driver.uuid(gpu) for gpu in range(4)]

    def start(
        self,
        spool: DiskSpool | None = None,
        publisher: Any = None,
        *,
        device: Device | None = None,
        counts: bool = False,
    ) -> None:
        """Begin a life of the agent."""
        settings = AgentSettings(site="mem2", rack="r0001", node="r0001-t07", tray=7, interval_ms=100, heartbeat_ms=500)
        self.agent = Agent(
            settings,
            device or self.device,
            spool or DiskSpool(self.directory / "spool"),
            publisher or self.service.bus.publisher(),
            self.clock,
            HostBoot("boot", 1_782_864_000_000),
            counter=IsolatedDevice() if counts else None,
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
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A tray of four healthy GPUs and an agent that is not started yet."""
    with FakeDriver() as driver:
        for name in (STATE_VARIABLE, "LD_LIBRARY_PATH"):  # what the collector process inherits
            monkeypatch.setenv(name, driver.environment()[name])
        made = Rig(tmp_path, driver)
        yield made
        made.service.stop()


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
    assert {fact["slot"] for fact in facts} == {Place().slot}
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
    monkeypatch.setattr(limits, "CALL_DEADLINE_MS", 1_500)  # beyond what the neighbours wait for their turn
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


@pytest.mark.parametrize("jump_ms", [limits.HOUR_MS, -limits.HOUR_MS, 2 * limits.REANCHOR_MS])
def test_a_wall_clock_that_jumps_begins_a_new_run_and_stretches_no_span(rig: Rig, jump_ms: int) -> None:
    """One hour of wall-clock jump, forth or back, adds no hour of coverage to any run; so does half a second."""
    clock = _Jumping()
    rig.clock = clock
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    clock.offset_ms = jump_ms
    until("second run", lambda: len(rig.service.events("run_started")) == 2)
    until("observations", lambda: len({span[0] for span in rig.service.spans(rig.uuids[0])}) == 2)
    rig.stop()

    assert max(span[2] - span[1] for span in rig.service.spans(rig.uuids[0])) < 10_000


# The driver hangs, or its collector dies


def test_a_driver_that_hangs_as_a_whole_takes_nobody_down_and_costs_it_its_collector(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the driver's global lock all four are null, none is down; the collector is replaced and all come back."""
    monkeypatch.setattr(limits, "CALL_DEADLINE_MS", 400)
    monkeypatch.setattr(limits, "DRIVER_HUNG_MS", 1_500)
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    pid = rig.device.pid
    rig.driver.set_global_lock(held=True)
    rig.driver.set_hang(0, 600_000)
    until("replaced", lambda: rig.agent.shown.collector_restarts > 0, seconds=30)
    rig.driver.set_hang(0, 0)
    until("back", lambda: all(rig.service.spans(gpu)[-1][3] == "up" for gpu in rig.uuids), seconds=40)
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("gpu-")]
    rig.stop()
    hung = {span[4] for gpu in rig.uuids for span in rig.service.spans(gpu)} - {None, "agent:edge"}
    neighbours = [pair for gpu in rig.uuids for pair in itertools.pairwise(rig.service.spans(gpu))]

    assert all(one[2] == two[1] for one, two in neighbours if one[0] == two[0])
    assert rig.device.pid != pid
    assert {span[3] for gpu in rig.uuids for span in rig.service.spans(gpu)} == {"up", None}
    assert "driver:hung" in hung
    assert sorted(threads) == ["gpu-0", "gpu-1", "gpu-2", "gpu-3"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_collector_that_dies_is_replaced_and_nothing_is_told_twice(rig: Rig, number: signal.Signals) -> None:
    """Its end takes nobody down; XIDs from before are not told again; coverage begins anew with an edge."""
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.driver.raise_xid(1, 13)
    until("the XID", lambda: bool(rig.service.events("xid")))
    assert rig.device.pid is not None
    os.kill(rig.device.pid, number)
    until("second run", lambda: len(rig.service.events("run_started")) == 2)
    until("back", lambda: rig.service.spans(rig.uuids[1])[-1][3] == "up")
    rig.driver.raise_xid(1, 13)
    until("the second XID", lambda: len(rig.service.events("xid")) == 2)
    rig.stop()
    runs = list(dict.fromkeys(run for run, _ in sorted(rig.service.facts)))
    second = [span for span in rig.service.spans(rig.uuids[1]) if span[0] == runs[1]]

    assert len(rig.service.events("xid")) == 2
    assert rig.agent.shown.xids == {(rig.uuids[1], 13): 2}
    assert rig.agent.shown.collector_restarts == 1
    assert {span[3] for span in rig.service.spans(rig.uuids[0])} <= {"up", None}
    assert second[0][3:] in {("up", None), (None, "agent:edge")}


# No driver, another driver


@pytest.mark.parametrize(
    ("code", "cause", "health"),
    [
        (9, "driver:not_loaded", "down"),
        (18, "driver:version_mismatch", None),
        (12, "driver:library_missing", None),
    ],
)
def test_a_driver_that_is_not_there_at_start_is_told_for_those_who_were(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, code: int, cause: str, health: str | None
) -> None:
    """What was on the tray is told with the cause, contiguously, until the driver comes; then it is up again."""
    monkeypatch.setattr(limits, "DRIVER_RETRY_MS", 200)
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.stop()
    rig.driver.set_init_error(code)
    rig.start()

    def told(gpu: str) -> list[Span]:
        return [span for span in rig.service.spans(gpu) if span[4] == cause]

    until("the cause", lambda: all(len(told(gpu)) >= 3 for gpu in rig.uuids))
    shown = set(rig.agent.shown.health.values())
    rig.driver.set_init_error(0)
    until("back", lambda: rig.service.spans(rig.uuids[0])[-1][3] == "up")
    rig.stop()

    for gpu in rig.uuids:
        assert {span[3] for span in told(gpu)} == {health}
        assert all(one[2] == two[1] for one, two in itertools.pairwise(told(gpu)))
    assert shown == {health or "unknown"}
    assert any(cause in event["event"]["text"] for event in rig.service.events("driver_reload"))


def test_of_gpus_that_nobody_ever_saw_nothing_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first start without a driver is a run with an event and no observation."""
    monkeypatch.setattr(limits, "DRIVER_RETRY_MS", 100)
    rig.driver.set_init_error(9)
    rig.start()
    until("the event", lambda: bool(rig.service.events("driver_reload")))
    time.sleep(1)
    rig.stop()

    assert rig.service.events("run_started")[0]["event"]["gpus"] == []
    assert {fact["type"] for fact in rig.service.facts.values()} == {"node.event"}
    assert rig.service.events("clean_stop")


def test_a_driver_upgraded_under_the_agent_is_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reloaded with a mismatch the tray is null, not down; once they agree, up under the new version."""
    monkeypatch.setattr(limits, "DRIVER_RETRY_MS", 200)
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.driver.unload(init_error=18)
    until("told", lambda: any(span[4] == "driver:version_mismatch" for span in rig.service.spans(rig.uuids[3])))
    rig.driver.load(driver_version="590.44.01")
    until("back", lambda: rig.service.spans(rig.uuids[3])[-1][3] == "up")
    rig.stop()

    assert {span[3] for span in rig.service.spans(rig.uuids[3])} == {"up", None}
    assert rig.service.events("run_started")[-1]["event"]["driver"] == "590.44.01"


def test_a_driver_unloaded_under_the_agent_is_down_until_it_is_loaded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reload itself is null; a module that stays away is an outage of everyone; then all are up again."""
    monkeypatch.setattr(limits, "DRIVER_RETRY_MS", 200)
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.driver.unload()
    until("down", lambda: any(span[3] == "down" for span in rig.service.spans(rig.uuids[0])))
    rig.driver.load()
    until("back", lambda: rig.service.spans(rig.uuids[0])[-1][3] == "up")
    rig.stop()

    assert {span[4] for span in rig.service.spans(rig.uuids[0]) if span[3] == "down"} == {"driver:not_loaded"}


# GPUs that go and come


@pytest.mark.parametrize(("code", "cause"), [(15, "gpu:lost"), (16, "gpu:reset_required")])
def test_a_gpu_that_fails_and_comes_back_is_up_again_without_a_restart(rig: Rig, code: int, cause: str) -> None:
    """Lost or in need of a reset it is down by evidence, and up by evidence in the same run."""
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[2])))
    rig.driver.set_gpu_error(2, code)
    until("down", lambda: any(span[4] == cause for span in rig.service.spans(rig.uuids[2])))
    rig.driver.set_gpu_error(2, 0)
    until("back", lambda: rig.service.spans(rig.uuids[2])[-1][3] == "up")
    rig.stop()

    assert len(rig.service.events("run_started")) == 1
    assert {span[3] for span in rig.service.spans(rig.uuids[1])} <= {"up", None}


def test_a_missing_gpu_that_comes_back_is_welcomed_without_a_restart(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted afresh, the one that was missing is opened, and up at the position that it always had."""
    monkeypatch.setattr(limits, "CENSUS_MS", 300)
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.stop()
    rig.driver.set_absent(1)
    rig.start(counts=True)
    until("missing", lambda: any(span[4] == "gpu:missing" for span in rig.service.spans(rig.uuids[1])))
    rig.driver.set_absent(1, absent=False)
    until("back", lambda: rig.service.spans(rig.uuids[1])[-1][3] == "up")
    rig.stop()
    started = rig.service.events("run_started")[-1]["event"]["gpus"]

    assert {gpu["gpu"]: gpu["position"] for gpu in started} == dict(zip(rig.uuids, range(4), strict=True))
    assert {span[3] for span in rig.service.spans(rig.uuids[0])} <= {"up", None}
    assert rig.agent.shown.collector_restarts == 0


def test_a_driver_that_shows_no_gpu_at_all_has_lost_them_all(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared with what was remembered every GPU is missing: down, each at its place."""
    monkeypatch.setattr(limits, "DRIVER_RETRY_MS", 200)
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.stop()
    for gpu in range(4):
        rig.driver.set_absent(gpu)
    rig.start()
    until("missing", lambda: all(rig.service.spans(gpu)[-1][4] == "gpu:missing" for gpu in rig.uuids))
    for gpu in range(4):
        rig.driver.set_absent(gpu, absent=False)
    until("back", lambda: all(rig.service.spans(gpu)[-1][3] == "up" for gpu in rig.uuids))
    rig.stop()

    assert {span[3] for span in rig.service.spans(rig.uuids[0]) if span[4] == "gpu:missing"} == {"down"}


class _Garbling:
    """The simulated tray through a hand that spoils what it says of its GPUs."""

    def __init__(self, real: Device, spoil: Callable[[Inventory], Inventory]) -> None:
        self._real, self._spoil = real, spoil

    def open(self) -> Inventory:
        return self._spoil(self._real.open())

    def read(self, gpu: str) -> Reading:
        return self._real.read(gpu)

    def survey(self, gpu: str, one: Round) -> Survey:
        return self._real.survey(gpu, one)

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        return tuple(replace(event, gpu="\udcff no GPU") for event in self._real.wait_events(timeout_ms))

    def close(self) -> None:
        self._real.close()


@pytest.mark.parametrize("kind", ["hangs", "is forbidden"])
def test_a_gpu_that_does_not_say_who_it_is_is_not_missing(rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Who is counted and does not answer is null beside neighbours that are up, and up itself once it answers."""
    monkeypatch.setattr(limits, "CENSUS_MS", 300)
    monkeypatch.setattr(limits, "CENSUS_WHOLE_MS", 1_000)  # also: how soon opening anew is tried again
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.stop()
    told = len(rig.service.spans(rig.uuids[0]))
    if kind == "hangs":
        rig.driver.set_hang(3, 600_000)
    else:
        rig.driver.set_gpu_error(3, 4)
    rig.start(counts=True)
    until("null", lambda: any(span[4] == "agent:unreadable" for span in rig.service.spans(rig.uuids[3])), seconds=30)
    until("neighbours", lambda: len(rig.service.spans(rig.uuids[0])) > told + 1)
    rig.driver.set_hang(3, 0)
    rig.driver.set_gpu_error(3, 0)
    until("back", lambda: rig.service.spans(rig.uuids[3])[-1][3] == "up", seconds=30)
    rig.stop()

    assert {span[3] for span in rig.service.spans(rig.uuids[3])} == {"up", None}
    assert {span[3] for span in rig.service.spans(rig.uuids[0])} <= {"up", None}


def test_gpus_that_cannot_be_told_apart_are_refused_and_the_others_go_on(rig: Rig) -> None:
    """A repeated and a garbled UUID are set aside with a reason; their time is nobody's, least of all down."""

    def spoil(inventory: Inventory) -> Inventory:
        first, second, third, fourth = inventory.gpus
        return replace(
            inventory, gpus=(first, replace(second, uuid=first.uuid), replace(third, uuid="\ufffd\ufffd"), fourth)
        )

    rig.start(device=_Garbling(rig.device, spoil))
    until("observations", lambda: bool(rig.service.spans(rig.uuids[3])))
    rig.driver.raise_xid(3, 13)
    until("the XID", lambda: bool(rig.service.events("xid")))
    rig.stop()
    reasons = {(one.uuid, one.reason) for one in rig.agent.shown.refused}

    assert reasons == {(rig.uuids[0], "repeated_uuid"), ("\ufffd\ufffd", "garbled_uuid")}
    assert {gpu["gpu"] for gpu in rig.service.events("run_started")[0]["event"]["gpus"]} == {rig.uuids[3]}
    assert rig.service.spans(rig.uuids[0]) == []
    assert rig.service.events("xid")[0].get("gpu") is None


def test_a_remembered_gpu_that_is_refused_is_not_missing(rig: Rig) -> None:
    """Who repeats the UUID of a neighbour is there in some way: nothing is told of either."""
    rig.start()
    until("observations", lambda: bool(rig.service.spans(rig.uuids[0])))
    rig.stop()

    def spoil(inventory: Inventory) -> Inventory:
        return replace(inventory, gpus=(*inventory.gpus, replace(inventory.gpus[0], index=4)))

    rig.start(device=_Garbling(rig.device, spoil))
    until("second run", lambda: len(rig.service.events("run_started")) == 2)
    rig.stop()

    assert {gpu["gpu"] for gpu in rig.service.events("run_started")[1]["event"]["gpus"]} == {*rig.uuids[1:]}


def test_a_tray_whose_pulses_never_change_is_flagged_and_stays_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Energy that stands still over so many pulses is a frozen collector: shown, and no health of its own."""
    monkeypatch.setattr(limits, "FROZEN_READINGS", 5)
    for gpu in (0, 1):
        rig.driver.set_field(gpu, 83, 5_000_000)
    rig.start()
    until("flagged", lambda: len(rig.agent.shown.gpu_frozen) == 2)
    frozen = set(rig.agent.shown.gpu_frozen)
    rig.stop()

    assert frozen == set(rig.uuids[:2])
    assert {span[3] for span in rig.service.spans(rig.uuids[0])} <= {"up", None}
