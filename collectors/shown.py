"""What the agent loop leaves for the node's `/metrics` to show."""

from collections import Counter
from dataclasses import dataclass, field

from collectors.catalogue import Round
from collectors.device import Inventory, Reading, Survey


@dataclass(slots=True)
class Shown:
    """The newest of everything; replaced piece by piece by the agent loop alone, read by scrapes."""

    inventory: Inventory | None = None
    readings: dict[str, Reading] = field(default_factory=dict)
    surveys: dict[str, dict[Round, Survey]] = field(default_factory=dict)
    read_mono_ms: dict[str, int] = field(default_factory=dict)
    took_ms: dict[str, int] = field(default_factory=dict)
    health: dict[str, str] = field(default_factory=dict)
    overdue: tuple[str, ...] = ()
    xids: Counter[tuple[str, int]] = field(default_factory=Counter)
    driver_up: bool = False
    reopened: int = 0
    facts: int = 0
    lost_facts: int = 0
