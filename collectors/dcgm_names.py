"""dcgm-exporter's families under their own names, labels, types and vendor units.

For dashboards and rules that exist already; `threenines_` names say the same in base units. The
names and units are those of dcgm-exporter and DCGM's public field list; every sentence is ours.
What a GPU does not tell has no series here either, and a value is live or absent, never old.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collectors.catalogue import METRICS, Key, Part, Quantity, Round, quantity_of
from collectors.device import GpuIdentity, Inventory
from collectors.exposition import Family, Sample
from collectors.shown import Collected
from service.core.xid import classify

HOSTNAME_LABELS = ("Hostname", "hostname")  # up to 4.8 the one, since 2026 the other
_DIGITS = 6  # what a change of unit adds in the last binary places is not measured


class Unit(NamedTuple):
    """A vendor unit: base value times `times`, divided by `per`."""

    times: float = 1
    per: float = 1


_ONE, _MHZ, _MIB, _MJ = Unit(), Unit(per=1_000_000), Unit(per=2**20), Unit(times=1_000)
_PERCENT, _NS = Unit(times=100), Unit(times=1_000_000_000)


@dataclass(frozen=True, slots=True)
class Row:
    """A family of theirs and where its value is: one of our keys, or the sum over all its parts."""

    name: str
    text: str
    key: Key
    unit: Unit = _ONE
    counter: bool = False
    summed: bool = False


def _links(name: str, text: str, quantity: Quantity) -> Row:
    return Row(f"DCGM_FI_DEV_NVLINK_{name}", text, quantity, counter=True, summed=True)


def _throttled(name: str, text: str, reason: str) -> Row:
    return Row(f"DCGM_FI_DEV_{name}_VIOLATION", text, Part(Quantity.THROTTLE_SECONDS_TOTAL, reason), _NS, counter=True)


def _active(name: str, text: str, engine: str) -> Row:
    return Row(f"DCGM_FI_PROF_{name}", text, Part(Quantity.ENGINE_ACTIVE_RATIO, engine))


Q = Quantity
ROWS: tuple[Row, ...] = (
    Row("DCGM_FI_DEV_SM_CLOCK", "SM clock, MHz.", Part(Q.CLOCK_HERTZ, "sm"), _MHZ),
    Row("DCGM_FI_DEV_MEM_CLOCK", "Memory clock, MHz.", Part(Q.CLOCK_HERTZ, "memory"), _MHZ),
    Row("DCGM_FI_DEV_MEMORY_TEMP", "Memory temperature, Celsius.", Q.MEMORY_TEMPERATURE_CELSIUS),
    Row("DCGM_FI_DEV_GPU_TEMP", "GPU temperature, Celsius.", Q.TEMPERATURE_CELSIUS),
    Row("DCGM_FI_DEV_POWER_USAGE", "GPU power, one-second average, W.", Q.POWER_AVERAGE_WATTS),
    Row("DCGM_FI_DEV_POWER_USAGE_INSTANT", "GPU power, instant, W.", Q.POWER_WATTS),
    Row(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "Energy used since driver load, mJ.",
        Q.ENERGY_JOULES_TOTAL,
        _MJ,
        counter=True,
    ),
    Row("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "PCIe replays.", Q.PCIE_REPLAYS_TOTAL, counter=True),
    Row("DCGM_FI_DEV_GPU_UTIL", "Share of time with a kernel running, %.", Q.UTILISATION_RATIO, _PERCENT),
    Row("DCGM_FI_DEV_MEM_COPY_UTIL", "Share of time with memory traffic, %.", Q.MEMORY_UTILISATION_RATIO, _PERCENT),
    Row("DCGM_FI_DEV_ENC_UTIL", "Share of time in the encoder, %.", Q.ENCODER_UTILISATION_RATIO, _PERCENT),
    Row("DCGM_FI_DEV_DEC_UTIL", "Share of time in the decoder, %.", Q.DECODER_UTILISATION_RATIO, _PERCENT),
    Row("DCGM_FI_DEV_FB_TOTAL", "Memory, all of it, MiB.", Q.MEMORY_TOTAL_BYTES, _MIB),
    Row("DCGM_FI_DEV_FB_FREE", "Memory that is free, MiB.", Q.MEMORY_FREE_BYTES, _MIB),
    Row("DCGM_FI_DEV_FB_USED", "Memory in use, reserved not counted, MiB.", Q.MEMORY_USED_BYTES, _MIB),
    Row("DCGM_FI_DEV_FB_RESERVED", "Memory that driver and firmware reserve, MiB.", Q.MEMORY_RESERVED_BYTES, _MIB),
    Row(
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "Rows remapped for uncorrectable errors.",
        Q.ROWS_REMAPPED_UNCORRECTABLE_TOTAL,
        counter=True,
    ),
    Row(
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
        "Rows remapped for correctable errors.",
        Q.ROWS_REMAPPED_CORRECTABLE_TOTAL,
        counter=True,
    ),
    Row("DCGM_FI_DEV_ROW_REMAP_FAILURE", "1 when a row remap failed.", Q.REMAP_FAILED),
    Row("DCGM_FI_DEV_ROW_REMAP_PENDING", "1 while a row remap waits for a reset.", Q.REMAP_PENDING),
    # Off by default at theirs, asked for by dashboards
    Row(
        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
        "Correctable errors since driver load.",
        Q.ECC_CORRECTABLE_VOLATILE_TOTAL,
        counter=True,
    ),
    Row(
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
        "Uncorrectable errors since driver load.",
        Q.ECC_UNCORRECTABLE_VOLATILE_TOTAL,
        counter=True,
    ),
    Row(
        "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL",
        "Correctable errors in the GPU's life.",
        Q.ECC_CORRECTABLE_AGGREGATE_TOTAL,
        counter=True,
    ),
    Row(
        "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL",
        "Uncorrectable errors in the GPU's life.",
        Q.ECC_UNCORRECTABLE_AGGREGATE_TOTAL,
        counter=True,
    ),
    _throttled("POWER", "Time held down by the power limit, ns.", "sw_power_cap"),
    _throttled("THERMAL", "Time held down by heat, ns.", "thermal"),
    _throttled("SYNC_BOOST", "Time held down by a sync boost group, ns.", "sync_boost"),
    _throttled("BOARD_LIMIT", "Time held down by the board limit, ns.", "board_limit"),
    _throttled("LOW_UTIL", "Time held down for want of work, ns.", "low_utilisation"),
    _throttled("RELIABILITY", "Time held down for reliability, ns.", "reliability"),
    _throttled("TOTAL_APP_CLOCKS", "Time below the application clocks, ns.", "application_clocks"),
    _throttled("TOTAL_BASE_CLOCKS", "Time below the base clocks, ns.", "base_clocks"),
    _links("RECOVERY_ERROR_COUNT_TOTAL", "Link recoveries begun, all links.", Q.NVLINK_RECOVERIES_TOTAL),
    _links("COUNT_TX_PACKETS", "Packets sent, all links.", Q.NVLINK_TRANSMITTED_PACKETS_TOTAL),
    _links("COUNT_TX_BYTES", "Bytes sent, all links.", Q.NVLINK_TRANSMITTED_BYTES_TOTAL),
    _links("COUNT_RX_PACKETS", "Packets received, all links.", Q.NVLINK_RECEIVED_PACKETS_TOTAL),
    _links("COUNT_RX_BYTES", "Bytes received, all links.", Q.NVLINK_RECEIVED_BYTES_TOTAL),
    _links("COUNT_RX_MALFORMED_PACKET_ERRORS", "Malformed packets, all links.", Q.NVLINK_MALFORMED_PACKETS_TOTAL),
    _links("COUNT_RX_BUFFER_OVERRUN_ERRORS", "Receive buffer overruns, all links.", Q.NVLINK_BUFFER_OVERRUNS_TOTAL),
    _links("COUNT_RX_ERRORS", "Receive errors, all links.", Q.NVLINK_RECEIVE_ERRORS_TOTAL),
    _links("COUNT_RX_REMOTE_ERRORS", "Packets marked bad by the far end, all links.", Q.NVLINK_REMOTE_ERRORS_TOTAL),
    _links("COUNT_RX_GENERAL_ERRORS", "Packets with a wrong header, all links.", Q.NVLINK_HEADER_ERRORS_TOTAL),
    _links("COUNT_LOCAL_LINK_INTEGRITY_ERRORS", "Integrity limit passed, all links.", Q.NVLINK_INTEGRITY_ERRORS_TOTAL),
    _links("COUNT_TX_DISCARDS", "Packets dropped on sending, all links.", Q.NVLINK_TRANSMIT_DISCARDS_TOTAL),
    _links(
        "COUNT_LINK_RECOVERY_SUCCESSFUL_EVENTS",
        "Recoveries that worked, all links.",
        Q.NVLINK_RECOVERIES_SUCCEEDED_TOTAL,
    ),
    _links("COUNT_LINK_RECOVERY_FAILED_EVENTS", "Recoveries that failed, all links.", Q.NVLINK_RECOVERIES_FAILED_TOTAL),
    _links("COUNT_LINK_RECOVERY_EVENTS", "Recoveries begun, all links.", Q.NVLINK_RECOVERIES_TOTAL),
    # Profiling, a ratio of 0 to 1
    _active("GR_ENGINE_ACTIVE", "Share of cycles with the graphics or compute engine at work.", "graphics"),
    _active("SM_ACTIVE", "Share of cycles with work on an SM, mean over the SMs.", "sm"),
    _active("SM_OCCUPANCY", "Resident warps as a share of what the SMs hold.", "sm_occupancy"),
    _active("PIPE_TENSOR_ACTIVE", "Share of cycles with the tensor pipe at work.", "tensor"),
    _active("DRAM_ACTIVE", "Share of cycles with memory moving data.", "dram"),
)

# Families that dcgm-exporter emits by default and we do not, each with the reason.
NOT_OFFERED: dict[str, str] = {
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL": "typed a counter, in truth a rate; COUNT_TX_BYTES and COUNT_RX_BYTES count",
    "DCGM_FI_DEV_VGPU_LICENSE_STATUS": "a leased GB300 is no virtual GPU",
    "DCGM_FI_PROF_PCIE_TX_BYTES": "a rate; take rate() of threenines_gpu_pcie_transmitted_bytes_total",
    "DCGM_FI_PROF_PCIE_RX_BYTES": "a rate; take rate() of threenines_gpu_pcie_received_bytes_total",
}

_XID = "DCGM_FI_DEV_XID_ERRORS"
_XID_TEXT = (
    "Code of the newest XID since the agent's start, 0 for none. A last-value gauge: equal codes in a row and all"
    " but the last of a burst do not show in it; threenines_gpu_xid_events_total counts them."
)
_OF_ROUND = {one: tuple(row for row in ROWS if METRICS[quantity_of(row.key)].round is one) for one in Round}


class DcgmNames:
    """Tells what GPUs said in dcgm-exporter's words."""

    def __init__(self, hostname: str, *, label: str = "Hostname") -> None:
        """Name the host in every series, under one of `HOSTNAME_LABELS`."""
        self._hostname = hostname
        labels = ("gpu", "UUID", "pci_bus_id", "device", "modelName", label, "DCGM_FI_DRIVER_VERSION")
        xid = Family(_XID, _XID_TEXT, (*labels, "err_code", "err_msg"))
        self.families = (*(Family(row.name, row.text, labels, row.counter) for row in ROWS), xid)

    def samples(
        self, inventory: Inventory, one: Round, said: Sequence[tuple[GpuIdentity, Collected]]
    ) -> Iterator[Sample]:
        """Yield every series of a round for which there is a live value."""
        for gpu, collected in said:
            labels = self._labels(gpu, inventory.driver_version)
            for row in _OF_ROUND[one]:
                value = _sum(row.key, collected) if row.summed else collected.values.get(row.key)
                if value is not None:
                    yield row.name, labels, round(value * row.unit.times / row.unit.per, _DIGITS)

    def xids(self, inventory: Inventory, seen_ms: Mapping[tuple[str, int], int]) -> Iterator[Sample]:
        """Yield the newest XID of each GPU."""
        for gpu in inventory.gpus:
            code = _newest(gpu.uuid, seen_ms)
            word = classify(code).value if code else "none"
            yield _XID, (*self._labels(gpu, inventory.driver_version), str(code), word), code

    def _labels(self, gpu: GpuIdentity, driver: str) -> tuple[str, ...]:
        minor = gpu.index if gpu.minor is None else gpu.minor
        where = (_eight_digits(gpu.pci_bus_id), f"nvidia{minor}")
        return (str(gpu.index), gpu.uuid, *where, gpu.name, self._hostname, driver)


def _sum(quantity: Key, collected: Collected) -> float | None:
    """Return the sum over all parts; None when one is missing, for a counter must not go down."""
    if any(quantity_of(key) is quantity for key in collected.missing):
        return None
    parts = [value for key, value in collected.values.items() if quantity_of(key) is quantity]
    return sum(parts) if parts else None


def _newest(uuid: str, seen_ms: Mapping[tuple[str, int], int]) -> int:
    seen = [(at_ms, code) for (gpu, code), at_ms in seen_ms.items() if gpu == uuid]
    return max(seen)[1] if seen else 0


def _eight_digits(pci_bus_id: str) -> str:
    """Return a PCI address with a domain of eight digits, as theirs has it."""
    domain, _, rest = pci_bus_id.partition(":")
    return f"{domain.zfill(8)}:{rest}" if ":" in rest else f"00000000:{pci_bus_id}"
