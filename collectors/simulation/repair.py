"""The repair shop: few crews, few spares and hours of access lengthen what was drawn.

First come, first served, over the whole site: racks wait for each other here by design.
"""

import heapq
from collections.abc import Iterable
from dataclasses import replace

from collectors.simulation.incident import Incident, Part
from collectors.simulation.profiles import Process
from service.core.limits import DAY_MS, HOUR_MS


class Shop:
    """Crews and spares of a site; asked in order of need."""

    def __init__(self, process: Process) -> None:
        """Begin with everybody free and every spare there."""
        self._process = process
        self._crews = [0] * (process.crews or 0)
        self._spares = [0] * (process.spares or 0)

    def take(self, part: Part, at_ms: int) -> Part:
        """Return a part with the time it waits from this instant on."""
        if not part.stage.hands:
            return part
        start_ms = max(at_ms, self._crews[0]) if self._crews else at_ms
        if part.stage.spare and self._spares:
            start_ms = max(start_ms, self._spares[0])
        start_ms = next_access_ms(start_ms, self._process.access_hours)
        if part.stage.spare and self._spares:
            heapq.heapreplace(self._spares, start_ms + self._process.restock_ms)
        if self._crews:
            heapq.heapreplace(self._crews, start_ms + part.length_ms)
        return replace(part, wait_ms=start_ms - at_ms)


def next_access_ms(at_ms: int, hours: tuple[int, int]) -> int:
    """Return the first instant from here on at which hands may begin, by hours of the UTC day."""
    opens_ms, closes_ms = hours[0] * HOUR_MS, hours[1] * HOUR_MS
    day_ms, in_day_ms = at_ms - at_ms % DAY_MS, at_ms % DAY_MS
    if in_day_ms < opens_ms:
        return day_ms + opens_ms
    return at_ms if in_day_ms < closes_ms else day_ms + DAY_MS + opens_ms


def repaired(incidents: Iterable[Incident], process: Process) -> list[Incident]:
    """Return incidents with their waits, in order of their starts.

    Stages ask for hands in the order in which they need them, over all incidents.
    """
    shop = Shop(process)
    known = sorted(incidents, key=lambda one: (one.from_ms, one.name))
    due = [(one.from_ms, number, 0) for number, one in enumerate(known)]
    heapq.heapify(due)
    parts: list[list[Part]] = [list(one.parts) for one in known]
    while due:
        at_ms, number, index = heapq.heappop(due)
        parts[number][index] = taken = shop.take(parts[number][index], at_ms)
        if index + 1 < len(parts[number]):
            heapq.heappush(due, (at_ms + taken.total_ms, number, index + 1))
    return [replace(one, parts=tuple(mended)) for one, mended in zip(known, parts, strict=True)]
