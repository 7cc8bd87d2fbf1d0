"""Faults through the whole agent: driver events and kernel lines, merged, judged, counted once."""

import ctypes
import itertools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from collectors.agent import Agent
from collectors.clock import HostBoot, SystemClock
from collectors.exporter import Exporter
from collectors.nvml import NvmlDevice
from collectors.runs import AgentSettings
from collectors.spool import DiskSpool
from collectors.web_pages import serve
from service.core import limits
from service.core.events import NodeEvent, XidRaised
from service.core.wire import decode_fact
from tests.fakedriver.driver import STATE_VARIABLE, FakeDriver, build
from tests.integration.test_agent import Service, until

Span = tuple[str, int, int, str | None, str | None]


class Tray:
    """An agent on the simulated driver, with a kernel log that is a pipe or a file."""

    def __init__(self, directory: Path, driver: FakeDriver) -> None:
        self.driver, self.directory, self.boot = driver, directory, "boot"
        self.service, self.clock = Service(), SystemClock()
        self.uuids = [driver.uuid(gpu) for gpu in range(4)]
        self.kmsg = directory / "kmsg"
        self._seq = 0

    def start(self, interval_ms: int = 100) -> None:
        """Begin a life of the agent and wait until it runs; at a quick pace, until it observes."""
        settings = AgentSettings(
            site="mem2", rack="r0001", node="r0001-t07", tray=7, interval_ms=interval_ms, heartbeat_ms=500
        )
        self.agent = Agent(
            settings,
            NvmlDevice(),
            DiskSpool(self.directory / "spool"),
            self.service.bus.publisher(),
            self.clock,
            HostBoot(self.boot, 1_782_864_000_000),
            kernel_log=self.kmsg,
        )
        self._thread = threading.Thread(target=self.agent.run, daemon=True)
        self._thread.start()
        runs = len(self.service.events("run_started"))
        until("a run", lambda: len(self.service.events("run_started")) > runs)
        until("readings", lambda: len(self.agent.shown.readings) == 4)
        if interval_ms > 100:
            return
        run = self.service.events("run_started")[-1]["run"]
        until("observations", lambda: any(span[0] == run for span in self.service.spans(self.uuids[3])))

    def stop(self) -> None:
        """End it cleanly."""
        self.agent.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def record(self, text: str, *, priority: int = 4) -> bytes:
        """Return the next record of the log, written now."""
        self._seq += 1
        return f"{priority},{self._seq},{self.clock.monotonic_ms() * 1000},-;{text}\n".encode()

    def write(self, *texts: str) -> None:
        """Let the kernel write lines."""
        with self.kmsg.open("ab") as log:
            log.write(b"".join(self.record(text) for text in texts))

    def xid(self, gpu: int, code: int, tail: str = "pid='<unknown>', name=<unknown>, x") -> str:
        """Return the words of an XID of a GPU."""
        inventory = self.agent.shown.inventory
        assert inventory is not None
        address = inventory.gpus[gpu].pci_bus_id.lower()[4:-2]
        return f"NVRM: Xid (PCI:{address}): {code}, {tail}"

    def down(self, gpu: int) -> list[Span]:
        """Return the spans in which a GPU was down."""
        return [span for span in self.service.spans(self.uuids[gpu]) if span[3] == "down"]

    def counted(self, gpu: int, code: int) -> int:
        """Return how many XIDs of a code are shown."""
        return self.agent.shown.xids[self.uuids[gpu], code]


@pytest.fixture
def tray(tmp_path: Path) -> Iterator[Tray]:
    """A tray of four healthy GPUs with an empty kernel log; its agent is not started."""
    ctypes.CDLL(str(build() / "libnvidia-ml.so.1"), ctypes.RTLD_GLOBAL)
    with FakeDriver() as driver:
        os.environ[STATE_VARIABLE] = driver.environment()[STATE_VARIABLE]
        made = Tray(tmp_path, driver)
        made.kmsg.touch()
        yield made
        made.service.stop()
        del os.environ[STATE_VARIABLE]


def contiguous(spans: list[Span]) -> bool:
    """Return whether each span begins where the one before ends."""
    return all(one[2] == two[1] for one, two in itertools.pairwise(spans))


