"""History from elsewhere: a CSV of spans into the ledger, all rejected lines listed.

Columns `gpu,rack,tray,health,cause,from,to,recorded`; times ISO 8601 UTC; `recorded` optional.
Imported facts go to a partition of their own and say so. Running an import twice changes
nothing.
"""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from service.core import limits
from service.core.errors import ConfigurationError
from service.core.facts import Fact, FactKind
from service.core.health import Health
from service.core.model import GPU, NAME, Place, Span
from service.core.periods import parse_utc
from service.core.ports import Ledger

IMPORT_PARTITION = limits.PARTITIONS + 1
COLUMNS = ("gpu", "rack", "tray", "health", "cause", "from", "to")
_BATCH = 2_000
_TRAY = re.compile(r"^t?(\d{1,3})$")
_CAUSE = re.compile(r"^[a-z0-9][a-z0-9_:.-]{0,63}$")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was not taken, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    gpu: str
    rack: str
    tray: int
    health: Health | None
    cause: str | None
    span: Span
    recorded: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an import did."""

    taken: int
    known: int
    rejected: tuple[Rejected, ...]


def run(path: Path, ledger: Ledger, recorded_ms: int, gpus_per_tray: int, progress: Callable[[int], None]) -> Report:
    """Import a file; `progress` is told the number of spans booked so far.

    Raises:
        ConfigurationError: If the file cannot be read or its header is wrong.
        LedgerError: If the ledger refused; what was booked before stays and is known next time.
    """
    rows, rejected = _parsed(path)
    known = {fact.key: fact for fact in ledger.facts(kinds=["coverage", "placement"])}
    seats, crowded = _seats(rows, known.values(), gpus_per_tray)
    rejected += crowded
    bad = {one.line for one in crowded}
    fresh: list[Fact] = []
    repeated = 0
    for row in rows:
        if row.line in bad:
            continue
        fact = _coverage(row)
        if fact.key not in known:
            known[fact.key] = fact
            fresh.append(fact)
        elif _same(known[fact.key], fact):
            repeated += 1
        else:
            rejected.append(Rejected(row.line, "the same GPU and start are recorded with other content"))
    placements = [fact for fact in seats if fact.key not in known]
    for start in range(0, len(fresh) or 1, _BATCH):
        chunk = fresh[start : start + _BATCH]
        ledger.commit([*placements, *chunk] if start == 0 else chunk, (), recorded_ms)
        progress(start + len(chunk))
    return Report(taken=len(fresh), known=repeated, rejected=tuple(sorted(rejected, key=lambda one: one.line)))


def _parsed(path: Path) -> tuple[list[_Row], list[Rejected]]:
    rows: list[_Row] = []
    rejected: list[Rejected] = []
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                msg = f"{path}:1: columns missing: {', '.join(missing)}; the header is {','.join(COLUMNS)}[,recorded]"
                raise ConfigurationError(msg)
            for record in reader:
                try:
                    rows.append(_row(reader.line_num, record))
                except ValueError as error:
                    rejected.append(Rejected(reader.line_num, str(error)))
    except (OSError, csv.Error) as error:
        msg = f"{path}: {error}"
        raise ConfigurationError(msg) from error
    return rows, rejected


def _row(line: int, record: dict[str, str | None]) -> _Row:
    text = {name: (record.get(name) or "").strip() for name in (*COLUMNS, "recorded")}
    if any("\udc80" <= letter <= "\udcff" for value in text.values() for letter in value):
        msg = "broken UTF-8"
        raise ValueError(msg)
    if not re.fullmatch(GPU, text["gpu"]) or not re.fullmatch(NAME, text["rack"]):
        msg = f"gpu {text['gpu']!r} or rack {text['rack']!r} is no name"
        raise ValueError(msg)
    tray = _TRAY.match(text["tray"])
    if tray is None:
        msg = f"tray {text['tray']!r} is no number"
        raise ValueError(msg)
    health = None if text["health"] in {"", "unknown"} else _health(text["health"])
    cause = text["cause"] or None
    if cause is not None and not _CAUSE.match(cause):
        msg = f"cause {cause!r} is no cause word"
        raise ValueError(msg)
    span = Span(parse_utc(text["from"]), parse_utc(text["to"]))
    if text["recorded"]:
        parse_utc(text["recorded"])
    return _Row(line, text["gpu"], text["rack"], int(tray[1]), health, cause, span, text["recorded"])


def _health(word: str) -> Health:
    try:
        return Health(word)
    except ValueError as error:
        msg = f"health {word!r} is none of up, degraded, down, unknown"
        raise ValueError(msg) from error


def _coverage(row: _Row) -> Fact:
    return Fact(
        kind=FactKind.COVERAGE,
        key=f"import/{row.gpu}/{row.span.from_ms}",
        partition=IMPORT_PARTITION,
        from_ms=row.span.from_ms,
        to_ms=row.span.to_ms,
        rack=row.rack,
        gpu=row.gpu,
        health=row.health,
        cause=row.cause,
        body=json.dumps({"tray": row.tray, "recorded": row.recorded}, separators=(",", ":")),
    )


def _same(one: Fact, other: Fact) -> bool:
    return (one.to_ms, one.health, one.cause, one.body) == (other.to_ms, other.health, other.cause, other.body)


def _seats(rows: Iterable[_Row], known: Iterable[Fact], gpus_per_tray: int) -> tuple[list[Fact], list[Rejected]]:
    """Give every GPU of the file a position on its tray; a tray with too many refuses the last.

    A GPU that is placed already keeps its place. Others take the lowest position that is free
    for as long as the file sees them, in order of their first span.
    """
    seated = {fact.gpu: Place.parse(fact.body) for fact in known if fact.kind is FactKind.PLACEMENT}
    taken: dict[Place, list[Span]] = defaultdict(list)
    for place in seated.values():
        taken[place].append(Span(0, limits.LATEST_MS))
    facts: list[Fact] = []
    rejected: list[Rejected] = []
    for (gpu, rack, tray), lines in sorted(_by_gpu(rows).items(), key=lambda item: (item[1][0].span, item[0])):
        if gpu in seated:
            continue
        whole = Span(lines[0].span.from_ms, max(row.span.to_ms for row in lines))
        seat = _free(rack, tray, whole, taken, gpus_per_tray)
        if seat is None:
            rejected += [
                Rejected(row.line, f"tray {rack}/t{tray:02d} holds {gpus_per_tray} other GPUs then") for row in lines
            ]
            continue
        taken[seat].append(whole)
        facts.append(_placement(gpu, seat, whole.from_ms))
    return facts, rejected


def _by_gpu(rows: Iterable[_Row]) -> dict[tuple[str, str, int], list[_Row]]:
    grouped: dict[tuple[str, str, int], list[_Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.span):
        grouped[row.gpu, row.rack, row.tray].append(row)
    return grouped


def _free(rack: str, tray: int, span: Span, taken: dict[Place, list[Span]], gpus_per_tray: int) -> Place | None:
    for place in _positions(rack, tray, gpus_per_tray):
        if not any(other.clip(span) for other in taken[place]):
            return place
    return None


def _positions(rack: str, tray: int, gpus_per_tray: int) -> Iterator[Place]:
    return (Place(rack, tray, position) for position in range(gpus_per_tray))


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
