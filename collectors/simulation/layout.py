"""Who sits where in simulated racks: trays, places, UUIDs, and the groups that fail together."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.core.model import Place

SWITCH_TRAYS = 9  # of an NVL72; they sit between the lower and the upper compute trays
LINKS = 18  # NVLinks of a GPU
LINK_LABELS = tuple(map(str, range(LINKS)))
LINKS_PER_SWITCH_TRAY = LINKS // SWITCH_TRAYS
C2C_LINKS = 14
LANES = 16


@dataclass(frozen=True, slots=True)
class RackShape:
    """How many trays and GPUs a rack holds."""

    trays: int = 18
    gpus: int = 4

    def places(self, rack: str, *, tray: int | None = None, gpu: int | None = None) -> tuple[Place, ...]:
        """Return the places of a rack, a tray of it, or a GPU of it."""
        trays = range(1, self.trays + 1) if tray is None else [tray]
        gpus = range(self.gpus) if gpu is None else [gpu]
        return tuple(Place(rack, one, position) for one in trays for position in gpus)


@dataclass(frozen=True, slots=True)
class Node:
    """A simulated tray."""

    name: str
    rack: str
    tray: int
    slot: int
    places: tuple[Place, ...]
    gpus: tuple[str, ...]

    def module(self, gpu: str) -> tuple[str, ...]:
        """Return the GPUs of the superchip that a GPU belongs to, itself included."""
        first = self.gpus.index(gpu) // 2 * 2
        return self.gpus[first : first + 2]


def nodes(racks: Sequence[str], shape: RackShape) -> Iterator[Node]:
    """Return every tray of the racks, from the bottom of each."""
    for rack in racks:
        for tray in range(1, shape.trays + 1):
            places = shape.places(rack, tray=tray)
            slot = tray if tray <= shape.trays // 2 else tray + SWITCH_TRAYS
            yield Node(f"{rack}-t{tray:02d}", rack, tray, slot, places, tuple(map(uuid_of, places)))


def uuid_of(place: Place) -> str:
    """Return the UUID of the GPU that sits at a place, the same in every run."""
    digest = hashlib.sha256(f"simulated {place}".encode()).hexdigest()
    return f"GPU-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def groups(racks: Sequence[str], size: int) -> tuple[tuple[str, ...], ...]:
    """Return racks that share something, `size` at a time in the order given.

    A rack added at the end joins the last group or begins one; it moves nobody.
    """
    return tuple(tuple(racks[first : first + size]) for first in range(0, len(racks), size))


def links_of_switch_tray(number: int) -> tuple[int, ...]:
    """Return the links of every GPU that end in a switch tray 0..8."""
    first = number * LINKS_PER_SWITCH_TRAY
    return tuple(range(first, first + LINKS_PER_SWITCH_TRAY))
