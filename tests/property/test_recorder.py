"""Exactly once: whatever the bus does to batches, the ledger holds what was told, each thing once."""

import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.clock import SimulatedClock
from service.core import limits
from service.core.errors import LedgerError
from service.core.events import CleanStop, GpuPlaced, GpuSeen, NodeEvent, NodeObserved, RunStarted, SpoolGap, XidRaised
from service.core.events import Fact as Message
from service.core.facts import Fact, FactKind, Progress
from service.core.health import Health
from service.core.ports import Delivery
from service.core.wire import Batch, Receipt, encode
from service.ledger.store import SqlLedger
from service.recorder import Recorder

BASE = 1_782_864_000_000
NODE = "r0001-t07"
GPUS = ("GPU-a", "GPU-b")
LOOKS = [(Health.UP, None), (Health.DOWN, "gpu:lost"), (None, "agent:edge")]


def _envelope(run: str) -> dict[str, Any]:
    return {"site": "mem2", "rack": "r0001", "node": NODE, "slot": 7, "boot": "boot", "run": run}


def story(chance: random.Random, run: str, length: int) -> list[Message]:
    """Return a run: its start, then observations that touch and events among them."""
    placed = tuple(GpuPlaced(gpu=gpu, position=at) for at, gpu in enumerate(GPUS))
    started = RunStarted(tray=7, boot_ms=BASE - 1, gpus=placed)
    messages: list[Message] = [NodeEvent(**_envelope(run), seq=1, at_ms=BASE, sent_ms=BASE, mono_ms=0, event=started)]
    at_ms = BASE
    for seq in range(2, length + 2):
        if chance.random() < 0.2:
            event = XidRaised(xid=13)
            messages.append(
                NodeEvent(**_envelope(run), seq=seq, at_ms=at_ms, sent_ms=at_ms, mono_ms=0, gpu=GPUS[0], event=event)
            )
            continue
        to_ms = at_ms + chance.randrange(1, 5_000)
        looks = [chance.choice(LOOKS) for _ in GPUS]
        seen = tuple(GpuSeen(gpu=gpu, health=h, cause=c) for gpu, (h, c) in zip(GPUS, looks, strict=True))
        messages.append(
            NodeObserved(**_envelope(run), seq=seq, from_ms=at_ms, to_ms=to_ms, sent_ms=to_ms, mono_ms=0, gpus=seen)
        )
        at_ms = to_ms
    return messages


def _batch(messages: Sequence[Message]) -> Delivery:
    facts = tuple(msgspec.Raw(encode(message)) for message in messages)
    batch = Batch(node=NODE, run=messages[0].run, first_seq=messages[0].seq, facts=facts)
    return Delivery(batch=batch, speaker=None, token=0)


def _recorder(ledger: SqlLedger) -> Recorder:
    return Recorder(ledger, SimulatedClock(BASE + 10**9), "mem2")


def _content(ledger: SqlLedger) -> tuple[object, ...]:
    facts = sorted((f.kind.value, f.key, f.from_ms, f.to_ms, str(f.health), f.cause) for f in ledger.facts())
    return facts, sorted(map(repr, ledger.progress()))


def _straight(messages: list[Message]) -> tuple[object, ...]:
    ledger = SqlLedger("sqlite://")
    _recorder(ledger).record([_batch([message]) for message in messages])
    return _content(ledger)


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_disorder_duplicates_and_loss_change_nothing(chance: random.Random, length: int) -> None:
    """Batches cut anyhow, shuffled, repeated and dropped, then sent again: the ledger of one clean pass."""
    messages = story(chance, "run", length)
    ledger = SqlLedger("sqlite://")
    recorder = _recorder(ledger)
    receipts: list[int] = []
    for _ in range(30):
        first = chance.randrange(len(messages))
        part = messages[first : first + chance.randrange(1, 8)]
        if chance.random() < 0.8:
            _, answers = recorder.record([_batch(part)] * chance.randrange(1, 3))
            receipts += [answer.seq for _, answer in answers if isinstance(answer, Receipt)]
            assert receipts[-1] == max((entry.seq for entry in ledger.progress()), default=0)
    recorder.record([_batch(messages)])

    assert receipts == sorted(receipts)
    assert _content(ledger) == _straight(messages)
    assert ledger.first_broken() is None


