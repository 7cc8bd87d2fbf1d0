"""Published tools run unchanged on the simulated driver: it is a driver, not a mirror of our collector."""

import json
import math
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.fakedriver.driver import EVERY_GPU, FakeDriver, Return
from tests.peers import BIN, by_gpu, nvitop_exporter
from tests.processes import end, free_port, get, start, wait_for

MIB = 2**20
TOTAL_MIB = 284_208
COLUMNS = ("power_usage_W", "temperature_C", "memory_used_MiB", "memory_total_MiB", "utilization_Percentage")
"""What nvitop's exporter calls the members of `Told`."""


@dataclass(frozen=True)
class Told:
    """What a tool says of one GPU, in watts, degrees, MiB and percent."""

    power: float
    temperature: float
    used: float
    total: float
    load: float


Tool = Callable[[FakeDriver], Mapping[int, Told | None]]
"""Runs a tool once; a GPU it has no numbers for is None."""


@pytest.fixture
def driver() -> Iterator[FakeDriver]:
    """Yield a tray whose GPUs all differ."""
    with FakeDriver() as running:
        for gpu in EVERY_GPU:
            running.set_power(gpu, 300.0 + 100 * gpu)
            running.set_temperature(gpu, 40 + gpu)
            running.set_utilisation(gpu, 10 * gpu + 5)
            running.set_memory_used(gpu, (gpu + 1) * 1024 * MIB)
        yield running


def expected(driver: FakeDriver, gpu: int) -> Told:
    """Return what the fixture set."""
    return Told(300.0 + 100 * gpu, 40 + gpu, (gpu + 1) * 1024, TOTAL_MIB, 10 * gpu + 5)


