"""The writer: batches in, facts committed, receipts out. The seam around the bus handler.

In one turn: decode, refuse what cannot be believed, number exactly once, fold observations
into coverage, commit facts with progress in one transaction, and only then answer. Memory
moves only with the commit: a failed one leaves everything as it was, and agents send again.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import structlog

from service.core import limits
from service.core.coverage import Overlap, extend
from service.core.errors import LedgerError, WireError
from service.core.events import Fact as Message
from service.core.events import NodeEvent, NodeObserved, RunStarted, SpoolGap
from service.core.facts import Fact, FactKind, OpenCoverage, Progress, changed
from service.core.intake import RunIntake, Verdict
from service.core.model import NAME, Place, partition_of
from service.core.open_notes import note
from service.core.ports import Clock, Delivery, Ledger
from service.core.wire import Receipt, decode_fact, encode

log = structlog.get_logger(__name__)

RunKey = tuple[str, str]
Numbered = Message | WireError  # what stands behind a number: a fact, or why it is none


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one turn added to the ledger, for those who follow it live."""

    facts: tuple[Fact, ...]
    progress: tuple[Progress, ...]


@dataclass(slots=True)
class _Turn:
    """What a turn is about to commit."""

    facts: list[Fact] = field(default_factory=list)
    progress: dict[RunKey, Progress] = field(default_factory=dict)


