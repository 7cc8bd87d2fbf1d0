"""Where people's facts are taken: checked against the record, booked once, by whoever owns the ledger."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from service.core.corrections import taken_back
from service.core.errors import FactRefused
from service.core.facts import Fact, FactKind, changed
from service.core.ports import Clock, Ledger
from service.core.said import OPERATOR_PARTITION, Telling
from service.core.telling import fact_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What became of what a person said.

    `new` is False when the same was said before. `taken_back` no longer holds because of it,
    `given_back` holds again: a correction was itself corrected.
    """

    fact: Fact
    new: bool
    taken_back: Fact | None = None
    given_back: Fact | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes what people say. The caller makes sure that nobody else writes meanwhile."""

    ledger: Ledger
    clock: Clock
    four_eyes: bool = True

    def tell(self, telling: Telling) -> Booked:
        """Book what a person says.

        Raises:
            FactRefused: It contradicts the record or the rules; nothing was written.
            LedgerError: It could not be written.
        """
        corrections = [(fact.key, fact.replaces) for fact in self._said() if fact.replaces is not None]
        void = taken_back(corrections)
        repeated = self._repeated(telling, corrections, void)
        if repeated is not None:
            return Booked(fact=repeated, new=False)
        fact = _once_more(fact_of(telling, lambda key: self._standing(key, void), four_eyes=self.four_eyes), void)
        known = self.ledger.fact(fact.key)
        if known is not None:
            self._check_same(known, fact, void)
            return Booked(fact=known, new=False)
        self.ledger.commit([fact], (), self.clock.now_ms())
        return self._booked(fact, void)

    def _said(self) -> Iterator[Fact]:
        return self.ledger.facts(kinds=[FactKind.OPERATOR.value], replaced=True)

    def _standing(self, key: str, void: frozenset[str]) -> Fact | None:
        return None if key in void else self.ledger.fact(key)

    def _repeated(self, telling: Telling, corrections: list[tuple[str, str]], void: frozenset[str]) -> Fact | None:
        """Return the correction that says the same: what it names no longer stands, which is no error then."""
        standing = [key for key, replaced in corrections if replaced == telling.replaces and key not in void]
        known = self.ledger.fact(standing[0]) if standing else None
        wrong = self.ledger.fact(telling.replaces) if telling.replaces is not None else None
        if known is None or wrong is None:
            return None
        same = fact_of(telling, lambda _: wrong, four_eyes=self.four_eyes)
        self._check_same(known, changed(same, key=known.key), void)
        return known

    def _check_same(self, known: Fact, offered: Fact, void: frozenset[str]) -> None:
        if known.key in void:
            msg = f"{known.key} was taken back; say what holds under another id or time"
            raise FactRefused(msg)
        if changed(known, recorded_ms=None) != offered:
            msg = f"{known.key} is recorded with other content: `threenines fact correct {known.key}` takes it back"
            raise FactRefused(msg)

    def _booked(self, fact: Fact, void: frozenset[str]) -> Booked:
        wrong = self.ledger.fact(fact.replaces) if fact.replaces is not None else None
        again = None
        if wrong is not None and wrong.replaces is not None and wrong.partition == OPERATOR_PARTITION:
            again = self.ledger.fact(wrong.replaces) if wrong.replaces in void else None
        return Booked(fact=fact, new=True, taken_back=wrong, given_back=again)


def _once_more(fact: Fact, void: frozenset[str]) -> Fact:
    """Return a correction under a key of its own when an earlier one of the same fact was itself taken back."""
    if fact.replaces is None:
        return fact
    others = (f"said/correction#{number}/{fact.replaces}" for number in itertools.count(2))
    return changed(fact, key=next(key for key in itertools.chain([fact.key], others) if key not in void))
