"""The ports between the functional core's callers and the world: clock, bus, ledger.

Each port has one contract test suite that runs over every implementation. The device port is
`collectors.device`: only agents know devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # an agent's collector process takes the clock from here, and has no use for the wire's 4 MiB
    from service.core.cut import Cut
    from service.core.facts import Fact, Progress
    from service.core.scanned import Scan
    from service.core.seal import Seal
    from service.core.wire import Batch, Receipt


class Clock(Protocol):
    """Wall time, monotonic time and waiting; the only source of either.

    `monotonic_ms` never goes back within a process and does not jump with the wall clock.
    """

    def now_ms(self) -> int:
        """Return wall-clock time, ms UTC."""
        ...

    def monotonic_ms(self) -> int:
        """Return monotonic time in ms since an arbitrary instant of this boot."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a simulated clock advances instead."""
        ...


class Publisher(Protocol):
    """The agent's end of the bus. Transport, not truth: only receipts prove anything."""

    def publish(self, batch: Batch) -> None:
        """Hand over consecutive facts of one run.

        Raises:
            BusUnavailable: Nobody answers; keep the facts and try again.
            BusFull: A bounded queue is full; keep the facts and try later.
            BusRefused: This batch will never be taken; the text says why.
        """
        ...

    def publish_reading(self, payload: bytes) -> None:
        """Hand over a reading; it may be lost without a word."""
        ...

    def receipts(self, wait_seconds: float) -> tuple[Receipt, ...]:
        """Return the receipts that came, waiting at most this long for the first."""
        ...

    def close(self) -> None:
        """Let go of everything; idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A batch as it reached the service.

    `speaker` is the node that the credential names, or None where no credential is asked for
    (loopback, in process). `token` lets the bus find the sender when the receipt goes back.
    """

    batch: Batch
    speaker: str | None
    token: int


class Subscriber(Protocol):
    """The service's end of the bus."""

    def take(self, limit: int, wait_seconds: float) -> tuple[Delivery, ...]:
        """Return at most `limit` batches in order of arrival, waiting for the first."""
        ...

    def settle(self, delivery: Delivery, receipt: Receipt | None) -> None:
        """Answer one delivery: with what is committed, or None to have it sent again."""
        ...

    def readings(self) -> tuple[bytes, ...]:
        """Return and forget the newest readings that came since the last call."""
        ...

    def close(self) -> None:
        """Stop taking; deliveries under way are answered with None; idempotent."""
        ...


class Ledger(Protocol):
    """The append-only record: facts in, facts out, and the progress of every run beside them.

    One writer at a time. A commit is all or nothing and durable when it returns.
    """

    def commit(self, facts: Sequence[Fact], progress: Sequence[Progress], recorded_ms: int) -> None:
        """Append facts and replace the progress of their runs, in one transaction.

        A fact that bears a recorded time keeps it; within a partition it never goes back, though:
        a clock that did is overruled.

        Raises:
            LedgerError: Nothing was written: disk full, read-only, locked, damaged,
                or a fact whose key is already there with other content.
        """
        ...

    def progress(self) -> tuple[Progress, ...]:
        """Return the progress of every run known."""
        ...

    def facts(
        self,
        *,
        kinds: Sequence[str] = (),
        since_ms: int | None = None,
        up_to: Cut | None = None,
        after: Cut | None = None,
        replaced: bool = False,
        but_up: bool = False,
    ) -> Iterator[Fact]:
        """Return facts in order of recording.

        Args:
            kinds: Only these kinds; none means all.
            since_ms: Only those that end after it.
            up_to: Only rows within a cut: the same whatever was appended later.
            after: Only rows beyond a cut.
            replaced: Also what a correction within `up_to` took back, and notes of what was
                open that a later note of their partition replaces.
            but_up: Leave out coverage that was up: most of it.

        Raises:
            LedgerError: The ledger does not have the rows that a cut names, or cannot be read.
        """
        ...

    def fact(self, key: str) -> Fact | None:
        """Return the fact of a key, whether or not it still stands."""
        ...

    def cut(self, as_of_ms: int | None = None) -> Cut:
        """Return the rows recorded up to and including an instant, or all."""
        ...

    def seals(self) -> tuple[Seal, ...]:
        """Return every seal, in order."""
        ...

    def add_seal(self, seal: Seal) -> None:
        """Keep a seal; the same again is no news.

        Raises:
            LedgerError: Another seal of that day is there, or it could not be written.
        """
        ...

    def order(self, after: Cut, up_to: Cut) -> str:
        """Return `core.seal.order_of` the rows beyond one cut and within another."""
        ...

    def scan(self, cuts: Sequence[Cut] = ()) -> Scan:
        """Recompute every chain, and of these cuts, each within the next, their tips and orders."""
        ...

    def close(self) -> None:
        """Let go of everything; idempotent."""
        ...
