"""Which numbered message is taken, held back, or known already: exactly once, in order.

Within a run, facts are numbered from 1 without gaps. A fact is booked when every earlier one
is; what comes too early waits, bounded, and the agent's resending fills the gap. What is held
is in memory only: the agent still has it, so losing it costs a resend and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from service.core import limits

Item = TypeVar("Item")


class Verdict(Enum):
    """What became of one numbered message."""

    TAKEN = "taken"
    HELD = "held"  # waits for a predecessor
    DUPLICATE = "duplicate"  # committed already, or held already
    OVERFLOW = "overflow"  # too far ahead of a gap; the agent will send it again


@dataclass(slots=True)
class RunIntake(Generic[Item]):
    """The numbering of one run: its watermark and what waits beyond it.

    Not thread-safe; one writer owns a run. `seq` moves when a message is released, and the
    caller must commit what was released before it tells anyone.
    """

    seq: int = 0
    held: dict[int, Item] = field(default_factory=dict)

    def offer(self, seq: int, item: Item) -> Verdict:
        """Take in one message; release what is due with `release`."""
        if seq <= self.seq or seq in self.held:
            return Verdict.DUPLICATE
        if seq > self.seq + 1 and len(self.held) >= limits.HELD_BACK_MESSAGES:
            return Verdict.OVERFLOW
        self.held[seq] = item
        return Verdict.TAKEN if seq == self.seq + 1 else Verdict.HELD

    def release(self) -> Iterator[tuple[int, Item]]:
        """Yield what is due in order of number, moving the watermark along."""
        while (item := self.held.pop(self.seq + 1, None)) is not None:
            self.seq += 1
            yield self.seq, item

    def write_off(self, last_seq: int) -> None:
        """Stop waiting for anything up to `last_seq`: the node says that it is lost for ever.

        What is held within the lost range is kept for release order's sake only if it is
        beyond the range; the node has said that the range itself is gone.
        """
        if last_seq <= self.seq:
            return
        for seq in [seq for seq in self.held if seq <= last_seq]:
            del self.held[seq]
        self.seq = last_seq