def test_an_xid_that_both_witnesses_saw_is_one_event_and_one_count(tray: Tray) -> None:
    """Whoever comes first is told, the other is a record more."""
    tray.start()
    tray.driver.raise_xid(1, 13)
    tray.write(tray.xid(1, 13))
    tray.write(tray.xid(2, 31))
    until("a line", lambda: tray.counted(2, 31) == 1)
    tray.driver.raise_xid(2, 31)
    until("records", lambda: sum(tray.agent.shown.faults.records.values()) == 4)
    tray.stop()

    assert [(fact["gpu"], fact["event"]["xid"]) for fact in tray.service.events("xid")] == [
        (tray.uuids[1], 13),
        (tray.uuids[2], 31),
    ]
    assert (tray.counted(1, 13), tray.counted(2, 31)) == (1, 1)
    assert tray.down(1) == tray.down(2) == []


def test_a_79_that_only_the_kernel_saw_takes_the_gpu_down_at_its_line(tray: Tray) -> None:
    """The span begins at the event, and the event lies where the line was written."""
    tray.start()
    before_ms = tray.clock.now_ms()
    tray.write(tray.xid(1, 79, "GPU has fallen off the bus."))
    after_ms = tray.clock.now_ms()
    until("down", lambda: bool(tray.down(1)))
    tray.stop()
    (event,) = tray.service.events("xid")

    assert (event["gpu"], event["event"]["source"], event["event"]["kernel_seq"]) == (tray.uuids[1], "kernel", 1)
    assert tray.down(1)[0][1] == event["at_ms"]
    assert tray.down(1)[0][4] == "xid:79"
    assert before_ms - 2 <= event["at_ms"] <= after_ms + limits.KERNEL_IDLE_MS + 200
    assert {span[3] for span in tray.service.spans(tray.uuids[2])[1:]} == {"up"}


def test_a_flood_in_the_log_touches_nobody_else(tray: Tray) -> None:
    """Ten thousand lines a second of one GPU: the others stay covered without a hole, and a line of theirs is heard."""
    tray.start()
    tray.write(tray.xid(3, 95))
    for _ in range(20):
        tray.write(*(tray.xid(3, 95, f"pid={number % 9}, name=a") for number in range(1_000)))
        tray.clock.sleep(0.08)
    tray.write(tray.xid(0, 46))
    until("the neighbour's fault", lambda: bool(tray.down(0)))
    shown = tray.agent.shown
    until("the end of the flood", lambda: shown.faults.folded.get((tray.uuids[3], 95), 0) > 19_900)
    tray.stop()
    spans = {gpu: tray.service.spans(tray.uuids[gpu]) for gpu in range(4)}

    assert {span[3] for gpu in (1, 2) for span in spans[gpu][1:]} == {"up"}
    assert all(contiguous(row) for row in spans.values())
    assert tray.down(3)[0][4] == "xid:95"
    assert len(tray.service.events("xid")) < 20
    assert tray.counted(3, 95) < 20


def test_injected_lines_and_lies_do_not_touch_health(tray: Tray) -> None:
    """A test of somebody's is labelled, what cannot be believed is counted by reason; nobody is down."""
    tray.start()
    injected = tray.xid(1, 149, "NETIR_INT Fatal XC0 i1 Link -1 (0x00000018 0x00000000)")
    tray.write(injected, "NVRM: Xid (PCI:0777:01:00): 79, x", tray.xid(1, 99_999_999), tray.xid(2, 185))
    with tray.kmsg.open("ab") as log:
        log.write(b"\xff\xfe\x00garbage\n" + b"x" * 64 * 1024 + b"\n" + tray.record(tray.xid(1, 79), priority=12))
    until("all of it", lambda: tray.agent.shown.faults.quarantined.get("not_kernel") == 1)
    until("the last line", lambda: tray.counted(2, 185) == 1)
    tray.clock.sleep(0.5)
    tray.stop()
    labelled = [fact["event"] for fact in tray.service.events("xid") if fact["event"].get("injected")]

    assert {span[3] for gpu in range(4) for span in tray.service.spans(tray.uuids[gpu])[1:]} == {"up"}
    assert [event["xid"] for event in labelled] == [149]
    assert tray.agent.shown.faults.injected == {(tray.uuids[1], 149): 1}
    assert tray.counted(1, 149) == 0
    assert tray.agent.shown.faults.quarantined == {
        "unknown_address": 1,
        "absurd_code": 1,
        "malformed": 1,
        "too_long": 1,
        "not_kernel": 1,
    }


