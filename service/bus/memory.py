"""The bus within one process: a bounded queue of batches, and receipts back to their sender."""

import threading
from collections import deque

from service.core import limits
from service.core.errors import BusFull, BusUnavailable
from service.core.ports import Delivery
from service.core.wire import Batch, Receipt


class MemoryBus:
    """Joins publishers of this process to one subscriber. Thread-safe; itself the subscriber."""

    def __init__(self, capacity: int = limits.MEMORY_BUS_BATCHES) -> None:
        """Make an empty bus that holds at most `capacity` batches."""
        self._capacity = capacity
        self._arrived = threading.Condition()
        self._queue: deque[Delivery] = deque()
        self._senders: dict[int, MemoryPublisher] = {}
        self._readings: dict[str, bytes] = {}
        self._next = 0
        self._closed = False

    def publisher(self, speaker: str | None = None) -> "MemoryPublisher":
        """Return a new sender; `speaker` stands for the credential of an HTTP agent."""
        return MemoryPublisher(self, speaker)

    def put(self, batch: Batch, sender: "MemoryPublisher") -> None:
        """Queue a batch.

        Raises:
            BusFull: The queue holds its bound.
            BusUnavailable: The subscriber has closed the bus.
        """
        with self._arrived:
            if self._closed:
                msg = "the service has closed its bus"
                raise BusUnavailable(msg)
            if len(self._queue) >= self._capacity:
                msg = f"the bus holds its {self._capacity} batches"
                raise BusFull(msg)
            self._next += 1
            self._senders[self._next] = sender
            self._queue.append(Delivery(batch=batch, speaker=sender.speaker, token=self._next))
            self._arrived.notify()

    def put_reading(self, key: str, payload: bytes) -> None:
        """Keep the newest reading of a sender; drop it when too many speak."""
        with self._arrived:
            if key in self._readings or len(self._readings) < limits.READINGS_KEPT:
                self._readings[key] = payload

    def take(self, limit: int, wait_seconds: float) -> tuple[Delivery, ...]:
        """Return at most `limit` batches in order of arrival, waiting for the first."""
        with self._arrived:
            if not self._queue and wait_seconds > 0:
                self._arrived.wait_for(lambda: bool(self._queue) or self._closed, wait_seconds)
            return tuple(self._queue.popleft() for _ in range(min(limit, len(self._queue))))

    def settle(self, delivery: Delivery, receipt: Receipt | None) -> None:
        """Answer one delivery."""
        with self._arrived:
            sender = self._senders.pop(delivery.token, None)
        if sender is not None and receipt is not None:
            sender.receive(receipt)

    def readings(self) -> tuple[bytes, ...]:
        """Return and forget the newest readings."""
        with self._arrived:
            found, self._readings = tuple(self._readings.values()), {}
        return found

    def close(self) -> None:
        """Take nothing any more; what waits is dropped, its senders still have it."""
        with self._arrived:
            self._closed = True
            self._queue.clear()
            self._senders.clear()
            self._arrived.notify_all()


class MemoryPublisher:
    """An agent's end of a `MemoryBus`."""

    def __init__(self, bus: MemoryBus, speaker: str | None) -> None:
        """Join a bus."""
        self._bus = bus
        self.speaker = speaker
        self._receipts: deque[Receipt] = deque(maxlen=limits.RUNS_PER_NODE)
        self._arrived = threading.Condition()

    def publish(self, batch: Batch) -> None:
        """Hand over a batch."""
        self._bus.put(batch, self)

    def publish_reading(self, payload: bytes) -> None:
        """Hand over a reading."""
        self._bus.put_reading(self.speaker or str(id(self)), payload)

    def receive(self, receipt: Receipt) -> None:
        """Take a receipt; the bus calls this from the subscriber's thread."""
        with self._arrived:
            self._receipts.append(receipt)
            self._arrived.notify()

    def receipts(self, wait_seconds: float) -> tuple[Receipt, ...]:
        """Return the receipts that came, waiting at most this long for the first."""
        with self._arrived:
            if not self._receipts and wait_seconds > 0:
                self._arrived.wait(wait_seconds)
            found = tuple(self._receipts)
            self._receipts.clear()
        return found

    def close(self) -> None:
        """Do nothing: the bus belongs to the subscriber."""
