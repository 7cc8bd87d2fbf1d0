"""Activity and traffic through pairs of GPM samples."""

import pytest

from tests.fakedriver.driver import FakeDriver, Return
from tests.fakedriver.program import Program, answer

GPM_SOURCE = """
n.nvmlInit()
hs = handles()

def sample(h, into=None):
    into = into or n.nvmlGpmSampleAlloc()
    n.nvmlGpmSampleGet(h, into)
    return into

def metrics(first, second, *wanted):
    request = n.c_nvmlGpmMetricsGet_t()
    request.version, request.numMetrics = 1, len(wanted)
    request.sample1, request.sample2 = first, second
    for entry, metric in zip(request.metrics, wanted):
        entry.metricId, entry.value = metric, -1
    n.nvmlGpmMetricsGet(request)
    return [[entry.nvmlReturn, entry.value] for entry in list(request.metrics)[:len(wanted)]]
"""


def test_gpm_averages_between_two_samples(driver: FakeDriver) -> None:
    """A metric is the mean over the time between its samples, whatever happened meanwhile."""
    driver.set_engine_activity(1, graphics=90, sm=80, occupancy=40, tensor=60, dram=30)
    source = GPM_SOURCE + "a = sample(hs[1]); say(0); hear(); say(metrics(a, sample(hs[1]), 1, 2, 3, 5, 10))"

    with Program(driver, source) as program:
        program.hear()
        driver.advance(1000)
        driver.set_engine_activity(1, sm=0, tensor=20)
        driver.advance(1000)
        program.go_on()
        result = program.hear()

    assert [code for code, _ in result] == [0] * 5
    assert [value for _, value in result] == pytest.approx([90, 40, 40, 40, 30], rel=0.01)


def test_gpm_traffic_is_that_of_the_fields(driver: FakeDriver) -> None:
    """Traffic is MiB/s of the counters that fields show: per link, summed, PCIe; C2C of its own."""
    mib = 2.0**20
    driver.set_field(0, 204, 0, scope=0, per_second=100 * mib)
    driver.set_field(0, 204, 0, scope=17, per_second=50 * mib)
    driver.set_field(0, 202, 0, scope=17, per_second=8 * mib)
    driver.set_field(0, 197, 0, per_second=3 * mib)
    driver.set_gpm(0, 100, 700.0)
    source = GPM_SOURCE + "a = sample(hs[0]); say(0); hear(); "
    source += "say(metrics(a, sample(hs[0]), 60, 61, 62, 63, 96, 97, 20, 21, 100))"

    with Program(driver, source) as program:
        program.hear()
        driver.advance(1000)
        program.go_on()
        result = program.hear()

    assert [value for _, value in result] == pytest.approx([150, 8, 100, 0, 50, 8, 3, 0, 700], rel=0.01)


def test_gpm_metrics_fail_one_by_one(driver: FakeDriver) -> None:
    """Unknown ids and injected errors stay in their entry; a failed entry has no value."""
    driver.set_gpm_error(0, 5, Return.UNKNOWN)
    driver.set_field_error(0, 202, Return.NOT_SUPPORTED, scope=4)
    driver.set_engine_activity(0, sm=10)
    source = GPM_SOURCE + "a = sample(hs[0]); say(0); hear(); say(metrics(a, sample(hs[0]), 2, 5, 30, 470, 999, 71))"

    with Program(driver, source) as program:
        program.hear()
        driver.advance(10)
        program.go_on()
        result = program.hear()

    assert [code for code, _ in result] == [0, 999, 3, 3, 3, 3]
    assert all(value == -1 for _, value in result[1:])


def test_gpm_samples_must_fit_together(driver: FakeDriver) -> None:
    """Samples within 100 ms hold nothing yet; of two GPUs, reversed, unfilled or freed are refused."""
    source = (
        GPM_SOURCE
        + """
a, close = sample(hs[0]), sample(hs[0])
say(0)
hear()
b, other, empty = sample(hs[0]), sample(hs[1]), n.nvmlGpmSampleAlloc()
results = [code(metrics, *pair, 1) for pair in ((a, close), (a, b), (a, other), (b, a), (a, empty))]
n.nvmlGpmSampleFree(b)
say(results + [code(metrics, a, b, 1), code(n.nvmlGpmSampleFree, b)])
"""
    )

    with Program(driver, source) as program:
        program.hear()
        driver.advance(0.5)
        program.go_on()
        result = program.hear()

    assert result == [Return.NO_DATA, 0, 2, 2, 2, 2, 2]


def test_gpm_support(driver: FakeDriver) -> None:
    """A GPU without GPM says so and takes no samples; an unknown struct version is refused."""
    driver.set_gpm_support(2, supported=False)

    result = answer(
        driver,
        GPM_SOURCE
        + """
def unknown_version():
    support = n.c_nvmlGpmSupport_t()
    support.version = 9
    return n.nvmlLib.nvmlGpmQueryDeviceSupport(hs[0], ctypes.byref(support))
say([[n.nvmlGpmQueryDeviceSupport(h).isSupportedDevice, code(sample, h)] for h in hs[1:3]] + [unknown_version()])
""",
    )

    assert result == [[1, 0], [0, 3], 25]


def test_gpm_samples_do_not_outlive_the_driver(driver: FakeDriver) -> None:
    """Counters begin again with a reload, so a sample from before it fits none from after it."""
    source = (
        GPM_SOURCE
        + """
a = sample(hs[0])
say(0)
hear()
n.nvmlInit()
n.nvmlShutdown()
stale = code(sample, hs[0])
n.nvmlShutdown()
n.nvmlInit()
say([stale, code(metrics, a, sample(handles()[0]), 1)])
"""
    )

    with Program(driver, source) as program:
        program.hear()
        driver.reload()
        driver.advance(1)
        program.go_on()
        result = program.hear()

    assert result == [Return.UNINITIALIZED, Return.INVALID_ARGUMENT]


def test_gpm_values_may_be_beyond_physics(driver: FakeDriver) -> None:
    """More than all of the time, or less than none of it, is passed on as a driver at fault would."""
    driver.set_gpm(0, 2, 250.0)
    driver.set_gpm(0, 10, -5.0)
    source = GPM_SOURCE + "a = sample(hs[0]); say(0); hear(); say(metrics(a, sample(hs[0]), 2, 10))"

    with Program(driver, source) as program:
        program.hear()
        driver.advance(100)
        program.go_on()
        result = program.hear()

    assert [value for _, value in result] == pytest.approx([250, -5], rel=0.01)
