"""An idle, healthy GB300 tray in the numbers of the driver.

Readings and limits are those of a published capture of such a tray; serials, UUIDs and GUIDs are
invented and differ between trays.
"""

import uuid
from dataclasses import dataclass
from typing import Final

from tests.fakedriver.control import TRAY, State

MIB: Final = 1024 * 1024
GPUS: Final = 4
GPUS_PER_MODULE: Final = 2

DRIVER_VERSION: Final = "580.173.02"
NVML_VERSION: Final = "13.580.173.02"
CUDA_VERSION: Final = 13000
SUPPORTED_EVENTS: Final = 0xFF9F
GPU_IDLE: Final = 0x1
HEALTH_MASK: Final = 0x1AA
CLIQUE: Final = 32766
CLUSTER: Final = uuid.UUID("5e5c0de5-7a11-4ba5-8d0c-3a9f00d15c0e")
ENERGY_MJ: Final = 5_000_000_000
"""What a GPU has used before the test starts; not zero, so nobody relies on zero."""

_NAMESPACE: Final = uuid.UUID("0b5e55ed-ca5e-4f00-9a11-0dd5a1ad0001")

PCI_DOMAINS: Final = (0x0008, 0x0009, 0x0018, 0x0019)
MODULE_IDS: Final = (2, 1, 4, 3)
NUMA_NODES: Final = (2, 10, 18, 26)
AVERAGE_MW: Final = (180_400, 176_300, 175_900, 180_100)
INSTANT_MW: Final = (180_300, 176_300, 175_900, 180_100)
MODULE_AVERAGE_MW: Final = (488_300, 486_300, 496_900, 494_300)
MODULE_INSTANT_MW: Final = (487_700, 486_200, 500_500, 493_100)
MEMORY_MW: Final = (35_700, 36_600, 35_000, 42_200)
TEMPERATURES: Final = (38, 39, 39, 39)
MEMORY_TEMPERATURES: Final = (38, 38, 39, 39)
MARGINS: Final = (49, 48, 48, 48)
BANKS: Final = 5952
"""Banks of memory, all with their spare rows left."""
CLOCKS_MHZ: Final = (120, 120, 3996, 600)
CLOCKS_MAX_MHZ: Final = (2070, 2070, 3996, 1912)

LIMITS_MW: Final = {
    "limit_min_mw": (200_000, 500_000),
    "limit_max_mw": (1_400_000, 2_900_000),
    "limit_default_mw": (1_400_000, 2_900_000),
    "limit_current_mw": (1_400_000, 2_900_000),
    "limit_requested_mw": (1_400_000, 2_900_000),
}
"""Of the GPU and of the module."""

_SAME_FOR_ALL: Final = {
    "addressing_mode": 2,
    "persistence": 1,
    "pci_bus": 0x06,
    "pci_device_id": 0x31C210DE,
    "pci_subsystem_id": 0x21F110DE,
    "pcie_generation": 6,
    "pcie_generation_max": 6,
    "pcie_width": 16,
    "supported_events": SUPPORTED_EVENTS,
    "memory_total": 284_208 * MIB,
    "memory_reserved": 947 * MIB,
    "memory_used": 0,
    "memory_free": 283_262 * MIB,
    "bar1_total": 524_288 * MIB,
    "host_id": 1,
    "peer_type": 1,
    "fabric_state": 3,
    "fabric_clique": CLIQUE,
    "fabric_health_mask": HEALTH_MASK,
    "fabric_summary": 1,
}

