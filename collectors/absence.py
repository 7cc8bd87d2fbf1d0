"""What is told while no driver answers: a run of its own, for the GPUs that were here before.

A cause that proves something (`driver:not_loaded` is down) covers the time up to the attempt that
met it, never the wait after it. One that proves nothing covers the wait as well: the agent lives
and cannot tell.
"""

import threading
from collections.abc import Callable

from collectors.clock import Anchor
from collectors.device import Device, Inventory
from collectors.narrator import Narrator
from service.core import limits
from service.core.errors import DriverUnavailable
from service.core.events import DriverReloaded
from service.core.health import health_of
from service.core.ports import Clock

Begin = Callable[[], tuple[Narrator, Anchor]]


class Absence:
    """Begins its run with the first word that is told; without one it leaves no trace."""

    def __init__(self, begin: Begin, clock: Clock, cause: str) -> None:
        """Take the cause that held when the driver was last seen."""
        self._begin, self._clock = begin, clock
        self._run: tuple[Narrator, Anchor] | None = None
        self.cause = cause  # told last

    def tell(self, cause: str, text: str) -> Narrator:
        """Take in that the driver was asked now, in vain."""
        narrator, anchor = self._current()
        now_ms = self._clock.monotonic_ms()
        self._account(narrator, anchor.at(now_ms), cause)
        if cause != self.cause:
            self.cause = cause
            narrator.tell(DriverReloaded(text=f"{cause}: {text}"[: limits.REASON_LENGTH]), anchor.at(now_ms), now_ms)
        narrator.flush(now_ms)
        return narrator

    def wait(self) -> None:
        """Take in that time passed without a question."""
        if health_of(self.cause) is not None:
            return
        narrator, anchor = self._current()
        now_ms = self._clock.monotonic_ms()
        self._account(narrator, anchor.at(now_ms), self.cause)
        narrator.flush(now_ms)

    def end(self) -> None:
        """Tell what is decided: the driver is back."""
        if self._run is not None:
            self._run[0].flush(self._clock.monotonic_ms(), force=True)

    def stop(self) -> None:
        """Announce that the agent stops."""
        if self._run is not None:
            narrator, anchor = self._run
            now_ms = self._clock.monotonic_ms()
            narrator.stop("stopped", anchor.at(now_ms), now_ms)

    def _current(self) -> tuple[Narrator, Anchor]:
        if self._run is not None and self._run[1].drift_ms(self._clock) > limits.REANCHOR_MS:
            self.end()
            self._run = None
        self._run = self._run or self._begin()
        return self._run

    @staticmethod
    def _account(narrator: Narrator, at_ms: int, cause: str) -> None:
        for gpu in narrator.inventory.gpus:
            narrator.account(gpu.uuid, at_ms, cause)


class Opening:
    """One attempt to open a device, on a thread of its own: it may hang."""

    def __init__(self, device: Device) -> None:
        """Begin at once."""
        self._device = device
        self._done = threading.Event()
        self.result: Inventory | DriverUnavailable = DriverUnavailable("agent:unreadable", "it ended without an answer")
        self._thread = threading.Thread(target=self._run, name="opening", daemon=True)
        self._thread.start()

    def is_done(self, wait_seconds: float) -> bool:
        """Wait at most this long; return whether `result` stands."""
        return self._done.wait(wait_seconds)

    def join(self) -> None:
        """Wait for the end of an attempt that was broken off by closing the device."""
        self._thread.join(2 * limits.COLLECTOR_END_MS / 1000)

    def _run(self) -> None:
        try:
            self.result = self._device.open()
        except DriverUnavailable as error:
            self.result = error
        finally:
            self._done.set()
