"""The agent: device to spool to bus, run by run, through driver reloads and full disks."""

import json
import queue
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from collectors.catalogue import Quantity
from collectors.clock import Anchor, HostBoot, new_run
from collectors.device import Device, DeviceEventKind, GpuIdentity, Inventory
from collectors.narrator import Narrator, Speaker
from collectors.sender import Sender
from collectors.shown import Shown
from collectors.spool import DiskSpool, LostRange, Record, Spool, SpoolFull
from collectors.watch import Gone, Heard, Seen, Surveyed, Watch
from service.core import limits
from service.core.errors import DriverUnavailable, SpoolError
from service.core.events import Fact, GpuPlaced, NodeObserved, NodeReading, SpoolGap
from service.core.ports import Clock, Publisher
from service.core.wire import encode

log = structlog.get_logger(__name__)
READING_MS = 10_000
TICK_MS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Where this agent stands and how it works."""

    site: str
    rack: str
    node: str
    tray: int
    slot: int
    version: str = ""
    interval_ms: int = limits.POLL_INTERVAL_MS
    heartbeat_ms: int = limits.HEARTBEAT_MS


@dataclass(slots=True)
class _Lost:
    """Facts that the full spool did not take, to be told when there is room."""

    facts: int = 0
    from_ms: int | None = None
    to_ms: int | None = None
    reason: str = ""


class Agent:
    """Runs until `stop`; `run` is the loop of one thread, the caller's."""

    def __init__(
        self, settings: AgentSettings, device: Device, spool: Spool, bus: Publisher, clock: Clock, boot: HostBoot
    ) -> None:
        """Prepare; nothing is opened yet."""
        self._settings, self._device, self._spool, self._clock = settings, device, spool, clock
        self._boot = boot
        self._lock = threading.Lock()
        self._sender = Sender(spool, bus, settings.node, self._lock)
        self._stop = threading.Event()
        self._lost = _Lost()
        self._reading_sent_ms = 0
        self.shown = Shown()

    def stop(self) -> None:
        """Ask the loop to end with a clean stop; safe from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Watch until stopped; each pass is one life of the driver or one run."""
        self._sender.start()
        lost = self._spool.lost if isinstance(self._spool, DiskSpool) else []
        try:
            while not self._stop.is_set():
                inventory = self._open()
                if inventory is not None:
                    self._live(inventory, lost)
                    lost = []
        finally:
            self._device.close()
            self._sender.drain(2.0)
            self._sender.stop()
            with self._lock:
                self._spool.close()

    def _open(self) -> Inventory | None:
        try:
            inventory = self._device.open()
        except DriverUnavailable as error:
            self.shown.driver_up = False
            log.warning("driver_unavailable", cause=error.cause, error=str(error))
            self._stop.wait(limits.DRIVER_RETRY_MS / 1000)
            return None
        self.shown.opened(inventory)
        return inventory

    def _live(self, inventory: Inventory, lost: list[LostRange]) -> None:
        inventory, missing = self._settled(inventory)
        self.shown.inventory, self.shown.absent = inventory, missing
        gpus = tuple(gpu.uuid for gpu in inventory.gpus)
        watch = Watch(self._device, gpus, self._clock, interval_ms=self._settings.interval_ms)
        watch.start()
        try:
            gone = False
            while not self._stop.is_set() and not gone:  # a new run when the wall clock jumped
                gone = self._one_run(inventory, watch, missing, lost)
                lost = []
        finally:
            watch.stop()
            self._device.close()
        self.shown.reopened += 1

    def _one_run(
        self, inventory: Inventory, watch: Watch, missing: tuple[GpuPlaced, ...], lost: list[LostRange]
    ) -> bool:
        """Tell one run; return whether it ended because the driver went away."""
        anchor = Anchor.take(self._clock)
        narrator = self._narrator(inventory, anchor, missing)
        narrator.start(anchor.wall_ms, anchor.mono_ms)
        for one in lost:
            gap = SpoolGap(
                lost_run=one.run,
                facts=one.last_seq - one.first_seq + 1,
                reason="damaged on disk",
                first_seq=one.first_seq,
                last_seq=one.last_seq,
            )
            narrator.tell(gap, anchor.wall_ms, anchor.mono_ms)
        while not self._stop.is_set():
            gone = self._step(narrator, anchor, watch)
            if gone is not None:
                self._after_gone(narrator, anchor, gone)
                return True
            if anchor.drift_ms(self._clock) > limits.REANCHOR_MS:
                log.warning("wall_clock_moved", drift_ms=anchor.drift_ms(self._clock))
                narrator.flush(self._clock.monotonic_ms(), force=True)
                return False
        now_ms = self._clock.monotonic_ms()
        narrator.stop("stopped", anchor.at(now_ms), now_ms)
        return False

    def _step(self, narrator: Narrator, anchor: Anchor, watch: Watch) -> Gone | None:
        """Take in what the workers saw since the last step; return Gone when the driver went."""
        sights = []
        try:
            sights.append(watch.sights.get(timeout=TICK_MS / 1000))
            while True:
                sights.append(watch.sights.get_nowait())
        except queue.Empty:
            pass
        for sight in sights:
            if isinstance(sight, Gone):
                return sight
            self._take(narrator, anchor, sight)
        now_ms = self._clock.monotonic_ms()
        self.shown.overdue = watch.overdue()
        for gpu in self.shown.overdue:
            narrator.blind(gpu, anchor.at(now_ms), "agent:hung_call")
        self._tell_lost(narrator, anchor, now_ms)
        narrator.flush(now_ms)
        self.shown.health = {gpu: _word(look) for gpu, look in narrator.looks().items()}
        self._send_reading(anchor, now_ms)
        with self._lock:
            self._spool.flush() if now_ms % limits.SPOOL_FSYNC_MS < TICK_MS else None
        return None

    def _take(self, narrator: Narrator, anchor: Anchor, sight: Seen | Surveyed | Heard) -> None:
        at_ms = anchor.at(sight.mono_ms)
        if isinstance(sight, Heard):
            if sight.event.kind is DeviceEventKind.XID and sight.event.gpu is not None:
                self.shown.heard_xid(sight.event.gpu, sight.event.data, at_ms)
            narrator.event(sight.event, at_ms, sight.mono_ms)
            return
        if isinstance(sight, Surveyed):
            self.shown.surveyed(sight.survey, sight.mono_ms)
            return
        gpu = sight.reading.gpu
        self.shown.readings[gpu], self.shown.read_mono_ms[gpu] = sight.reading, sight.mono_ms
        self.shown.took_ms[gpu] = sight.took_ms
        narrator.reading(sight.reading, at_ms, sight.mono_ms)

    def _after_gone(self, narrator: Narrator, anchor: Anchor, gone: Gone) -> None:
        log.warning("driver_gone", text=gone.text)
        self.shown.driver_up = False
        at_ms = anchor.at(gone.mono_ms)
        for gpu in self.shown.readings:
            narrator.blind(gpu, at_ms, "driver:reloaded")
        narrator.flush(gone.mono_ms, force=True)
        self._stop.wait(0.2)

    def _narrator(self, inventory: Inventory, anchor: Anchor, missing: tuple[GpuPlaced, ...]) -> Narrator:
        it = self._settings
        speaker = Speaker(
            site=it.site,
            rack=it.rack,
            node=it.node,
            tray=it.tray,
            slot=it.slot,
            boot=self._boot.boot,
            boot_ms=self._boot.boot_ms,
            run=new_run(anchor.wall_ms),
            version=it.version,
        )
        return Narrator(speaker, inventory, self._write, heartbeat_ms=it.heartbeat_ms, missing=missing)

    def _write(self, fact: Fact, sync: bool) -> bool:  # noqa: FBT001 -- the narrator's port
        record = Record(fact.run, fact.seq, encode(fact))
        reserve = not isinstance(fact, NodeObserved) and isinstance(fact.event, SpoolGap)
        try:
            with self._lock:
                self._spool.append(record, sync=sync, reserve=reserve)
        except SpoolError as error:
            self._note_lost(fact, error)
            return False
        self.shown.facts += 1
        self._sender.wake()
        return True

    def _note_lost(self, fact: Fact, error: SpoolError) -> None:
        from_ms, to_ms = (fact.from_ms, fact.to_ms) if isinstance(fact, NodeObserved) else (fact.at_ms, fact.at_ms)
        if self._lost.facts == 0:
            log.error("spool_refused", error=str(error))
            self._lost = replace(
                self._lost, from_ms=from_ms, reason="full" if isinstance(error, SpoolFull) else "failed"
            )
        self._lost.facts += 1
        self._lost.to_ms = to_ms
        self.shown.lost_facts += 1

    def _tell_lost(self, narrator: Narrator, anchor: Anchor, now_ms: int) -> None:
        lost, before = self._lost, narrator.seq
        if lost.facts == 0:
            return
        gap = SpoolGap(
            lost_run=narrator.speaker.run,
            facts=lost.facts,
            reason=lost.reason,
            from_ms=lost.from_ms,
            to_ms=lost.to_ms,
        )
        narrator.tell(gap, anchor.at(now_ms), now_ms)
        if narrator.seq > before:
            self._lost = _Lost()

    def _send_reading(self, anchor: Anchor, now_ms: int) -> None:
        if now_ms - self._reading_sent_ms < READING_MS or not self.shown.readings:
            return
        self._reading_sent_ms = now_ms
        it = self._settings
        values = {
            gpu: {key.value: float(value) for key, value in reading.values.items() if isinstance(key, Quantity)}
            for gpu, reading in self.shown.readings.items()
        }
        reading = NodeReading(
            site=it.site,
            rack=it.rack,
            node=it.node,
            slot=it.slot,
            boot=self._boot.boot,
            run="reading",
            at_ms=anchor.at(now_ms),
            values=values,
        )
        self._sender.offer_reading(encode(reading))

    def _settled(self, inventory: Inventory) -> tuple[Inventory, tuple[GpuPlaced, ...]]:
        """Return the inventory at remembered positions, and the GPUs that are gone from it.

        Positions count PCI addresses, so a GPU that is lost before the agent starts would
        shift its neighbours; what sat where is remembered beside the spool.
        """
        if not isinstance(self._spool, DiskSpool):
            return inventory, ()
        path = self._spool.directory / "inventory.json"
        known = _remembered(path)
        gpus, absent = reseat(inventory.gpus, known)
        remembered = {gpu.position: gpu.uuid for gpu in gpus} | absent
        path.write_text(json.dumps(remembered))
        missing = tuple(GpuPlaced(gpu=uuid, position=at) for at, uuid in sorted(absent.items()))
        return replace(inventory, gpus=gpus), missing


def reseat(gpus: tuple[GpuIdentity, ...], known: dict[int, str]) -> tuple[tuple[GpuIdentity, ...], dict[int, str]]:
    """Return GPUs at the positions where they were known, new ones at free ones, and who is gone."""
    position_of = {uuid: at for at, uuid in known.items()}
    taken = {position_of[gpu.uuid] for gpu in gpus if gpu.uuid in position_of}
    seated = []
    for gpu in gpus:
        if gpu.uuid in position_of:
            seated.append(replace(gpu, position=position_of[gpu.uuid]))
            continue
        at = gpu.position if gpu.position not in taken else min(set(range(len(taken) + 1)) - taken)
        taken.add(at)
        seated.append(replace(gpu, position=at))
    return tuple(seated), {at: uuid for at, uuid in known.items() if at not in taken}


def _remembered(path: Path) -> dict[int, str]:
    try:
        return {int(at): str(uuid) for at, uuid in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        log.warning("inventory_file_damaged", path=str(path), error=str(error))
        return {}


def _word(look: object) -> str:
    health = getattr(look, "health", None)
    return health.value if health is not None else "unknown"