class Recorder:
    """Books batches into a ledger. One thread."""

    def __init__(self, ledger: Ledger, clock: Clock, site: str, placed: dict[Place, str] | None = None) -> None:
        """Continue where the ledger's progress ends; `placed` is which GPU was last placed where, read if not given."""
        self._ledger, self._clock, self._site = ledger, clock, site
        self._placed = self._read_placed() if placed is None else placed
        self._progress: dict[RunKey, Progress] = {}
        self._intake: dict[RunKey, RunIntake[Numbered]] = {}
        self._runs: Counter[str] = Counter()
        self._unproven: dict[str, set[str]] = {}  # runs of a node without a committed fact
        self.outcomes: Counter[str] = Counter()  # facts by outcome
        self.refused: Counter[str] = Counter()  # refused facts and batches by reason
        self.live_runs: dict[str, str] = {}  # newest run of each node
        self._restored: dict[RunKey, Counter[int]] = {}  # runs of a restored ledger: first numbers offered, how often
        self._restore()

    def _restore(self) -> None:
        for progress in self._ledger.progress():
            key = (progress.node, progress.run)
            self._progress[key] = progress
            self._intake[key] = RunIntake(seq=progress.seq)
            self._runs[progress.node] += 1

    def read_placements(self) -> None:
        """Take up which GPU was last placed where, after a placement was corrected."""
        placed = self._read_placed()
        self._placed.clear()
        self._placed.update(placed)

    def _read_placed(self) -> dict[Place, str]:
        placements = self._ledger.facts(kinds=[FactKind.PLACEMENT.value])
        return {Place.parse(fact.body): fact.gpu for fact in placements}

    def expect_losses(self) -> None:
        """Go on from a backup: what receipts covered since is lost, and agents no longer have it.

        A run known by now that offers the same later number again and again has nothing before
        it: the numbers between are written off, and their time stays unknown.
        """
        self._restored = {key: Counter() for key in self._progress}

    def record(self, deliveries: Iterable[Delivery]) -> tuple[Recorded, list[tuple[Delivery, Receipt | None]]]:
        """Book deliveries in one transaction; return what was added and the answer to each.

        Raises:
            LedgerError: Nothing was booked, and memory is as before.
        """
        turn = _Turn()
        answers = [(delivery, self._take(delivery, turn)) for delivery in deliveries]
        self._commit(turn)
        hub_ms = self._clock.now_ms()
        return Recorded(tuple(turn.facts), tuple(turn.progress.values())), [
            (delivery, self._receipt(key, hub_ms)) for delivery, key in answers
        ]

    def note_open(self) -> Recorded:
        """Write down what is open, a row a partition, so that a cut taken next holds all that is known.

        A run that another followed and that has long been silent is written down as closed
        instead: its rows are never repeated.

        Raises:
            LedgerError: Nothing was written, and memory is as before.
        """
        turn, now_ms = _Turn(), self._clock.now_ms()
        newest: dict[str, int] = {}
        for progress in self._progress.values():
            newest[progress.node] = max(newest.get(progress.node, 0), progress.to_ms)
        open_runs: dict[int, list[Progress]] = defaultdict(list)
        for key, progress in self._progress.items():
            if not any(entry.from_ms < entry.to_ms for entry in progress.open):
                continue
            if progress.to_ms < min(newest[progress.node], now_ms - limits.DEAD_RUN_MS):
                turn.facts.extend(_closed(progress))
                turn.progress[key] = changed(progress, open=tuple(map(_emptied, progress.open)))
            else:
                open_runs[progress.partition].append(progress)
        turn.facts.extend(note(partition, open_runs[partition], now_ms) for partition in sorted(open_runs))
        self._commit(turn)
        return Recorded(tuple(turn.facts), tuple(turn.progress.values()))

    def _commit(self, turn: _Turn) -> None:
        if not turn.facts and not turn.progress:
            return
        try:
            self._ledger.commit(turn.facts, tuple(turn.progress.values()), self._clock.now_ms())
        except LedgerError:
            for key in turn.progress:  # forget what was not booked: agents will send it again
                known = self._progress.get(key)
                self._intake[key] = RunIntake(seq=known.seq if known else 0)
            raise
        self._progress.update(turn.progress)
        for node, run in turn.progress:
            self._unproven.get(node, set()).discard(run)
        for fact in turn.facts:
            if fact.kind is FactKind.PLACEMENT:
                self._placed[Place.parse(fact.body)] = fact.gpu

    def _receipt(self, key: RunKey | None, hub_ms: int) -> Receipt | None:
        if key is None:
            return None
        known = self._progress.get(key)
        return Receipt(node=key[0], run=key[1], seq=known.seq if known else 0, hub_ms=hub_ms)

    def _take(self, delivery: Delivery, turn: _Turn) -> RunKey | None:
        batch = delivery.batch
        key = (batch.node, batch.run)
        if delivery.speaker is not None and delivery.speaker != batch.node:
            self.refused["wrong_node"] += len(batch.facts)
            return None
        if not batch.facts:
            return key
        if key not in self._intake and not self._admit(key):
            return None
        intake = self._intake[key]
        if key in self._restored:
            self._write_off_lost(key, batch.first_seq, turn)
        for number, raw in enumerate(batch.facts, start=batch.first_seq):
            item = self._decode(raw, batch.node, batch.run, number)
            verdict = intake.offer(number, item)
            self.outcomes[verdict.value] += 1
            if verdict is Verdict.TAKEN:
                for seq, due in intake.release():
                    self._book(key, seq, due, turn)
        return key

    def _write_off_lost(self, key: RunKey, first_seq: int, turn: _Turn) -> None:
        seq, offers = self._intake[key].seq, self._restored[key]
        if first_seq <= seq + 1:
            del self._restored[key]  # the agent still has what follows: nothing is lost
            return
        offers[first_seq] += 1
        least = min(offers)
        if offers[least] < limits.RESTORED_OFFERS:
            return
        del self._restored[key]
        error = WireError("lost_with_ledger", f"numbers {seq + 1} to {least - 1}: recorded after the backup")
        self._intake[key].write_off(least - 1)
        self._refuse(key, least - 1, error, self._progress.get(key), turn)
        for number, due in self._intake[key].release():
            self._book(key, number, due, turn)

    def _admit(self, key: RunKey) -> bool:
        node, run = key
        unproven = self._unproven.setdefault(node, set())
        reason = None
        if not (re.fullmatch(NAME, node) and re.fullmatch(NAME, run)):
            reason = "malformed"
        elif node not in self._runs and len(self._runs) >= limits.NODES_MAX:
            reason = "too_many_nodes"
        elif len(unproven) >= limits.RUNS_PER_NODE:
            reason = "too_many_runs"
        if reason is not None:
            self.refused[reason] += 1
            return False
        unproven.add(run)
        self._runs[node] += 1
        self._intake[key] = RunIntake()
        return True

    def _decode(self, raw: bytes, node: str, run: str, number: int) -> Numbered:
        try:
            message = decode_fact(raw)
        except WireError as error:
            return error
        if (message.node, message.run, message.seq) != (node, run, number):
            return WireError("contradiction", "node, run or seq differ from the batch that carried it")
        if message.site != self._site:
            return WireError("wrong_site", f"site {message.site}, this service records {self._site}")
        return message

    def _book(self, key: RunKey, seq: int, item: Numbered, turn: _Turn) -> None:
        progress = turn.progress.get(key) or self._progress.get(key)
        if isinstance(item, WireError):
            self._refuse(key, seq, item, progress, turn)
            return
        if progress is None or not progress.rack:
            progress = changed(_first_progress(item), seq=progress.seq if progress else 0)
        ahead_ms = (item.to_ms if isinstance(item, NodeObserved) else item.at_ms) - self._clock.now_ms()
        if ahead_ms > limits.FUTURE_MS:
            error = WireError("future", f"lies {ahead_ms} ms ahead of the service's clock")
            self._refuse(key, seq, error, progress, turn)
        elif isinstance(item, NodeObserved):
            self._book_observed(key, item, progress, turn)
        else:
            self._book_event(key, item, progress, turn)

    def _book_observed(self, key: RunKey, item: NodeObserved, progress: Progress, turn: _Turn) -> None:
        if progress.ended:
            error = WireError("overlap", "an observation after the run's clean stop")
            self._refuse(key, item.seq, error, progress, turn)
            return
        try:
            open_, closed = extend(progress.open, item)
        except Overlap as overlap:
            self._refuse(key, item.seq, WireError("overlap", str(overlap)), progress, turn)
            return
        turn.facts.extend(_coverage(item.rack, item.node, item.run, item.seq, entry) for entry in closed)
        turn.progress[key] = changed(progress, seq=item.seq, to_ms=item.to_ms, open=open_)

    def _book_event(self, key: RunKey, item: NodeEvent, progress: Progress, turn: _Turn) -> None:
        turn.facts.append(_event(item))
        ended = False
        if isinstance(item.event, RunStarted):
            turn.facts.extend(self._placements(item, item.event))
            self.live_runs[item.node] = item.run
        elif isinstance(item.event, SpoolGap):
            self._write_off(item.node, item.event, turn)
            progress = turn.progress.get(key, progress)  # a run may write off numbers of its own
        elif item.event.__struct_config__.tag == "clean_stop":
            ended = True
        to_ms = max(progress.to_ms, item.at_ms)
        moved = changed(progress, seq=max(progress.seq, item.seq), to_ms=to_ms, ended=ended)
        if ended:
            turn.facts.extend(_closed(moved))
            moved = changed(moved, open=())
        turn.progress[key] = moved

    def _write_off(self, node: str, gap: SpoolGap, turn: _Turn) -> None:
        key = (node, gap.lost_run)
        known = turn.progress.get(key) or self._progress.get(key)
        if gap.last_seq is None or key not in self._intake or known is None:
            return
        self._intake[key].write_off(gap.last_seq)
        turn.progress[key] = changed(known, seq=max(known.seq, gap.last_seq))
        for seq, due in self._intake[key].release():
            self._book(key, seq, due, turn)

    def _placements(self, item: NodeEvent, started: RunStarted) -> list[Fact]:
        facts = []
        for gpu in started.gpus:
            place = Place(item.rack, started.tray, gpu.position)
            if self._placed.get(place) != gpu.gpu:
                facts.append(
                    Fact(
                        kind=FactKind.PLACEMENT,
                        key=f"placement/{place}/{gpu.gpu}/{item.run}/{item.seq}",
                        partition=partition_of(item.rack),
                        from_ms=item.at_ms,
                        rack=item.rack,
                        node=item.node,
                        run=item.run,
                        seq=item.seq,
                        gpu=gpu.gpu,
                        body=str(place),
                    )
                )
        return facts

    def _refuse(self, key: RunKey, seq: int, error: WireError, progress: Progress | None, turn: _Turn) -> None:
        """Keep the number moving: what cannot be believed is recorded as refused, not lost."""
        self.refused[error.reason] += 1
        log.warning("fact_refused", node=key[0], run=key[1], seq=seq, reason=error.reason, text=str(error))
        rack = progress.rack if progress else ""
        partition = progress.partition if progress else 0
        now_ms = self._clock.now_ms()
        body = {"reason": error.reason, "text": str(error)[: limits.REASON_LENGTH]}
        turn.facts.append(
            Fact(
                kind=FactKind.REFUSED,
                key=f"refused/{key[0]}/{key[1]}/{seq}",
                partition=partition,
                from_ms=progress.to_ms if progress else now_ms,
                rack=rack,
                node=key[0],
                run=key[1],
                seq=seq,
                body=json.dumps(body, separators=(",", ":")),
            )
        )
        fallback = Progress(partition=0, rack="", node=key[0], run=key[1], boot="", seq=0, to_ms=now_ms)
        turn.progress[key] = changed(progress or fallback, seq=seq)


