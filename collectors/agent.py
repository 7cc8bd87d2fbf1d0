"""The agent: device to spool to bus, run by run, through driver reloads and full disks."""

import threading
from dataclasses import replace
from pathlib import Path

import structlog

from collectors.absence import Absence, Opening
from collectors.census import Census
from collectors.clock import Anchor, HostBoot
from collectors.device import Device, DeviceEvent, Inventory
from collectors.ear import Ear
from collectors.keeper import Keeper
from collectors.kernel_log import Overheard
from collectors.narrator import Narrator, Speaker
from collectors.newest import newest
from collectors.runs import AgentSettings, Runs
from collectors.sender import Sender
from collectors.settling import Memory, Settled, unseen
from collectors.shown import Shown
from collectors.spool import DiskSpool
from collectors.supervision import Stillness, judge, retry_ms
from collectors.watch import Gone, Heard, Seen, Surveyed, Watch
from collectors.witnesses import asks_for_a_reading
from service.core import limits
from service.core.errors import DriverUnavailable
from service.core.health import state_of
from service.core.ports import Clock, Publisher
from service.core.wire import encode

log = structlog.get_logger(__name__)


class Agent:
    """Runs until `stop`; `run` is the loop of one thread, the caller's."""

    def __init__(
        self,
        settings: AgentSettings,
        device: Device,
        spool: DiskSpool,
        bus: Publisher,
        clock: Clock,
        boot: HostBoot,
        *,
        counter: Device | None = None,
        kernel_log: Path | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: Where this agent stands.
            device: The tray.
            spool: Keeps facts until a receipt covers them; beside it lies what else must survive.
            bus: Takes them to the service.
            clock: The agent's time.
            boot: Which boot of the host this is.
            counter: Opened now and then to count the GPUs afresh.
            kernel_log: Without one, that witness is down.
        """
        self._settings, self._device, self._spool, self._clock = settings, device, spool, clock
        self._lock = threading.Lock()
        self._sender = Sender(spool, bus, settings.node, self._lock, clock)
        self._keeper = Keeper(spool, self._lock, clock, self._sender.wake)
        self._memory = Memory(spool.directory / "inventory.json")
        self._census = Census(counter, clock)
        self._stop = threading.Event()
        self._reading_sent_ms = 0
        self._in_vain = 0  # replacements of the collector since the whole tray last answered
        self._tried_ms: dict[str, int] = {}  # when the device was opened anew for a GPU's sake
        self._stillness, self._opened_ms = Stillness(), 0
        self._brief = 0  # lives of the collector in a row that ended soon
        self.shown = Shown()
        self._ear = Ear(clock, boot.boot, kernel_log, spool.directory)
        self._runs = Runs(settings, boot, clock, self._keeper, self._ear.witnesses, spool.lost)

    def stop(self) -> None:
        """Ask the loop to end with a clean stop; safe from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Watch until stopped; each pass is one life of the driver or of its collector."""
        self._sender.start()
        self._census.start()
        self._ear.start()
        gone: Gone | None = None
        try:
            while not self._stop.is_set():
                settled = self._connect(gone)
                gone = self._live(settled) if settled is not None else None
        finally:
            self._census.stop()
            self._ear.stop()
            self._device.close()
            self._sender.drain(limits.DRAIN_SECONDS)
            self._sender.stop()
            with self._lock:
                self._spool.close()

    # Without a driver

    def _connect(self, gone: Gone | None) -> Settled | None:
        """Open the device; while it does not come up, tell why. None when stopped meanwhile."""
        cause = gone.cause if gone is not None else "agent:unreadable"
        absence = Absence(self._begin_unseen, self._clock, cause)
        if gone is not None:
            self._rest(absence, retry_ms(max(self._brief - 1, 0), cause="agent:collector_lost"))
        failures = 0
        while not self._stop.is_set():
            found = self._open(absence)
            if isinstance(found, Settled):
                absence.end()
                return found
            if found is not None:
                self._note_unavailable(absence, found)
                self._rest(absence, retry_ms(failures, cause=found.cause))
                failures += 1
        absence.stop()
        return None

    def _open(self, absence: Absence) -> Settled | DriverUnavailable | None:
        opening = Opening(self._device)
        waited_ms = 0
        while not opening.is_done(limits.AGENT_TICK_MS / 1000):
            waited_ms += limits.AGENT_TICK_MS
            if self._stop.is_set():
                self._device.close()
                opening.join()
                return None
            if waited_ms > limits.CALL_DEADLINE_MS:
                absence.wait()
        if not isinstance(opening.result, Inventory):
            return opening.result
        settled = self._memory.settle(opening.result)
        self.shown.refused = settled.refused
        for one in settled.refused:
            log.error("gpu_refused", uuid=one.uuid, reason=one.reason)
        if settled.inventory.gpus or not settled.missing:
            return settled
        return DriverUnavailable("gpu:missing", "the driver shows none of the GPUs that were here")

    def _note_unavailable(self, absence: Absence, error: DriverUnavailable) -> None:
        self.shown.driver_up = False
        if error.cause != absence.cause:
            log.warning("driver_unavailable", cause=error.cause, error=str(error))
        narrator = absence.tell(error.cause, str(error))
        self.shown.inventory = self.shown.inventory or narrator.inventory
        self._show_told(narrator)
        self._ear.show(self.shown)

    def _rest(self, absence: Absence, wait_ms: int) -> None:
        """Wait before the next attempt, and tell so when it is long."""
        until_ms = self._clock.monotonic_ms() + wait_ms
        while not self._stop.is_set() and (left_ms := until_ms - self._clock.monotonic_ms()) > 0:
            self._stop.wait(min(left_ms, limits.AGENT_TICK_MS) / 1000)
            if wait_ms > limits.AGENT_TICK_MS:
                absence.wait()

    def _begin_unseen(self) -> tuple[Narrator, Anchor]:
        return self._runs.begin(unseen(self._memory.recall()))

    # With a driver

    def _live(self, settled: Settled) -> Gone | None:
        """Watch one opened device until it goes or the agent stops."""
        self._show(settled)
        gpus = tuple(gpu.uuid for gpu in settled.inventory.gpus)
        watch = Watch(
            self._device,
            gpus,
            self._clock,
            interval_ms=self._settings.interval_ms,
            deadline_ms=limits.CALL_DEADLINE_MS,
        )
        began_ms, gone = self._clock.monotonic_ms(), None
        watch.start()
        self._ear.attach(watch, settled.inventory)
        try:
            while not self._stop.is_set() and gone is None:  # a new run when the wall clock jumped
                gone = self._one_run(settled, watch)
        finally:
            self._ear.detach()
            if gone is not None or watch.hanging():
                self._device.close()  # releases workers that hang
            watch.stop()
            self._device.close()
        self._note_end(began_ms, gone)
        return gone

    def _show(self, settled: Settled) -> None:
        self._stillness, self._opened_ms = Stillness(), self._clock.monotonic_ms()
        self.shown.opened(settled.inventory)
        self.shown.absent = settled.missing

    def _note_end(self, began_ms: int, gone: Gone | None) -> None:
        self.shown.gone()
        if gone is None:
            return
        lost = gone.cause in {"agent:collector_lost", "driver:hung", "agent:hung_call"}
        self.shown.collector_restarts += lost
        is_brief = self._clock.monotonic_ms() - began_ms < limits.COLLECTOR_RETRY_MAX_MS
        self._brief = self._brief + 1 if lost and is_brief else 0

    def _one_run(self, settled: Settled, watch: Watch) -> Gone | None:
        """Tell one run; return why the device is gone, or None when the clock jumped or the agent stops."""
        narrator, anchor = self._runs.begin(settled.inventory, settled.missing)
        while not self._stop.is_set():
            gone = self._step(settled, narrator, anchor, watch)
            if gone is not None:
                self._after_gone(narrator, anchor, gone)
                return gone
            if anchor.drift_ms(self._clock) > limits.REANCHOR_MS:
                log.warning("wall_clock_moved", drift_ms=anchor.drift_ms(self._clock))
                narrator.flush(self._clock.monotonic_ms(), force=True)
                return None
        now_ms = self._clock.monotonic_ms()
        narrator.stop("stopped", anchor.at(now_ms), now_ms)
        return None

    def _step(self, settled: Settled, narrator: Narrator, anchor: Anchor, watch: Watch) -> Gone | None:
        """Take in what the workers saw since the last step; return Gone when the device is to be opened anew."""
        cursor = self._ear.cursor()
        gone = self._take_all(narrator, anchor, watch)
        now_ms = self._clock.monotonic_ms()
        gone = gone or self._supervise(settled, narrator, anchor, watch.hanging())
        self._keeper.tell_lost(narrator, anchor.at(now_ms), now_ms)
        narrator.flush(now_ms)
        self._show_told(narrator)
        self.shown.gpu_frozen = self._stillness.frozen()
        self._ear.taken(cursor, now_ms)
        self._ear.show(self.shown)
        self._send_reading(narrator.speaker, anchor.at(now_ms), now_ms)
        self._keeper.sync(now_ms)
        return gone

    def _take_all(self, narrator: Narrator, anchor: Anchor, watch: Watch) -> Gone | None:
        gone = None
        for sight in watch.take():
            if isinstance(sight, Gone):
                gone = gone or sight
            else:
                self._take(narrator, anchor, watch, sight)
        return gone

    def _supervise(self, settled: Settled, narrator: Narrator, anchor: Anchor, hanging: dict[str, int]) -> Gone | None:
        """Judge calls that hang and GPUs that came; return Gone when the collector is to be replaced."""
        now_ms = self._clock.monotonic_ms()
        polled = {gpu.uuid for gpu in settled.inventory.gpus}
        self.shown.overdue = tuple(hanging)
        self._census.hurry(is_short=bool(hanging or settled.missing or settled.inventory.unanswered))
        if came := self._came(settled, polled, now_ms):
            return Gone(now_ms, f"new on this tray: {', '.join(sorted(came))}", "agent:edge")
        if not hanging:
            self._in_vain = 0 if polled <= self.shown.readings.keys() else self._in_vain
            return None
        verdict = judge(hanging, len(polled), in_vain=self._in_vain, answers_elsewhere=self._counted(hanging, now_ms))
        for gpu in hanging:
            narrator.blind(gpu, anchor.at(now_ms), verdict.cause)
        if not verdict.replace:
            return None
        self._in_vain += 1
        return Gone(now_ms, f"hung for {max(hanging.values())} ms: {', '.join(hanging)}", verdict.cause)

    def _came(self, settled: Settled, polled: set[str], now_ms: int) -> set[str]:
        """Return who was counted and is not polled; for one that opening anew did not bring, not soon again."""
        if self._census.newest.began_ms < self._opened_ms:  # the device has been opened since: it knows better
            return set()
        found = self._census.newest.gpus - polled - {one.uuid for one in settled.refused}
        came = {gpu for gpu in found if now_ms - self._tried_ms.get(gpu, -limits.DAY_MS) >= limits.CENSUS_WHOLE_MS}
        self._tried_ms.update(dict.fromkeys(came, now_ms))
        return came

    def _counted(self, hanging: dict[str, int], now_ms: int) -> bool:
        """Return whether the census reached, since they hang, the GPUs that hang."""
        count = self._census.newest
        return all(gpu in count.gpus and count.began_ms > now_ms - ms for gpu, ms in hanging.items())

    def _take(
        self, narrator: Narrator, anchor: Anchor, watch: Watch, sight: Seen | Surveyed | Heard | Overheard
    ) -> None:
        at_ms = anchor.at(sight.mono_ms)
        if isinstance(sight, Heard):
            event = self._believed(sight.event)
            narrator.event(event, at_ms, sight.mono_ms)
            if event.gpu is not None and asks_for_a_reading(event):
                watch.poke(event.gpu)
        elif isinstance(sight, Overheard):
            self._take_line(narrator, watch, sight, at_ms)
        elif isinstance(sight, Surveyed):
            self.shown.surveyed(sight.survey, sight.mono_ms)
        else:
            self._take_reading(narrator, sight, at_ms)

    def _take_line(self, narrator: Narrator, watch: Watch, heard: Overheard, at_ms: int) -> None:
        gpu = self._ear.gpu_of(heard.notice)
        if gpu is None:
            return
        narrator.overheard(gpu, heard.notice, heard.seq, at_ms, heard.mono_ms)
        if asks_for_a_reading(heard.notice):
            watch.poke(gpu)

    def _take_reading(self, narrator: Narrator, seen: Seen, at_ms: int) -> None:
        self.shown.read(seen.reading, seen.mono_ms, seen.took_ms)
        self._stillness.note(seen.reading)
        narrator.reading(seen.reading, at_ms, seen.mono_ms)

    def _believed(self, event: DeviceEvent) -> DeviceEvent:
        """Return an event as the node's when its GPU is none that is told of."""
        known = self.shown.inventory.gpus if self.shown.inventory is not None else ()
        return event if event.gpu in {gpu.uuid for gpu in known} else replace(event, gpu=None)

    def _after_gone(self, narrator: Narrator, anchor: Anchor, gone: Gone) -> None:
        log.warning("device_gone", cause=gone.cause, text=gone.text)
        at_ms = anchor.at(gone.mono_ms)
        if gone.cause != "agent:edge":  # opened anew by our own choice: what was decided stands
            for gpu in narrator.inventory.gpus:
                narrator.blind(gpu.uuid, at_ms, gone.cause)
        narrator.flush(gone.mono_ms, force=True)

    def _show_told(self, narrator: Narrator) -> None:
        self.shown.health = {gpu: state_of(look.health).value for gpu, look in narrator.looks().items()}
        self.shown.facts, self.shown.lost_facts = self._keeper.kept, self._keeper.lost

    def _send_reading(self, speaker: Speaker, at_ms: int, now_ms: int) -> None:
        if now_ms - self._reading_sent_ms < limits.READING_MS:
            return
        reading = newest(self.shown, speaker, at_ms, now_ms, self._settings.interval_ms)
        if reading is not None:
            self._reading_sent_ms = now_ms
            self._sender.offer_reading(encode(reading))
