"""One at a time through the driver's field-value call, but never behind a GPU that hangs.

A vendor serialises these calls since an incident, so do we. A holder that overruns is declared
hung and loses the lock: the others go on with a new one. It stays outside, where it holds up
nobody, until one of its calls returns in time.
"""

import threading
from collections.abc import Callable

from service.core import limits
from service.core.ports import Clock

HOLD_MS = limits.POLL_INTERVAL_MS * 2 // 5  # so that the others stay within 1.5 intervals
_ROUNDS = limits.CALL_DEADLINE_MS // HOLD_MS  # who is passed over that often gives up, in time
TIMEOUT = 10  # as NVML calls it


class _Turn:
    """One life of the lock: until a holder loses it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holder = ""
        self.moves = 0  # goes up when a holder enters and when it leaves


class FieldLock:
    """Serialises calls of different GPUs, with a bound on what one can cost the others."""

    def __init__(self, clock: Clock, hold_ms: int = HOLD_MS) -> None:
        """Begin unlocked; a holder of `hold_ms` while somebody waits is declared hung."""
        self._clock, self._hold_ms = clock, hold_ms
        self._turn = _Turn()
        self._deposing = threading.Lock()
        self._outside: set[str] = set()
        self.lost_by_holders = 0

    def call(self, gpu: str, function: Callable[[], int]) -> int:
        """Run a driver call for a GPU and return its code, or TIMEOUT if its turn never came."""
        if gpu in self._outside:
            return self._on_probation(gpu, function)
        turn = self._enter(gpu)
        if turn is None:
            return TIMEOUT
        try:
            return function()
        finally:
            turn.moves += 1
            turn.lock.release()

    def _enter(self, gpu: str) -> _Turn | None:
        for _ in range(_ROUNDS):
            turn = self._turn
            moves = turn.moves
            if not turn.lock.acquire(timeout=self._hold_ms / 1000):
                if turn.moves == moves:  # the same holder all the while
                    self._depose(turn)
            elif turn is self._turn:
                turn.holder = gpu
                turn.moves += 1
                return turn
            else:  # replaced while we waited for the old one
                turn.lock.release()
        return None

    def _depose(self, turn: _Turn) -> None:
        with self._deposing:
            if self._turn is turn:
                self._outside.add(turn.holder)
                self._turn = _Turn()
                self.lost_by_holders += 1

    def _on_probation(self, gpu: str, function: Callable[[], int]) -> int:
        began_ms = self._clock.monotonic_ms()
        code = function()
        if self._clock.monotonic_ms() - began_ms < self._hold_ms:
            self._outside.discard(gpu)
        return code
