"""Places, parts and spans: the nouns that every other module speaks in.

Time is `int` milliseconds UTC, half-open `[from_ms, to_ms)`.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from service.core import limits

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"  # also a legal NATS token and file name
GPU = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,79}"
NAME_PATTERN = rf"^{NAME}$"  # for pydantic, whose `$` is the end; for `re` write `\Z`
_PLACE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})/t(\d{1,3})/g(\d{1,2})$")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of time `[from_ms, to_ms)`, never empty and never reversed."""

    from_ms: int
    to_ms: int

    def __post_init__(self) -> None:
        """Refuse a span that holds no time: it would vanish in every sum unseen."""
        if self.from_ms >= self.to_ms:
            msg = f"a span must end after it begins: [{self.from_ms}, {self.to_ms})"
            raise ValueError(msg)

    @property
    def length_ms(self) -> int:
        """Length in ms, at least 1."""
        return self.to_ms - self.from_ms

    def clip(self, window: "Span") -> "Span | None":
        """Return what lies inside the window, or None."""
        from_ms, to_ms = max(self.from_ms, window.from_ms), min(self.to_ms, window.to_ms)
        return Span(from_ms, to_ms) if from_ms < to_ms else None


class Place(NamedTuple):
    """Where a GPU sits: rack, tray 1.. from the bottom, position 0.. on the tray.

    Leases name places and evidence names GPUs; placement facts join them, so that a swapped
    tray keeps both histories and a missing GPU is reported by its place. A tuple, because every
    GPU's is looked up many times: its hash is three times as fast as a dataclass's.
    """

    rack: str
    tray: int
    position: int

    def __str__(self) -> str:
        """Return the one spelling: `r0001/t07/g2`."""
        return f"{self.rack}/t{self.tray:02d}/g{self.position}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Return the place spelt `rack/tNN/gN`.

        Raises:
            ValueError: If the text is spelt otherwise.
        """
        match = _PLACE.fullmatch(text)
        if match is None:
            msg = f"a place is spelt rack/tNN/gN, for example r0001/t07/g2: {text!r}"
            raise ValueError(msg)
        return cls(match[1], int(match[2]), int(match[3]))


def partition_of(rack: str) -> int:
    """Return the partition 0..63 that owns a rack: FNV-1a 32 of its name, modulo 64.

    The hash is the one NATS applies in its subject mapping, so agents, the service and a
    server agree. A rack is never split: k-of-n of its trays is computed in one place.
    """
    digest = 0x811C9DC5
    for byte in rack.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest % limits.PARTITIONS