class _Failing:
    """A ledger whose n-th commit fails and leaves nothing, as a full disk does."""

    def __init__(self, ledger: SqlLedger, fail_at: int) -> None:
        self._ledger, self._left = ledger, fail_at

    def commit(self, facts: Sequence[Fact], progress: Sequence[Progress], recorded_ms: int) -> None:
        self._left -= 1
        if self._left == 0:
            raise LedgerError("disk full")
        self._ledger.commit(facts, progress, recorded_ms)

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)


@pytest.mark.parametrize("fail_at", range(1, 12))
def test_a_failed_commit_is_made_good_by_sending_again(fail_at: int) -> None:
    """Whichever commit fails, receipts never run ahead of the ledger, and resending converges."""
    messages = story(random.Random(fail_at), "run", 20)
    ledger = SqlLedger("sqlite://")
    recorder = Recorder(_Failing(ledger, fail_at), SimulatedClock(BASE + 10**9), "mem2")  # type: ignore[arg-type]
    acknowledged, failures = 0, 0
    for _ in range(60):
        part = [message for message in messages if message.seq > acknowledged][:2]
        if not part:
            break
        try:
            _, answers = recorder.record([_batch(part)])
        except LedgerError:
            failures += 1
            continue
        receipt = answers[0][1]
        assert receipt is not None
        assert receipt.seq == ledger.progress()[0].seq
        acknowledged = receipt.seq

    assert failures == 1
    assert _content(ledger) == _straight(messages)


def test_a_restart_goes_on_where_the_ledger_ends() -> None:
    """A recorder made anew on the same ledger takes what is missing and nothing twice."""
    messages = story(random.Random(3), "run", 30)
    ledger = SqlLedger("sqlite://")
    _recorder(ledger).record([_batch(messages[:17])])
    _recorder(ledger).record([_batch(messages)])

    assert _content(ledger) == _straight(messages)


def test_a_gap_record_lets_the_rest_of_a_damaged_run_be_booked() -> None:
    """When a node says that numbers 3 to 5 are lost for ever, number 6 is taken."""
    messages = story(random.Random(5), "old", 10)
    ledger = SqlLedger("sqlite://")
    recorder = _recorder(ledger)
    recorder.record([_batch(messages[:2]), _batch(messages[5:])])
    before = {entry.run: entry.seq for entry in ledger.progress()}
    gap = SpoolGap(lost_run="old", facts=3, reason="damaged on disk", first_seq=3, last_seq=5)
    start = story(random.Random(6), "new", 0)
    told = NodeEvent(**_envelope("new"), seq=2, at_ms=BASE, sent_ms=BASE, mono_ms=0, event=gap)
    recorder.record([_batch([*start, told])])

    assert before["old"] == 2
    assert {entry.run: entry.seq for entry in ledger.progress()} == {"old": messages[-1].seq, "new": 2}


def test_what_cannot_be_believed_is_refused_by_number_and_the_rest_counts() -> None:
    """Truncated bytes, another site, the future and overlap are refused with a reason; numbers move on."""
    run = story(random.Random(9), "run", 6)
    observed = next(message for message in run if isinstance(message, NodeObserved))
    future = msgspec.structs.replace(observed, seq=8, from_ms=BASE + 2 * 10**9, to_ms=BASE + 2 * 10**9 + 1)
    overlap = msgspec.structs.replace(observed, seq=9)
    elsewhere = msgspec.structs.replace(observed, seq=10, site="other")
    stop = NodeEvent(
        **_envelope("run"),
        seq=11,
        at_ms=BASE + 10**6,
        sent_ms=BASE,
        mono_ms=0,
        event=CleanStop(),
    )
    good = _batch([*run, future, overlap, elsewhere, stop]).batch
    raws = list(good.facts)
    raws[1] = msgspec.Raw(b'{"type":"node.observed","v":1')
    ledger = SqlLedger("sqlite://")
    recorder = _recorder(ledger)
    broken = Delivery(batch=msgspec.structs.replace(good, facts=tuple(raws)), speaker=None, token=0)
    _, answers = recorder.record([broken])

    assert answers[0][1] is not None
    assert answers[0][1].seq == 11
    assert recorder.refused == {"malformed": 1, "future": 1, "overlap": 1, "wrong_site": 1}
    assert len(list(ledger.facts(kinds=[FactKind.REFUSED.value]))) == 4


