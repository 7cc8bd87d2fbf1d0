"""One suite over every device: the real bindings on the simulated driver, here and isolated; simulated racks."""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from collectors.catalogue import Quantity, Round, of_round, quantity_of
from collectors.clock import SystemClock
from collectors.device import Access, Device, DeviceEventKind, FabricState, Missing
from collectors.isolated import IsolatedDevice
from collectors.mock import MockDevice
from collectors.nvml import NvmlDevice
from collectors.racks import World
from collectors.scenario import load
from collectors.simulation.faults import Fault
from service.core.errors import DeviceGone, DriverUnavailable
from service.core.limits import DAY_MS
from service.core.model import Span
from tests.fakedriver.driver import STATE_VARIABLE, FakeDriver, build


@dataclass(frozen=True)
class Rig:
    """A device under test, and how its hardware is broken, by position."""

    device: Device
    lose: Callable[[int], None]
    hang: Callable[[int], None]
    release: Callable[[int], None]
    raise_xid: Callable[[int, int], None]
    ask_reset: Callable[[int], None]


@pytest.fixture(scope="module")
def library() -> None:
    """Load the simulated library before the bindings look for it by name."""
    ctypes.CDLL(str(build() / "libnvidia-ml.so.1"), ctypes.RTLD_GLOBAL)


@pytest.fixture
def driver(library: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDriver]:
    """A simulated tray that this process's bindings see."""
    with FakeDriver() as fake:
        for name in (STATE_VARIABLE, "LD_LIBRARY_PATH"):  # the latter for processes that are started
            monkeypatch.setenv(name, fake.environment()[name])
        yield fake


def _nvml(driver: FakeDriver, device: Device) -> Rig:
    return Rig(
        device=device,
        lose=lambda gpu: driver.set_gpu_error(gpu, 15),
        hang=lambda gpu: driver.set_hang(gpu, 30_000),
        release=lambda gpu: driver.set_hang(gpu, 0),
        raise_xid=driver.raise_xid,
        ask_reset=lambda gpu: driver.set_recovery_action(gpu, 1),
    )


def _mock() -> Rig:
    clock = SystemClock()
    now_ms = clock.now_ms()
    world = World(load("quiet"), Span(now_ms - DAY_MS, now_ms + DAY_MS))
    node = world.nodes["r0001-t07"]

    def inject(gpu: int, kind: str) -> None:
        at_ms = clock.now_ms()
        world.inject(Fault(at_ms, at_ms + DAY_MS, kind, (node.places[gpu],)))

    return Rig(
        device=MockDevice(world, node.name, clock),
        lose=lambda gpu: inject(gpu, "gpu_lost"),
        hang=lambda gpu: world.hang(node.gpus[gpu]),
        release=lambda gpu: world.release(node.gpus[gpu]),
        raise_xid=lambda gpu, code: inject(gpu, {13: "application", 46: "gpu_reset"}[code]),
        ask_reset=lambda gpu: inject(gpu, "gpu_reset"),
    )


REAL: dict[str, Callable[[], Device]] = {"nvml": NvmlDevice, "isolated": IsolatedDevice}


