"""The service's clock: the only reader of time, and a simulated one for replay and tests."""

import time


class SystemClock:
    """Wall, monotonic and sleep of this host."""

    def now_ms(self) -> int:
        """Return wall-clock time, ms UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return ms since an arbitrary instant of this boot."""
        return time.monotonic_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class SimulatedClock:
    """Time that moves only when told: by `advance_to`, or by sleeping."""

    def __init__(self, now_ms: int) -> None:
        """Begin at an instant, ms UTC."""
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return simulated wall-clock time, ms UTC."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Return simulated monotonic time; it runs with the wall clock."""
        return self._now_ms

    def sleep(self, seconds: float) -> None:
        """Advance instead of waiting."""
        self._now_ms += round(seconds * 1000)

    def advance_to(self, at_ms: int) -> None:
        """Move on to an instant; never back."""
        self._now_ms = max(self._now_ms, at_ms)
