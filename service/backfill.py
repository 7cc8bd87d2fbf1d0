"""History from elsewhere: a CSV of spans into the ledger, all rejected lines listed.

Columns `gpu,rack,tray,health,cause,from,to,recorded`; times ISO 8601 UTC. Imported facts go to a
partition of their own and say so. `recorded` is optional: it is believed there, in the order of
its times, and kept as it was spelt. Running an import twice changes nothing.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from service.core import limits
from service.core.facts import Fact, FactKind, changed
from service.core.model import Place, Span
from service.core.ports import Ledger
from service.spans import Rejected, SpanLine, read

IMPORT_PARTITION = limits.PARTITIONS + 1
_BATCH = 20_000
_UNDER_WAY = 2  # batches that the ledger writes while the next is made
_KINDS = (FactKind.COVERAGE.value, FactKind.PLACEMENT.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an import did."""

    taken: int
    known: int
    rejected: tuple[Rejected, ...]


def run(
    path: Path,
    ledger: Ledger,
    recorded_ms: int,
    gpus_per_tray: int,
    progress: Callable[[int], None],
    places: Container[tuple[str, int]] | None = None,
) -> Report:
    """Import a file.

    Args:
        path: The file.
        ledger: Where its facts go.
        recorded_ms: Recorded time of lines that name none.
        gpus_per_tray: How many GPUs a tray holds at once.
        progress: Told the number of spans booked so far.
        places: The (rack, tray) that exist; None when all do.

    Raises:
        ConfigurationError: If the file cannot be read or its header is wrong.
        LedgerError: If the ledger refused; what was booked before stays and is known next time.
    """
    lines: list[SpanLine] = []
    rejected: list[Rejected] = []
    for one in read(path, places):
        lines.append(one) if isinstance(one, SpanLine) else rejected.append(one)
    known = {fact.key: fact for fact in ledger.facts(kinds=_KINDS, replaced=True)}
    seats, crowded = _seats(lines, known.values(), gpus_per_tray)
    rejected += crowded
    lines.sort(key=lambda one: one.recorded_ms or recorded_ms)  # recorded time never goes back in a partition
    booking = _Booking(known, {one.line for one in crowded}, rejected)
    earliest_ms = lines[0].recorded_ms if lines else None  # a seat is known as soon as anything is
    placements = [changed(fact, recorded_ms=earliest_ms) for fact in seats if fact.key not in known]
    with ThreadPoolExecutor(1, "import") as writer:
        _write(booking.fresh(lines), placements, ledger, recorded_ms, progress, writer)
    taken, repeated = booking.taken, booking.repeated
    return Report(taken=taken, known=repeated, rejected=tuple(sorted(rejected, key=lambda one: one.line)))


def _write(
    facts: Iterator[Fact],
    first: list[Fact],
    ledger: Ledger,
    recorded_ms: int,
    progress: Callable[[int], None],
    writer: ThreadPoolExecutor,
) -> None:
    """Commit batch by batch, in order; while the database writes one, the next is made."""
    under_way: deque[tuple[int, Future[None]]] = deque()
    booked, batch = 0, first
    for fact in facts:
        batch.append(fact)
        booked += 1
        if len(batch) >= _BATCH:
            under_way.append((booked, writer.submit(ledger.commit, batch, (), recorded_ms)))
            batch = []
        if len(under_way) > _UNDER_WAY:
            _await(*under_way.popleft(), progress)
    under_way.append((booked, writer.submit(ledger.commit, batch, (), recorded_ms)))
    for count, commit in under_way:
        _await(count, commit, progress)


def _await(count: int, commit: "Future[None]", progress: Callable[[int], None]) -> None:
    commit.result()
    progress(count)


class _Booking:
    """Tells new spans from known ones, and from those that say something else than is known."""

    def __init__(self, known: dict[str, Fact], refused: set[int], rejected: list[Rejected]) -> None:
        self._known, self._refused, self._rejected = known, refused, rejected
        self.taken = self.repeated = 0

    def fresh(self, lines: Iterable[SpanLine]) -> Iterator[Fact]:
        """Yield the facts that are new; reject what contradicts."""
        for one in lines:
            if one.line in self._refused:
                continue
            fact = _coverage(one)
            known = self._known.setdefault(fact.key, fact)
            if known is fact:
                self.taken += 1
                yield fact
            elif _same(known, fact):
                self.repeated += 1
            else:
                self._rejected.append(Rejected(one.line, "the same GPU and start are recorded with other content"))


