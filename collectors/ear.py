"""The agent's ear: the kernel log beside a watch, what all witnesses said, and its survival.

Holds what outlives a run and a driver. `Shown` and the watch belong to the agent; this only
reads the log's counters, keeps lines that come while no driver is open, and saves the tally.
"""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from collectors.casebook import Casebook
from collectors.catalogue import Round
from collectors.device import Inventory, Survey
from collectors.fabric_faults import FabricFaults
from collectors.kernel_lines import Address, Notice, parse_address
from collectors.kernel_log import KernelLog, Overheard
from collectors.tally import Tally, load, save
from collectors.watch import Watch
from collectors.witnesses import FaultsShown, Witnesses
from service.core import limits
from service.core.incident import with_smoothing_lost
from service.core.ports import Clock

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Showing(Protocol):
    """What the ear leaves for the node's `/metrics`."""

    xids: Counter[tuple[str, int]]
    xid_seen_ms: dict[tuple[str, int], int]
    faults: FaultsShown
    surveys: dict[str, dict[Round, Survey]]


class Ear:
    """Hears the kernel log for the life of an agent."""

    def __init__(self, clock: Clock, boot: str, kernel_log: Path | None, directory: Path) -> None:
        """Take up what an earlier life left in a directory."""
        self._clock, self._boot = clock, boot
        self._path = directory / "tally.json"
        kept = load(self._path)
        self.witnesses = Witnesses(xids=Counter(kept.xids), injected=Counter(kept.injected), seen_ms=dict(kept.seen_ms))
        self._recall(kept)
        self._fabric = FabricFaults()
        self._cursor = kept.cursor_of(boot)
        self._log = None if kernel_log is None else KernelLog(clock, kernel_log, cursor=self._cursor)
        self._passing = threading.Lock()  # held while a line goes to a watch or waits for one
        self._watch: Watch | None = None
        self._early: deque[Overheard] = deque()  # at most KERNEL_EARLY_ITEMS
        self._gpus: dict[Address, str] = {}
        self._nvml = False
        self._refused = 0  # lines for which there was no room while no driver was open
        self._lines = 0  # told and counted
        self._saved_ms = clock.monotonic_ms()
        self._saved = self._marks()

    def _recall(self, kept: Tally) -> None:
        """Take up the cases of GPUs; a loss of smoothing is over with its boot, and a boot is a remedy."""
        it = self.witnesses
        it.cases = Casebook(histories=_newest(kept.histories), largest=_newest(kept.largest))
        if kept.boot == self._boot:
            it.faults = {gpu: with_smoothing_lost(at_ms) for gpu, at_ms in kept.smoothing_ms.items()}
        elif kept.boot:
            it.cases.rebooted(self._clock.now_ms())

    def start(self) -> None:
        """Begin to listen."""
        if self._log is not None:
            self._log.start(self._hear)

    def stop(self) -> None:
        """End, and save what was counted."""
        if self._log is not None:
            self._log.stop()
        self._save()

    def attach(self, watch: Watch, inventory: Inventory) -> None:
        """Pass on what is heard, from now on and since there was nobody to hear it."""
        addresses = {gpu.uuid: parse_address(gpu.pci_bus_id) for gpu in inventory.gpus}
        self._gpus = {address: gpu for gpu, address in addresses.items() if address is not None}
        self._nvml = any(inventory.event_types.values())
        self._fabric.attach(inventory)
        if self._log is not None:
            self._log.addresses = frozenset(self._gpus)
        with self._passing:
            self._watch = watch
            while self._early:
                watch.tell(self._early.popleft())

    def detach(self) -> None:
        """Keep what nobody took from the watch, and what is heard until the next one."""
        with self._passing:
            watch, self._watch, self._nvml = self._watch, None, False
            if watch is not None:
                self._wait(*(sight for sight in watch.left() if isinstance(sight, Overheard)))

    def gpu_of(self, notice: Notice) -> str | None:
        """Return whose line it is; a line of nobody here is counted and dropped."""
        gpu = self._gpus.get(notice.address)
        self._lines += 1
        if gpu is None:
            self.witnesses.quarantined["unknown_address"] += 1
        return gpu

    def cursor(self) -> int | None:
        """Return up to where the log has been handed on; read it before taking what it handed."""
        return self._cursor if self._log is None else self._log.cursor

    def taken(self, cursor: int | None, now_ms: int) -> None:
        """Take note that everything up to a cursor is told and counted; save it when it is time.

        Soon after a line, so that a killed agent does not tell it twice, and after what moves a case;
        otherwise rarely.
        """
        if not self._early:
            self._cursor = cursor
        marks = self._marks()
        wait_ms = limits.FAULTS_SAVE_MS if marks[:2] == self._saved[:2] else limits.LINES_SAVE_MS
        if marks != self._saved and now_ms - self._saved_ms >= wait_ms:
            self._saved_ms = now_ms
            self._save()

    def show(self, shown: Showing) -> None:
        """Leave copies for `/metrics`."""
        it, heard = self.witnesses, self._log
        it.cases.surveyed(shown.surveys)
        self._fabric.note(it.open())
        shown.xids, shown.xid_seen_ms = Counter(it.xids), dict(it.seen_ms)
        folded = {} if heard is None else dict(heard.folded)
        quarantined = it.quarantined + Counter({} if heard is None else dict(heard.rejected))
        quarantined += Counter(no_driver=self._refused)
        shown.faults = FaultsShown(
            sources={"nvml": self._nvml, "kernel": heard is not None and heard.up},
            records=dict(it.records),
            folded={
                (self._gpus[at], code): n for (at, code), n in folded.items() if code is not None and at in self._gpus
            },
            injected=dict(it.injected),
            incidents=it.incidents(),
            standing=it.standing(),
            fabric_incidents=self._fabric.count,
            candidates=it.cases.candidates(self._clock.now_ms()),
            memory_missing=it.cases.memory_missing(),
            quarantined=dict(quarantined),
            lines_lost=0 if heard is None else heard.lost,
            untold=it.untold,
        )

    def _hear(self, overheard: Overheard) -> None:
        with self._passing:
            if self._watch is None:
                self._wait(overheard)
            else:
                self._watch.tell(overheard)

    def _wait(self, *lines: Overheard) -> None:
        room = limits.KERNEL_EARLY_ITEMS - len(self._early)
        self._early.extend(lines[:room])
        self._refused += len(lines[room:])

    def _marks(self) -> tuple[object, ...]:
        """Return what tells whether a save has news."""
        it = self.witnesses
        cases = (it.smoothing_lost_ms(), dict(it.cases.histories), dict(it.cases.largest))
        return self._lines, cases, it.xids.total() + it.injected.total(), self._cursor

    def _save(self) -> None:
        it = self.witnesses
        tally = Tally(
            xids=it.xids,
            injected=it.injected,
            seen_ms=it.seen_ms,
            boot=self._boot,
            cursor=self._cursor,
            smoothing_ms=it.smoothing_lost_ms(),
            histories=it.cases.histories,
            largest=it.cases.largest,
        )
        try:
            save(self._path, tally)
        except OSError as error:
            log.warning("tally_not_saved", path=str(self._path), error=str(error))
        self._saved = self._marks()


def _newest(cases: Mapping[str, T]) -> dict[str, T]:
    """Return the cases of the GPUs that came last: of those that were replaced, few are kept."""
    return dict(list(cases.items())[-limits.CASES_KEPT :])
