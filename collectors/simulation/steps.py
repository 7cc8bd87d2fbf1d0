"""Functions of time by pieces: constant ones, and linear ones with their exact integral.

Time is ms; a lookup costs a binary search. Before its first instant a function has its first
value, after its last piece the last one goes on.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Steps(Generic[T]):
    """A value that holds from each start until the next."""

    starts: tuple[int, ...]
    values: tuple[T, ...]

    def at(self, at_ms: int) -> T:
        """Return the value at an instant."""
        return self.values[max(0, bisect_right(self.starts, at_ms) - 1)]

    def index(self, at_ms: int) -> int:
        """Return the number of the piece that an instant lies in."""
        return max(0, bisect_right(self.starts, at_ms) - 1)

    def pieces(self) -> Iterator[tuple[int, T]]:
        """Return each start with its value."""
        return zip(self.starts, self.values, strict=True)

    def changes(self, of: Callable[[T], object]) -> Iterator[int]:
        """Return the instants at which something about the value changes."""
        for (_, before), (at_ms, after) in itertools.pairwise(self.pieces()):
            if of(before) != of(after):
                yield at_ms


def steps(points: Iterable[tuple[int, T]]) -> Steps[T]:
    """Return the function of points in any order; the later of two at one instant counts.

    Raises:
        ValueError: If there is no point.
    """
    known = dict(points)
    if not known:
        msg = "a function of time needs a first value"
        raise ValueError(msg)
    starts = tuple(sorted(known))
    return Steps(starts, tuple(known[at_ms] for at_ms in starts))


@dataclass(frozen=True, slots=True)
class Curve:
    """A quantity that is linear from each start until the next, and its integral.

    `levels` are the values at the starts, `slopes` the change per ms after them, `totals` the
    integral up to them in value times seconds.
    """

    starts: tuple[int, ...]
    levels: tuple[float, ...]
    slopes: tuple[float, ...]
    totals: tuple[float, ...]

    def at(self, at_ms: int) -> float:
        """Return the value at an instant."""
        index = max(0, bisect_right(self.starts, at_ms) - 1)
        return self.levels[index] + self.slopes[index] * max(0, at_ms - self.starts[index])

    def piece(self, at_ms: int) -> tuple[int, int | None, float]:
        """Return start, end and slope of the piece that an instant lies in."""
        index = max(0, bisect_right(self.starts, at_ms) - 1)
        end_ms = self.starts[index + 1] if index + 1 < len(self.starts) else None
        return self.starts[index], end_ms, self.slopes[index]

    def mean(self, from_ms: int, to_ms: int) -> float:
        """Return the average between two instants; before the first start there is nothing to average."""
        from_ms = max(from_ms, self.starts[0])
        return self.since(from_ms, to_ms) * 1000 / (to_ms - from_ms) if from_ms < to_ms else self.at(to_ms)

    def total(self, at_ms: int) -> float:
        """Return the exact integral from the first start to an instant, in value times seconds."""
        index = max(0, bisect_right(self.starts, at_ms) - 1)
        return self.totals[index] + _area(self.levels[index], self.slopes[index], at_ms - self.starts[index])

    def since(self, from_ms: int, to_ms: int) -> float:
        """Return the exact integral between two instants."""
        return self.total(to_ms) - self.total(from_ms)


def curve(pieces: Sequence[tuple[int, float, float]]) -> Curve:
    """Return the curve of pieces (start, level, slope per ms) in order of their starts."""
    totals, total = [], 0.0
    for index, (from_ms, level, slope) in enumerate(pieces):
        totals.append(total)
        if index + 1 < len(pieces):
            total += _area(level, slope, pieces[index + 1][0] - from_ms)
    return Curve(
        tuple(piece[0] for piece in pieces),
        tuple(piece[1] for piece in pieces),
        tuple(piece[2] for piece in pieces),
        tuple(totals),
    )


def rate(function: Steps[T], of: Callable[[T], float]) -> Curve:
    """Return a curve that is constant by pieces: its integral is a counter."""
    return curve([(at_ms, of(value), 0.0) for at_ms, value in function.pieces()])


def _area(level: float, slope: float, length_ms: int) -> float:
    return (level + slope * length_ms / 2) * max(0, length_ms) / 1000
