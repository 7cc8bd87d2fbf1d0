"""One cause in the NVLink fabric that hits several GPUs of this tray, counted once.

Only this tray is seen here. One cause hits GPUs of many trays of a rack: to group those is for
whoever has the events of all of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from collectors.device import Inventory
from service.core import limits
from service.core.incident import Incident, fabric

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class FabricFaults:
    """How many fabric incidents this tray has had; `until_ms` is by clique the end of the newest."""

    count: int = 0
    until_ms: dict[str, int] = field(default_factory=dict)
    _clique_of: dict[str, str] = field(default_factory=dict)

    def attach(self, inventory: Inventory) -> None:
        """Take in who reaches whom; a GPU without a clique reaches nobody."""
        gpus = [gpu for gpu in inventory.gpus if gpu.clique is not None]
        self._clique_of = {gpu.uuid: f"{gpu.cluster}/{gpu.clique}" for gpu in gpus}

    def note(self, incidents: Iterable[tuple[str, Incident]]) -> None:
        """Count and log what is news among the open incidents; more victims of a known cause are none."""
        for one in fabric(incidents, self._clique_of):
            until_ms = self.until_ms.get(one.clique)
            if until_ms is None or one.from_ms >= until_ms + limits.INCIDENT_SILENCE_MS:
                self.count += 1
                log.warning("fabric_incident", clique=one.clique, victims=sorted(one.victims), peer=one.peer)
            self.until_ms[one.clique] = max(one.to_ms, until_ms or 0)
