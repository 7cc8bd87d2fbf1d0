"""Places as a contract names them, kept as they were written: racks, trays, single GPUs.

A site has 100 000 GPUs and leases them by the rack; nothing here lists GPUs unless asked to.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field

from service.core import limits
from service.core.contract.values import Model
from service.core.model import Place

_SELECTOR = re.compile(r"(?P<rack>[A-Za-z0-9][A-Za-z0-9_-]{0,63})(/t(?P<tray>\d{1,3})(/g(?P<gpu>\d{1,2}))?)?")
_RANGE = re.compile(r"([A-Za-z_-]+)(\d+)\.\.([A-Za-z_-]+)(\d+)")

Slot = tuple[int, int]  # tray, position
WHOLE: frozenset[Slot] | None = None  # of a rack: every slot of the topology


class Topology(Model):
    """How many GPUs a rack holds; the unit of a lease that names a whole rack."""

    trays_per_rack: int = Field(default=18, ge=1, le=255)
    gpus_per_tray: int = Field(default=4, ge=1, le=limits.GPUS_PER_NODE)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every tray and position of a rack, from the bottom."""
        trays, positions = range(1, self.trays_per_rack + 1), range(self.gpus_per_tray)
        return tuple((tray, position) for tray in trays for position in positions)


@dataclass(frozen=True, slots=True)
class Places:
    """A set of places by rack: None stands for the whole rack."""

    racks: Mapping[str, frozenset[Slot] | None]
    topology: Topology

    @classmethod
    def of(cls, selectors: Iterable[str], topology: Topology) -> "Places":
        """Return the places that selectors name, each once.

        Raises:
            ValueError: If a selector is spelt otherwise than `r0001`, `r0001/t07`, `r0001/t07/g2` or `r0001..r0972`.
        """
        racks: dict[str, frozenset[Slot] | None] = {}
        parts: dict[str, set[Slot]] = defaultdict(set)
        for rack, tray, gpu in (part for text in selectors for part in _parse(text)):
            if tray is None:
                racks[rack] = WHOLE
            else:
                positions = range(topology.gpus_per_tray) if gpu is None else (gpu,)
                parts[rack].update((tray, position) for position in positions)
        for rack, slots in parts.items():
            if rack not in racks:
                racks[rack] = frozenset(slots)
        return cls(racks, topology)

    def __contains__(self, place: object) -> bool:
        """Return whether a place belongs to the set."""
        if not isinstance(place, Place) or place.rack not in self.racks:
            return False
        slots = self.racks[place.rack]
        slot = (place.tray, place.position)
        return slot in slots if slots is not None else self._exists(slot)

    def _exists(self, slot: Slot) -> bool:
        return 1 <= slot[0] <= self.topology.trays_per_rack and slot[1] < self.topology.gpus_per_tray

    def slots(self, rack: str) -> tuple[Slot, ...]:
        """Return the slots of one rack in the set, from the bottom; none when the rack is not in it."""
        if rack not in self.racks:
            return ()
        slots = self.racks[rack]
        return self.topology.slots if slots is None else tuple(sorted(slots))

    def __iter__(self) -> Iterator[Place]:
        """Yield every place once."""
        for rack in self.racks:
            for tray, position in self.slots(rack):
                yield Place(rack, tray, position)

    def __len__(self) -> int:
        """Return how many places there are, without listing them."""
        whole = self.topology.trays_per_rack * self.topology.gpus_per_tray
        return sum(whole if slots is None else len(slots) for slots in self.racks.values())


def _parse(text: str) -> Iterator[tuple[str, int | None, int | None]]:
    for rack in _racks(text):
        match = _SELECTOR.fullmatch(rack)
        if match is None:
            msg = f"{text!r} selects nothing: write r0001, r0001/t07, r0001/t07/g2 or r0001..r0009"
            raise ValueError(msg)
        tray, gpu = match["tray"], match["gpu"]
        yield match["rack"], int(tray) if tray else None, int(gpu) if gpu else None


def _racks(text: str) -> list[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return [text]
    if match[1] != match[3] or not 0 <= int(match[4]) - int(match[2]) < limits.NODES_MAX:
        return [""]
    width = len(match[2])
    return [f"{match[1]}{number:0{width}d}" for number in range(int(match[2]), int(match[4]) + 1)]


def names(selector: str, place: Place) -> bool:
    """Return whether a selector names a place; unreadable selectors name none."""
    try:
        parts = tuple(_parse(selector))
    except ValueError:
        return False
    return any(
        rack == place.rack and tray in {None, place.tray} and gpu in {None, place.position} for rack, tray, gpu in parts
    )


def racks_of(selector: str) -> list[str]:
    """Return the racks that a selector names parts of."""
    return [rack.split("/")[0] for rack in _racks(selector)]


def check_selectors(selectors: tuple[str, ...]) -> tuple[str, ...]:
    """Return selectors that all can be read.

    Raises:
        ValueError: Naming the first that cannot.
    """
    for text in selectors:
        for _ in _parse(text):
            pass
    return selectors