def _same(one: Fact, other: Fact) -> bool:
    return (one.to_ms, one.health, one.cause, one.body) == (other.to_ms, other.health, other.cause, other.body)


def _coverage(one: SpanLine) -> Fact:
    return Fact(
        kind=FactKind.COVERAGE,
        key=f"import/{one.gpu}/{one.from_ms}",
        partition=IMPORT_PARTITION,
        from_ms=one.from_ms,
        to_ms=one.to_ms,
        rack=one.rack,
        gpu=one.gpu,
        health=one.health,
        cause=one.cause,
        body=f'{{"tray":{one.tray},"recorded":"{one.recorded}"}}',
        recorded_ms=one.recorded_ms,
    )


def _seats(lines: list[SpanLine], known: Iterable[Fact], gpus_per_tray: int) -> tuple[list[Fact], list[Rejected]]:
    """Give every GPU of the file a position on its tray; a tray with too many refuses the last.

    A GPU that is placed already keeps its place. Others take the lowest position that is free
    for as long as the file sees them, in order of their first span.
    """
    seated = {fact.gpu: Place.parse(fact.body) for fact in known if fact.kind is FactKind.PLACEMENT}
    taken: dict[Place, list[Span]] = defaultdict(list)
    for place in seated.values():
        taken[place].append(Span(0, limits.LATEST_MS))
    facts: list[Fact] = []
    crowded: dict[tuple[str, str, int], str] = {}
    stays = _stays(lines)
    for (gpu, rack, tray), (_, whole) in sorted(stays.items(), key=lambda item: (item[1][0], item[0])):
        if gpu in seated:
            continue
        seat = _free(rack, tray, whole, taken, gpus_per_tray)
        if seat is None:
            crowded[gpu, rack, tray] = f"tray {rack}/t{tray:02d} holds {gpus_per_tray} other GPUs then"
            continue
        taken[seat].append(whole)
        facts.append(_placement(gpu, seat, whole.from_ms))
    return facts, _of_those(crowded, lines) if crowded else []


def _of_those(crowded: dict[tuple[str, str, int], str], lines: Iterable[SpanLine]) -> list[Rejected]:
    return [
        Rejected(one.line, crowded[one.gpu, one.rack, one.tray])
        for one in lines
        if (one.gpu, one.rack, one.tray) in crowded
    ]


def _stays(lines: Iterable[SpanLine]) -> dict[tuple[str, str, int], tuple[Span, Span]]:
    """Return, for each GPU on each tray, its first span and the whole time that the file sees it there."""
    bounds: dict[tuple[str, str, int], list[int]] = {}
    for one in lines:
        key = (one.gpu, one.rack, one.tray)
        stay = bounds.get(key)
        from_ms, to_ms = one.from_ms, one.to_ms
        if stay is None:
            bounds[key] = [from_ms, to_ms, to_ms]
            continue
        if from_ms < stay[0] or (from_ms == stay[0] and to_ms < stay[1]):
            stay[0], stay[1] = from_ms, to_ms
        stay[2] = max(stay[2], to_ms)
    return {key: (Span(from_ms, first), Span(from_ms, to_ms)) for key, (from_ms, first, to_ms) in bounds.items()}


def _free(rack: str, tray: int, span: Span, taken: dict[Place, list[Span]], gpus_per_tray: int) -> Place | None:
    for position in range(gpus_per_tray):
        place = Place(rack, tray, position)
        if not any(other.clip(span) for other in taken[place]):
            return place
    return None


def _placement(gpu: str, place: Place, from_ms: int) -> Fact:
    return Fact(
        kind=FactKind.PLACEMENT,
        key=f"import/placement/{place}/{gpu}",
        partition=IMPORT_PARTITION,
        from_ms=from_ms,
        rack=place.rack,
        gpu=gpu,
        body=str(place),
    )
