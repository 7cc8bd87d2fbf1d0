"""GPUs that are lost, absent, hung, slow or fail in part."""

import time

import pytest

from tests.fakedriver.driver import FakeDriver, Return
from tests.fakedriver.program import Program, answer


def test_lost_gpu(driver: FakeDriver) -> None:
    """A lost GPU fails at its handle and on its old one; the others and the count do not."""
    source = """
        n.nvmlInit()
        old = handles()
        uuid = n.nvmlDeviceGetUUID(old[1])
        say(uuid)
        hear()
        say([n.nvmlDeviceGetCount(), [code(n.nvmlDeviceGetPowerUsage, h) for h in old],
             code(n.nvmlDeviceGetHandleByIndex, 1), code(n.nvmlDeviceGetHandleByUUID, uuid),
             code(n.nvmlDeviceGetHandleByPciBusId, "00000009:06:00.0"),
             code(n.nvmlDeviceGetHandleByIndex, 2)])
        """

    with Program(driver, source) as program:
        assert program.hear() == driver.uuid(1)
        driver.set_gpu_error(1, Return.GPU_IS_LOST)
        program.go_on()
        result = program.hear()

    assert result == [4, [0, 15, 0, 0], 15, 15, 15, 0]


def test_gpu_that_needs_a_reset(driver: FakeDriver) -> None:
    """Code 16 stops everything but handles and the recovery action."""
    driver.set_gpu_error(0, Return.RESET_REQUIRED)
    driver.set_recovery_action(0, 4)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([code(n.nvmlDeviceGetPowerUsage, h), fields(h, [230, 82])])
        """,
    )

    assert result == [16, [4, {"error": 16}]]


def test_absent_gpu(driver: FakeDriver) -> None:
    """An absent GPU leaves count and index; its neighbours move up and keep their UUIDs."""
    driver.set_absent(1)

    result = answer(
        driver,
        f"""
        n.nvmlInit()
        present = handles()
        say([[n.nvmlDeviceGetUUID(h) for h in present], [n.nvmlDeviceGetIndex(h) for h in present],
             code(n.nvmlDeviceGetHandleByUUID, "{driver.uuid(1)}"),
             code(n.nvmlDeviceGetHandleByIndex, 3)])
        """,
    )

    assert result == [[driver.uuid(gpu) for gpu in (0, 2, 3)], [0, 1, 2], 6, 2]


def test_handles_are_found_by_uuid_and_address(driver: FakeDriver) -> None:
    """UUID and PCI address lead to the same GPU; what is not there is not found."""
    result = answer(
        driver,
        f"""
        n.nvmlInit()
        say([n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID("{driver.uuid(2)}")),
             n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByPciBusId("0000:0018:06:00.0"[5:])),
             code(n.nvmlDeviceGetHandleByUUID, "GPU-none"),
             code(n.nvmlDeviceGetHandleByPciBusId, "00000001:06:00.0")])
        """,
    )

    assert result == [2, 2, 6, 6]


HANG_SOURCE = """
    n.nvmlInit()
    hs = handles()
    def took(h):
        start = time.monotonic()
        n.nvmlDeviceGetPowerUsage(h)
        return time.monotonic() - start
    say(0)
    hear()
    hung = threading.Thread(target=took, args=(hs[2],))
    hung.start()
    time.sleep(0.05)
    others = [took(hs[i]) for i in (0, 1, 3)]
    hung.join()
    say(others)
    """


@pytest.mark.parametrize(("lock", "waited"), [(False, False), (True, True)])
def test_hang(driver: FakeDriver, *, lock: bool, waited: bool) -> None:
    """A hanging GPU stops its own calls only, unless the driver's lock is shared."""
    with Program(driver, HANG_SOURCE) as program:
        program.hear()
        driver.set_global_lock(held=lock)
        driver.set_hang(2, 400)
        program.go_on()
        others = program.hear()

    assert (max(others) > 0.2) == waited


def test_hang_can_be_withdrawn(driver: FakeDriver) -> None:
    """A test need not wait for the end of a hang it no longer needs."""
    driver.set_hang(0, 60_000)
    source = "n.nvmlInit(); say(0); n.nvmlDeviceGetHandleByIndex(0); say(1)"

    with Program(driver, source) as program:
        program.hear()
        time.sleep(0.05)
        start = time.monotonic()
        driver.set_hang(0, 0)
        program.hear()

    assert time.monotonic() - start < 5