def run(driver: FakeDriver, *command: str) -> str:
    """Run a tool to its end on the driver and return what it prints."""
    done = subprocess.run(
        command, env=driver.environment(), capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def gpustat(driver: FakeDriver) -> dict[int, Told | None]:
    """Ask gpustat for its JSON."""
    return {
        row["index"]: Told(
            row["power.draw"], row["temperature.gpu"], row["memory.used"], row["memory.total"], row["utilization.gpu"]
        )
        if "uuid" in row
        else None
        for row in json.loads(run(driver, str(BIN / "gpustat"), "--json"))["gpus"]
    }


NVITOP = """
    import json
    from nvitop import Device, NA
    def number(value, unit=1):
        return None if value == NA else value / unit
    print(json.dumps({d.index: [number(d.power_usage(), 1000), number(d.temperature()),
        number(d.memory_used(), 2**20), number(d.memory_total(), 2**20), number(d.gpu_utilization())]
        for d in Device.all()}))
    """


def nvitop(driver: FakeDriver) -> dict[int, Told | None]:
    """Ask the library of nvitop."""
    rows = json.loads(run(driver, sys.executable, "-c", textwrap.dedent(NVITOP)))
    return {int(index): None if None in row else Told(*row) for index, row in rows.items()}


@contextmanager
def exporter(driver: FakeDriver) -> Iterator[Callable[[], str]]:
    """Run nvitop's exporter; yield how to scrape it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    process = start(
        nvitop_exporter(port, interval_seconds=0.25),
        env=driver.environment(),
        log=driver.path.with_name("exporter.log"),
    )
    try:
        wait_for("exporter", lambda: _is_complete(get(url)))
        yield lambda: get(url)
    finally:
        end(process)


def _is_complete(exposition: str) -> bool:
    announced = re.search(r'device_count="(\d+)"', exposition)
    columns = [by_gpu(exposition, f"gpu_{name}") for name in COLUMNS]
    return announced is not None and all(len(column) == int(announced[1]) for column in columns)


def rows_of(exposition: str) -> dict[int, Told | None]:
    """Return what an exposition says of each GPU."""
    columns = [by_gpu(exposition, f"gpu_{name}") for name in COLUMNS]
    rows = {gpu: [column[gpu] for column in columns] for gpu in columns[0]}
    return {gpu: None if any(map(math.isnan, row)) else Told(*row) for gpu, row in rows.items()}


def nvitop_exporter_once(driver: FakeDriver) -> dict[int, Told | None]:
    """Scrape nvitop's exporter once."""
    with exporter(driver) as scrape:
        return rows_of(scrape())


EVERY_TOOL = pytest.mark.parametrize("tool", [gpustat, nvitop, nvitop_exporter_once])


@EVERY_TOOL
def test_the_tools_tell_the_numbers_of_the_tray(driver: FakeDriver, tool: Tool) -> None:
    """Four GPUs with the power, temperature, memory and load that the test set."""
    told = tool(driver)

    assert told == {gpu: expected(driver, gpu) for gpu in EVERY_GPU}


@EVERY_TOOL
@pytest.mark.parametrize("code", [Return.GPU_IS_LOST, Return.UNKNOWN])
def test_a_failing_gpu_has_no_numbers_and_its_neighbours_do(driver: FakeDriver, tool: Tool, code: Return) -> None:
    """A GPU whose every call fails has no numbers in any tool; the other three have theirs."""
    driver.set_gpu_error(1, code)

    told = tool(driver)

    assert told.get(1) is None
    assert {gpu: row for gpu, row in told.items() if row} == {gpu: expected(driver, gpu) for gpu in (0, 2, 3)}


@EVERY_TOOL
def test_an_absent_gpu_is_not_told(driver: FakeDriver, tool: Tool) -> None:
    """A GPU that left the bus before the tool began is not there; the others move up."""
    driver.set_absent(0)

    told = tool(driver)

    assert list(told.values()) == [expected(driver, gpu) for gpu in (1, 2, 3)]


@EVERY_TOOL
def test_a_busy_process_changes_nothing_else(driver: FakeDriver, tool: Tool) -> None:
    """Processes on a GPU, of this host or long gone, disturb no reading."""
    driver.set_processes(2, [(1, 512 * MIB), (4_000_000, 256 * MIB)])

    assert tool(driver) == {gpu: expected(driver, gpu) for gpu in EVERY_GPU}


def test_names_and_identities(driver: FakeDriver) -> None:
    """gpustat shows the model, the UUIDs and the driver that the tray has."""
    told = json.loads(run(driver, str(BIN / "gpustat"), "--json"))

    assert told["driver_version"] == "580.173.02"
    assert [gpu["uuid"] for gpu in told["gpus"]] == [driver.uuid(gpu) for gpu in EVERY_GPU]
    assert {gpu["name"] for gpu in told["gpus"]} == {"NVIDIA GB300"}
    assert {gpu["enforced.power.limit"] for gpu in told["gpus"]} == {1400}


def test_the_screen_of_nvitop(driver: FakeDriver) -> None:
    """One shot of nvitop shows driver, CUDA version, model, address and power of every GPU."""
    screen = run(driver, sys.executable, "-m", "nvitop", "--once")

    for gpu, domain in zip(EVERY_GPU, ("08", "09", "18", "19"), strict=True):
        assert f"000000{domain}:06:00.0" in screen
        assert f"{300 + 100 * gpu}W / 1400W" in screen
    assert "580.173.02" in screen
    assert "13.0" in screen
    assert screen.count("GB300") == len(EVERY_GPU)


def test_a_running_exporter_follows_the_driver(driver: FakeDriver) -> None:
    """What the test sets is on the next pages: new numbers, a loss, a recovery."""
    with exporter(driver) as scrape:
        driver.set_power(3, 1390.5)
        driver.set_temperature(3, 81)
        wait_for("power", lambda: by_gpu(scrape(), "gpu_power_usage_W")[3] == 1390.5)
        wait_for("temperature", lambda: by_gpu(scrape(), "gpu_temperature_C")[3] == 81)
        driver.set_gpu_error(3, Return.GPU_IS_LOST)
        wait_for("loss", lambda: math.isnan(by_gpu(scrape(), "gpu_power_usage_W")[3]))
        others = rows_of(scrape())
        driver.set_gpu_error(3, Return.SUCCESS)
        wait_for("recovery", lambda: by_gpu(scrape(), "gpu_power_usage_W")[3] == 1390.5)

    assert [others[gpu] for gpu in (0, 1, 2)] == [expected(driver, gpu) for gpu in (0, 1, 2)]


def test_traffic_of_links(driver: FakeDriver) -> None:
    """The exporter's difference of two counters is the traffic that was set, per link and in sum."""
    driver.set_link_traffic(1, sent=18 * 100 * MIB, received=18 * 40 * MIB)

    with exporter(driver) as scrape:
        wait_for("traffic", lambda: by_gpu(scrape(), "gpu_nvlink_total_tx_throughput_MiBps")[1] > 0)
        page = scrape()

    assert by_gpu(page, "gpu_nvlink_total_tx_throughput_MiBps")[1] == pytest.approx(1800, rel=0.1)
    assert by_gpu(page, "gpu_nvlink_total_rx_throughput_MiBps")[1] == pytest.approx(720, rel=0.1)
    assert by_gpu(page, "gpu_nvlink_tx_throughput_MiBps")[1] == pytest.approx(100, rel=0.1)
    assert by_gpu(page, "gpu_nvlink_total_tx_throughput_MiBps")[0] == 0


def test_tools_need_nothing_that_is_missing(driver: FakeDriver) -> None:
    """All that the tools ask for is answered, but for fans and Windows, which a rack does not have."""
    for tool in (gpustat, nvitop, nvitop_exporter_once):
        tool(driver)
    run(driver, sys.executable, "-m", "nvitop", "--once")
    asked = sorted(name for name in driver.trace() if name.startswith("nvmlDevice"))

    refused = [name for name in asked if _is_refused(driver, name)]

    assert refused == ["nvmlDeviceGetDriverModel_v2", "nvmlDeviceGetFanSpeed"]


def _is_refused(driver: FakeDriver, function: str) -> bool:
    """Whether the driver has no more than a stub for a function: it answers even without arguments."""
    call = f"""
        import ctypes, pynvml
        pynvml.nvmlInit()
        nothing = [ctypes.c_void_p(0)] * 8
        print(pynvml.nvmlLib.{function}(*nothing))
        """
    return int(run(driver, sys.executable, "-c", textwrap.dedent(call))) == Return.NOT_SUPPORTED
