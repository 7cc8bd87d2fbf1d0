"""The daily seal: made once a day, kept, exported."""

from collections.abc import Callable
from dataclasses import dataclass

from service.core import limits
from service.core.periods import utc_text
from service.core.ports import Clock, Ledger
from service.core.seal import Seal, seal


def day_of(at_ms: int) -> str:
    """Return the UTC day of an instant, `2026-07-01`."""
    return utc_text(at_ms)[:10]


def unsigned(one: Seal) -> Seal:
    """Return a seal as it is: without a key its digest alone proves something, once it is elsewhere."""
    return one


def kept_here(_: Seal) -> None:
    """Leave a seal in the ledger alone."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """Makes seals of a ledger.

    `sign` puts a signature on a seal, `export` takes it out of the landlord's hands; both have
    a default that does nothing.
    """

    ledger: Ledger
    clock: Clock
    sign: Callable[[Seal], Seal] = unsigned
    export: Callable[[Seal], object] = kept_here

    def due(self) -> str | None:
        """Return the day that should be sealed now: the last whole one, unless it is sealed already."""
        day = day_of(self.clock.now_ms() - limits.DAY_MS)
        seals = self.ledger.seals()
        return None if seals and seals[-1].day >= day else day

    def seal(self, day: str) -> Seal | None:
        """Seal a day with all that is recorded by now; None when nothing is.

        Raises:
            LedgerError: If it could not be kept or exported; the next turn tries again.
        """
        cut = self.ledger.cut()
        if not cut:
            return None
        previous = next(reversed(self.ledger.seals()), None)
        order = self.ledger.order(previous.cut if previous else {}, cut)
        made = self.sign(seal(day, self.clock.now_ms(), cut, order, previous))
        self.ledger.add_seal(made)
        self.export_all()
        return made

    def export_all(self) -> None:
        """Export every seal kept: a directory that is new, or was away, holds them all afterwards."""
        for one in self.ledger.seals():
            self.export(one)
