"""The lock of field-value calls: one at a time, and a hung holder costs the others one hold, once."""

import threading
import time
from collections.abc import Callable

from collectors.clock import SystemClock
from collectors.nvml.lock import HOLD_MS, TIMEOUT, FieldLock
from service.core import limits

HOLD = 0.1


def made() -> FieldLock:
    return FieldLock(SystemClock(), hold_ms=round(HOLD * 1000))


class Hang:
    """A driver call that hangs until released, on a thread of its own."""

    def __init__(self, lock: FieldLock, gpu: str) -> None:
        self._entered, self._release = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lock.call, args=(gpu, self._call), daemon=True)
        self._thread.start()
        assert self._entered.wait(5)

    def _call(self) -> int:
        self._entered.set()
        self._release.wait(10)
        return 0

    def end(self) -> None:
        self._release.set()
        self._thread.join(5)
        assert not self._thread.is_alive()


def took(function: Callable[[], object]) -> float:
    began = time.monotonic()
    function()
    return time.monotonic() - began


def test_calls_are_serialised() -> None:
    """No two of many calls from many threads are inside at once, and each gets its own code back."""
    lock, inside, most = made(), 0, 0
    codes: list[int] = []

    def call(code: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.001)
        inside -= 1
        return code

    def reads(code: int) -> None:
        codes.extend(lock.call(f"gpu-{code}", lambda: call(code)) for _ in range(10))

    threads = [threading.Thread(target=reads, args=(code,)) for code in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert most == 1
    assert sorted(codes) == sorted(list(range(4)) * 10)
    assert lock.lost_by_holders == 0


def test_a_hung_holder_loses_the_lock_after_one_hold() -> None:
    """The first waiter waits one hold, the next not at all, and all who waited share one new lock."""
    lock = made()
    hung = Hang(lock, "a")
    first = took(lambda: lock.call("b", lambda: 0))
    second = took(lambda: lock.call("c", lambda: 0))
    hung.end()

    assert HOLD * 0.9 <= first < HOLD * 4
    assert second < HOLD / 2
    assert lock.lost_by_holders == 1


def test_waiters_on_a_hung_holder_stay_serialised() -> None:
    """Three who waited on the same hung holder still go one by one afterwards."""
    lock, inside, most = made(), 0, 0
    hung = Hang(lock, "a")

    def call() -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.02)
        inside -= 1
        return 0

    threads = [threading.Thread(target=lock.call, args=(gpu, call)) for gpu in "bcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    hung.end()

    assert most == 1
    assert lock.lost_by_holders == 1


def test_a_gpu_that_hangs_again_holds_up_nobody_again() -> None:
    """Who was deposed stays outside until one of its calls is quick; then it queues like the others."""
    lock = made()
    hung = Hang(lock, "a")
    lock.call("b", lambda: 0)
    hung.end()
    again = Hang(lock, "a")
    beside = took(lambda: lock.call("b", lambda: 0))
    again_lost = lock.lost_by_holders
    time.sleep(HOLD)
    again.end()
    lock.call("a", lambda: 0)
    back = Hang(lock, "a")
    waited = took(lambda: lock.call("b", lambda: 0))
    back.end()

    assert beside < HOLD / 2
    assert again_lost == 1
    assert waited >= HOLD * 0.9
    assert lock.lost_by_holders == 2


def test_a_busy_lock_is_not_a_hung_one() -> None:
    """Holders that change while somebody waits are no hang, however long the queue is."""
    lock, stop = made(), threading.Event()

    def hold() -> int:
        time.sleep(HOLD / 4)
        return 0

    def busy(gpu: str) -> None:
        while not stop.is_set():
            lock.call(gpu, hold)

    threads = [threading.Thread(target=busy, args=(gpu,), daemon=True) for gpu in "abc"]
    for thread in threads:
        thread.start()
    codes = [lock.call("d", lambda: 0) for _ in range(5)]
    stop.set()
    for thread in threads:
        thread.join(5)

    assert set(codes) <= {0, TIMEOUT}
    assert lock.lost_by_holders == 0


def test_a_raising_call_gives_the_lock_back() -> None:
    """An error in the call is the caller's, and nobody else waits for it."""
    lock = made()
    caught = []
    try:
        lock.call("a", lambda: 1 // 0)
    except ZeroDivisionError as error:
        caught.append(error)

    assert caught
    assert took(lambda: lock.call("b", lambda: 0)) < HOLD / 2


def test_the_hold_leaves_the_others_within_one_and_a_half_intervals() -> None:
    """A poll delayed by one hold still comes within 1.5 poll intervals, and well before a call is overdue."""
    assert HOLD_MS * 2 < limits.POLL_INTERVAL_MS
    assert HOLD_MS * 2 < limits.CALL_DEADLINE_MS
