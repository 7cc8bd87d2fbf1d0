"""Where people's facts are taken: checked against the record, booked once, by whoever owns the ledger."""

from dataclasses import dataclass

from service.core.corrections import taken_back
from service.core.errors import FactRefused
from service.core.facts import Fact, changed
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
        void = self._void()
        repeated = self._repeated(telling, void)
        if repeated is not None:
            return Booked(fact=repeated, new=False)
        fact = fact_of(telling, lambda key: self._standing(key, void), four_eyes=self.four_eyes)
        known = self.ledger.fact(fact.key)
        if known is not None:
            self._check_same(known, fact, void)
            return Booked(fact=known, new=False)
        self.ledger.commit([fact], (), self.clock.now_ms())
        return self._booked(fact, void)

    def _void(self) -> frozenset[str]:
        said = self.ledger.facts(kinds=["operator"], replaced=True)
        return taken_back((fact.key, fact.replaces) for fact in said if fact.replaces is not None)

    def _standing(self, key: str, void: frozenset[str]) -> Fact | None:
        return None if key in void else self.ledger.fact(key)

    def _repeated(self, telling: Telling, void: frozenset[str]) -> Fact | None:
        """Return the correction that says the same: what it names no longer stands, which is no error then."""
        if telling.replaces is None or telling.replaces not in void:
            return None
        known = self.ledger.fact(f"said/correction/{telling.replaces}")
        wrong = self.ledger.fact(telling.replaces)
        if known is None or wrong is None or known.key in void:
            return None
        same = fact_of(telling, lambda _: wrong, four_eyes=self.four_eyes)
        self._check_same(known, same, void)
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
