"""Init, shutdown, missing and mismatched drivers, reloads."""

import time

import pytest

from tests.fakedriver.control import State, StateError
from tests.fakedriver.driver import EVERY_GPU, FakeDriver, Return
from tests.fakedriver.program import Program, answer


def test_init_is_counted(driver: FakeDriver) -> None:
    """As many shutdowns as inits end the library, and nothing works before or after."""
    result = answer(
        driver,
        """
        n._LoadNvmlLibrary()
        count = ctypes.c_uint()
        ask = lambda: n.nvmlLib.nvmlDeviceGetCount_v2(ctypes.byref(count))
        steps = [ask()]
        for call in (n.nvmlLib.nvmlInit_v2, n.nvmlLib.nvmlInit, n.nvmlLib.nvmlShutdown,
                     n.nvmlLib.nvmlShutdown, n.nvmlLib.nvmlShutdown):
            steps += [[call(), ask()]]
        say(steps)
        """,
    )

    assert result == [1, [0, 0], [0, 0], [0, 0], [0, 1], [1, 1]]


INIT_SOURCE = "say(code(n.nvmlInit))"


def test_missing_state_is_a_missing_driver(driver: FakeDriver) -> None:
    """Without its state file the driver is not loaded."""
    driver.path.rename(driver.path.with_suffix(".gone"))

    assert answer(driver, INIT_SOURCE) == Return.DRIVER_NOT_LOADED


def test_other_layout_is_a_version_mismatch(driver: FakeDriver) -> None:
    """A state file of another layout is refused by the library and by the control side."""
    driver.break_layout()

    assert answer(driver, INIT_SOURCE) == Return.LIB_RM_VERSION_MISMATCH
    with pytest.raises(StateError):
        State(driver.libraries, driver.path, create=False)


def test_truncated_state_is_a_version_mismatch(driver: FakeDriver) -> None:
    """A state file of another size is refused too."""
    driver.path.unlink()
    driver.path.write_bytes(b"\0" * 100)

    assert answer(driver, INIT_SOURCE) == Return.LIB_RM_VERSION_MISMATCH


def test_injected_init_error(driver: FakeDriver) -> None:
    """Initialisation fails with the code that was set."""
    driver.set_init_error(Return.UNKNOWN)

    assert answer(driver, INIT_SOURCE) == Return.UNKNOWN


def test_no_gpu_at_all(driver: FakeDriver) -> None:
    """Without GPUs a plain init with version 2 fails, one that allows it does not."""
    for gpu in EVERY_GPU:
        driver.set_absent(gpu)

    result = answer(driver, "say([code(n.nvmlInitWithFlags, 0), code(n.nvmlInitWithFlags, 1)])")

    assert result == [Return.GPU_NOT_FOUND, 0]


def test_reload(driver: FakeDriver) -> None:
    """After a reload everything is uninitialised until shutdown and init; old handles stay dead."""
    source = """
        n.nvmlInit()
        old = handles()
        say(0)
        hear()
        stale = [code(n.nvmlDeviceGetPowerUsage, h) for h in old] + [code(n.nvmlDeviceGetCount)]
        n.nvmlShutdown()
        n.nvmlInit()
        new = handles()
        say([stale, [code(n.nvmlDeviceGetPowerUsage, h) for h in old],
             [code(n.nvmlDeviceGetPowerUsage, h) for h in new],
             n.nvmlDeviceGetTotalEnergyConsumption(new[0]) < 10**7, fields(new[0], [3, 5]),
             n.nvmlSystemGetDriverVersion()])
        """
    driver.set_field(0, 3, 12)
    driver.set_field(0, 5, 40)

    with Program(driver, source) as program:
        program.hear()
        driver.reload(driver_version="595.10")
        program.go_on()
        result = program.hear()

    assert result == [[1] * 5, [2] * 4, [0] * 4, True, [0, 40], "595.10"]


def test_counters_restart_only_across_an_init(driver: FakeDriver) -> None:
    """Who is told of no reload never sees the energy go down, however often it happens."""
    source = """
        n.nvmlInit()
        h, last, back, told = handles()[3], 0, 0, 0
        say(0)
        while told < 50:
            try:
                energy = n.nvmlDeviceGetTotalEnergyConsumption(h)
            except n.NVMLError_Uninitialized:
                told += 1
                n.nvmlShutdown()
                n.nvmlInit()
                h, last = handles()[3], 0
                say(told)
            else:
                back += energy < last
                last = energy
        say(back)
        """

    with Program(driver, source) as program:
        program.hear()
        for told in range(1, 51):
            time.sleep(0.002)
            driver.reload()
            assert program.hear() == told
        steps_back = program.hear()

    assert steps_back == 0


def test_upgrade_under_running_programs(driver: FakeDriver) -> None:
    """Between unload and load init answers a mismatch; then the new version, GSP included, is told."""
    source = """
        n.nvmlInit()
        old = handles()
        say(0)
        hear()
        stale = code(n.nvmlDeviceGetPowerUsage, old[0])
        n.nvmlShutdown()
        say([stale, code(n.nvmlInit), code(n.nvmlInit)])
        hear()
        n.nvmlInit()
        h = handles()[0]
        say([n.nvmlSystemGetDriverVersion(), n.nvmlSystemGetNVMLVersion(), n.nvmlSystemGetCudaDriverVersion_v2(),
             n.nvmlDeviceGetGspFirmwareVersion(h).decode()])
        """

    with Program(driver, source) as program:
        program.hear()
        driver.unload(init_error=Return.LIB_RM_VERSION_MISMATCH)
        program.go_on()
        during = program.hear()
        driver.load(driver_version="595.45.04", cuda_version=13030)
        program.go_on()
        after = program.hear()

    assert during == [Return.UNINITIALIZED, 18, 18]
    assert after == ["595.45.04", "13.595.45.04", 13030, "595.45.04"]


def test_unloaded_driver(driver: FakeDriver) -> None:
    """An unloaded driver is not there, and is there again once loaded."""
    driver.unload()
    gone = answer(driver, INIT_SOURCE)
    driver.load()

    assert gone == Return.DRIVER_NOT_LOADED
    assert answer(driver, INIT_SOURCE) == 0


def test_uptime_begins_again_with_the_driver(driver: FakeDriver) -> None:
    """The uptime of a GPU counts seconds since its driver took it."""
    source = """
        n.nvmlInit()
        uptime = ctypes.c_uint()
        n.nvmlLib.nvmlDeviceGetGpuUptime_v1(handles()[0], ctypes.byref(uptime))
        say(uptime.value)
        """
    driver.advance(5000)
    before = answer(driver, source)
    driver.reload()

    assert 5000 <= before < 5100
    assert answer(driver, source) < 100
