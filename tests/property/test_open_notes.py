"""What is open is written down: a cut holds all that is known, and nothing counts twice."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from service.clock import SimulatedClock
from service.core import limits
from service.core.events import Fact as Message
from service.core.events import GpuPlaced, GpuSeen, NodeEvent, NodeObserved, RunStarted
from service.core.facts import FactKind, OpenCoverage, Progress
from service.core.health import Health
from service.core.history import History
from service.core.model import Place, Span
from service.core.open_notes import note, opened
from service.core.ports import Delivery
from service.core.wire import Batch, encode
from service.ledger.store import SqlLedger
from service.projection import history_of
from service.recorder import Recorder

BASE = 1_782_864_000_000
WINDOW = Span(BASE - limits.DAY_MS, BASE + 30 * limits.DAY_MS)
LOOKS = [(Health.UP, None), (Health.UP, None), (Health.DOWN, "gpu:lost"), (None, "agent:edge")]
PLACES = [Place("r0001", 7, position) for position in range(2)]


def _run(chance: random.Random, run: str, start_ms: int, length: int) -> list[Message]:
    head = {"site": "mem2", "rack": "r0001", "node": "r0001-t07", "slot": 7, "boot": "boot", "run": run}
    placed = tuple(GpuPlaced(gpu=f"GPU-{at}", position=at) for at in range(2))
    started = RunStarted(tray=7, boot_ms=BASE - 1, gpus=placed)
    told: list[Message] = [NodeEvent(**head, seq=1, at_ms=start_ms, sent_ms=BASE, mono_ms=0, event=started)]  # type: ignore[arg-type]
    at_ms = start_ms
    for seq in range(2, length + 2):
        to_ms = at_ms + chance.randrange(1, 3 * limits.HOUR_MS)
        seen = tuple(
            GpuSeen(gpu=f"GPU-{at}", health=health, cause=cause)
            for at, (health, cause) in enumerate(chance.choice(LOOKS) for _ in range(2))
        )
        told.append(
            NodeObserved(**head, seq=seq, from_ms=at_ms, to_ms=to_ms, sent_ms=BASE, mono_ms=0, gpus=seen)  # type: ignore[arg-type]
        )
        at_ms = to_ms
    return told


def _delivery(message: Message) -> Delivery:
    batch = Batch(node=message.node, run=message.run, first_seq=message.seq, facts=(msgspec.Raw(encode(message)),))
    return Delivery(batch=batch, speaker=None, token=0)


def _timelines(history: History) -> list[object]:
    return [history.timeline(place, WINDOW) for place in PLACES]


@settings(max_examples=80, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 12), st.integers(0, 12))
def test_notes_change_no_timeline_and_a_cut_after_one_needs_no_progress(
    chance: random.Random, first: int, second: int
) -> None:
    """Whenever what is open is noted, live fold, fold of the ledger and fold of the cut agree, now and later."""
    runs = _run(chance, "a", BASE, first) + _run(chance, "b", BASE + 2 * limits.DAY_MS, second)
    if chance.random() < 0.5:
        chance.shuffle(runs)
    plain, noted = SqlLedger("sqlite://"), SqlLedger("sqlite://")
    clock = SimulatedClock(BASE + 20 * limits.DAY_MS)
    straight, recorder = Recorder(plain, clock, "mem2"), Recorder(noted, clock, "mem2")
    kept = []
    for message in runs:
        straight.record([_delivery(message)])
        recorder.record([_delivery(message)])
        if chance.random() < 0.3:
            clock.sleep(1)
            recorder.note_open()
            cut = noted.cut()
            kept.append((cut, _timelines(history_of(noted, cut))))

            assert kept[-1][1] == _timelines(history_of(plain)) == _timelines(history_of(noted))
    clock.sleep(1)
    recorder.note_open()

    assert _timelines(history_of(noted)) == _timelines(history_of(plain))
    assert [_timelines(history_of(noted, cut)) for cut, _ in kept] == [seen for _, seen in kept]
    assert [entry.seq for entry in noted.progress()] == [entry.seq for entry in plain.progress()]
    assert recorder.refused == straight.refused
    assert noted.first_broken() is None


def test_a_run_that_another_followed_long_ago_is_written_down_once() -> None:
    """A dead run becomes rows and is in no later note, so that notes do not grow with every restart."""
    ledger, clock = SqlLedger("sqlite://"), SimulatedClock(BASE + 20 * limits.DAY_MS)
    recorder = Recorder(ledger, clock, "mem2")
    for run, start_ms in (("a", BASE), ("b", BASE + 5 * limits.DAY_MS)):
        recorder.record([_delivery(message) for message in _run(random.Random(1), run, start_ms, 2)])
    notes = []
    for _ in range(3):
        clock.sleep(1)
        facts = recorder.note_open().facts
        notes.append([fact.kind for fact in facts])
    (newest,) = ledger.facts(kinds=[FactKind.OPEN.value])

    assert notes[0].count(FactKind.COVERAGE) == 2
    assert [kinds == [FactKind.OPEN] for kinds in notes] == [False, True, True]
    assert [run.run for run in opened(newest)] == ["b"]


def test_a_note_says_what_was_open() -> None:
    """Encoding and decoding keeps every GPU's span, health, cause and edge."""
    entries = tuple(
        OpenCoverage(gpu=f"GPU-{at}", from_ms=at, to_ms=at + 9, health=health, cause=cause, not_before_ms=at or None)
        for at, (health, cause) in enumerate(LOOKS)
    )
    run = Progress(partition=3, rack="r", node="n", run="a", boot="b", seq=7, to_ms=20, open=entries)

    assert opened(note(3, [run], 100)) == (run,)


def test_a_note_is_small() -> None:
    """GPUs of a tray that are alike share one entry: a tray of four costs less than 340 bytes."""
    gpus = [f"GPU-{at:08x}-1111-2222-3333-444444444444" for at in range(4)]
    entries = tuple(OpenCoverage(gpu=gpu, from_ms=BASE, to_ms=BASE + 5, health=Health.UP) for gpu in gpus)
    head = {"node": "r0001-t07", "run": "01J" + "X" * 23, "boot": "b" * 36}
    run = Progress(partition=3, rack="r0001", **head, seq=7, to_ms=BASE, open=entries)  # type: ignore[arg-type]

    assert len(note(3, [run], BASE).body) < 340
