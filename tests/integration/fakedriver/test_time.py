"""Counters and samples follow the clock of the driver."""

import pytest

from tests.fakedriver.driver import FakeDriver, Return
from tests.fakedriver.program import answer


def test_energy_integrates_power(driver: FakeDriver) -> None:
    """An hour at 1000 W is 3.6 MJ, in every process and through all three doors."""
    driver.set_power(0, 1000.0)
    before = driver.energy(0)

    driver.advance(3600)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([n.nvmlDeviceGetTotalEnergyConsumption(h), *fields(h, [83, 191])])
        """,
    )
    after = driver.energy(0)
    assert all(3.6e6 <= reading / 1000 - before <= after - before for reading in result)
    assert after - before == pytest.approx(3.6e6, rel=0.01)


def test_energy_remembers_earlier_power(driver: FakeDriver) -> None:
    """Changing the power changes the slope, never the energy used so far."""
    start = driver.energy(3)

    driver.set_power(3, 200.0, instant=100.0)
    driver.advance(1000)
    driver.set_power(3, 1400.0)
    driver.advance(1000)

    assert driver.energy(3) - start == pytest.approx(1000 * 100 + 1000 * 1400, rel=0.01)


def test_throttle_time_follows_the_mask(driver: FakeDriver) -> None:
    """The counter of a reason advances while its bit is set and stands still otherwise."""
    driver.set_clock_events(0, 0x80 | 0x20)
    driver.advance(2.0)
    driver.set_clock_events(0, 0x1)
    driver.advance(50.0)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([fields(h, [271, 269, 75, 270, 74, 309]), n.nvmlDeviceGetCurrentClocksEventReasons(h)])
        """,
    )

    times, mask = result
    assert mask == 0x1
    assert all(2e9 <= advanced < 3e9 for advanced in times[:3])
    assert times[3:] == [0, 0, 0]


def test_counters_advance_at_their_rate(driver: FakeDriver) -> None:
    """A field can count by itself."""
    driver.set_field(0, 202, 10, scope=3, per_second=1e9)
    driver.advance(100)

    result = answer(driver, "n.nvmlInit(); say(fields(handles()[0], [(202, 3), (202, 4)]))")

    assert result[0] == pytest.approx(1e11, rel=0.05)
    assert result[1] == 0


def test_samples_show_a_short_spike(driver: FakeDriver) -> None:
    """The sample buffer holds a spike that is over when somebody asks."""
    driver.set_power(0, 900.0)
    driver.advance(3.0)
    driver.set_power(0, 1390.0)
    driver.advance(0.3)
    driver.set_power(0, 900.0)
    driver.advance(0.5)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        tag, samples = n.nvmlDeviceGetSamples(h, 0, 0)
        last = samples[-1].timeStamp
        say([n.nvmlDeviceGetPowerUsage(h), [s.sampleValue.uiVal for s in samples],
             code(n.nvmlDeviceGetSamples, h, 0, last + 10**9)])
        """,
    )

    now, samples, nothing_new = result
    assert now == 900_000
    assert set(samples) == {900_000, 1_390_000}
    assert 13 <= samples.count(1_390_000) <= 17
    assert nothing_new == Return.NOT_FOUND


def test_noise_is_the_same_for_everybody(driver: FakeDriver) -> None:
    """Power scatters within the set width, alike in every process at one driver time; energy does not."""
    driver.set_power(0, 1000.0)
    driver.set_noise(10_000)
    source = """
        n.nvmlInit()
        h = handles()[0]
        say([n.nvmlDeviceGetPowerUsage(h)] + fields(h, [185, 186]))
        """

    seen = []
    for _ in range(20):
        driver.advance(10.0)
        seen.append(answer(driver, source)[0])

    assert all(990_000 <= power <= 1_010_000 for power in seen)
    assert len(set(seen)) > 10


def test_energy_may_advance_in_steps(driver: FakeDriver) -> None:
    """With steps, two reads within one step show the same energy."""
    driver.set_power(0, 1000.0)
    driver.set_energy_step(60_000)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        seen = set()
        for _ in range(100):
            seen.add(n.nvmlDeviceGetTotalEnergyConsumption(h))
            time.sleep(0.001)
        say(len(seen))
        """,
    )

    assert result <= 2
