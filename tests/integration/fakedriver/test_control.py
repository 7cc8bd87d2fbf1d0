"""The control side: mistakes raise, writers and readers do not tear."""

import ctypes
from pathlib import Path

import pytest

from tests.fakedriver.control import StateError
from tests.fakedriver.driver import EVERY_GPU, FakeDriver
from tests.fakedriver.library import build
from tests.fakedriver.program import Program, answer


def test_unknown_names_raise(driver: FakeDriver) -> None:
    """A mistake in a test is an error, not a silent no-op."""
    with pytest.raises(StateError):
        driver.set_call_error("nvmlDeviceGetPowerUsage_v9", 3)
    with pytest.raises(StateError):
        driver.set_power(4, 100.0)
    with pytest.raises(StateError):
        driver.set_field(0, 213, 1, scope=37)
    with pytest.raises(ValueError, match="processes"):
        driver.set_processes(0, [(1, 1)] * 17)


def test_a_second_process_may_drive_the_same_tray(driver: FakeDriver) -> None:
    """Attaching changes nothing by itself and sees what the first side set."""
    driver.set_energy(0, 1_000_000.0)

    with FakeDriver(driver.path, attach=True) as second:
        second.set_power(0, 1234.0)
        seen = second.energy(0)

    assert seen >= 1_000_000.0
    assert driver.path.exists()
    assert answer(driver, "n.nvmlInit(); say(n.nvmlDeviceGetPowerUsage(handles()[0]))") == 1_234_000


def test_counter_never_steps_back_while_it_is_changed(driver: FakeDriver) -> None:
    """Rewriting a value shows the old or the new one, nothing in between."""
    source = """
        n.nvmlInit()
        h = handles()[0]
        say(0)
        seen = []
        while not seen or seen[-1] < 3000:
            seen += fields(h, [(213, 0)])
        say(seen == sorted(seen))
        """
    driver.set_field(0, 213, 1)

    with Program(driver, source) as program:
        program.hear()
        for value in range(2, 3001):
            driver.set_field(0, 213, value)
        in_order = program.hear()

    assert in_order


def test_build_is_kept(tmp_path: Path) -> None:
    """The second build of the same sources is the first one."""
    first = build(tmp_path)
    made = first.stat().st_ctime_ns

    assert build(tmp_path) == first
    assert first.stat().st_ctime_ns == made
    assert ctypes.CDLL(str(first / "libfakecontrol.so")).controlGpuCount() == len(EVERY_GPU)
