"""One worker per GPU and one for the driver's events; nobody waits for anybody.

What they see waits, stamped with the monotonic clock, in one bounded row. Whoever takes it is
woken when the whole tray was read, or at once for what cannot wait. A call that overruns its
deadline is reported as hanging; its tray-mates go on.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from collectors.catalogue import Round
from collectors.device import Access, Device, DeviceEvent, Reading, Survey
from collectors.kernel_log import Overheard
from service.core import limits
from service.core.errors import DeviceError, DeviceGone
from service.core.ports import Clock


@dataclass(frozen=True, slots=True)
class Seen:
    """A reading; `mono_ms` is when its call began, `took_ms` how long it lasted."""

    mono_ms: int
    took_ms: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Surveyed:
    """Another round of a GPU, stamped when its calls began."""

    mono_ms: int
    survey: Survey


@dataclass(frozen=True, slots=True)
class Heard:
    """An announcement of the driver, stamped when it arrived."""

    mono_ms: int
    event: DeviceEvent


@dataclass(frozen=True, slots=True)
class Gone:
    """The driver was reloaded, its collector died, or somebody decided to open it anew."""

    mono_ms: int
    text: str
    cause: str = "driver:reloaded"


SURVEY_MS = {
    Round.STATUS: limits.STATUS_INTERVAL_MS,
    Round.LINKS: limits.LINKS_INTERVAL_MS,
    Round.DETAIL: limits.DETAIL_INTERVAL_MS,
}
Sight = Seen | Surveyed | Heard | Gone | Overheard


class Watch:
    """Watches one opened device until it is stopped; a new one is made after a reload."""

    def __init__(
        self,
        device: Device,
        gpus: tuple[str, ...],
        clock: Clock,
        *,
        interval_ms: int = limits.POLL_INTERVAL_MS,
        deadline_ms: int = limits.CALL_DEADLINE_MS,
    ) -> None:
        """Prepare the workers; `start` lets them run."""
        self._device, self._clock = device, clock
        self._interval_ms, self._deadline_ms = interval_ms, deadline_ms
        self._stop = threading.Event()
        self._began: dict[str, int | None] = dict.fromkeys(gpus)
        self._pokes = {gpu: threading.Event() for gpu in gpus}
        self._poked_until_ms: dict[str, int] = {}  # the turn before which a reading was asked for
        self._lock = threading.Lock()
        self._bell, self._whole = threading.Event(), threading.Event()  # something is there; all that is to be is
        self._row: list[Sight] = []
        self._readings = 0  # in the row
        self.dropped = 0
        self._threads = [
            threading.Thread(target=self._poll, args=(gpu,), name=f"gpu-{number}", daemon=True)
            for number, gpu in enumerate(gpus)
        ]
        self._threads.append(threading.Thread(target=self._listen, name="driver-events", daemon=True))

    def start(self) -> None:
        """Let the workers run."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask the workers to end; one that hangs in the driver is left behind."""
        self._stop.set()
        for poke in self._pokes.values():
            poke.set()
        for thread in self._threads:
            thread.join(limits.EVENT_WAIT_MS / 1000 + 0.5)

    def poke(self, gpu: str) -> None:
        """Read a GPU now instead of at its next turn; at most one reading between two turns."""
        if gpu in self._pokes:
            self._pokes[gpu].set()

    def tell(self, overheard: Overheard) -> None:
        """Put what another witness heard into the row of sights."""
        self._put(overheard)

    def take(self) -> list[Sight]:
        """Wait for a round of readings or for what is urgent, a tick at most; return all there is, in order.

        The rest of a round follows its first reading in moments; for a GPU that hangs nobody waits longer.
        """
        if self._bell.wait(self._patience_ms() / 1000):
            self._whole.wait(limits.ROUND_MS / 1000)
        return self.left()

    def left(self) -> list[Sight]:
        """Return, without waiting, what nobody took yet."""
        with self._lock:
            self._bell.clear()
            self._whole.clear()
            row, self._row, self._readings = self._row, [], 0
        return row

    def _patience_ms(self) -> int:
        """Return how long nothing can be missed: no call that is under way becomes overdue before."""
        now_ms = self._clock.monotonic_ms()
        due = [at + self._deadline_ms + 1 - now_ms for at in list(self._began.values()) if at is not None]
        return min((ms for ms in due if 0 < ms < limits.AGENT_TICK_MS), default=limits.AGENT_TICK_MS)

    def hanging(self) -> dict[str, int]:
        """Return for how long, ms, each GPU hangs whose call is beyond its deadline."""
        now_ms = self._clock.monotonic_ms()
        began = list(self._began.items())
        return {gpu: now_ms - at for gpu, at in began if at is not None and now_ms - at > self._deadline_ms}

    def _poll(self, gpu: str) -> None:
        due_ms = self._clock.monotonic_ms()
        surveys_due_ms = dict.fromkeys(SURVEY_MS, due_ms)
        while not self._stop.is_set():
            self._pokes[gpu].clear()
            try:
                began_ms = self._read(gpu)
                self._survey(gpu, surveys_due_ms)
            except (DeviceError, KeyError) as error:
                self._put(_gone(self._clock.monotonic_ms(), error))
                return
            finally:
                self._began[gpu] = None
            due_ms = max(due_ms + self._interval_ms, began_ms)
            if self._poked(gpu, due_ms):
                due_ms -= self._interval_ms  # its turn is still to come

    def _poked(self, gpu: str, due_ms: int) -> bool:
        """Wait for a GPU's turn; return whether somebody asked for a reading before it."""
        poke = self._pokes[gpu]
        if self._stop.is_set():
            return False
        if due_ms <= self._poked_until_ms.get(gpu, due_ms - 1):  # once was asked already
            self._stop.wait(max(0, due_ms - self._clock.monotonic_ms()) / 1000)
            return False
        if not poke.wait(max(0, due_ms - self._clock.monotonic_ms()) / 1000) or self._stop.is_set():
            return False
        poke.clear()
        self._poked_until_ms[gpu] = due_ms
        return True

    def _read(self, gpu: str) -> int:
        self._began[gpu] = began_ms = self._clock.monotonic_ms()
        reading = self._device.read(gpu)
        self._put(Seen(began_ms, self._clock.monotonic_ms() - began_ms, reading))
        return began_ms

    def _survey(self, gpu: str, due_ms: dict[Round, int]) -> None:
        """Collect at most one round that is due, so that the pulse is never late by several."""
        now_ms = self._clock.monotonic_ms()
        one = most_overdue(due_ms, now_ms)
        if one is not None and not self._stop.is_set():
            self._began[gpu] = now_ms
            self._put(Surveyed(now_ms, self._device.survey(gpu, one)))
            due_ms[one] = now_ms + SURVEY_MS[one]

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                events = self._device.wait_events(limits.EVENT_WAIT_MS)
            except DeviceGone as error:
                self._put(_gone(self._clock.monotonic_ms(), error))
                return
            now_ms = self._clock.monotonic_ms()
            for event in events:
                self._put(Heard(now_ms, event))

    def _put(self, sight: Sight) -> None:
        with self._lock:
            if len(self._row) >= limits.AGENT_QUEUE_ITEMS and not isinstance(sight, Gone):
                self.dropped += 1  # the agent loop is stuck; what is lost shows as missing coverage
                return
            self._row.append(sight)
            self._readings += isinstance(sight, Seen)
            if self._readings >= len(self._began) or _is_urgent(sight):
                self._whole.set()
            if not isinstance(sight, Surveyed):
                self._bell.set()


def _is_urgent(sight: Sight) -> bool:
    if isinstance(sight, Seen):
        return sight.reading.access is not Access.OK or bool(sight.reading.recovery_action)
    return not isinstance(sight, Surveyed)


def _gone(mono_ms: int, error: DeviceError | KeyError) -> Gone:
    return Gone(mono_ms, str(error), error.cause if isinstance(error, DeviceGone) else "agent:unreadable")


def most_overdue(due_ms: Mapping[Round, int], now_ms: int) -> Round | None:
    """Return the round that has waited longest for its turn; None while none is due."""
    one = min(due_ms, key=due_ms.__getitem__)
    return one if due_ms[one] <= now_ms else None