def _first_progress(item: Message) -> Progress:
    return Progress(
        partition=partition_of(item.rack),
        rack=item.rack,
        node=item.node,
        run=item.run,
        boot=item.boot,
        seq=0,
        to_ms=item.from_ms if isinstance(item, NodeObserved) else item.at_ms,
    )


def _coverage(rack: str, node: str, run: str, seq: int, entry: OpenCoverage) -> Fact:
    return Fact(
        kind=FactKind.COVERAGE,
        key=f"coverage/{node}/{run}/{entry.gpu}/{entry.from_ms}",
        partition=partition_of(rack),
        from_ms=entry.from_ms,
        to_ms=entry.to_ms,
        rack=rack,
        node=node,
        run=run,
        seq=seq,
        gpu=entry.gpu,
        health=entry.health,
        cause=entry.cause,
        not_before_ms=entry.not_before_ms,
    )


def _closed(progress: Progress) -> Iterator[Fact]:
    """Yield the rows of what a run has open."""
    for entry in progress.open:
        if entry.from_ms < entry.to_ms:
            yield _coverage(progress.rack, progress.node, progress.run, progress.seq, entry)


def _emptied(entry: OpenCoverage) -> OpenCoverage:
    """Return what is left open when all of it is in rows: only how far that is, so that going back stays an overlap."""
    return changed(entry, from_ms=entry.to_ms)


def _event(item: NodeEvent) -> Fact:
    body = json.loads(encode(item))
    detail = {**body["event"], "boot": item.boot}
    return Fact(
        kind=FactKind.EVENT,
        key=f"event/{item.node}/{item.run}/{item.seq}",
        partition=partition_of(item.rack),
        from_ms=item.at_ms,
        rack=item.rack,
        node=item.node,
        run=item.run,
        seq=item.seq,
        gpu=item.gpu or "",
        body=json.dumps(detail, separators=(",", ":"), sort_keys=True),
    )
