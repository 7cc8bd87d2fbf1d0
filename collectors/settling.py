"""Which GPUs belong to this tray, where each sits, and which of them cannot be believed."""

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from collectors.device import GpuIdentity, Inventory
from service.core import limits
from service.core.events import GpuPlaced
from service.core.model import GPU

log = structlog.get_logger(__name__)
_UUID = re.compile(GPU)


@dataclass(frozen=True, slots=True)
class Refused:
    """A GPU that is neither polled nor told, with the reason; its time stays unknown."""

    uuid: str
    reason: str  # a word of a bounded set


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A tray as it is told: who sits where, who is missing from the driver's list, who is refused."""

    inventory: Inventory
    missing: tuple[GpuPlaced, ...] = ()
    refused: tuple[Refused, ...] = ()


class Memory:
    """What sat where, remembered beside the spool over restarts.

    Positions count PCI addresses, so a GPU that is lost before the agent starts would shift its
    neighbours.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist."""
        self._path = path

    def settle(self, inventory: Inventory) -> Settled:
        """Return the inventory at remembered positions, and remember it."""
        inventory, refused = sift(inventory)
        known = self.recall()
        gpus, absent = reseat(inventory.gpus, known)
        suspect = {one.uuid for one in refused}
        missing = tuple(GpuPlaced(gpu=uuid, position=at) for at, uuid in sorted(absent.items()) if uuid not in suspect)
        self._keep({gpu.position: gpu.uuid for gpu in gpus} | absent)
        return Settled(inventory=replace(inventory, gpus=gpus), missing=missing, refused=refused)

    def recall(self) -> dict[int, str]:
        """Return who sat where when the driver last answered; nothing if that cannot be told."""
        try:
            found = json.loads(self._path.read_text())
            known = {int(at): str(uuid) for at, uuid in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            log.warning("inventory_file_damaged", path=str(self._path), error=str(error))
            return {}
        return {at: uuid for at, uuid in known.items() if _is_seat(at) and _UUID.fullmatch(uuid)}

    def _keep(self, seats: dict[int, str]) -> None:
        if self.recall() == seats:
            return
        beside = self._path.with_suffix(".new")  # a crash leaves the old file or the new one
        try:
            beside.write_text(json.dumps(seats))
            beside.replace(self._path)
        except OSError as error:
            log.warning("inventory_file_not_written", path=str(self._path), error=str(error))


def _is_seat(position: int) -> bool:
    return 0 <= position < limits.GPUS_PER_NODE


def sift(inventory: Inventory) -> tuple[Inventory, tuple[Refused, ...]]:
    """Set aside GPUs whose identity cannot be one, and cut texts to what a fact may carry.

    Two GPUs under one UUID are both refused: which is which, nobody can say.
    """
    counts = Counter(gpu.uuid for gpu in inventory.gpus)
    kept: list[GpuIdentity] = []
    refused: list[Refused] = []
    for gpu in inventory.gpus:
        if not _UUID.fullmatch(gpu.uuid):
            refused.append(Refused(_clean(gpu.uuid), "garbled_uuid"))
        elif counts[gpu.uuid] > 1:
            refused.append(Refused(gpu.uuid, "repeated_uuid"))
        elif len(kept) == limits.GPUS_PER_NODE:
            refused.append(Refused(gpu.uuid, "too_many"))
        else:
            kept.append(replace(gpu, module=_clean(gpu.module), name=_clean(gpu.name)))
    return replace(inventory, gpus=tuple(kept), driver_version=_clean(inventory.driver_version)), tuple(refused)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[: limits.TEXT_LENGTH]


def reseat(gpus: tuple[GpuIdentity, ...], known: dict[int, str]) -> tuple[tuple[GpuIdentity, ...], dict[int, str]]:
    """Return GPUs at the positions where they were known, new ones at free ones, and who is gone."""
    position_of = {uuid: at for at, uuid in known.items()}
    taken = {position_of[gpu.uuid] for gpu in gpus if gpu.uuid in position_of}
    seated = []
    for gpu in gpus:
        if gpu.uuid in position_of:
            seated.append(replace(gpu, position=position_of[gpu.uuid]))
            continue
        at = gpu.position if gpu.position not in taken else min(set(range(len(taken) + 1)) - taken)
        taken.add(at)
        seated.append(replace(gpu, position=at))
    return tuple(seated), {at: uuid for at, uuid in known.items() if at not in taken}


def unseen(known: dict[int, str]) -> Inventory:
    """Return what is known of a tray whose driver does not answer: who sat where, and no more."""
    gpus = tuple(
        GpuIdentity(uuid=uuid, position=at, index=at, module="", module_id=None, name="", pci_bus_id="")
        for at, uuid in sorted(known.items())
    )
    return Inventory(gpus=gpus, driver_version="", nvml_version="", cuda_version=0)
