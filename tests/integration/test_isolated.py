"""The collector process: killed, crashed, orphaned, hung, raising; the agent's side lives on."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.catalogue import Key, Quantity, Round, of_round, quantity_of
from collectors.collector import Desk
from collectors.device import Access, DeviceEvent, Inventory, Missing, Reading, Survey
from collectors.frames import Unpacker
from collectors.isolated import IsolatedDevice
from service.core import limits
from service.core.errors import DeviceGone, DriverUnavailable
from tests.fakedriver.driver import STATE_VARIABLE, FakeDriver
from tests.processes import ROOT, wait_for


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDriver]:
    """A simulated tray that processes started from here see."""
    with FakeDriver() as fake:
        for name in (STATE_VARIABLE, "LD_LIBRARY_PATH"):
            monkeypatch.setenv(name, fake.environment()[name])
        yield fake


@pytest.fixture
def device(driver: FakeDriver) -> Iterator[IsolatedDevice]:
    """An isolated device that is not open yet."""
    made = IsolatedDevice()
    yield made
    made.close()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_collector_that_crashes_is_gone_with_its_exit_status(device: IsolatedDevice, number: signal.Signals) -> None:
    """Reads and waits of a dead collector are DeviceGone that say how it died; opening again mends all."""
    gpus = device.open().gpus
    device.read(gpus[0].uuid)
    assert device.pid is not None
    os.kill(device.pid, number)
    gone = _read_to_the_end(device, [gpus[0].uuid])
    with pytest.raises(DeviceGone, match=number.name):
        device.wait_events(1_000)

    assert number.name in str(gone)
    assert gone.cause == "agent:collector_lost"
    assert device.open().gpus == gpus
    assert device.read(gpus[3].uuid).access is Access.OK


def test_a_host_without_room_for_a_process_is_no_driver_and_leaves_nothing_open(
    device: IsolatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that cannot even start is told as such, attempt after attempt, and costs no file handle."""
    handles = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    for _ in range(3):
        with pytest.raises(DriverUnavailable, match="does not start") as refused:
            device.open()

        assert refused.value.cause == "agent:unreadable"

    assert len(list(Path("/proc/self/fd").iterdir())) == handles


def _read_to_the_end(device: IsolatedDevice, gpus: list[str]) -> DeviceGone:
    """Read until the collector is gone; every answer before is whole."""
    try:
        for turn in range(1_000_000):
            reading = device.read(gpus[turn % len(gpus)])
            survey = device.survey(gpus[turn % len(gpus)], Round.LINKS)
            assert {*map(quantity_of, (*reading.values, *reading.missing))} == of_round(Round.PULSE)
            assert survey.round is Round.LINKS
    except DeviceGone as error:
        return error
    raise AssertionError("the collector lived on")


def test_a_kill_at_any_instant_leaves_whole_answers_or_none(device: IsolatedDevice) -> None:
    """Whenever the collector dies, every answer before was complete and the next call is DeviceGone."""
    chance = random.Random(7)
    for _ in range(8):
        gpus = [gpu.uuid for gpu in device.open().gpus]
        pid = device.pid
        assert pid is not None
        killer = threading.Timer(chance.uniform(0, 0.02), os.kill, (pid, signal.SIGKILL))
        killer.start()
        gone = _read_to_the_end(device, gpus)
        killer.join()

        assert "SIGKILL" in str(gone)


def test_closing_releases_who_waits_in_a_hung_driver(driver: FakeDriver, device: IsolatedDevice) -> None:
    """Threads that wait for a driver that hangs as a whole end with the collector, and so does its process."""
    gpus = [gpu.uuid for gpu in device.open().gpus]
    pid = device.pid
    assert pid is not None
    driver.set_global_lock(held=True)
    driver.set_hang(0, 600_000)
    ends: list[Exception] = []
    threads = [threading.Thread(target=_until_gone, args=(device, gpu, ends)) for gpu in gpus]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    device.close()
    for thread in threads:
        thread.join(10)

    assert not any(thread.is_alive() for thread in threads)
    assert {type(error) for error in ends} <= {DeviceGone, KeyError}
    assert not _is_alive(pid)
    assert device.left_behind == 0


