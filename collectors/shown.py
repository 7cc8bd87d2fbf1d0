"""What the agent loop leaves for the node's `/metrics` to show."""

from collections import Counter
from dataclasses import dataclass, field

from collectors.catalogue import Round
from collectors.device import Inventory, Reading, Survey
from collectors.settling import Refused
from collectors.watch import SURVEY_MS
from collectors.witnesses import FaultsShown
from service.core import limits
from service.core.events import GpuPlaced

Collected = Reading | Survey


@dataclass(slots=True)
class Shown:
    """The newest of everything; replaced piece by piece by the agent loop alone, read by scrapes.

    Keys of GPUs are UUIDs. `absent` are GPUs that sat here once and are not in the inventory.
    """

    inventory: Inventory | None = None
    absent: tuple[GpuPlaced, ...] = ()
    readings: dict[str, Reading] = field(default_factory=dict)
    surveys: dict[str, dict[Round, Survey]] = field(default_factory=dict)
    read_mono_ms: dict[str, int] = field(default_factory=dict)
    surveyed_mono_ms: dict[str, dict[Round, int]] = field(default_factory=dict)
    took_ms: dict[str, int] = field(default_factory=dict)
    health: dict[str, str] = field(default_factory=dict)
    overdue: tuple[str, ...] = ()
    xids: Counter[tuple[str, int]] = field(default_factory=Counter)
    xid_seen_ms: dict[tuple[str, int], int] = field(default_factory=dict)  # wall clock, of the newest
    faults: FaultsShown = field(default_factory=FaultsShown)
    driver_up: bool = False
    reopened: int = 0  # how often the driver was opened again
    facts: int = 0
    lost_facts: int = 0
    collector_restarts: int = 0  # the collector process had to be replaced
    gpu_frozen: tuple[str, ...] = ()  # every value of many readings identical: a collector that froze
    refused: tuple[Refused, ...] = ()  # GPUs that the driver shows and that cannot be believed
    _was_open: bool = False

    def opened(self, inventory: Inventory) -> None:
        """Begin a life of the driver: what the last one said is not live any more."""
        self.gone()
        self.reopened += self._was_open
        self._was_open = True
        self.read_mono_ms, self.surveyed_mono_ms, self.took_ms = {}, {}, {}
        self.inventory, self.driver_up = inventory, True

    def gone(self) -> None:
        """End a life of the driver: nothing is known of anybody now; how old the last word is stays."""
        self.driver_up, self.overdue, self.gpu_frozen = False, (), ()
        self.readings, self.surveys, self.health = {}, {}, {}

    def read(self, reading: Reading, mono_ms: int, took_ms: int) -> None:
        """Take in a reading whose call began at a monotonic instant."""
        gpu = reading.gpu
        self.read_mono_ms[gpu], self.took_ms[gpu], self.readings[gpu] = mono_ms, took_ms, reading

    def surveyed(self, survey: Survey, mono_ms: int) -> None:
        """Take in a round of a GPU, collected at a monotonic instant."""
        self.surveyed_mono_ms.setdefault(survey.gpu, {})[survey.round] = mono_ms
        self.surveys.setdefault(survey.gpu, {})[survey.round] = survey

    def live(self, gpu: str, mono_ms: int, interval_ms: int) -> dict[Round, Collected]:
        """Return what a GPU, polled so often, said of itself that still holds: nothing hung, gone or overaged.

        May be called from another thread than the agent's, at any instant.
        """
        reading = self.readings.get(gpu)
        if not self.driver_up or gpu in self.overdue or reading is None:
            return {}
        if mono_ms - self.read_mono_ms.get(gpu, -limits.DAY_MS) > _stale_ms(Round.PULSE, interval_ms):
            return {}
        collected_ms = dict(self.surveyed_mono_ms.get(gpu, {}))
        surveys = dict(self.surveys.get(gpu, {}))
        fresh = {
            one: survey
            for one, survey in surveys.items()
            if mono_ms - collected_ms.get(one, -limits.DAY_MS) <= _stale_ms(one, interval_ms)
        }
        return {Round.PULSE: reading, **fresh}


def _stale_ms(one: Round, interval_ms: int) -> int:
    """Return the age at which a value is not live: rounds take turns behind the pulse."""
    return limits.STALE_ROUNDS * max(SURVEY_MS.get(one, 0), len(Round) * interval_ms)
