"""Spool to bus: sends what no receipt covers, again and again until one does."""

import random
import threading
from collections import Counter

import msgspec
import structlog

from collectors.spool import Record, Spool
from service.core import limits
from service.core.errors import BusError, BusRefused, SpoolError
from service.core.ports import Clock, Publisher
from service.core.wire import Batch

log = structlog.get_logger(__name__)


class Sender:
    """Empties a spool into a bus, oldest run first; one thread of its own.

    The spool is guarded by `lock`, shared with the agent that fills it. Nothing is trimmed on
    the bus's word: only a receipt of the ledger's commit trims.
    """

    def __init__(self, spool: Spool, bus: Publisher, node: str, lock: threading.Lock, clock: Clock) -> None:
        """Prepare; `start` begins sending."""
        self._spool, self._bus, self._node, self._lock, self._clock = spool, bus, node, lock, clock
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._sent: dict[str, int] = {}
        self._acknowledged: dict[str, int] = {}
        self._sent_ms = 0  # when, on the monotonic clock, something was sent last
        self._reading: bytes | None = None
        self.outcomes: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that there is something to send."""
        self._wake.set()

    def offer_reading(self, payload: bytes) -> None:
        """Leave the newest reading; an older one that waits is dropped."""
        self._reading = payload
        self._wake.set()

    def drain(self, wait_seconds: float) -> bool:
        """Wait, bounded, until receipts cover everything; return whether they do."""
        until_ms = self._clock.monotonic_ms() + wait_seconds * 1000
        while self._clock.monotonic_ms() < until_ms:
            with self._lock:
                if not self._pending():
                    return True
            self._wake.set()
            self._stop.wait(0.02)
        return False

    def stop(self) -> None:
        """End; what is not covered stays in the spool."""
        self._stop.set()
        self._wake.set()
        self._thread.join(limits.RECEIPT_WAIT_SECONDS)

    def _pending(self) -> bool:
        return any(self._spool.after(run, self._acknowledged.get(run, 0), 1) for run in self._spool.runs())

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._wake.wait(self._patience())
            self._wake.clear()
            try:
                self._send_all()
                failures = 0
            except BusRefused as error:
                self.outcomes["refused"] += 1
                log.error("batch_refused", error=str(error))
                self._pause(limits.RESEND_MAX_MS)
            except (BusError, SpoolError) as error:
                failures += 1
                self.outcomes["failed"] += 1
                if failures == 1:
                    log.warning("bus_unavailable", error=str(error))
                self._pause(min(limits.RESEND_MS * 2**failures // 8, limits.RESEND_MAX_MS))
                self._sent.clear()

    def _patience(self) -> float:
        """Return how long nothing happens by itself: receipts that are due are asked for, else nobody is."""
        is_owed = any(seq > self._acknowledged.get(run, 0) for run, seq in self._sent.items())
        return 0.5 if is_owed else limits.RESEND_MAX_MS / 1000

    def _pause(self, up_to_ms: int) -> None:
        self._stop.wait(random.uniform(0.5, 1.0) * up_to_ms / 1000)  # noqa: S311 -- jitter, no secret
        self._wake.set()

    def _send_all(self) -> None:
        self._resend_when_late()
        while not self._stop.is_set():
            with self._lock:
                records = self._next()
            if records:
                self._bus.publish(self._batch(records))
                self._sent[records[0].run] = records[-1].seq
                self._sent_ms = self._clock.monotonic_ms()
                self.outcomes["sent"] += len(records)
            self._take_receipts()
            if not records:
                break
        reading, self._reading = self._reading, None
        if reading is not None:
            self._bus.publish_reading(reading)

    def _resend_when_late(self) -> None:
        if self._sent and self._clock.monotonic_ms() - self._sent_ms > limits.RESEND_MS:
            self._sent.clear()

    def _next(self) -> tuple[Record, ...]:
        for run in self._spool.runs():
            known = max(self._sent.get(run, 0), self._acknowledged.get(run, 0))
            records = self._spool.after(run, known, limits.BATCH_MESSAGES)
            if records:
                return _bounded(records)
        return ()

    def _batch(self, records: tuple[Record, ...]) -> Batch:
        return Batch(
            node=self._node,
            run=records[0].run,
            first_seq=records[0].seq,
            facts=tuple(msgspec.Raw(record.payload) for record in records),
        )

    def _take_receipts(self) -> None:
        for receipt in self._bus.receipts(0):
            if receipt.node != self._node:
                continue
            known = max(self._acknowledged.get(receipt.run, 0), receipt.seq)
            self._acknowledged[receipt.run] = known
            with self._lock:
                self._spool.trim(receipt.run, known)
                kept = self._spool.runs()
            for run in self._acknowledged.keys() - kept:  # nothing of it is left to be sent
                del self._acknowledged[run]
                self._sent.pop(run, None)


def _bounded(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """Return the leading records that fit into one batch and are numbered without a hole."""
    size, kept = 0, 0
    for number, record in enumerate(records):
        size += len(record.payload) + 1
        if number and (size > limits.BATCH_BYTES // 2 or record.seq != records[0].seq + number):
            break
        kept += 1
    return records[:kept]
