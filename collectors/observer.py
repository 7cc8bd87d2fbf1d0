"""Pieces of single GPUs to observations of the node: contiguous, cut at every change."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from collectors.edges import Look, Piece
from service.core.events import GpuSeen


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span throughout which every GPU of the node was in one decided health."""

    from_ms: int
    to_ms: int
    gpus: tuple[GpuSeen, ...]


@dataclass(slots=True)
class Observer:
    """Collects decided pieces of a run's GPUs; hands out stretches when they are due.

    Not thread-safe. `cursor_ms` is the end of what was handed out; stretches touch.
    """

    gpus: tuple[str, ...]
    cursor_ms: int
    heartbeat_ms: int
    _pieces: dict[str, list[Piece]] = field(default_factory=dict)
    _last: dict[str, Look] = field(default_factory=dict)

    def add(self, gpu: str, pieces: Sequence[Piece]) -> None:
        """Take in decided pieces of a GPU, in order of time, touching."""
        row = self._pieces.setdefault(gpu, [])
        for piece in pieces:
            if row and row[-1].look == piece.look and row[-1].to_ms == piece.from_ms:
                row[-1] = Piece(row[-1].from_ms, piece.to_ms, piece.look, row[-1].not_before_ms)
            else:
                row.append(piece)

    def due(self, *, force: bool = False) -> tuple[Stretch, ...]:
        """Return what is to be told now: everything decided for all GPUs, if it is news or late.

        News is a change of any GPU's health or cause. Otherwise one stretch per heartbeat.
        """
        self._drop_before(self.cursor_ms)  # a piece that ended where the last stretch did is told already
        frontier_ms = min((row[-1].to_ms for row in map(self._row, self.gpus) if row), default=self.cursor_ms)
        if any(not self._row(gpu) for gpu in self.gpus) or frontier_ms <= self.cursor_ms:
            return ()
        cuts = self._cuts(frontier_ms)
        news = len(cuts) > 1 or any(self._changed(gpu) for gpu in self.gpus)
        if not (force or news or frontier_ms - self.cursor_ms >= self.heartbeat_ms):
            return ()
        stretches = []
        for to_ms in cuts:
            stretches.append(Stretch(self.cursor_ms, to_ms, tuple(self._seen(gpu) for gpu in self.gpus)))
            self.cursor_ms = to_ms
            self._drop_before(to_ms)
        return tuple(stretches)

    def _row(self, gpu: str) -> list[Piece]:
        return self._pieces.get(gpu, [])

    def _changed(self, gpu: str) -> bool:
        return self._last.get(gpu) != self._row(gpu)[0].look

    def _cuts(self, frontier_ms: int) -> list[int]:
        inner = {piece.to_ms for gpu in self.gpus for piece in self._row(gpu)[:-1]}
        return [*sorted(at for at in inner if self.cursor_ms < at < frontier_ms), frontier_ms]

    def _seen(self, gpu: str) -> GpuSeen:
        piece = self._row(gpu)[0]
        first = self._last.get(gpu) != piece.look
        self._last[gpu] = piece.look
        return GpuSeen(
            gpu=gpu,
            health=piece.look.health,
            cause=piece.look.cause,
            not_before_ms=piece.not_before_ms if first else None,
        )

    def _drop_before(self, at_ms: int) -> None:
        for gpu in self.gpus:
            row = self._row(gpu)
            while len(row) > 1 and row[0].to_ms <= at_ms:
                row.pop(0)