def _until_gone(device: IsolatedDevice, gpu: str, ends: list[Exception]) -> None:
    try:
        while True:
            device.read(gpu)
    except (DeviceGone, KeyError) as error:
        ends.append(error)


def test_a_driver_that_hangs_while_opening_is_given_up_in_time(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open that never returns is DriverUnavailable `driver:hung`; its process is gone, and the next one works."""
    driver.set_hang(1, 600_000)
    device = IsolatedDevice(open_ms=500)
    with pytest.raises(DriverUnavailable) as caught:
        device.open()
    driver.set_hang(1, 0)
    gpus = IsolatedDevice()

    assert caught.value.cause == "driver:hung"
    assert device.pid is None
    assert len(gpus.open().gpus) == 4
    gpus.close()


def test_a_collector_ends_when_its_agent_is_killed(driver: FakeDriver) -> None:
    """An agent that dies by kill -9 leaves no collector behind, not even one that hangs in the driver."""
    code = (
        "import threading\nfrom collectors.isolated import IsolatedDevice\n"
        "device = IsolatedDevice()\ngpu = device.open().gpus[0].uuid\nprint(device.pid, flush=True)\ninput()\n"
        "device.read(gpu)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        driver.set_hang(0, 600_000)
        parent.stdin.write("\n")
        parent.stdin.flush()
        time.sleep(0.2)
        was_alive = _is_alive(pid)
        parent.kill()
        parent.wait(10)
        wait_for("the collector's end", lambda: not _is_alive(pid))

    assert was_alive


def test_an_agent_never_loads_the_bindings() -> None:
    """The driver's bindings and ctypes structures live in the collector process only."""
    code = "import sys, collectors.agent, collectors.isolated; print('pynvml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


class _Raising:
    """A device with a bug, as the hand of a test has it."""

    def open(self) -> Inventory:
        raise NotImplementedError

    def read(self, gpu: str) -> Reading:
        raise UnicodeDecodeError("ascii", b"\xff", 0, 1, f"{gpu} talks garbage")

    def survey(self, gpu: str, one: Round) -> Survey:
        values: dict[Key, float] = dict.fromkeys(of_round(one), 1.0) if one is Round.STATUS else {}
        return Survey(gpu=gpu, round=one, values=values, missing={})

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        raise NotImplementedError

    def close(self) -> None:
        pass


def _ask(request: bytes) -> memoryview:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        Desk(theirs, _Raising(), "GPU-1").start()
        ours.send(request)
        return memoryview(ours.recv(limits.COLLECTOR_FRAME_BYTES))


def test_a_bug_in_one_collection_is_a_failed_reading(capfd: pytest.CaptureFixture[str]) -> None:
    """A device that raises what it must not costs its own GPU one reading, told once in words."""
    reading = Unpacker("GPU-1", {}).reading(_ask(b"\0"))

    assert reading.access is Access.FAILED
    assert reading.missing == dict.fromkeys(of_round(Round.PULSE), Missing.FAILED)
    assert "talks garbage" in (reading.error or "")
    assert "UnicodeDecodeError" in capfd.readouterr().err


def test_other_rounds_cross(capfd: pytest.CaptureFixture[str]) -> None:
    """The one byte of a request names the round."""
    survey = Unpacker("GPU-1", {}).survey(Round.STATUS, _ask(bytes([tuple(Round).index(Round.STATUS)])))

    assert survey.values.keys() == of_round(Round.STATUS)
    assert Quantity.MEMORY_TOTAL_BYTES in survey.values


@pytest.fixture
def stopped(device: IsolatedDevice) -> Callable[[], None]:
    """A function that stops the collector process in its tracks, as a machine out of memory does."""

    def stop() -> None:
        assert device.pid is not None
        os.kill(device.pid, signal.SIGSTOP)

    return stop


def test_a_collector_that_does_not_end_when_asked_is_killed(
    device: IsolatedDevice, stopped: Callable[[], None]
) -> None:
    """A stopped process takes no hint: it is killed by handle, within the bounds."""
    device.open()
    pid = device.pid
    assert pid is not None
    stopped()
    device.close()

    assert not _is_alive(pid)
    assert device.left_behind == 0