_TEXTS: Final = {
    "name": "NVIDIA GB300",
    "board_part_number": "900-2G548-0081-000",
    "vbios_version": "97.10.4A.00.1A",
    "gsp_version": DRIVER_VERSION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which tray of which rack is simulated.

    `number` only makes identifiers differ; `slot` counts switch trays too, `index` does not.
    """

    number: int = 0
    slot: int = 25
    index: int = 15
    cluster: uuid.UUID = CLUSTER

    def gpu_uuid(self, gpu: int) -> str:
        """Return the identity of a GPU as the driver writes it."""
        return f"GPU-{uuid.uuid5(_NAMESPACE, f'{self.number}/{gpu}')}"

    def module_serial(self, gpu: int) -> str:
        """Return the serial that both GPUs of a module report."""
        return f"{1_770_000_000_000 + self.number * 10 + gpu // GPUS_PER_MODULE:013d}"

    def chassis_serial(self) -> str:
        """Return the serial of the rack: the same for all its trays."""
        return "1880000000042"

    def pdi(self, gpu: int) -> int:
        """Return the 64-bit device identifier, which is the fabric GUID too."""
        return 0xFA4E_0000_0000_0000 + self.number * 16 + gpu + 1


def fill_tray(state: State, place: Place) -> None:
    """Write the defaults of the tray and of its four GPUs."""
    state.set(TRAY, "generation", 2)
    state.set(TRAY, "cuda_driver_version", CUDA_VERSION)
    state.set(TRAY, "pcie_throughput_ms", 20)
    state.set(TRAY, "sample_period_ms", 20)
    state.set_bytes(TRAY, "driver_version", DRIVER_VERSION.encode())
    state.set_bytes(TRAY, "nvml_version", NVML_VERSION.encode())
    for gpu in range(GPUS):
        _fill_identity(state, place, gpu)
        _fill_readings(state, gpu)


def _fill_identity(state: State, place: Place, gpu: int) -> None:
    for name, text in _TEXTS.items():
        state.set_bytes(gpu, name, text.encode())
    state.set_bytes(gpu, "uuid", place.gpu_uuid(gpu).encode())
    state.set_bytes(gpu, "serial", place.module_serial(gpu).encode())
    state.set_bytes(gpu, "chassis_serial", place.chassis_serial().encode())
    state.set_bytes(gpu, "ib_guid", place.pdi(gpu).to_bytes(8, "big"))
    state.set_bytes(gpu, "cluster_uuid", place.cluster.bytes)
    state.set(gpu, "pdi", place.pdi(gpu) - (1 << 64))
    state.set(gpu, "slot_number", place.slot)
    state.set(gpu, "tray_index", place.index)
    state.set(gpu, "minor", gpu)
    state.set(gpu, "pci_domain", PCI_DOMAINS[gpu])
    state.set(gpu, "module_id", MODULE_IDS[gpu])
    state.set(gpu, "numa_node", NUMA_NODES[gpu])
    for name, value in _SAME_FOR_ALL.items():
        state.set(gpu, name, value)


def _fill_readings(state: State, gpu: int) -> None:
    state.set(gpu, "power_average_mw", AVERAGE_MW[gpu])
    state.set(gpu, "power_instant_mw", INSTANT_MW[gpu])
    state.set(gpu, "module_average_mw", MODULE_AVERAGE_MW[gpu])
    state.set(gpu, "module_instant_mw", MODULE_INSTANT_MW[gpu])
    state.set(gpu, "memory_average_mw", MEMORY_MW[gpu])
    for name, limits in LIMITS_MW.items():
        for scope, limit in enumerate(limits):
            state.set(gpu, name, limit, scope)
    state.set(gpu, "temperature_c", TEMPERATURES[gpu])
    state.set(gpu, "memory_temperature_c", MEMORY_TEMPERATURES[gpu])
    state.set(gpu, "margin_c", MARGINS[gpu])
    for domain, (idle, highest) in enumerate(zip(CLOCKS_MHZ, CLOCKS_MAX_MHZ, strict=True)):
        state.set(gpu, "clock_mhz", idle, domain)
        state.set(gpu, "clock_max_mhz", highest, domain)
    state.set(gpu, "bank_remaps", BANKS, 0)
    state.power_changed(gpu)
    state.restart_uptime(gpu)
    state.set_energy(gpu, ENERGY_MJ)
    state.set_clock_events(gpu, GPU_IDLE)
