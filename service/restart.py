"""A restart without replay: what was folded up to a cut, and the ledger's rest.

A checkpoint is a convenience and never the truth: one that is missing, damaged, of another
release or of another ledger is left aside, and the ledger is folded from its beginning.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from service.core.corrections import taken_back
from service.core.cut import Cut
from service.core.errors import LedgerError
from service.core.facts import Fact, FactKind
from service.core.history import History
from service.core.model import Place
from service.core.ports import Ledger

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What was folded up to a cut, as plain values."""

    cut: Cut
    state: dict[str, Any]


class Checkpoints(Protocol):
    """Where the newest checkpoint is kept."""

    def load(self) -> Checkpoint | None:
        """Return the checkpoint, None when there is none that can be used."""
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint instead of the one before.

        Raises:
            LedgerError: It could not be written; the one before is still there.
        """
        ...


class NoCheckpoints:
    """Keeps none: for a ledger in memory, and for tests."""

    def load(self) -> Checkpoint | None:
        """Return None."""
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep nothing."""


@dataclass(slots=True)
class Folded:
    """What the ledger says, folded: timelines, and which GPU was last placed where."""

    history: History = field(default_factory=History)
    placed: dict[Place, str] = field(default_factory=dict)

    def learn(self, fact: Fact) -> None:
        """Take in one fact."""
        self.history.learn(fact)
        if fact.kind is FactKind.PLACEMENT:
            self.placed[Place.parse(fact.body)] = fact.gpu

    def state(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"history": self.history.state(), "placed": {str(place): gpu for place, gpu in self.placed.items()}}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Folded":
        """Return what `state` returned."""
        folded = cls(placed={Place.parse(text): gpu for text, gpu in state["placed"].items()})
        folded.history.resume(state["history"])
        return folded


def folded(ledger: Ledger, checkpoints: Checkpoints) -> Folded:
    """Return the fold of a ledger's rows, by a checkpoint and the rest where there is one that fits."""
    checkpoint = checkpoints.load()
    if checkpoint is not None:
        try:
            return _resumed(ledger, checkpoint)
        except (LedgerError, AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("checkpoint_left_aside", reason=str(error))
    whole = Folded()
    for fact in ledger.facts():
        whole.learn(fact)
    return whole


def _resumed(ledger: Ledger, checkpoint: Checkpoint) -> Folded:
    rest = ledger.facts(after=checkpoint.cut)
    first = next(rest, None)  # a cut that does not fit is told before anything is folded
    resumed = Folded.of_state(checkpoint.state)
    for fact in (*((first,) if first else ()), *rest):
        if fact.kind is not FactKind.OPERATOR:
            resumed.learn(fact)
    _learn_people(ledger, checkpoint.cut, resumed)
    return resumed


def _learn_people(ledger: Ledger, cut: Cut, resumed: Folded) -> None:
    """Take in what people said, and undo what corrections since the cut changed about rows before it."""
    then, now = (
        _void(ledger.facts(kinds=_PEOPLE, up_to=cut, replaced=True)),
        _void(ledger.facts(kinds=_PEOPLE, replaced=True)),
    )
    before = _within(ledger, cut)
    for key in now - then:
        before(key, resumed.history.forget)
    for key in then - now:
        before(key, resumed.history.learn)
    if now != then:  # which of several is the last placement that stands, only the ledger knows
        placements = ledger.facts(kinds=[FactKind.PLACEMENT.value])
        resumed.placed = {Place.parse(fact.body): fact.gpu for fact in placements}
    for fact in ledger.facts(kinds=_PEOPLE):
        resumed.learn(fact)


_PEOPLE = (FactKind.OPERATOR.value,)


def _void(said: Iterable[Fact]) -> frozenset[str]:
    return taken_back((fact.key, fact.replaces) for fact in said if fact.replaces is not None)


def _within(ledger: Ledger, cut: Cut) -> Callable[[str, Callable[[Fact], None]], None]:
    rest = {fact.key for fact in ledger.facts(after=cut, replaced=True)}

    def act(key: str, do: Callable[[Fact], None]) -> None:
        fact = ledger.fact(key)
        if fact is not None and key not in rest and fact.kind is not FactKind.OPERATOR:
            do(fact)

    return act
