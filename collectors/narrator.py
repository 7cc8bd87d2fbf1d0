"""One run of an agent: readings and events in, numbered facts out.

No threads, no clock, no disk: the caller gives instants on the run's scale and takes the
facts. The running agent and the demo's replay drive the same code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from collectors import edges
from collectors.device import Access, DeviceEvent, DeviceEventKind, Inventory, Reading
from collectors.judgement import look as judge
from collectors.kernel_lines import Notice
from collectors.observer import Observer
from collectors.witnesses import Ruling, Witnesses
from service.core import limits
from service.core.events import (
    UNSTATED,
    CleanStop,
    Detail,
    DriverEvent,
    DriverReloaded,
    Fact,
    GpuPlaced,
    KernelLine,
    NodeEvent,
    NodeObserved,
    RecoveryActionChanged,
    RunStarted,
    XidRaised,
)
from service.core.health import Health, health_of

Write = Callable[[Fact, bool], bool]  # a fact, and whether it must be on disk at once; kept?


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who a run speaks for: where the node is, which boot of the host, which run of the agent."""

    site: str
    rack: str
    node: str
    tray: int
    slot: int
    boot: str
    boot_ms: int
    run: str
    version: str = ""


@dataclass(slots=True)
class Narrator:
    """Tells a run's story: `RunStarted`, then observations that touch, and events as they come."""

    speaker: Speaker
    inventory: Inventory
    write: Write
    policy: edges.Policy = field(default_factory=edges.Policy)
    heartbeat_ms: int = limits.HEARTBEAT_MS
    missing: tuple[GpuPlaced, ...] = ()  # expected on this tray, and not in the inventory
    witnesses: Witnesses = field(default_factory=Witnesses)  # outlive a run
    seq: int = 0
    _tracks: dict[str, edges.Track] = field(default_factory=dict)
    _observer: Observer | None = None
    _started_ms: int = 0

    def start(self, at_ms: int, mono_ms: int) -> None:
        """Announce the run and its inventory."""
        self._started_ms = at_ms
        self.witnesses.driver_version = self.inventory.driver_version
        self.witnesses.cuda_version = self.inventory.cuda_version
        placed = tuple(GpuPlaced(gpu=gpu.uuid, position=gpu.position, module=gpu.module) for gpu in self.inventory.gpus)
        started = RunStarted(
            tray=self.speaker.tray,
            boot_ms=self.speaker.boot_ms,
            gpus=placed + self.missing,
            driver=self.inventory.driver_version,
            version=self.speaker.version,
        )
        self._tell(started, None, at_ms, mono_ms)
        self._observer = Observer(
            gpus=tuple(gpu.gpu for gpu in placed + self.missing),
            cursor_ms=at_ms,
            heartbeat_ms=self.heartbeat_ms,
        )
        # Beside one that does not answer nobody can say which of the absent it is: none is known to be gone.
        cause = "agent:unreadable" if self.inventory.unanswered else "gpu:missing"
        lost = edges.Look(health_of(cause), cause)
        for gpu in self.missing:
            self._tracks[gpu.gpu] = edges.begin(at_ms, lost)

    def reading(self, reading: Reading, at_ms: int, mono_ms: int) -> None:
        """Take in a reading of a GPU of the inventory."""
        self._note_reset(reading, at_ms)
        self._note_action(reading, at_ms, mono_ms)
        self.witnesses.cases.polled(reading, at_ms)
        look = judge(reading, self.inventory.cuda_version)
        if look.health is Health.UP:
            self.witnesses.healthy(reading.gpu, at_ms)
            look = self.witnesses.standing_look(reading.gpu) or look
        if look.health in {Health.UP, Health.DEGRADED} and not self.witnesses.actions.get(reading.gpu):
            self.witnesses.served(reading.gpu, at_ms)
        track = self._tracks.get(reading.gpu)
        if track is None:  # the first reading: what was before it in this run is not covered
            self._begin(reading.gpu, at_ms, look)
            return
        self._step(reading.gpu, edges.read(track, at_ms, look, self.policy))

    def _begin(self, gpu: str, at_ms: int, look: edges.Look) -> None:
        if at_ms > self._started_ms:
            self._observe(gpu, (edges.Piece(self._started_ms, at_ms, edges.EDGE),))
        self._tracks[gpu] = edges.begin(at_ms, look)

    def blind(self, gpu: str, at_ms: int, cause: str) -> None:
        """Take in that a GPU could not be read up to now."""
        track = self._tracks.get(gpu) or edges.begin(self._started_ms, edges.EDGE)
        self._step(gpu, edges.blind(track, at_ms, cause))

    def account(self, gpu: str, at_ms: int, cause: str) -> None:
        """Take in what is known of a GPU without a reading, at this instant: each word is a fact at once."""
        look = edges.Look(health_of(cause), cause)
        track = self._tracks.get(gpu)
        if track is None:
            self._begin(gpu, at_ms, look)
            return
        at_once = edges.Policy(confirm_down=1, confirm_up=1)
        self._step(gpu, edges.read(track, at_ms, look, at_once))

    def event(self, event: DeviceEvent, at_ms: int, mono_ms: int) -> None:
        """Take in an announcement of the driver; one that says how a GPU is cuts its coverage at once."""
        if event.kind in {DeviceEventKind.DRIVER_BOUND, DeviceEventKind.DRIVER_UNBOUND}:
            self._tell(DriverReloaded(text=event.kind.value), None, at_ms, mono_ms)
            return
        gpu, is_xid = event.gpu or "", event.kind is DeviceEventKind.XID
        ruling = self.witnesses.event(gpu, event.data, at_ms) if is_xid else self.witnesses.other(gpu, event, at_ms)
        if ruling.tell and is_xid:
            self._tell(XidRaised(xid=event.data), event.gpu, at_ms, mono_ms)
        elif ruling.tell:
            self._tell(DriverEvent(event_type=event.event_type, data=event.data), event.gpu, at_ms, mono_ms)
        self._follow(gpu, ruling, at_ms)

    def overheard(self, gpu: str, notice: Notice, seq: int, at_ms: int, mono_ms: int) -> None:
        """Take in a line of the kernel log that concerns a GPU.

        A line from before this run is recorded and counted; how the GPU is now, readings say.
        """
        ruling = self.witnesses.line(gpu, notice, at_ms)
        if ruling.tell and ruling.news and notice.code is not None:
            self._tell(_xid_of(notice, notice.code, ruling, seq), gpu, at_ms, mono_ms)
        elif ruling.tell:
            self._tell(KernelLine(text=notice.text), gpu, at_ms, mono_ms)
        if at_ms >= self._started_ms:
            self._follow(gpu, ruling, at_ms)

    def _follow(self, gpu: str, ruling: Ruling, at_ms: int) -> None:
        """Move a GPU's coverage by what a witness's record says of it."""
        track = self._tracks.get(gpu)
        if track is not None and ruling.releases:
            track = self._tracks[gpu] = edges.release(track, ruling.releases)
        if ruling.look is not None and any(known.uuid == gpu for known in self.inventory.gpus):
            track = track or edges.begin(self._started_ms, edges.EDGE)  # it was never read: hung, perhaps
            self._step(gpu, edges.fault(track, at_ms, ruling.look))

    def tell(self, detail: Detail, at_ms: int, mono_ms: int) -> bool:
        """Write an event that concerns the node as a whole; return whether it was kept."""
        return self._tell(detail, None, at_ms, mono_ms)

    def flush(self, mono_ms: int, *, force: bool = False) -> None:
        """Write the observations that are due."""
        if self._observer is None:
            return
        for gpu in self.missing:
            others = [t.decided_ms for name, t in self._tracks.items() if name != gpu.gpu]
            if others:
                track = self._tracks[gpu.gpu]
                self._step(gpu.gpu, edges.read(track, max(others), track.look, self.policy))
        for stretch in self._observer.due(force=force):
            changed = any(seen.not_before_ms is not None or seen.cause for seen in stretch.gpus)
            observed = NodeObserved(
                site=self.speaker.site,
                rack=self.speaker.rack,
                node=self.speaker.node,
                slot=self.speaker.slot,
                boot=self.speaker.boot,
                run=self.speaker.run,
                seq=self.seq + 1,
                from_ms=stretch.from_ms,
                to_ms=stretch.to_ms,
                sent_ms=stretch.to_ms,
                mono_ms=mono_ms,
                gpus=stretch.gpus,
            )
            self._number(observed, sync=changed)

    def set_heartbeat(self, heartbeat_ms: int) -> None:
        """Change the longest observation while nothing changes."""
        self.heartbeat_ms = heartbeat_ms
        if self._observer is not None:
            self._observer.heartbeat_ms = heartbeat_ms

    def stop(self, reason: str, at_ms: int, mono_ms: int) -> None:
        """Write what is decided, then announce the silence."""
        self.flush(mono_ms, force=True)
        self._tell(CleanStop(reason=reason), None, at_ms, mono_ms)

    def looks(self) -> dict[str, edges.Look]:
        """Return what is known of each GPU now, for the node's metrics."""
        return {gpu: edges.now(track) for gpu, track in self._tracks.items()}

    def _note_reset(self, reading: Reading, at_ms: int) -> None:
        """A GPU that demanded a reset and answers again had one."""
        if reading.access is Access.RESET_REQUIRED:
            self.witnesses.demanding.add(reading.gpu)
        elif reading.access is Access.OK and reading.gpu in self.witnesses.demanding:
            self.witnesses.demanding.discard(reading.gpu)
            self.witnesses.reset(reading.gpu, at_ms)

    def _note_action(self, reading: Reading, at_ms: int, mono_ms: int) -> None:
        action = reading.recovery_action
        if action is not None and action != self.witnesses.actions.get(reading.gpu, 0):
            self._tell(RecoveryActionChanged(action=action), reading.gpu, at_ms, mono_ms)
        if action is not None:
            self.witnesses.actions[reading.gpu] = action
            self.witnesses.named(reading.gpu, at_ms, action)

    def _step(self, gpu: str, step: edges.Step) -> None:
        self._tracks[gpu], pieces = step
        self._observe(gpu, pieces)

    def _observe(self, gpu: str, pieces: Sequence[edges.Piece]) -> None:
        if self._observer is not None:
            self._observer.add(gpu, pieces)

    def _tell(self, detail: Detail, gpu: str | None, at_ms: int, mono_ms: int) -> bool:
        event = NodeEvent(
            site=self.speaker.site,
            rack=self.speaker.rack,
            node=self.speaker.node,
            slot=self.speaker.slot,
            boot=self.speaker.boot,
            run=self.speaker.run,
            seq=self.seq + 1,
            at_ms=at_ms,
            sent_ms=at_ms,
            mono_ms=mono_ms,
            gpu=gpu,
            event=detail,
        )
        return self._number(event, sync=True)

    def _number(self, fact: Fact, *, sync: bool) -> bool:
        """Give a number only to what was kept, so that numbers have no gaps; return whether it was."""
        kept = self.write(fact, sync)
        self.seq += kept
        return kept


def _xid_of(notice: Notice, code: int, ruling: Ruling, seq: int) -> XidRaised:
    detail = notice.detail
    if detail is None:
        return XidRaised(xid=code, source="kernel", kernel_seq=seq)
    return XidRaised(
        xid=code,
        source="kernel",
        sub_unit=detail.sub_unit,
        link=UNSTATED if detail.link is None else detail.link,
        outcome=ruling.outcome or UNSTATED,
        injected=detail.injected or UNSTATED,
        kernel_seq=seq,
    )