def test_call_error(driver: FakeDriver) -> None:
    """One function can fail while the rest of the GPU works."""
    driver.set_call_error("nvmlDeviceGetPowerUsage", Return.UNKNOWN, gpu=1)

    result = answer(
        driver,
        """
        n.nvmlInit()
        say([[code(n.nvmlDeviceGetPowerUsage, h), code(n.nvmlDeviceGetUUID, h)] for h in handles()])
        """,
    )

    assert result == [[0, 0], [999, 0], [0, 0], [0, 0]]


def test_latency(driver: FakeDriver) -> None:
    """Calls and fields cost what the test says, and entries report it."""
    driver.set_latency(call_us=5_000, field_us=1_000)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = n.nvmlDeviceGetHandleByIndex(0)
        start = time.monotonic()
        values = n.nvmlDeviceGetFieldValues(h, [82] * 10)
        took = time.monotonic() - start
        say([took, values[0].latencyUsec, abs(values[0].timestamp / 1e6 - time.time())])
        """,
    )

    took, reported, age = result
    assert took >= 0.015
    assert reported == 1_000
    assert age < 5


def test_processes(driver: FakeDriver) -> None:
    """The process list grows and shrinks on the next call."""
    driver.set_processes(0, [(4242, 2**30), (4243, 2**31)])

    result = answer(
        driver,
        """
        n.nvmlInit()
        say([[[p.pid, p.usedGpuMemory] for p in n.nvmlDeviceGetComputeRunningProcesses(h)]
             for h in handles()[:2]])
        """,
    )

    assert result == [[[4242, 2**30], [4243, 2**31]], []]


def test_latency_of_one_function(driver: FakeDriver) -> None:
    """One call may be slow while the others are not, as the list of processes is."""
    driver.set_call_latency("nvmlDeviceGetComputeRunningProcesses_v3", 50_000)

    slow, fast = answer(
        driver,
        """
        n.nvmlInit()
        h = n.nvmlDeviceGetHandleByIndex(0)
        def took(call):
            start = time.monotonic()
            call(h)
            return time.monotonic() - start
        say([took(n.nvmlDeviceGetComputeRunningProcesses), took(n.nvmlDeviceGetPowerUsage)])
        """,
    )

    assert fast < 0.05 <= slow


def test_pcie_throughput_blocks(driver: FakeDriver) -> None:
    """The call measures while the caller waits: 20 ms a direction unless told otherwise."""
    source = """
        n.nvmlInit()
        h = n.nvmlDeviceGetHandleByIndex(0)
        start = time.monotonic()
        values = [n.nvmlDeviceGetPcieThroughput(h, counter) for counter in (0, 1)]
        say([values, time.monotonic() - start])
        """
    driver.set_pcie_throughput(0, sent_kib=100, received_kib=300)
    values, took = answer(driver, source)
    driver.set_pcie_throughput_latency(0)

    assert values == [100, 300]
    assert took >= 0.04
    assert answer(driver, source)[1] < 0.04


def test_process_utilisation(driver: FakeDriver) -> None:
    """Processes share the load of the GPU; without any there is nothing to find."""
    driver.set_utilisation(0, 80)
    driver.set_processes(0, [(4242, 2**30), (4243, 2**31)])

    result = answer(
        driver,
        """
        n.nvmlInit()
        busy, idle = handles()[:2]
        say([[[p.pid, p.smUtil] for p in n.nvmlDeviceGetProcessUtilization(busy, 0)],
             code(n.nvmlDeviceGetProcessUtilization, idle, 0)])
        """,
    )

    assert result == [[[4242, 40], [4243, 40]], Return.NOT_FOUND]


def test_power_profiles(driver: FakeDriver) -> None:
    """Workload profiles are absent unless a test says which there are."""
    driver.set_profiles(1, supported=0b1011, requested=0b10, enforced=0b10)

    result = answer(
        driver,
        """
        n.nvmlInit()
        def ask(h):
            p = n.c_nvmlWorkloadPowerProfileCurrentProfiles_v1_t()
            n.nvmlDeviceWorkloadPowerProfileGetCurrentProfiles(h, ctypes.byref(p))
            return [mask.mask[0] for mask in (p.perfProfilesMask, p.requestedProfilesMask, p.enforcedProfilesMask)]
        say([code(ask, handles()[0]), ask(handles()[1])])
        """,
    )

    assert result == [Return.NOT_SUPPORTED, [0b1011, 0b10, 0b10]]
