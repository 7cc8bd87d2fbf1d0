"""The port through which the agent sees a tray of GPUs, and the values that cross it.

Behind it stand the NVIDIA driver (`collectors.nvml`) and simulated racks
(`collectors.mock`); one contract suite runs over both. Values arrive in base units: vendor
units end in the adapter. A value that could not be read is absent with a reason, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from collectors.catalogue import Key, Round


class Missing(Enum):
    """Why a value is absent."""

    UNSUPPORTED = "unsupported"  # this GPU or driver has no such value: publish no series
    FORBIDDEN = "forbidden"  # needs privileges the agent does not have
    FAILED = "failed"  # should have answered and did not


class Access(Enum):
    """Whether the GPU as a whole answered."""

    OK = "ok"
    LOST = "lost"  # NVML error 15, or gone from the driver's list
    RESET_REQUIRED = "reset_required"  # NVML error 16
    FAILED = "failed"  # the essential calls failed for another reason


class FabricState(Enum):
    """What the GPU says of its NVLink domain, by the four-way rule."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    NOT_READY = "not_ready"  # registration not started, not finished or refused
    UNSUPPORTED = "unsupported"  # no fabric on this GPU: not a fault
    UNKNOWN = "unknown"  # the driver gave no verdict: not healthy, not a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuIdentity:
    """What a GPU is and where it sits; `uuid` is the only safe key.

    `position` is 0.. in the order of the PCI address: stable over reboots, unlike the index.
    `module` is the serial shared by the two GPUs of a superchip.
    """

    uuid: str
    position: int
    index: int
    module: str
    module_id: int | None
    name: str
    pci_bus_id: str
    minor: int | None = None
    board_part_number: str | None = None
    vbios_version: str | None = None
    numa_node: int | None = None
    cluster: str | None = None  # of the NVLink fabric: the domain that spans the rack, as a UUID
    clique: int | None = None  # GPUs of one cluster and clique reach each other over NVLink


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What the driver shows of this tray when it is opened; absent parts are None."""

    gpus: tuple[GpuIdentity, ...]
    driver_version: str
    nvml_version: str
    cuda_version: int  # as NVML gives it: 13000 is 13.0
    chassis_serial: str | None = None
    slot: int | None = None
    tray: int | None = None
    event_types: Mapping[str, int] = field(default_factory=dict)  # by UUID: bit mask subscribed to
    unanswered: int = 0  # GPUs that the driver counts and that did not say who they are: hung, or forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One pulse of one GPU: health evidence and values apart from each other."""

    gpu: str
    access: Access
    values: Mapping[Key, float]
    missing: Mapping[Key, Missing]
    recovery_action: int | None = None  # field 230, raw; None when it could not be read
    fabric: FabricState = FabricState.UNKNOWN
    error: str | None = None  # text of the failure when access is not OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One round of one GPU beyond the pulse: every quantity of the round, read or missing.

    A quantity of which not a single part answered is missing as a whole.
    """

    gpu: str
    round: Round
    values: Mapping[Key, float]
    missing: Mapping[Key, Missing]


class DeviceEventKind(Enum):
    """What the driver can announce by itself."""

    XID = "xid"
    OTHER = "other"  # another event bit; `event_type` says which
    DRIVER_UNBOUND = "driver_unbound"
    DRIVER_BOUND = "driver_bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """One announcement of the driver; it carries no time: the watcher stamps it on return."""

    kind: DeviceEventKind
    gpu: str | None
    event_type: int = 0
    data: int = 0  # the XID when kind is XID


class Device(Protocol):
    """A tray of GPUs.

    `read` of different GPUs may be called from different threads at once, and one call may
    hang without holding up the others. `wait_events` is called from one thread of its own.
    """

    def open(self) -> Inventory:
        """Connect, subscribe to events and return the inventory; may be called again after close.

        Raises:
            DriverUnavailable: With the cause word, when there is no usable driver.
        """
        ...

    def read(self, gpu: str) -> Reading:
        """Collect the pulse of one GPU by UUID. A lost GPU is a reading with access LOST, not an error.

        Raises:
            DeviceGone: If the driver was reloaded; open again.
            KeyError: If the UUID is not in the inventory.
        """
        ...

    def survey(self, gpu: str, one: Round) -> Survey:
        """Collect another round of one GPU; called from the thread that reads this GPU.

        Raises:
            DeviceGone: If the driver was reloaded; open again.
            KeyError: If the UUID is not in the inventory.
            ValueError: If the round is the pulse.
        """
        ...

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Return what was announced, oldest first; empty after the timeout.

        Raises:
            DeviceGone: If the driver was reloaded.
        """
        ...

    def close(self) -> None:
        """Let go of everything; idempotent."""
        ...
