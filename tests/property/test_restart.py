"""A restart by checkpoint is a restart by replay, whatever came after it; what does not fit is left aside."""

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.clock import SimulatedClock
from service.core.facts import Fact, FactKind
from service.core.health import Health
from service.core.model import Place, Span
from service.core.said import decode_telling
from service.desk import Desk
from service.ledger.checkpoint import CheckpointFile, checkpoints_of
from service.ledger.store import SqlLedger
from service.restart import Checkpoint, Folded, NoCheckpoints, folded

BASE = 1_782_864_000_000
WINDOW = Span(BASE, BASE + 100_000)
PLACES = [Place("r0001", 1, position) for position in range(3)]


def _fact(chance: random.Random, number: int) -> Fact:
    gpu, node = f"GPU-{chance.randrange(3)}", f"n{chance.randrange(2)}"
    at_ms = BASE + chance.randrange(90_000)
    kind = chance.choice([FactKind.COVERAGE, FactKind.COVERAGE, FactKind.PLACEMENT, FactKind.EVENT])
    head = {"key": f"{kind.value}/{number}", "partition": chance.randrange(3), "from_ms": at_ms, "node": node}
    if kind is FactKind.COVERAGE:
        health = chance.choice([None, *Health])
        return Fact(kind=kind, **head, to_ms=at_ms + chance.randrange(1, 9_000), gpu=gpu, health=health)  # type: ignore[arg-type]
    if kind is FactKind.PLACEMENT:
        return Fact(kind=kind, **head, gpu=gpu, body=str(chance.choice(PLACES)))  # type: ignore[arg-type]
    event = {"kind": "run_started", "boot": f"b{number}", "boot_ms": at_ms}
    return Fact(kind=kind, **head, body=json.dumps(chance.choice([event, {"kind": "clean_stop"}])))  # type: ignore[arg-type]


def _seen(fold: Folded) -> object:
    return [fold.history.timeline(place, WINDOW) for place in PLACES], fold.placed


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 25), st.integers(0, 25))
def test_checkpoint_and_rest_fold_to_the_whole(chance: random.Random, before: int, after: int) -> None:
    """Facts, corrections and corrections of corrections on both sides of the checkpoint: the fold of the ledger."""
    ledger = SqlLedger("sqlite://")
    desk = Desk(ledger, SimulatedClock(BASE))

    def grow(first: int, count: int) -> None:
        for number in range(first, first + count):
            ledger.commit([_fact(chance, number)], [], BASE)
            if chance.random() < 0.3:
                wrong = chance.choice([fact.key for fact in ledger.facts()])
                said = {"said": "correction", "by": "alice", "why": "wrong"}
                desk.tell(decode_telling(json.dumps({"said": said, "replaces": wrong}).encode()))

    with tempfile.TemporaryDirectory() as name:
        checkpoints = CheckpointFile(Path(name) / "checkpoint")
        grow(0, before)
        checkpoints.save(Checkpoint(cut=ledger.cut(), state=folded(ledger, NoCheckpoints()).state()))
        grow(before, after)
        resumed = folded(ledger, checkpoints)

        assert checkpoints.load() is not None
        assert _seen(resumed) == _seen(folded(ledger, NoCheckpoints()))


def _ruin(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-3] + b"abc")


@pytest.mark.parametrize(
    "spoil",
    [
        _ruin,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"checkpoint 1", b"checkpoint 0")),
        lambda path: CheckpointFile(path).save(Checkpoint(cut={1: (1, "0" * 64)}, state={})),
        lambda path: CheckpointFile(path).save(Checkpoint(cut={}, state={"placed": 5})),
        lambda path: path.unlink(),
    ],
    ids=["flipped", "empty", "torn", "older", "foreign", "strange", "gone"],
)
def test_a_checkpoint_that_does_not_fit_is_left_aside(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """Damaged, of another release or another ledger: the ledger is folded from its beginning, as if there were none."""
    url = f"sqlite:///{tmp_path / 'l.db'}"
    ledger, chance = SqlLedger(url), random.Random(3)
    ledger.commit([_fact(chance, number) for number in range(40)], [], BASE)
    whole = folded(ledger, NoCheckpoints())
    checkpoints = checkpoints_of(url)
    checkpoints.save(Checkpoint(cut=ledger.cut(), state=whole.state()))
    spoil(tmp_path / "l.db.checkpoint")

    assert _seen(folded(ledger, checkpoints)) == _seen(whole)
    ledger.close()