def test_a_node_speaks_only_for_itself() -> None:
    """A batch of another node than its credential names is refused whole, without an answer."""
    recorder = _recorder(SqlLedger("sqlite://"))
    delivery = msgspec.structs.replace(_batch(story(random.Random(1), "run", 3)).batch, node="r0002-t01")
    _, answers = recorder.record([Delivery(batch=delivery, speaker=NODE, token=0)])

    assert answers[0][1] is None
    assert recorder.refused["wrong_node"] == 4


def _spans(ledger: SqlLedger) -> dict[str, list[tuple[int, int, Health | None, str | None]]]:
    """Return what the ledger says of each GPU, closed and open, touching equals joined."""
    rows = [(f.gpu, f.from_ms, f.to_ms or 0, f.health, f.cause) for f in ledger.facts(kinds=["coverage"])]
    rows += [(o.gpu, o.from_ms, o.to_ms, o.health, o.cause) for entry in ledger.progress() for o in entry.open]
    return _joined(rows)


def _joined(
    rows: list[tuple[str, int, int, Health | None, str | None]],
) -> dict[str, list[tuple[int, int, Health | None, str | None]]]:
    spans: dict[str, list[tuple[int, int, Health | None, str | None]]] = {}
    for gpu, from_ms, to_ms, health, cause in sorted(rows, key=lambda row: (row[0], row[1])):
        mine = spans.setdefault(gpu, [])
        if mine and mine[-1][1:] == (from_ms, health, cause):
            mine[-1] = (mine[-1][0], to_ms, health, cause)
        else:
            mine.append((from_ms, to_ms, health, cause))
    return spans


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(1, 3), st.booleans())
def test_the_ledger_says_what_the_messages_said(chance: random.Random, runs: int, stopped: bool) -> None:
    """Several runs in one shuffled, repeating, losing stream: coverage and events are those of the messages alone."""
    stories = [_later(story(chance, f"run{n}", chance.randrange(1, 20)), n, stopped=stopped) for n in range(runs)]
    ledger = SqlLedger("sqlite://")
    recorder = _recorder(ledger)
    left = [_batch(messages[at : at + 3]) for messages in stories for at in range(0, len(messages), 3)] * 2
    chance.shuffle(left)
    acknowledged = dict.fromkeys([messages[0].run for messages in stories], 0)
    for turn in range(0, len(left), 2):
        lost = [delivery for delivery in left[turn : turn + 2] if chance.random() < 0.8]
        _, answers = recorder.record(lost)
        committed = {entry.run: entry.seq for entry in ledger.progress()}
        for _, answer in answers:
            assert answer is not None
            assert acknowledged[answer.run] <= answer.seq == committed.get(answer.run, 0)
            acknowledged[answer.run] = answer.seq
    recorder.record([_batch(messages) for messages in stories])

    told = [message for messages in stories for message in messages]
    observed = [message for message in told if isinstance(message, NodeObserved)]
    rows = [(g.gpu, m.from_ms, m.to_ms, g.health, g.cause) for m in observed for g in m.gpus]
    events = sorted(f"event/{m.node}/{m.run}/{m.seq}" for m in told if isinstance(m, NodeEvent))
    assert _spans(ledger) == _joined(rows)
    assert sorted(fact.key for fact in ledger.facts(kinds=["event"])) == events
    assert {entry.run: entry.seq for entry in ledger.progress()} == {m[0].run: m[-1].seq for m in stories}
    assert [entry.open == () for entry in ledger.progress() if entry.ended] == [True] * (runs if stopped else 0)
    assert recorder.refused == {}


def _later(messages: list[Message], number: int, *, stopped: bool) -> list[Message]:
    """Return a run moved on in time, so that runs follow each other with silence between."""
    shift = number * 10**6
    moved: list[Message] = []
    for one in messages:
        if isinstance(one, NodeObserved):
            moved.append(msgspec.structs.replace(one, from_ms=one.from_ms + shift, to_ms=one.to_ms + shift))
        else:
            moved.append(msgspec.structs.replace(one, at_ms=one.at_ms + shift))
    if stopped:
        at_ms = BASE + shift + 10**6 - 1
        head = _envelope(messages[0].run)
        last = NodeEvent(**head, seq=len(moved) + 1, at_ms=at_ms, sent_ms=at_ms, mono_ms=0, event=CleanStop())
        moved.append(last)
    return moved


def _look(seq: int, from_ms: int, to_ms: int, *gpus: str) -> NodeObserved:
    seen = tuple(GpuSeen(gpu=gpu, health=Health.UP) for gpu in gpus)
    return NodeObserved(
        **_envelope("run"), seq=seq, from_ms=BASE + from_ms, to_ms=BASE + to_ms, sent_ms=BASE, mono_ms=0, gpus=seen
    )


