"""Event sets: delivery, order, refusal, waking."""

import time

import pytest

from tests.fakedriver.driver import EVENT_TYPES, FakeDriver, Return
from tests.fakedriver.program import Program, answer

WAIT_SOURCE = """
n.nvmlInit()
hs = handles()
names = {ctypes.cast(h, ctypes.c_void_p).value: i for i, h in enumerate(hs)}
events = n.nvmlEventSetCreate()
for h in hs:
    n.nvmlDeviceRegisterEvents(h, 0xFE0A & n.nvmlDeviceGetSupportedEventTypes(h), events)
say("registered")
def wait(ms=5000):
    e = n.nvmlEventSetWait_v2(events, ms)
    return [names[ctypes.cast(e.device, ctypes.c_void_p).value], e.eventType, e.eventData]
"""


def test_xid_burst_arrives_complete_and_in_order(driver: FakeDriver) -> None:
    """Fifty XIDs reach a waiting process in the order they were raised."""
    source = WAIT_SOURCE + "say([wait() for _ in range(50)])"
    raised = [(index % 4, 100 + index) for index in range(50)]
    driver.raise_xid(0, 13)

    with Program(driver, source) as program:
        program.hear()
        for gpu, xid in raised:
            driver.raise_xid(gpu, xid)
        received = program.hear()

    assert received == [[gpu, 0x8, xid] for gpu, xid in raised]


def test_only_xids_carry_data(driver: FakeDriver) -> None:
    """Other events lose their data, and types nobody registered for are not delivered."""
    source = WAIT_SOURCE + "say([wait(), code(wait, 0)])"

    with Program(driver, source) as program:
        program.hear()
        driver.raise_event(3, 0x1, 5)
        driver.raise_event(2, 0x8000, 77)
        received = program.hear()

    assert received[0] == [2, 0x8000, 0]
    assert received[1] == Return.TIMEOUT


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_type_reaches_who_registered_for_it(driver: FakeDriver, event_type: int) -> None:
    """Each bit of the vendor's mask can be registered for alone, is delivered, and only it."""
    other = 0x8 if event_type != 0x8 else 0x1000
    source = f"""
        n.nvmlInit()
        h, events = handles()[2], n.nvmlEventSetCreate()
        n.nvmlDeviceRegisterEvents(h, {event_type}, events)
        say(0)
        e = n.nvmlEventSetWait_v2(events, 5000)
        say([e.eventType, n.nvmlDeviceGetIndex(e.device), e.gpuInstanceId, code(n.nvmlEventSetWait_v2, events, 0)])
        """

    with Program(driver, source) as program:
        program.hear()
        driver.raise_event(2, other)
        driver.raise_event(1, event_type)
        driver.raise_event(2, event_type)
        result = program.hear()

    assert result == [event_type, 2, 0xFFFFFFFF, Return.TIMEOUT]


def test_event_types_are_the_vendors(driver: FakeDriver) -> None:
    """The types a test can raise are those a GPU says it supports."""
    supported = answer(driver, "n.nvmlInit(); say(n.nvmlDeviceGetSupportedEventTypes(handles()[0]))")

    assert supported == sum(EVENT_TYPES) == 0xFF9F


def test_a_burst_beyond_the_history_loses_the_oldest(driver: FakeDriver) -> None:
    """Who sleeps through more events than are kept finds the newest, in order, and nothing twice."""
    kept = 1024
    source = (
        WAIT_SOURCE
        + f"hear(); got = [wait(0)[2] for _ in range({kept})]; "
        + "say([got[0], got[-1], got == sorted(got), code(wait, 0)])"
    )

    with Program(driver, source) as program:
        program.hear()
        for number in range(kept + 300):
            driver.raise_xid(0, number)
        program.go_on()
        result = program.hear()

    assert result == [300, kept + 299, True, Return.TIMEOUT]


def test_two_programs_hear_every_event(driver: FakeDriver) -> None:
    """Each event set has its own place in the history: nobody takes another's events."""
    source = WAIT_SOURCE + "say([wait()[2] for _ in range(20)])"

    with Program(driver, source) as first, Program(driver, source) as second:
        first.hear()
        second.hear()
        for number in range(20):
            driver.raise_xid(number % 4, number)
        heard = first.hear(), second.hear()

    assert heard == (list(range(20)), list(range(20)))


def test_waiting_can_fail(driver: FakeDriver) -> None:
    """A waiter is told of a lost GPU by the code that a test injects, also in mid-wait."""
    source = WAIT_SOURCE + "say(code(wait))"

    with Program(driver, source) as program:
        program.hear()
        time.sleep(0.05)
        driver.set_call_error("nvmlEventSetWait_v2", Return.GPU_IS_LOST)
        result = program.hear()

    assert result == Return.GPU_IS_LOST


def test_wait_wakes_up_at_once(driver: FakeDriver) -> None:
    """A waiter sleeps until the event and not until its next poll."""
    source = WAIT_SOURCE + "wait(); wait(); say(time.monotonic())"

    with Program(driver, source) as program:
        program.hear()
        driver.raise_xid(0, 1)
        time.sleep(0.05)
        raised = time.monotonic()
        driver.raise_xid(0, 2)
        woken = program.hear()

    assert 0 < woken - raised < 0.08


def test_wait_times_out(driver: FakeDriver) -> None:
    """Silence is answered by TIMEOUT, after the time asked for."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        events = n.nvmlEventSetCreate()
        start = time.monotonic()
        say([code(n.nvmlEventSetWait_v2, events, 120), time.monotonic() - start])
        """,
    )

    assert result[0] == Return.TIMEOUT
    assert result[1] >= 0.12


def test_unsupported_event_refuses_all(driver: FakeDriver) -> None:
    """One unsupported bit refuses the whole registration and leaves the set usable."""
    driver.set_supported_events(0, 0x8)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h, events = handles()[0], n.nvmlEventSetCreate()
        say([code(n.nvmlDeviceRegisterEvents, h, 0x8008, events),
             code(n.nvmlDeviceRegisterEvents, h, 0x8, events),
             n.nvmlDeviceGetSupportedEventTypes(handles()[1]),
             code(n.nvmlEventSetFree, events), code(n.nvmlEventSetWait_v2, events, 0)])
        """,
    )

    assert result == [3, 0, 0xFF9F, 0, 2]


def test_waiter_learns_of_a_reload(driver: FakeDriver) -> None:
    """A reload ends a wait with UNINITIALIZED and is announced to system event sets."""
    source = """
        n.nvmlInit()
        events, system = n.nvmlEventSetCreate(), n.nvmlSystemEventSetCreate(0x1000010)
        n.nvmlSystemRegisterEvents(0x1000018, 3, system)
        say(0)
        say(code(n.nvmlEventSetWait_v2, events, 5000))
        hear()
        room = (n.c_nvmlSystemEventData_v1_t * 6)()
        ask = lambda: n.nvmlSystemEventSetWait(0x1000020, system, 1000, room, 6)
        say([[e["eventType"] for e in ask()], [e["eventType"] for e in ask()]])
        """

    with Program(driver, source) as program:
        program.hear()
        time.sleep(0.05)
        driver.reload()
        ended = program.hear()
        program.go_on()
        announced = program.hear()

    assert ended == Return.UNINITIALIZED
    assert announced == [[1, 1, 1, 1, 2, 2], [2, 2]]
