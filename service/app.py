"""The running service: one writer thread between bus and ledger, jobs, and what is shown.

With `service.cli` the only place that knows concrete adapters.
"""

import threading
from dataclasses import dataclass, field

import structlog

from service import exporter
from service.core import limits
from service.core.contract import Agreement, Contract
from service.core.cut import Cut
from service.core.errors import LedgerError
from service.core.facts import Fact, FactKind
from service.core.ports import Clock, Ledger, Subscriber
from service.core.said import Telling
from service.core.seal import Seal
from service.desk import Booked, Desk
from service.projection import Projection, Snapshot
from service.recorder import Recorder
from service.restart import Checkpoint, Checkpoints, Folded, NoCheckpoints, folded
from service.scheduler import Job, Scheduler
from service.sealing import Sealer
from service.statements.keeper import Keeper

log = structlog.get_logger(__name__)

ROLL_UP_SECONDS = 5.0
CLOSE_SECONDS = 300.0
SEAL_SECONDS = 60.0  # how often it is asked whether a day is over


@dataclass(slots=True)
class Service:
    """Ledger, bus, projection and jobs wired together."""

    contract: Contract
    ledger: Ledger
    bus: Subscriber
    clock: Clock
    grace_ms: int = limits.GRACE_MS
    agreement: Agreement | None = None  # all versions of the contract; the one given alone by default
    sealer: Sealer | None = None
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    restored: bool = False  # the ledger was put back from a backup
    recorder: Recorder = field(init=False)
    projection: Projection = field(init=False)
    _folded: Folded = field(init=False)  # what recorder and projection share, and a checkpoint keeps
    _keeper: Keeper = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _scheduler: Scheduler | None = None
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _seal: Seal | None = None  # the newest

    def __post_init__(self) -> None:
        """Continue where the ledger ends."""
        self._folded = folded(self.ledger, self.checkpoints)
        self.recorder = Recorder(self.ledger, self.clock, self.contract.site, self._folded.placed)
        if self.restored:
            self.recorder.expect_losses()
        self.projection = Projection(self.contract, grace_ms=self.grace_ms)
        self.projection.restore(self.ledger, self._folded.history)
        self._keeper = Keeper(
            agreement=self.agreement or Agreement.of((self.contract,)),
            ledger=self.ledger,
            clock=self.clock,
            cut=self._cut_with_open,
            book=self._book,
        )
        self._seal = next(reversed(self.ledger.seals()), None)

    def start(self) -> None:
        """Run the writer and the jobs in the background."""
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()
        self._scheduler = Scheduler(
            (
                Job("roll_up", ROLL_UP_SECONDS, self.roll_up_now),
                Job("month_close", CLOSE_SECONDS, self.close_month),
                Job("seal", SEAL_SECONDS, self.seal_day),
                Job("checkpoint", limits.CHECKPOINT_SECONDS, self.save_checkpoint),
            )
        )
        self._scheduler.start()
        self.roll_up_now()

    def stop(self) -> None:
        """End in order: no more batches, what was taken is answered, then the ledger."""
        self._stop.set()
        if self._scheduler is not None:
            self._scheduler.stop()
        if self._thread is not None:
            self._thread.join()
        try:
            self.save_checkpoint()
        except LedgerError as error:
            log.warning("checkpoint_not_saved", error=str(error))
        self.bus.close()
        self.ledger.close()

    def _write(self) -> None:
        while not self._stop.is_set():
            self.pump(wait_seconds=0.2)

    def pump(self, wait_seconds: float = 0.0) -> int:
        """Book what the bus holds; return how many batches were taken."""
        deliveries = self.bus.take(limits.COMMIT_MESSAGES // 8, wait_seconds)
        if not deliveries:
            return 0
        try:
            with self._writing:  # the fold moves with the ledger: a checkpoint must find them in step
                recorded, answers = self.recorder.record(deliveries)
                self.projection.apply(recorded.facts, recorded.progress)
        except LedgerError as error:
            log.error("commit_failed", error=str(error), batches=len(deliveries))
            for delivery in deliveries:
                self.bus.settle(delivery, None)
            self._stop.wait(0.5)  # a full disk does not mend faster when hammered
            return 0
        for delivery, receipt in answers:
            self.bus.settle(delivery, receipt)
        return len(deliveries)

    def roll_up_now(self) -> None:
        """Roll up at the present instant: silence sweep, counters and gauges."""
        self.projection.roll_up(self.clock.now_ms())

    def snapshot(self) -> Snapshot | None:
        """Return the newest roll-up."""
        return self.projection.snapshot

    def metrics(self) -> bytes:
        """Return the exposition."""
        return exporter.render(self.snapshot, self.recorder, self._seal)

    def ready(self) -> bool:
        """Return whether a roll-up is there to be shown."""
        return self.snapshot() is not None

    def tell(self, telling: Telling) -> Booked:
        """Book what a person says, and let it count.

        Raises:
            FactRefused: It contradicts the record or the rules.
            LedgerError: It could not be written.
        """
        with self._writing:
            booked = Desk(self.ledger, self.clock).tell(telling)
            if booked.new:
                self.projection.apply((booked.fact,), ())
            if booked.taken_back is not None:
                self.projection.forget((booked.taken_back,))
            if booked.given_back is not None:
                self.projection.apply((booked.given_back,), ())
            if any(
                one is not None and one.kind is FactKind.PLACEMENT for one in (booked.taken_back, booked.given_back)
            ):
                self.recorder.read_placements()
        log.info("said", key=booked.fact.key, new=booked.new)
        return booked

    def save_checkpoint(self) -> None:
        """Keep what is folded now, so that the next start need not fold it again."""
        with self._writing:
            cut, state = self.ledger.cut(), self._folded.state()
        self.checkpoints.save(Checkpoint(cut=cut, state=state))

    def seal_day(self) -> None:
        """Seal the last whole day, once; what is open is written down first, so that the seal covers it."""
        if self.sealer is None:
            return
        day = self.sealer.due()
        if day is None:
            self.sealer.export_all()  # one that failed before, or a directory that came back
            return
        with self._writing:
            self._note_open()
            self._seal = self.sealer.seal(day) or self._seal
        log.info("sealed", day=day, digest=self._seal.digest if self._seal else None)

    def _note_open(self) -> None:
        recorded = self.recorder.note_open()
        # What is open is known here already, and newer: of the notes only what closed is news.
        self.projection.apply((fact for fact in recorded.facts if fact.kind is not FactKind.OPEN), recorded.progress)

    def close_month(self) -> None:
        """Issue the statements that are due: drafts, finals, and restatements of what changed since."""
        for fact in self._keeper.turn():
            log.info("statement_issued", key=fact.key)

    def _cut_with_open(self) -> Cut:
        with self._writing:
            self._note_open()
            return self.ledger.cut()

    def _book(self, fact: Fact, at_ms: int) -> None:
        with self._writing:
            self.ledger.commit((fact,), (), at_ms)