def test_a_node_that_goes_back_in_time_cannot_stop_the_ledger() -> None:
    """A GPU that left the observations and returns in covered time is refused: no commit ever fails because of it."""
    ledger = SqlLedger("sqlite://")
    recorder = _recorder(ledger)
    for look in (_look(1, 0, 10, "a"), _look(2, 10, 20, "b"), _look(3, 0, 5, "a"), _look(4, 20, 30, "b")):
        recorder.record([_batch([look])])

    assert recorder.refused["overlap"] == 1


def test_a_batch_that_names_an_impossible_run_is_refused_whole() -> None:
    """What names no run of ours leaves neither a row nor memory behind."""
    recorder = _recorder(SqlLedger("sqlite://"))
    batch = Batch(node=NODE, run="x" * 100_000, first_seq=1, facts=(msgspec.Raw(b"1"),))
    recorded, answers = recorder.record([Delivery(batch=batch, speaker=NODE, token=0)])

    assert recorded.facts == ()
    assert answers[0][1] is None


def test_runs_without_a_fact_do_not_pile_up() -> None:
    """However many runs a node names, what is remembered of it is bounded."""
    recorder = _recorder(SqlLedger("sqlite://"))
    for number in range(limits.RUNS_PER_NODE * 2):
        empty = Batch(node=NODE, run=f"run{number}", first_seq=1, facts=())
        recorder.record([Delivery(batch=empty, speaker=NODE, token=0)])

    assert len(recorder._intake) <= limits.RUNS_PER_NODE


def test_an_observation_of_nothing_does_not_open_the_past() -> None:
    """After an observation that names no GPU, covered time stays covered: going back is an overlap."""
    ledger = SqlLedger("sqlite://")
    recorder = _recorder(ledger)
    for look in (_look(1, 0, 10, "a"), _look(2, 10, 20), _look(3, 0, 5, "a"), _look(4, 20, 30)):
        recorder.record([_batch([look])])

    assert recorder.refused["overlap"] == 1


def test_a_gap_in_the_speaking_run_itself_is_booked_once() -> None:
    """A run that names its own later numbers as lost goes on after them; nothing released is forgotten."""
    ledger = SqlLedger("sqlite://")
    recorder = _recorder(ledger)
    gap = SpoolGap(lost_run="run", facts=3, reason="damaged on disk", first_seq=3, last_seq=5)
    told = NodeEvent(**_envelope("run"), seq=2, at_ms=BASE, sent_ms=BASE, mono_ms=0, event=gap)
    after = [_look(6, 20, 30, "a"), _look(7, 30, 40, "a")]
    recorder.record([_batch([_look(1, 0, 10, "a")])])
    recorder.record([_batch(after)])
    recorder.record([_batch([told])])
    _recorder(ledger).record([_batch([_look(3, 11, 12, "a")])])

    assert {entry.seq for entry in ledger.progress()} == {7}


def test_a_ledger_put_back_from_a_backup_goes_on_with_what_agents_still_have() -> None:
    """What receipts covered after the backup is written off and named; later numbers are booked, none of them twice."""
    messages = story(random.Random(11), "run", 20)
    ledger = SqlLedger("sqlite://")
    _recorder(ledger).record([_batch(messages[:5])])
    recorder, patient = _recorder(ledger), _recorder(SqlLedger("sqlite://"))
    recorder.expect_losses()
    patient.record([_batch(messages[:5])])
    reached = []
    for _ in range(limits.RESTORED_OFFERS):
        for first in (12, 16):  # numbers 6 to 12 went with the ledger
            _, answers = recorder.record([_batch(messages[first : first + 4])])
            patient.record([_batch(messages[first : first + 4])])
            reached.append(answers[0][1].seq if answers[0][1] else None)
    recorder.record([_batch(messages[16:])])
    refused = [json.loads(fact.body) for fact in ledger.facts(kinds=[FactKind.REFUSED.value])]

    assert reached == [5, 5, 5, 5, 20, 20]
    assert recorder.refused == {"lost_with_ledger": 1}
    assert refused == [{"reason": "lost_with_ledger", "text": "numbers 6 to 12: recorded after the backup"}]
    assert ledger.progress()[0].seq == messages[-1].seq
    assert patient._ledger.progress()[0].seq == 5
