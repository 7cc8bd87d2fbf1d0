"""NVLinks and PCIe: one counter, told the same way by fields and by the calls of generic tools."""

import pytest

from tests.fakedriver.driver import ALL_LINKS, LINKS, FakeDriver, LinkCounter, LinkState, Return
from tests.fakedriver.program import Program, answer


def test_link_state_is_the_same_through_both_doors(driver: FakeDriver) -> None:
    """A link that is down is down in the field and in the call; its neighbours are not."""
    driver.set_link(0, 4, state=LinkState.INACTIVE, speed=0)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([fields(h, [(165, 4), (164, 4), (165, 5)]),
             [n.nvmlDeviceGetNvLinkState(h, link) for link in (3, 4)],
             n.nvmlDeviceGetNvLinkVersion(h, 0)])
        """,
    )

    assert result == [[0, 0, 1], [1, 0], 7]


def test_capability_promises_more_links_than_there_are(driver: FakeDriver) -> None:
    """As real drivers do: the capability of link 18 is yes and its state INVALID_ARGUMENT."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([n.nvmlDeviceGetNvLinkCapability(h, 18, 0), code(n.nvmlDeviceGetNvLinkState, h, 18),
             code(n.nvmlDeviceGetNvLinkCapability, h, 36, 0), code(n.nvmlDeviceGetNvLinkVersion, h, 18)])
        """,
    )

    assert result == [1, 2, 2, 2]


def test_links_lead_to_a_switch_without_an_address(driver: FakeDriver) -> None:
    """The other end is a switch in another tray, which this host's bus does not know."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([n.nvmlDeviceGetNvLinkRemoteDeviceType(h, 17), n.nvmlDeviceGetNvLinkRemotePciInfo(h, 17).busId,
             fields(h, [(146, 17), 147])])
        """,
    )

    assert result == [2, "00000000:00:00.0", [17, 18]]


def test_traffic_adds_up(driver: FakeDriver) -> None:
    """Bytes, packets, KiB and the sum of all links tell one story, and keep what they counted."""
    driver.set_link_traffic(2, sent=18 * 2.0**30, received=0)
    driver.advance(100)
    driver.set_link_traffic(2, sent=0, received=0)
    driver.advance(100)

    result = answer(
        driver,
        f"""
        n.nvmlInit()
        h = handles()[2]
        say([fields(h, [(202, link) for link in range(18)]), fields(h, [(138, {ALL_LINKS}), (140, 0), (201, 0)])])
        """,
    )

    sent, (kib_of_all, kib_of_one, packets) = result
    assert sent == pytest.approx([100 * 2**30] * len(LINKS), rel=0.01)
    assert kib_of_all == pytest.approx(sum(sent) / 1024, rel=1e-6)
    assert kib_of_one == sent[0] // 1024
    assert packets > 0


def test_a_failed_counter_fails_its_sums(driver: FakeDriver) -> None:
    """What follows from a counter that cannot be read cannot be read either: no part of a sum."""
    driver.set_field_error(0, LinkCounter.SENT_BYTES, Return.UNKNOWN, scope=3)

    result = answer(driver, f"n.nvmlInit(); say(fields(handles()[0], [(138, {ALL_LINKS}), (138, 3), (138, 4)]))")

    assert result == [{"error": 999}, {"error": 999}, 0]


def test_errors_count_up_and_ramp(driver: FakeDriver) -> None:
    """Errors of one link are added and go on at their rate; other links and GPUs count none."""
    driver.count_link(1, 7, LinkCounter.RECOVERIES, 3)
    driver.count_link(1, 7, LinkCounter.RECOVERIES, 4)
    driver.count_link(1, 7, LinkCounter.SYMBOL_ERRORS, per_second=1000)
    driver.advance(60)

    wanted = "[(215, 7), (215, 8), (221, 7)]"
    result = answer(driver, f"n.nvmlInit(); say([fields(h, {wanted}) for h in handles()[:2]])")

    assert result[0] == [0, 0, 0]
    assert result[1][:2] == [7, 0]
    assert result[1][2] == pytest.approx(60_000, rel=0.05)


@pytest.mark.parametrize("counter", LinkCounter)
def test_every_counter_of_a_link_can_be_set(driver: FakeDriver, counter: LinkCounter) -> None:
    """Each named counter is one that the driver answers, per link."""
    driver.count_link(3, 17, counter, 11)

    result = answer(driver, f"n.nvmlInit(); say(fields(handles()[3], [({int(counter)}, 17), ({int(counter)}, 18)]))")

    assert result == [11, {"error": 2}]


def test_a_counter_may_go_backwards(driver: FakeDriver) -> None:
    """A test may set a counter below what it was, as drivers do that restart or wrap."""
    source = "n.nvmlInit(); h = handles()[0]; say(fields(h, [(202, 0), 83])); hear(); say(fields(h, [(202, 0), 83]))"
    driver.count_link(0, 0, LinkCounter.SENT_BYTES, 1000)

    with Program(driver, source) as program:
        before = program.hear()
        driver.count_link(0, 0, LinkCounter.SENT_BYTES, -400)
        driver.set_energy(0, 1.0)
        program.go_on()
        after = program.hear()

    assert (before[0], after[0]) == (1000, 600)
    assert after[1] < before[1]


def test_pcie_traffic(driver: FakeDriver) -> None:
    """PCIe byte counters advance at the rate of the traffic."""
    driver.set_pcie_traffic(0, sent=1e6, received=5e6)
    driver.advance(100)

    sent, received = answer(driver, "n.nvmlInit(); say(fields(handles()[0], [197, 198]))")

    assert sent == pytest.approx(1e8, rel=0.05)
    assert received == pytest.approx(5e8, rel=0.05)
