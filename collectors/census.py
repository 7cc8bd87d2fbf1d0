"""Counts a tray's GPUs anew, now and then, with a process that has never seen them before.

A driver session lists what was there when it began. Whether a GPU came, came back, or answers
again is asked by opening another one beside it, which can hang or fail without a consequence.
"""

import threading
from dataclasses import dataclass

from collectors.device import Device
from service.core import limits
from service.core.errors import DriverUnavailable
from service.core.ports import Clock


@dataclass(frozen=True, slots=True)
class Count:
    """Who answered a fresh session that began at this monotonic instant."""

    began_ms: int
    gpus: frozenset[str]


class Census:
    """Counts on a thread of its own; `newest` is what it found last."""

    def __init__(self, counter: Device | None, clock: Clock) -> None:
        """Prepare; without a counter nothing is ever counted."""
        self._counter, self._clock = counter, clock
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="census", daemon=True)
        self.newest = Count(0, frozenset())

    def start(self) -> None:
        """Begin; the first count comes after a whole period."""
        if self._counter is not None:
            self._thread.start()

    def stop(self) -> None:
        """End; a count under way is broken off."""
        self._stop.set()
        self._hurry.set()
        if self._counter is not None:
            self._counter.close()
            self._thread.join(2 * limits.COLLECTOR_END_MS / 1000)

    def hurry(self, *, is_short: bool) -> None:
        """Say whether somebody is missing or hangs: then the next count comes soon."""
        if is_short and not self._hurry.is_set():
            self._hurry.set()
        elif not is_short and not self._stop.is_set():
            self._hurry.clear()

    def _run(self) -> None:
        while not self._stop.wait(limits.CENSUS_MS / 1000):
            self._hurry.wait((limits.CENSUS_WHOLE_MS - limits.CENSUS_MS) / 1000)
            if not self._stop.is_set():
                self._count()

    def _count(self) -> None:
        assert self._counter is not None  # noqa: S101 -- `start` saw to it
        began_ms = self._clock.monotonic_ms()
        try:
            gpus = self._counter.open().gpus
        except DriverUnavailable:  # whoever watches the tray tells that
            return
        finally:
            self._counter.close()
        self.newest = Count(began_ms, frozenset(gpu.uuid for gpu in gpus))
