"""Which units an objective tests, without listing those that nothing happened to.

A rack that one lease holds, that no claim or acceptance touches, is counted by arithmetic; only
units with a timeline are looked at. Elsewhere equal units are looked at once.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.core.contract.places import WHOLE, Places, Slot, Topology
from service.core.contract.uprule import Level, Unit
from service.core.model import Place, Span
from service.core.sla.given import Acceptance, Given, Held
from service.core.sla.spans import Spans, intersect, subtract, union

_TESTED: dict[Unit, Level] = {"gpu": "gpu", "tray": "tray", "node": "tray", "rack": "rack", "nvlink_domain": "rack"}


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch over which the same members make a unit.

    `members` counts them at their level, `gpus` the GPUs; `touched` are the places that have a
    timeline or a claim.
    """

    span: Span
    members: int
    gpus: int
    touched: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Tested:
    """A unit, or `count` units that are alike: same time, same size, nothing happened to any."""

    name: str
    rack: str
    count: int
    epochs: tuple[Epoch, ...]
    accepted: Spans | None = None  # None: all the time


def units_of(
    unit: Unit, members: Level, given: Given, topology: Topology, period: Span, also: Iterable[Places] = ()
) -> Iterator[Tested]:
    """Yield the units of a period; a weighted pool is tested by its members, one by one.

    Args:
        unit: What the objective tests.
        members: What the unit is made of.
        given: Leases, and whatever touches places.
        topology: Sizes of racks and trays.
        period: Units outside it are left out.
        also: Places that count as touched though they may have been up throughout.
    """
    held = [Held(one.places, span) for one in given.held if (span := one.span.clip(period)) is not None]
    site = _Site(held, given, topology, also)
    if unit in {"pool", "site"}:
        yield from _whole(site, members)
    else:
        for rack in site.racks():
            yield from _in_rack(site, rack, _TESTED[unit], members)


class _Site:
    """Leases of a period by rack, and what touches each rack."""

    def __init__(self, held: Sequence[Held], given: Given, topology: Topology, also: Iterable[Places]) -> None:
        self.held, self.topology = held, topology
        self._by_rack: dict[str, list[Held]] = defaultdict(list)
        for one in held:
            for rack in one.places.racks:
                self._by_rack[rack].append(one)
        self._touched: dict[str, set[Slot]] = defaultdict(set)
        for place in given.timelines:
            self._touched[place.rack].add((place.tray, place.position))
        for swap in given.swaps:
            self._touch(swap.failed)
        for places in also:
            self._touch(places)
        self._acceptances: dict[str, list[Acceptance]] = defaultdict(list)
        for acceptance in sorted(given.acceptances, key=lambda one: one.at_ms):
            for rack in acceptance.places.racks:
                self._acceptances[rack].append(acceptance)

    def _touch(self, places: Places) -> None:
        for rack in places.racks:
            if rack in self._by_rack:
                self._touched[rack].update(places.slots(rack))

    def racks(self) -> list[str]:
        return sorted(self._by_rack)

    def leases(self, rack: str) -> list[Held]:
        return self._by_rack[rack]

    def touched(self, rack: str) -> set[Slot]:
        return self._touched.get(rack, set())

    def unaccepted(self, rack: str) -> bool:
        return rack in self._acceptances

    def accepted(self, rack: str, slots: Sequence[Slot], within: Spans) -> Spans | None:
        """Return when all of these were accepted, or None where nobody said anything of them."""
        found: Spans | None = None
        for slot in slots:
            said = [one for one in self._acceptances.get(rack, ()) if Place(rack, *slot) in one.places]
            if said:
                found = intersect(within if found is None else found, _accepted(said, within))
        return found


def _accepted(said: Sequence[Acceptance], within: Spans) -> Spans:
    """Return the accepted time that acceptances and removals leave, in order of time."""
    end_ms = max((span.to_ms for span in within), default=0)
    begin_ms = min((span.from_ms for span in within), default=0)
    spans: list[Span] = [Span(begin_ms, end_ms)] if said[0].removed and begin_ms < end_ms else []
    for one in said:
        rest = (Span(one.at_ms, end_ms),) if one.at_ms < end_ms else ()
        spans = list(subtract(spans, rest)) if one.removed else list(union((*spans, *rest)))
    return tuple(spans)


def _key(slot: Slot, level: Level) -> int | Slot:
    if level == "gpu":
        return slot
    return slot[0] if level == "tray" else 0


def _name(rack: str, slot: Slot, level: Level) -> str:
    if level == "rack":
        return rack
    return f"{rack}/t{slot[0]:02d}" if level == "tray" else str(Place(rack, *slot))


def _in_rack(site: _Site, rack: str, unit: Level, members: Level) -> Iterator[Tested]:
    leases, touched = site.leases(rack), site.touched(rack)
    if len(leases) > 1 or site.unaccepted(rack):
        yield from _one_by_one(site, rack, unit, members)
        return
    if leases[0].places.racks[rack] is WHOLE:
        yield from _whole_rack(site, rack, leases[0].span, unit, members)
        return
    slots, span = leases[0].places.slots(rack), leases[0].span
    units: dict[int | Slot, list[Slot]] = defaultdict(list)
    for slot in slots:
        units[_key(slot, unit)].append(slot)
    hit = {_key(slot, unit) for slot in touched}
    quiet: Counter[tuple[int, int]] = Counter()
    for key, inside in units.items():
        count = _members(inside, members)
        if key in hit:
            places = tuple(Place(rack, *slot) for slot in inside if slot in touched)
            yield Tested(_name(rack, inside[0], unit), rack, 1, (Epoch(span, count, len(inside), places),))
        else:
            quiet[count, len(inside)] += 1
    for (count, gpus), number in quiet.items():
        yield Tested(f"{rack}/*", rack, number, (Epoch(span, count, gpus),))