def test_an_injected_line_after_its_event_leaves_no_fault(tray: Tray) -> None:
    """The event told a number that takes nobody down; its line then says that it was a test."""
    tray.start()
    tray.driver.raise_xid(1, 149)
    until("the number", lambda: tray.counted(1, 149) == 1)
    before = tray.agent.shown.faults.standing
    tray.write(tray.xid(1, 149, "NETIR_INT Fatal XC0 i1 Link -1 (0x00000018 0x00000000)"))
    until("the line", lambda: bool(tray.agent.shown.faults.injected))
    until("its words", lambda: bool(tray.service.events("kernel_line")))
    tray.stop()

    assert (before, tray.agent.shown.faults.standing) == ({(tray.uuids[1], "unknown"): 1}, {})
    assert {span[3] for span in tray.service.spans(tray.uuids[1])[1:]} == {"up"}
    assert " i1 " in tray.service.events("kernel_line")[0]["event"]["text"]


def test_what_an_nvlink_line_is_decoded_to_reaches_the_evidence(tray: Tray) -> None:
    """The number alone leaves the GPU up; a line that asks for a reset takes it down at the line."""
    tray.start()
    tray.driver.raise_xid(1, 145)
    until("the number", lambda: tray.counted(1, 145) == 1)
    tray.write(tray.xid(2, 145, "RLW_CTRL Nonfatal XC0 i0 Link 1 (0x00000003 0x80000000)"))
    tray.write(tray.xid(1, 145, "RLW_REMAP Fatal XC0 i0 Link 4 (0x00000004 0x00000040)"))
    until("down", lambda: bool(tray.down(1)))
    until("the line", lambda: bool(tray.service.events("kernel_line")))
    tray.stop()
    (line,) = tray.service.events("kernel_line")

    assert tray.down(1)[0][4] == "xid:145"
    assert line["gpu"] == tray.uuids[1]
    assert "RLW_REMAP" in line["event"]["text"]
    assert tray.down(2) == []
    assert tray.counted(1, 145) == 1


@pytest.mark.parametrize(("event_type", "cause"), [(0x4000, "gpu:unavailable"), (0x2000, "gpu:poison")])
def test_events_that_say_how_a_gpu_is_take_it_down_at_once(tray: Tray, event_type: int, cause: str) -> None:
    """Exactly from the event on."""
    tray.start()
    tray.driver.raise_event(2, event_type)
    until("down", lambda: bool(tray.down(2)))
    tray.stop()
    (event,) = tray.service.events("driver_event")

    assert (tray.down(2)[0][1], tray.down(2)[0][4]) == (event["at_ms"], cause)


def test_a_recovery_action_that_the_driver_announces_is_read_at_once(tray: Tray) -> None:
    """Polled once a minute, the action of an announcement and of an XID that names one is there all the same."""
    tray.start(interval_ms=60_000)
    tray.driver.set_recovery_action(1, 1)
    tray.driver.raise_event(1, 0x8000)
    tray.driver.set_recovery_action(2, 2)
    tray.driver.raise_xid(2, 95)
    until("both actions", lambda: len(tray.service.events("recovery_action")) == 2)
    tray.stop()

    assert {(fact["gpu"], fact["event"]["action"]) for fact in tray.service.events("recovery_action")} == {
        (tray.uuids[1], 1),
        (tray.uuids[2], 2),
    }


def test_a_gpu_that_fell_off_the_bus_without_an_xid_is_lost(tray: Tray) -> None:
    """The driver's words are enough."""
    tray.start()
    address = tray.xid(1, 1).split("(PCI:")[1].split(")")[0]
    tray.write(f"NVRM: The NVIDIA GPU {address}.0\\x0aNVRM: fallen off the bus and is not responding to commands.")
    until("lost", lambda: bool(tray.down(1)))
    tray.stop()

    assert tray.down(1)[0][4] == "gpu:lost"
    assert tray.service.events("kernel_line")[0]["gpu"] == tray.uuids[1]


def test_counts_outlive_the_agent_and_lines_are_not_heard_twice(tray: Tray) -> None:
    """A second life takes up the counters and the log where the first one ended; a new boot's log from its start."""
    tray.start()
    tray.write(tray.xid(1, 31), tray.xid(1, 43))
    tray.driver.raise_xid(2, 13)
    until("counted", lambda: tray.counted(1, 43) + tray.counted(2, 13) == 2)
    tray.stop()
    tray.write(tray.xid(1, 45))
    tray.start()
    until("what came between", lambda: tray.counted(1, 45) == 1)
    tray.stop()
    kept = (tray.counted(1, 31), tray.counted(1, 43), tray.counted(2, 13))
    tray.boot, tray._seq = "next", 0
    tray.kmsg.write_bytes(tray.record(tray.xid(1, 31)))
    tray.start()
    until("the new boot's line", lambda: tray.counted(1, 31) == 2)
    tray.stop()

    assert kept == (1, 1, 1)
    assert [fact["event"]["xid"] for fact in tray.service.events("xid")].count(31) == 2
    assert {span[3] for span in tray.service.spans(tray.uuids[1])} <= {"up", None}


