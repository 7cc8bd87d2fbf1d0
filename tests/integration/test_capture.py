"""Captures: what was recorded on a driver reads the same without one."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.catalogue import Round
from collectors.device import Access, FabricState, Inventory, Reading, Survey
from collectors.nvml import NvmlDevice
from collectors.nvml.capture import Capture, Recorder, load, save
from collectors.nvml.library import DriverLibrary, Library
from collectors.nvml.replay import ReplayLibrary
from service.core.errors import ConfigurationError, DriverUnavailable
from tests.fakedriver.driver import FakeDriver
from tests.fakedriver.here import driver_here

Said = tuple[Inventory, list[Reading], list[Survey]]


@pytest.fixture
def driver() -> Iterator[FakeDriver]:
    """A tray that this process's bindings see."""
    with driver_here() as fake:
        yield fake


def collect(library: Library, then: Callable[[], None] = lambda: None) -> Said:
    """Return all that a device says over a library; `then` happens once it is open."""
    device = NvmlDevice(library=library)
    inventory = device.open()
    then()
    gpus = [gpu.uuid for gpu in inventory.gpus]
    for gpu in gpus:
        device.survey(gpu, Round.STATUS)
    time.sleep(0.15)
    readings = [device.read(gpu) for gpu in gpus]
    surveys = [device.survey(gpu, one) for gpu in gpus for one in Round if one is not Round.PULSE]
    device.close()
    return inventory, readings, surveys


def recorded(*, is_masking: bool = True, then: Callable[[], None] = lambda: None) -> tuple[Said, Capture]:
    """Return what the driver here says, and the capture of it."""
    recorder = Recorder(DriverLibrary(), is_masking=is_masking)
    said = collect(recorder, then)
    return said, recorder.taken("a tray")


def break_everything(driver: FakeDriver) -> None:
    """Let something be wrong with every GPU but the last."""
    driver.set_gpu_error(0, 15)
    driver.set_gpu_error(1, 16)
    driver.set_recovery_action(1, 1)
    driver.set_fabric(2, health_mask=0x1A9)
    driver.set_field_error(2, 82, 4)
    driver.set_processes(3, [(4_242, 10**9)])
    driver.set_engine_activity(3, tensor=40.0)


def test_a_replay_says_what_the_driver_said(driver: FakeDriver, tmp_path: Path) -> None:
    """Values, reasons, access and fabric are equal, lost GPUs and forbidden fields included."""
    said, capture = recorded(is_masking=False, then=lambda: break_everything(driver))
    save(capture, tmp_path / "tray.json")
    again = collect(ReplayLibrary(load(tmp_path / "tray.json")))

    assert again == said
    assert [one.access for one in again[1]] == [Access.LOST, Access.RESET_REQUIRED, Access.OK, Access.OK]
    assert again[1][2].fabric is FabricState.DEGRADED


def test_a_capture_of_a_replay_is_the_capture(driver: FakeDriver) -> None:
    """Nothing is lost or made up on the way."""
    _, capture = recorded()
    recorder = Recorder(ReplayLibrary(capture), is_masking=False)
    collect(recorder)

    assert recorder.taken("a tray") == capture


def test_identifiers_are_masked_and_equal_ones_stay_equal(driver: FakeDriver, tmp_path: Path) -> None:
    """No UUID, serial, chassis or process of the machine is in the file; two GPUs still share a module."""
    driver.set_processes(0, [(54_321, 10**9)])
    said, capture = recorded()
    save(capture, tmp_path / "tray.json")
    text = (tmp_path / "tray.json").read_text()
    inventory, *_ = collect(ReplayLibrary(capture))
    secrets = [*(gpu.uuid[4:] for gpu in said[0].gpus), *(gpu.module for gpu in said[0].gpus)]
    secrets.append(said[0].chassis_serial or "none")
    cluster = (said[0].gpus[0].cluster or "").replace("-", "")

    assert not [one for one in secrets if one.encode().hex() in text]
    assert cluster not in text
    assert (54_321).to_bytes(4, "little").hex() not in text
    assert inventory.gpus[0].module == inventory.gpus[1].module != inventory.gpus[2].module
    assert len({gpu.uuid for gpu in inventory.gpus}) == 4
    assert {gpu.cluster for gpu in inventory.gpus} == {inventory.gpus[0].cluster}
    assert (inventory.slot, inventory.tray) == (said[0].slot, said[0].tray)


def test_a_driver_that_did_not_start_is_captured_too(driver: FakeDriver) -> None:
    """The refusal is replayed with its cause."""
    driver.set_init_error(18)
    recorder = Recorder(DriverLibrary())
    with pytest.raises(DriverUnavailable):
        NvmlDevice(library=recorder).open()
    with pytest.raises(DriverUnavailable) as caught:
        NvmlDevice(library=ReplayLibrary(recorder.taken(""))).open()

    assert caught.value.cause == "driver:version_mismatch"


def test_nothing_happens_on_a_replay(driver: FakeDriver) -> None:
    """Waiting for events ends with the time and without one."""
    _, capture = recorded()
    device = NvmlDevice(library=ReplayLibrary(capture))
    device.open()

    assert device.wait_events(10) == ()
    device.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no capture"),
        ("[]", "no capture"),
        ('{"format":2,"note":"","init":0,"calls":[],"fields":[]}', "format 2"),
        ('{"format":1,"note":"","init":0,"calls":[],"fields":[],"more":1}', "more"),
        ('{"format":1,"note":"","init":0,"calls":[{"function":"f","out":["xy"]}],"fields":[]}', "no capture"),
        (
            '{"format":1,"note":"","init":0,"calls":[],"fields":[{"gpu":0,"field":1,"first":0,"last":4294967295}]}',
            "scopes",
        ),
    ],
)
def test_a_file_that_is_no_capture_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    """Place and mend are in the error; a small file cannot ask for much memory."""
    file = tmp_path / "some.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(file)

    assert "some.json" in str(caught.value)


def test_a_capture_is_written_a_line_an_answer(driver: FakeDriver, tmp_path: Path) -> None:
    """So that two captures can be compared by any tool for lines."""
    _, capture = recorded()
    save(capture, tmp_path / "tray.json")
    lines = (tmp_path / "tray.json").read_text().splitlines()

    assert len(lines) > len(capture.calls) + len(capture.fields)
    assert json.loads("".join(lines))["note"] == "a tray"
