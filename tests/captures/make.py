"""`python -m tests.captures.make`: record the simulated tray, idle, loaded and in each fault.

A capture of hardware is a file more in this folder, made by `threenines scan --capture`; the
goldens beside `tests/golden` follow with `pytest tests/golden --refresh`.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from collectors.catalogue import Round
from collectors.nvml import NvmlDevice
from collectors.nvml.capture import Recorder, save
from collectors.nvml.library import DriverLibrary
from tests.fakedriver.codes import EccLocation, LinkCounter, LinkState, Text
from tests.fakedriver.driver import GPUS, FakeDriver
from tests.fakedriver.here import driver_here

FOLDER = Path(__file__).parent
THERMAL, BRAKE, POWER_CAP = 0x40 | 0x8, 0x80 | 0x8, 0x4


def load(driver: FakeDriver) -> None:
    """Let every GPU compute at full power."""
    for gpu in range(GPUS):
        driver.set_power(gpu, 1_310.0 + gpu, instant=1_352.5 + gpu)
        driver.set_module_power(gpu, 2_840.0)
        driver.set_memory_power(gpu, 164.0)
        driver.set_temperature(gpu, 62 + gpu)
        driver.set_memory_temperature(gpu, 71)
        driver.set_utilisation(gpu, 99, memory=64)
        driver.set_clocks(gpu, sm=1_920, memory=3_996)
        driver.set_clock_events(gpu, POWER_CAP)
        driver.set_memory_used(gpu, 240 * 2**30)
        driver.set_processes(gpu, [(4_000 + gpu, 240 * 2**30)])
        driver.set_engine_activity(gpu, graphics=98.0, sm=91.0, occupancy=42.0, tensor=63.0, dram=55.0)


def lose(driver: FakeDriver) -> None:
    """Let GPU 1 fall off the bus."""
    driver.set_gpu_error(1, 15)


def need_reset(driver: FakeDriver) -> None:
    """Let GPU 2 ask for a reset and refuse everything else."""
    driver.set_recovery_action(2, 1)
    driver.set_gpu_error(2, 16)


def throttle(driver: FakeDriver) -> None:
    """Let heat hold GPU 0 back, and an external power brake GPU 3."""
    driver.set_temperature(0, 88)
    driver.set_clock_events(0, THERMAL)
    driver.set_clock_events(3, BRAKE)


def break_links(driver: FakeDriver) -> None:
    """Let a link of GPU 0 be down, one of GPU 1 recover again and again, and GPU 2 leave its domain."""
    driver.set_link(0, 11, state=LinkState.INACTIVE)
    driver.count_link(1, 4, LinkCounter.RECOVERIES, 37)
    driver.set_fabric(2, state=2)
    driver.set_fabric(3, health_mask=0x1A9)


def wear_memory(driver: FakeDriver) -> None:
    """Let rows wait for a remap on GPU 0, fail to on GPU 1, and errors count on GPU 2."""
    driver.set_field(0, 144, 1)
    driver.set_field(0, 143, 2)
    driver.set_field(1, 145, 1)
    driver.set_ecc(2, corrected=1_204, uncorrected=3, location=EccLocation.DEVICE)
    driver.set_remap_spares(1, (5_900, 40, 8, 3, 1))


def be_root(driver: FakeDriver) -> None:
    """Let the reader be root."""
    driver.set_privileged(privileged=True)


def be_older(driver: FakeDriver) -> None:
    """Let the driver lack newer calls and fields."""
    for function in ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetMarginTemperature", "nvmlDeviceGetRepairStatus"):
        driver.set_call_error(function, 13)
    for gpu in range(GPUS):
        driver.set_gpm_support(gpu, supported=False)
        for field in (230, 309, 185):
            driver.set_field_error(gpu, field, 3)


def lie(driver: FakeDriver) -> None:
    """Let texts be garbage and values beyond physics."""
    driver.set_text(0, Text.NAME, b'GB300 "\\\n \xff')
    driver.set_field(1, 186, 4_294_967_295)
    driver.set_field(2, 82, 255)
    driver.set_field(3, 83, 2**63)


# Before the driver is opened, and after: a GPU that is lost before has no identity.
TRAYS: dict[str, tuple[str, Callable[[FakeDriver], None] | None, Callable[[FakeDriver], None] | None]] = {
    "idle": ("simulated GB300 tray, idle", None, None),
    "loaded": ("simulated GB300 tray under full load", load, None),
    "gpu-lost": ("GPU 1 fell off the bus", None, lose),
    "gpu-lost-before": ("GPU 1 was lost before the driver was opened", lose, None),
    "reset-required": ("GPU 2 asks for a reset", None, need_reset),
    "throttled": ("GPU 0 is too hot, a power brake holds GPU 3", throttle, None),
    "links": ("NVLink: one down, one recovering, one GPU outside its domain, one degraded", break_links, None),
    "memory": ("rows waiting for a remap, a failed remap, ECC errors", wear_memory, None),
    "root": ("as idle, read by root", be_root, None),
    "older-driver": ("a driver that lacks newer calls and fields", be_older, None),
    "garbage": ("texts that are no text, values beyond physics", lie, None),
}


def main() -> None:
    """Record each tray anew."""
    for name, (note, before, after) in TRAYS.items():
        with driver_here() as driver:
            recorder = Recorder(DriverLibrary())
            _collect(recorder, driver, before, after)
            save(recorder.taken(note), FOLDER / f"{name}.json")
            print(f"recorded {name}: {note}", file=sys.stderr)


def _collect(
    recorder: Recorder,
    driver: FakeDriver,
    before: Callable[[FakeDriver], None] | None,
    after: Callable[[FakeDriver], None] | None,
) -> None:
    if before is not None:
        before(driver)
    device = NvmlDevice(library=recorder)
    gpus = [gpu.uuid for gpu in device.open().gpus]
    if after is not None:
        after(driver)
    for _ in range(2):  # engines are compared over two looks
        for gpu in gpus:
            device.read(gpu)
            for one in (Round.STATUS, Round.LINKS, Round.DETAIL):
                device.survey(gpu, one)
        time.sleep(0.15)
    device.close()


if __name__ == "__main__":
    main()