def test_link_faults_of_two_gpus_are_one_fabric_incident_of_the_tray(tray: Tray) -> None:
    """One GPU alone is none, a second within the window makes it one, a third makes no other."""
    tray.start()
    tray.driver.raise_xid(0, 150)
    until("one", lambda: tray.counted(0, 150) == 1)
    alone = tray.agent.shown.faults.fabric_incidents
    tray.driver.raise_xid(1, 150)
    tray.driver.raise_xid(2, 150)
    until("all", lambda: tray.counted(1, 150) + tray.counted(2, 150) == 2)
    until("shown", lambda: tray.agent.shown.faults.fabric_incidents > 0)
    tray.stop()

    assert (alone, tray.agent.shown.faults.fabric_incidents) == (0, 1)


def test_a_lost_smoothing_is_remembered_within_its_boot(tray: Tray) -> None:
    """The GPU is degraded from the event on, in a second life of the agent too, and up in another boot."""
    tray.start()
    tray.driver.raise_xid(1, 163)
    until("degraded", lambda: "degraded" in {span[3] for span in tray.service.spans(tray.uuids[1])})
    tray.stop()
    (event,) = tray.service.events("xid")
    first = next(span for span in tray.service.spans(tray.uuids[1]) if span[3] == "degraded")
    tray.start()
    again = tray.agent.shown.health[tray.uuids[1]]
    tray.stop()
    tray.boot = "next"
    tray.start()
    rebooted = tray.agent.shown.health[tray.uuids[1]]
    tray.stop()

    assert (first[1], first[4]) == (event["at_ms"], "smoothing:disengaged")
    assert (again, rebooted) == ("degraded", "up")


def test_a_reset_that_a_reboot_was_is_remembered_for_the_gpu_that_failed(tray: Tray) -> None:
    """A restart while it failed is a remedy; its neighbours had none. A failed remap outlives everything."""
    tray.start()
    tray.driver.set_recovery_action(1, 2)
    tray.driver.raise_xid(1, 79)
    tray.driver.raise_xid(2, 64)
    until("both", lambda: tray.counted(1, 79) + tray.counted(2, 64) == 2)
    until("candidate", lambda: bool(tray.agent.shown.faults.candidates))
    tray.stop()
    tray.driver.set_recovery_action(1, 0)
    tray.boot = "next"
    tray.start()
    histories = tray.agent._ear.witnesses.cases.histories
    tray.stop()

    assert {gpu: len(history.remedies) for gpu, history in histories.items()} == {tray.uuids[1]: 1, tray.uuids[2]: 1}
    assert tray.agent.shown.faults.candidates == {(tray.uuids[2], "remap_failed")}


def test_witnesses_that_cannot_be_heard_are_published(tray: Tray) -> None:
    """Without the kernel log that source is 0 and all else goes on; without events both are 0."""
    tray.kmsg = tray.directory / "nowhere"
    for gpu in range(4):
        tray.driver.set_supported_events(gpu, 0)
    tray.start()
    port, end = serve(Exporter(tray.agent.shown), tray.clock, "127.0.0.1", 0)
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    end()
    tray.stop()

    assert 'threenines_agent_xid_source_up{source="kernel"} 0.0' in text
    assert 'threenines_agent_xid_source_up{source="nvml"} 0.0' in text


def test_facts_of_before_are_still_understood() -> None:
    """An XID written without the newer words is the same XID."""
    old = {
        "v": 1,
        "type": "node.event",
        "site": "mem2",
        "rack": "r1",
        "node": "n1",
        "slot": 1,
        "boot": "b",
        "run": "r",
        "seq": 1,
        "at_ms": limits.EARLIEST_MS,
        "sent_ms": limits.EARLIEST_MS,
        "mono_ms": 1,
        "gpu": "GPU-1",
        "event": {"kind": "xid", "xid": 79, "source": "nvml"},
    }
    fact = decode_fact(json.dumps(old).encode())

    assert isinstance(fact, NodeEvent)
    assert fact.event == XidRaised(xid=79)