def _whole_rack(site: _Site, rack: str, span: Span, unit: Level, members: Level) -> Iterator[Tested]:
    """Yield the units of a rack that one lease holds whole: all alike, so only touched ones are looked at."""
    trays, per_tray = site.topology.trays_per_rack, site.topology.gpus_per_tray
    gpus = {"gpu": 1, "tray": per_tray, "rack": trays * per_tray}[unit]
    count = 1 if unit == members else trays if (unit, members) == ("rack", "tray") else gpus
    hit: dict[int | Slot, list[Place]] = defaultdict(list)
    for tray, position in sorted(site.touched(rack)):
        if 1 <= tray <= trays and position < per_tray:
            hit[_key((tray, position), unit)].append(Place(rack, tray, position))
    for places in hit.values():
        first = (places[0].tray, places[0].position)
        yield Tested(_name(rack, first, unit), rack, 1, (Epoch(span, count, gpus, tuple(places)),))
    quiet = trays * per_tray // gpus - len(hit)
    if quiet:
        yield Tested(f"{rack}/*", rack, quiet, (Epoch(span, count, gpus),))


def _members(slots: Sequence[Slot], level: Level) -> int:
    return len(slots) if level == "gpu" else len({_key(slot, level) for slot in slots})


def _one_by_one(site: _Site, rack: str, unit: Level, members: Level) -> Iterator[Tested]:
    units: dict[int | Slot, set[Slot]] = defaultdict(set)
    for lease in site.leases(rack):
        for slot in lease.places.slots(rack):
            units[_key(slot, unit)].add(slot)
    quiet: Counter[tuple[tuple[Epoch, ...], Spans | None]] = Counter()
    for found in units.values():
        inside = sorted(found)
        epochs = _epochs(site, rack, inside, members)
        accepted = site.accepted(rack, inside, union(epoch.span for epoch in epochs))
        if any(epoch.touched for epoch in epochs):
            yield Tested(_name(rack, inside[0], unit), rack, 1, epochs, accepted)
        else:
            quiet[epochs, accepted] += 1
    for (epochs, accepted), number in quiet.items():
        yield Tested(f"{rack}/*", rack, number, epochs, accepted)


def _epochs(site: _Site, rack: str, slots: Sequence[Slot], members: Level) -> tuple[Epoch, ...]:
    parts = [
        (lease.span, [slot for slot in slots if Place(rack, *slot) in lease.places]) for lease in site.leases(rack)
    ]
    edges = sorted({edge for span, inside in parts if inside for edge in (span.from_ms, span.to_ms)})
    found: list[tuple[Span, tuple[Slot, ...]]] = []
    for from_ms, to_ms in itertools.pairwise(edges):
        inside = tuple(sorted({slot for span, held in parts if span.from_ms <= from_ms < span.to_ms for slot in held}))
        if found and found[-1][1] == inside and found[-1][0].to_ms == from_ms:
            found[-1] = (Span(found[-1][0].from_ms, to_ms), inside)
        elif inside:
            found.append((Span(from_ms, to_ms), inside))
    touched = site.touched(rack)
    return tuple(
        Epoch(
            span,
            _members(inside, members),
            len(inside),
            tuple(Place(rack, *slot) for slot in inside if slot in touched),
        )
        for span, inside in found
    )


def _whole(site: _Site, members: Level) -> Iterator[Tested]:
    """Yield everything that was leased as one unit."""
    edges = sorted({edge for one in site.held for edge in (one.span.from_ms, one.span.to_ms)})
    parts: list[tuple[Span, dict[str, set[Slot]]]] = []
    for from_ms, to_ms in itertools.pairwise(edges):
        now = _leased(one for one in site.held if one.span.from_ms <= from_ms < one.span.to_ms)
        if parts and parts[-1][1] == now and parts[-1][0].to_ms == from_ms:
            parts[-1] = (Span(parts[-1][0].from_ms, to_ms), now)
        elif now:
            parts.append((Span(from_ms, to_ms), now))
    if parts:
        epochs = tuple(_whole_epoch(site, span, racks, members) for span, racks in parts)
        yield Tested("pool", "", 1, epochs, _whole_accepted(site, union(span for span, _ in parts)))


def _leased(held: Iterable[Held]) -> dict[str, set[Slot]]:
    racks: dict[str, set[Slot]] = defaultdict(set)
    for one in held:
        for rack in one.places.racks:
            racks[rack].update(one.places.slots(rack))
    return dict(racks)


def _whole_epoch(site: _Site, span: Span, racks: dict[str, set[Slot]], members: Level) -> Epoch:
    touched = tuple(
        Place(rack, *slot) for rack, slots in sorted(racks.items()) for slot in sorted(site.touched(rack) & slots)
    )
    count = sum(_members(sorted(slots), members) for slots in racks.values())
    return Epoch(span, count, sum(len(slots) for slots in racks.values()), touched)


def _whole_accepted(site: _Site, within: Spans) -> Spans | None:
    found: Spans | None = None
    for rack in site.racks():
        if site.unaccepted(rack):
            slots = sorted({slot for one in site.leases(rack) for slot in one.places.slots(rack)})
            accepted = site.accepted(rack, slots, within)
            if accepted is not None:
                found = accepted if found is None else intersect(found, accepted)
    return found
