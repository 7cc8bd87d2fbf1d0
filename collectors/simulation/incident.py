"""An incident before and after the repair shop: stages that follow each other on some places."""

from collections.abc import Iterator
from dataclasses import dataclass

from collectors.simulation.faults import Fault
from collectors.simulation.profiles import Stage
from service.core.model import Place


@dataclass(frozen=True, slots=True)
class Part:
    """A stage as drawn: what it does to which places, and how long the work takes."""

    stage: Stage
    places: tuple[Place, ...]
    length_ms: int
    wait_ms: int = 0  # for crew, part and access, before the work

    @property
    def total_ms(self) -> int:
        """How long the stage lasts."""
        return self.wait_ms + self.length_ms


@dataclass(frozen=True, slots=True)
class Incident:
    """Parts one after another from an instant on; `name` begins with the class."""

    from_ms: int
    name: str
    parts: tuple[Part, ...]

    @property
    def to_ms(self) -> int:
        """When all of it is over."""
        return self.from_ms + sum(part.total_ms for part in self.parts)

    def faults(self) -> Iterator[Fault]:
        """Return the faults that it consists of."""
        from_ms = self.from_ms
        for part in self.parts:
            if part.places:
                yield Fault(from_ms, from_ms + part.total_ms, part.stage.kind, part.places, self.name)
            from_ms += part.total_ms


def class_of(fault: Fault) -> str:
    """Return the class that a drawn fault belongs to; empty for a scripted one."""
    return fault.incident.partition("/")[0]
