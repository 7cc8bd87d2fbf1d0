"""Lines of a CSV of spans: each becomes a span or a reason, fast enough for years of history."""

import csv
import re
from collections.abc import Container, Iterator
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from service.core.errors import ConfigurationError
from service.core.health import Health
from service.core.limits import MINUTE_MS
from service.core.model import GPU, NAME
from service.core.periods import parse_utc

if TYPE_CHECKING:
    from _csv import Reader as _Reader

COLUMNS = ("gpu", "rack", "tray", "health", "cause", "from", "to")
RECORDED = "recorded"
_GPU = re.compile(GPU)
_NAME = re.compile(NAME)
_TRAY = re.compile(r"t?([0-9]{1,3})")
_CAUSE = re.compile(r"[a-z0-9][a-z0-9_:.-]{0,63}")
_MINUTE = len("2026-07-01T00:44:")
_WORDS, _TIMES = 5, 7  # how many of the columns are words, and words or times
_KEPT = 100_000  # texts whose meaning is remembered; a file of more names is only slower
_HEALTHS: dict[str, Health | None] = {"": None, "unknown": None, **{health.value: health for health in Health}}


class Rejected(NamedTuple):
    """A line that was not taken, and why."""

    line: int
    reason: str


class SpanLine(msgspec.Struct, frozen=True, gc=False):
    """A line that says how a GPU was over `[from_ms, to_ms)`."""

    line: int
    gpu: str
    rack: str
    tray: int
    health: Health | None
    cause: str | None
    from_ms: int
    to_ms: int
    recorded_ms: int | None
    recorded: str  # as it is spelt


def read(path: Path, places: Container[tuple[str, int]] | None = None) -> Iterator[SpanLine | Rejected]:
    """Yield what each line of a file says, in order.

    Args:
        path: The file: columns as `COLUMNS`, `recorded` optional, any order, others ignored.
        places: The (rack, tray) that exist; None when all do.

    Raises:
        ConfigurationError: If the file cannot be read or its header lacks columns.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            reader = csv.reader(file)
            yield from _lines(reader, _Parser(_order(path, reader), places))
    except OSError as error:
        msg = f"{path}: {error.strerror}; name a readable file"
        raise ConfigurationError(msg) from error


def _order(path: Path, reader: "_Reader") -> tuple[int, ...]:
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(reader, [])]
    except csv.Error as error:
        msg = f"{path}:1: {error}"
        raise ConfigurationError(msg) from error
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        msg = f"{path}:1: columns missing: {', '.join(missing)}; the header is {','.join(COLUMNS)}[,{RECORDED}]"
        raise ConfigurationError(msg)
    return tuple(header.index(name) for name in (*COLUMNS, RECORDED) if name in header)


def _lines(reader: "_Reader", parser: "_Parser") -> Iterator[SpanLine | Rejected]:
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
            if not fields:  # an empty line says nothing
                continue
            if reader.line_num > line:
                yield Rejected(line, f"a quote goes on to line {reader.line_num}")
                continue
            yield parser.span(line, fields)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejected(line, str(error))
        except ValueError as error:
            broken = any("\udc80" <= letter <= "\udcff" for field in fields for letter in field)
            yield Rejected(line, "broken UTF-8" if broken else str(error))


_Words = tuple[str, str, int, Health | None, str | None]


class _Parser:
    """Fields to spans; what a text means is looked up when it was seen before."""

    def __init__(self, order: tuple[int, ...], places: Container[tuple[str, int]] | None) -> None:
        self._places = places
        self._words_of, self._times_of = itemgetter(*order[:_WORDS]), itemgetter(*order[_WORDS:_TIMES])
        self._recorded = order[_TIMES] if len(order) > _TIMES else None
        self._fields = max(order) + 1
        self._known: dict[tuple[str, ...], _Words] = {}
        self._minutes: dict[str, int] = {}  # `2026-07-01T00:44:` to ms
        self._seconds: dict[str, int] = {}  # `38.401Z` to ms

    def span(self, line: int, fields: list[str]) -> SpanLine:
        """Return what a line says.

        Raises:
            ValueError: With the reason why it says nothing.
        """
        if len(fields) < self._fields:
            fields += [""] * (self._fields - len(fields))
        words = self._words_of(fields)
        said = self._known.get(words)
        if said is None:
            said = self._judged(*(word.strip() for word in words))
            if len(self._known) < _KEPT:
                self._known[words] = said
        from_, to = self._times_of(fields)
        from_ms, to_ms = self._instant(from_), self._instant(to)
        if from_ms >= to_ms:
            msg = f"a span must end after it begins: [{from_}, {to})"
            raise ValueError(msg)
        recorded = "" if self._recorded is None else fields[self._recorded].strip()
        recorded_ms = self._instant(recorded) if recorded else None
        return SpanLine(line, *said, from_ms, to_ms, recorded_ms, recorded)

    def _judged(self, gpu: str, rack: str, tray: str, health: str, cause: str) -> _Words:
        if not _GPU.fullmatch(gpu) or not _NAME.fullmatch(rack):
            msg = f"gpu {gpu!r} or rack {rack!r} is no name"
            raise ValueError(msg)
        number = _TRAY.fullmatch(tray)
        if number is None:
            msg = f"tray {tray!r} is no number"
            raise ValueError(msg)
        if self._places is not None and (rack, int(number[1])) not in self._places:
            msg = f"unknown GPU: the contract leases nothing on {rack}/t{int(number[1]):02d}"
            raise ValueError(msg)
        if health not in _HEALTHS:
            msg = f"health {health!r} is none of up, degraded, down, unknown"
            raise ValueError(msg)
        if cause and not _CAUSE.fullmatch(cause):
            msg = f"cause {cause!r} is no cause word"
            raise ValueError(msg)
        return gpu, rack, int(number[1]), _HEALTHS[health], cause or None

    def _instant(self, text: str) -> int:
        """Return ms UTC, as `parse_utc` does, which judges every minute and every second once."""
        minute, second = self._minutes.get(text[:_MINUTE]), self._seconds.get(text[_MINUTE:])
        if minute is not None and second is not None:
            return minute + second
        at_ms = parse_utc(text.strip())
        if text[_MINUTE - 1 : _MINUTE] == ":" and len(self._minutes) < _KEPT and len(self._seconds) < _KEPT:
            self._minutes[text[:_MINUTE]] = at_ms // MINUTE_MS * MINUTE_MS
            self._seconds[text[_MINUTE:]] = at_ms % MINUTE_MS
        return at_ms