@pytest.fixture(params=[*REAL, "mock"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Each device in turn, closed at the end."""
    make = REAL.get(request.param)
    made = _mock() if make is None else _nvml(request.getfixturevalue("driver"), make())
    yield made
    made.device.close()


@pytest.fixture(params=list(REAL))
def device(request: pytest.FixtureRequest, driver: FakeDriver) -> Iterator[Device]:
    """Each way to the simulated driver in turn, closed at the end."""
    made = REAL[request.param]()
    yield made
    made.close()


def test_inventory_names_each_gpu_once_at_its_position(rig: Rig) -> None:
    """UUIDs are unique, positions count from 0, two GPUs share a module."""
    inventory = rig.device.open()

    assert [gpu.position for gpu in inventory.gpus] == [0, 1, 2, 3]
    assert len({gpu.uuid for gpu in inventory.gpus}) == 4
    assert [inventory.gpus[0].module, inventory.gpus[2].module] == [inventory.gpus[1].module, inventory.gpus[3].module]
    assert len({gpu.module for gpu in inventory.gpus}) == 2
    assert [gpu.module_id for gpu in inventory.gpus] == [2, 1, 4, 3]


def test_every_quantity_is_read_or_missing_with_a_reason(rig: Rig) -> None:
    """No quantity is silently absent, none both read and missing, all in base units."""
    for gpu in rig.device.open().gpus:
        reading = rig.device.read(gpu.uuid)

        assert reading.gpu == gpu.uuid
        assert reading.access is Access.OK
        assert {*map(quantity_of, (*reading.values, *reading.missing))} == of_round(Round.PULSE)
        assert not reading.values.keys() & reading.missing.keys()
        assert 100 < reading.values[Quantity.POWER_WATTS] < 1_500
        assert reading.values[Quantity.MODULE_POWER_WATTS] > reading.values[Quantity.POWER_WATTS]
        assert 20 < reading.values[Quantity.TEMPERATURE_CELSIUS] < 110
        assert reading.fabric is FabricState.HEALTHY
        assert reading.recovery_action == 0


def test_a_lost_gpu_is_a_reading_and_leaves_its_neighbours_alone(rig: Rig) -> None:
    """LOST says so, with every value missing and none zero; the others read on."""
    gpus = [gpu.uuid for gpu in rig.device.open().gpus]
    rig.lose(1)
    lost = rig.device.read(gpus[1])

    assert lost.access is Access.LOST
    assert lost.values == {}
    assert set(lost.missing.values()) == {Missing.FAILED}
    assert [rig.device.read(gpu).access for gpu in gpus if gpu != gpus[1]] == [Access.OK] * 3


def test_a_hanging_gpu_does_not_hold_up_the_others(rig: Rig) -> None:
    """While one read hangs, the other three answer within the lock's deadline."""
    gpus = [gpu.uuid for gpu in rig.device.open().gpus]
    rig.hang(2)
    stuck = threading.Thread(target=rig.device.read, args=(gpus[2],), daemon=True)
    stuck.start()
    time.sleep(0.05)
    began = time.monotonic()
    others = [rig.device.read(gpu).access for gpu in gpus if gpu != gpus[2]]
    took = time.monotonic() - began
    was_stuck = stuck.is_alive()
    rig.release(2)
    stuck.join(10)

    assert others == [Access.OK] * 3
    assert was_stuck
    assert not stuck.is_alive()
    assert took < 10


def test_an_xid_is_told_once_with_its_gpu(rig: Rig) -> None:
    """An XID after open arrives once; one from before open never does."""
    rig.raise_xid(0, 13)
    time.sleep(0.01)
    gpus = [gpu.uuid for gpu in rig.device.open().gpus]
    time.sleep(0.01)
    rig.raise_xid(3, 46)
    found = [*rig.device.wait_events(2_000), *rig.device.wait_events(0)]

    assert [(event.kind, event.gpu, event.data) for event in found] == [(DeviceEventKind.XID, gpus[3], 46)]


def test_a_recovery_action_shows(rig: Rig) -> None:
    """What the driver asks for is in the reading, raw."""
    gpus = rig.device.open().gpus
    rig.ask_reset(0)

    assert rig.device.read(gpus[0].uuid).recovery_action == 1


def test_energy_never_decreases(rig: Rig) -> None:
    """The energy counter grows with time."""
    gpu = rig.device.open().gpus[0].uuid
    read = []
    for _ in range(20):
        read.append(rig.device.read(gpu).values[Quantity.ENERGY_JOULES_TOTAL])
        time.sleep(0.005)

    assert read == sorted(read)
    assert read[-1] > read[0]


def test_close_is_idempotent_and_open_works_again(rig: Rig) -> None:
    """A device can be closed twice and opened again in the same process."""
    first = rig.device.open()
    rig.device.close()
    rig.device.close()

    assert rig.device.open().gpus == first.gpus


def test_an_unknown_gpu_is_a_key_error(rig: Rig) -> None:
    """A UUID that is not in the inventory is a bug of the caller."""
    rig.device.open()
    with pytest.raises(KeyError):
        rig.device.read("GPU-nobody")


def test_a_reload_is_told_and_mended_by_opening_again(driver: FakeDriver, device: Device) -> None:
    """After a driver reload reads and waits raise DeviceGone; close and open bring all back."""
    gpus = device.open().gpus
    driver.reload()
    with pytest.raises(DeviceGone):
        device.read(gpus[0].uuid)
    with pytest.raises(DeviceGone):
        device.wait_events(10)
    device.close()
    again = device.open().gpus
    read = device.read(again[0].uuid)

    assert again == gpus
    assert read.access is Access.OK


@pytest.mark.parametrize(
    ("code", "cause"),
    [(9, "driver:not_loaded"), (18, "driver:version_mismatch"), (12, "driver:library_missing")],
)
def test_an_unusable_driver_is_named_by_its_cause(driver: FakeDriver, device: Device, code: int, cause: str) -> None:
    """Each way in which a driver is unusable has its cause word and a mend."""
    driver.set_init_error(code)
    with pytest.raises(DriverUnavailable) as caught:
        device.open()

    assert caught.value.cause == cause


def test_a_gpu_lost_before_open_is_left_out(driver: FakeDriver, device: Device) -> None:
    """Opening a tray with a lost GPU gives the other three."""
    driver.set_gpu_error(2, 15)
    inventory = device.open()

    assert len(inventory.gpus) == 3


def test_a_gpu_that_needs_a_reset_says_so(driver: FakeDriver, device: Device) -> None:
    """Error 16 is its own access word, and field 230 still answers."""
    gpus = device.open().gpus
    driver.set_recovery_action(0, 1)
    driver.set_gpu_error(0, 16)
    reading = device.read(gpus[0].uuid)

    assert (reading.access, reading.recovery_action) == (Access.RESET_REQUIRED, 1)


def test_a_guard_entry_takes_the_drivers_overread(driver: FakeDriver, device: Device) -> None:
    """A driver that writes one entry past the count does no harm."""
    driver.set_quirks(overread=True)
    gpu = device.open().gpus[0].uuid
    values = [device.read(gpu).values[Quantity.POWER_WATTS] for _ in range(50)]

    assert set(values) == {values[0]}


def test_forbidden_unsupported_failed_and_sentinels_stay_apart(driver: FakeDriver, device: Device) -> None:
    """Three reasons for absence are three words, and a sentinel is no value."""
    driver.set_field_error(0, 185, 3, scope=2)
    driver.set_field_error(0, 82, 4)
    driver.set_field_error(0, 83, 999)
    driver.set_field(0, 186, 4_294_967_295)
    reading = device.read(device.open().gpus[0].uuid)

    assert (
        reading.missing.items()
        >= {
            Quantity.MEMORY_POWER_WATTS: Missing.UNSUPPORTED,
            Quantity.MEMORY_TEMPERATURE_CELSIUS: Missing.FORBIDDEN,
            Quantity.ENERGY_JOULES_TOTAL: Missing.FAILED,
            Quantity.POWER_WATTS: Missing.FAILED,
        }.items()
    )
