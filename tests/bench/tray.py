"""The tray that every subject is measured on: busy, with the driver at no latency or at a real one's."""

from dataclasses import dataclass

from tests.fakedriver.driver import EVERY_GPU, FakeDriver

GIB = 2**30
NOISE_PPM = 5_000


@dataclass(frozen=True)
class Speed:
    """How long the driver takes, in microseconds, and for PCIe throughput in milliseconds."""

    name: str
    call_us: int
    field_us: int
    processes_us: int
    pcie_ms: int


SPEEDS = (
    Speed("driver at zero latency", 0, 0, 0, 0),
    Speed("driver at 50 us a call, 2 us a field", 50, 2, 4_450, 20),
)


def load(driver: FakeDriver) -> None:
    """Let the tray work, so that no reading is the same twice."""
    driver.set_noise(NOISE_PPM)
    for gpu in EVERY_GPU:
        driver.set_power(gpu, 1_150.0)
        driver.set_module_power(gpu, 2_600.0)
        driver.set_temperature(gpu, 62)
        driver.set_utilisation(gpu, 97, memory=44)
        driver.set_clocks(gpu, sm=1_920)
        driver.set_clock_events(gpu, 0x4)
        driver.set_memory_used(gpu, 250 * GIB)
        driver.set_processes(gpu, [(1, 250 * GIB)])
        driver.set_engine_activity(gpu, graphics=97, sm=88, occupancy=41, tensor=63, dram=52)
        driver.set_link_traffic(gpu, sent=600e9, received=600e9)
        driver.set_pcie_traffic(gpu, sent=2e9, received=9e9)


def set_speed(driver: FakeDriver, speed: Speed) -> None:
    """Let the driver take its time."""
    driver.set_latency(call_us=speed.call_us, field_us=speed.field_us)
    driver.set_call_latency("nvmlDeviceGetComputeRunningProcesses_v3", speed.processes_us)
    driver.set_pcie_throughput_latency(speed.pcie_ms)
