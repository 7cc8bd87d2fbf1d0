"""The keeper: on disk in time, no sooner than needed; a disk that fails loses no numbers."""

import json
import threading

from collectors.keeper import Keeper
from collectors.narrator import Narrator, Speaker
from collectors.settling import unseen
from collectors.spool import Record
from service.clock import SimulatedClock
from service.core import limits
from service.core.errors import SpoolError
from service.core.events import CleanStop, Fact, NodeEvent, SpoolGap

START_MS = 1_782_864_000_000


class _Spool:
    """Counts what it is asked for; refuses when told to."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.flushes = 0
        self.fails = False

    def append(self, record: Record, *, sync: bool, reserve: bool = False) -> None:
        if self.fails:
            raise SpoolError("no")
        self.records.append(record)

    def flush(self) -> None:
        self.flushes += 1
        if self.fails:
            raise SpoolError("no")

    def after(self, run: str, seq: int, limit: int) -> tuple[Record, ...]:
        return ()

    def runs(self) -> tuple[str, ...]:
        return ()

    def trim(self, run: str, seq: int) -> None:
        pass

    def close(self) -> None:
        pass


def _fact(seq: int, run: str = "run") -> Fact:
    return NodeEvent(
        site="s",
        rack="r",
        node="n",
        slot=1,
        boot="b",
        run=run,
        seq=seq,
        at_ms=START_MS,
        sent_ms=START_MS,
        mono_ms=0,
        event=CleanStop(),
    )


def _keeper() -> tuple[Keeper, _Spool, SimulatedClock]:
    spool, clock = _Spool(), SimulatedClock(START_MS)
    return Keeper(spool, threading.Lock(), clock, lambda: None), spool, clock


def test_nothing_new_costs_no_disk_access() -> None:
    """Ticks without a fact in between leave the disk alone; a synced fact needs no second time."""
    keeper, spool, clock = _keeper()
    for _ in range(5):
        clock.sleep(limits.AGENT_TICK_MS / 1000)
        keeper.sync(clock.monotonic_ms())
    keeper.write(_fact(1), True)
    clock.sleep(limits.AGENT_TICK_MS / 1000)
    keeper.sync(clock.monotonic_ms())

    assert spool.flushes == 0


def test_a_fact_waits_no_longer_than_its_bound_for_the_disk() -> None:
    """Asked in the step that wrote it and at every tick, what was written is on disk within the bound, once."""
    keeper, spool, clock = _keeper()
    keeper.write(_fact(1), False)
    waited_ms = 0
    keeper.sync(clock.monotonic_ms())
    while spool.flushes == 0:
        clock.sleep(limits.AGENT_TICK_MS / 1000)
        waited_ms += limits.AGENT_TICK_MS
        keeper.sync(clock.monotonic_ms())
    keeper.sync(clock.monotonic_ms() + limits.DAY_MS)

    assert waited_ms <= limits.SPOOL_FSYNC_MS
    assert spool.flushes == 1


def test_a_disk_that_fails_is_counted_and_ends_nobody() -> None:
    """Refused facts are counted as lost; a sync that fails is no end of the agent."""
    keeper, spool, clock = _keeper()
    keeper.write(_fact(1), False)
    spool.fails = True
    clock.sleep(limits.DAY_MS / 1000)
    keeper.sync(clock.monotonic_ms())
    kept = keeper.write(_fact(2), True)

    assert not kept
    assert (keeper.kept, keeper.lost) == (1, 1)


def test_a_gap_names_the_run_that_lost_facts_and_counts_none_of_its_own_attempts() -> None:
    """Told late, in another run, it says what was refused: not how often telling it was refused too."""
    keeper, spool, _ = _keeper()
    speaker = Speaker(
        site="s", rack="r", node="n", tray=1, slot=1, boot="b", boot_ms=START_MS, run="later", version="1"
    )
    narrator = Narrator(speaker, unseen({}), keeper.write)
    spool.fails = True
    for seq in (1, 2):
        keeper.write(_fact(seq, "earlier"), True)
    for _ in range(5):
        keeper.tell_lost(narrator, START_MS, 0)
    spool.fails = False
    keeper.tell_lost(narrator, START_MS, 0)
    keeper.tell_lost(narrator, START_MS, 0)
    (gap,) = (json.loads(record.payload)["event"] for record in spool.records)

    assert gap["kind"] == SpoolGap.__struct_config__.tag
    assert (gap["lost_run"], gap["facts"], keeper.lost) == ("earlier", 2, 2)
