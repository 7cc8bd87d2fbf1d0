"""Facts to the spool: on disk in time, and what the disk refuses is told as a gap."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from collectors.narrator import Narrator
from collectors.spool import LostRange, Record, Spool, SpoolFull
from service.core import limits
from service.core.errors import SpoolError
from service.core.events import Fact, NodeObserved, SpoolGap
from service.core.ports import Clock
from service.core.wire import encode

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Lost:
    """Facts that the full spool did not take, to be told when there is room; `run` is that of the first."""

    run: str = ""
    facts: int = 0
    from_ms: int | None = None
    to_ms: int | None = None
    reason: str = ""


class Keeper:
    """Writes an agent's facts; `kept` and `lost` count them. One thread writes, the sender reads."""

    def __init__(self, spool: Spool, lock: threading.Lock, clock: Clock, wake: Callable[[], None]) -> None:
        """Guard the spool with `lock`; `wake` is called when there is something to send."""
        self._spool, self._lock, self._clock, self._wake = spool, lock, clock, wake
        self._lost = _Lost()
        self._unsynced_ms: int | None = None  # since when something is written and perhaps not on disk
        self.kept = 0
        self.lost = 0

    def write(self, fact: Fact, sync: bool) -> bool:  # noqa: FBT001 -- the narrator's port
        """Keep a fact; return whether the spool took it."""
        record = Record(fact.run, fact.seq, encode(fact))
        is_gap = not isinstance(fact, NodeObserved) and isinstance(fact.event, SpoolGap)
        try:
            with self._lock:
                self._spool.append(record, sync=sync, reserve=is_gap)
        except SpoolError as error:
            if not is_gap:  # a gap that cannot be told yet is tried again, and is no loss of its own
                self._note_lost(fact, error)
            return False
        if sync:
            self._unsynced_ms = None
        elif self._unsynced_ms is None:
            self._unsynced_ms = self._clock.monotonic_ms()
        self.kept += 1
        self._wake()
        return True

    def sync(self, now_ms: int) -> None:
        """Put on disk what would have waited too long by the next tick."""
        if self._unsynced_ms is None or now_ms + limits.AGENT_TICK_MS <= self._unsynced_ms + limits.SPOOL_FSYNC_MS:
            return
        self._unsynced_ms = None
        try:
            with self._lock:
                self._spool.flush()
        except SpoolError as error:  # the facts are in the file; the next write meets the disk again
            log.error("spool_not_synced", error=str(error))

    def _note_lost(self, fact: Fact, error: SpoolError) -> None:
        from_ms, to_ms = (fact.from_ms, fact.to_ms) if isinstance(fact, NodeObserved) else (fact.at_ms, fact.at_ms)
        if self._lost.facts == 0:
            log.error("spool_refused", error=str(error))
            reason = "full" if isinstance(error, SpoolFull) else "failed"
            self._lost = replace(self._lost, run=fact.run, from_ms=from_ms, reason=reason)
        self._lost.facts += 1
        self._lost.to_ms = to_ms
        self.lost += 1

    def tell_lost(self, narrator: Narrator, at_ms: int, now_ms: int) -> None:
        """Tell what the spool refused, once it takes facts again."""
        lost = self._lost
        if lost.facts == 0:
            return
        gap = SpoolGap(
            lost_run=lost.run,
            facts=lost.facts,
            reason=lost.reason,
            from_ms=lost.from_ms,
            to_ms=lost.to_ms,
        )
        if narrator.tell(gap, at_ms, now_ms):
            self._lost = _Lost()


def gap_of(one: LostRange) -> SpoolGap:
    """Return the gap that tells of numbers which could not be read back from disk."""
    return SpoolGap(
        lost_run=one.run,
        facts=one.last_seq - one.first_seq + 1,
        reason="damaged on disk",
        first_seq=one.first_seq,
        last_seq=one.last_seq,
    )
