"""Everything that a GPU can tell of itself, by name: base unit, kind, parts, plausible range.

One table: what a device may answer, what the node's `/metrics` publishes and what a reading is
checked against are the same list. Names carry their unit; `_total` marks a counter. Vendor units
end in the device adapter.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Round(Enum):
    """How often a quantity is collected.

    Everything that decides health is in the pulse, so that an edge is exact to one poll.
    """

    PULSE = "pulse"  # every poll, 1 s
    STATUS = "status"  # limits, clocks, memory, ECC, PCIe: 10 s
    LINKS = "links"  # NVLink and C2C counters: 10 s
    DETAIL = "detail"  # what changes slowly or costs much: 60 s


class Quantity(Enum):
    """What can be read of a GPU, by catalogue name and base unit."""

    # Power and energy
    POWER_WATTS = "power_watts"
    POWER_AVERAGE_WATTS = "power_average_watts"
    MODULE_POWER_WATTS = "module_power_watts"
    MODULE_POWER_AVERAGE_WATTS = "module_power_average_watts"
    MEMORY_POWER_WATTS = "memory_power_watts"
    POWER_LIMIT_WATTS = "power_limit_watts"
    POWER_LIMIT_REQUESTED_WATTS = "power_limit_requested_watts"
    POWER_LIMIT_DEFAULT_WATTS = "power_limit_default_watts"
    POWER_LIMIT_MIN_WATTS = "power_limit_min_watts"
    POWER_LIMIT_MAX_WATTS = "power_limit_max_watts"
    MODULE_POWER_LIMIT_WATTS = "module_power_limit_watts"
    MODULE_POWER_LIMIT_REQUESTED_WATTS = "module_power_limit_requested_watts"
    MODULE_POWER_LIMIT_DEFAULT_WATTS = "module_power_limit_default_watts"
    MODULE_POWER_LIMIT_MIN_WATTS = "module_power_limit_min_watts"
    MODULE_POWER_LIMIT_MAX_WATTS = "module_power_limit_max_watts"
    ENERGY_JOULES_TOTAL = "energy_joules_total"
    # Power smoothing
    SMOOTHING_ENABLED = "smoothing_enabled"
    SMOOTHING_PRIVILEGE_LEVEL = "smoothing_privilege_level"
    SMOOTHING_RAMP_DOWN_IMMEDIATE = "smoothing_ramp_down_immediate"
    SMOOTHING_CEILING_WATTS = "smoothing_ceiling_watts"
    SMOOTHING_FLOOR_WATTS = "smoothing_floor_watts"
    SMOOTHING_LIFETIME_REMAINING_RATIO = "smoothing_lifetime_remaining_ratio"
    SMOOTHING_ACTIVE_PROFILE = "smoothing_active_profile"
    # Heat
    TEMPERATURE_CELSIUS = "temperature_celsius"
    TEMPERATURE_MARGIN_CELSIUS = "temperature_margin_celsius"
    MEMORY_TEMPERATURE_CELSIUS = "memory_temperature_celsius"
    TEMPERATURE_LIMIT_OFFSET_CELSIUS = "temperature_limit_offset_celsius"
    # Clocks and what holds them down
    CLOCK_HERTZ = "clock_hertz"
    CLOCK_MAX_HERTZ = "clock_max_hertz"
    PERFORMANCE_STATE = "performance_state"
    CLOCK_EVENT = "clock_event"
    THROTTLE_SECONDS_TOTAL = "throttle_seconds_total"
    # Work
    UTILISATION_RATIO = "utilisation_ratio"
    MEMORY_UTILISATION_RATIO = "memory_utilisation_ratio"
    ENCODER_UTILISATION_RATIO = "encoder_utilisation_ratio"
    DECODER_UTILISATION_RATIO = "decoder_utilisation_ratio"
    ENGINE_ACTIVE_RATIO = "engine_active_ratio"
    COMPUTE_PROCESSES = "compute_processes"
    COMPUTE_PROCESSES_MEMORY_BYTES = "compute_processes_memory_bytes"
    # Memory
    MEMORY_TOTAL_BYTES = "memory_total_bytes"
    MEMORY_USED_BYTES = "memory_used_bytes"
    MEMORY_FREE_BYTES = "memory_free_bytes"
    MEMORY_RESERVED_BYTES = "memory_reserved_bytes"
    ECC_ENABLED = "ecc_enabled"
    ECC_PENDING = "ecc_pending"
    ECC_CORRECTABLE_VOLATILE_TOTAL = "ecc_correctable_volatile_total"
    ECC_UNCORRECTABLE_VOLATILE_TOTAL = "ecc_uncorrectable_volatile_total"
    ECC_CORRECTABLE_AGGREGATE_TOTAL = "ecc_correctable_aggregate_total"
    ECC_UNCORRECTABLE_AGGREGATE_TOTAL = "ecc_uncorrectable_aggregate_total"
    ECC_LOCATION_CORRECTABLE_VOLATILE_TOTAL = "ecc_location_correctable_volatile_total"
    ECC_LOCATION_UNCORRECTABLE_VOLATILE_TOTAL = "ecc_location_uncorrectable_volatile_total"
    ECC_LOCATION_CORRECTABLE_AGGREGATE_TOTAL = "ecc_location_correctable_aggregate_total"
    ECC_LOCATION_UNCORRECTABLE_AGGREGATE_TOTAL = "ecc_location_uncorrectable_aggregate_total"
    SRAM_ERRORS_TOTAL = "sram_errors_total"
    SRAM_THRESHOLD_EXCEEDED = "sram_threshold_exceeded"
    ROWS_REMAPPED_CORRECTABLE_TOTAL = "rows_remapped_correctable_total"
    ROWS_REMAPPED_UNCORRECTABLE_TOTAL = "rows_remapped_uncorrectable_total"
    REMAP_PENDING = "remap_pending"
    REMAP_FAILED = "remap_failed"
    REMAP_BANKS = "remap_banks"
    CHANNEL_REPAIR_PENDING = "channel_repair_pending"
    TPC_REPAIR_PENDING = "tpc_repair_pending"
    MEMORY_UNREPAIRABLE = "memory_unrepairable"
    # NVLink
    NVLINK_LINKS = "nvlink_links"
    NVLINK_STATE = "nvlink_state"
    NVLINK_SPEED_BYTES_PER_SECOND = "nvlink_speed_bytes_per_second"
    NVLINK_POWER_STATE = "nvlink_power_state"
    NVLINK_DATA_TRANSMITTED_BYTES_TOTAL = "nvlink_data_transmitted_bytes_total"
    NVLINK_DATA_RECEIVED_BYTES_TOTAL = "nvlink_data_received_bytes_total"
    NVLINK_TRANSMITTED_PACKETS_TOTAL = "nvlink_transmitted_packets_total"
    NVLINK_TRANSMITTED_BYTES_TOTAL = "nvlink_transmitted_bytes_total"
    NVLINK_RECEIVED_PACKETS_TOTAL = "nvlink_received_packets_total"
    NVLINK_RECEIVED_BYTES_TOTAL = "nvlink_received_bytes_total"
    NVLINK_MALFORMED_PACKETS_TOTAL = "nvlink_malformed_packets_total"
    NVLINK_BUFFER_OVERRUNS_TOTAL = "nvlink_buffer_overruns_total"
    NVLINK_RECEIVE_ERRORS_TOTAL = "nvlink_receive_errors_total"
    NVLINK_REMOTE_ERRORS_TOTAL = "nvlink_remote_errors_total"
    NVLINK_HEADER_ERRORS_TOTAL = "nvlink_header_errors_total"
    NVLINK_INTEGRITY_ERRORS_TOTAL = "nvlink_integrity_errors_total"
    NVLINK_TRANSMIT_DISCARDS_TOTAL = "nvlink_transmit_discards_total"
    NVLINK_RECOVERIES_SUCCEEDED_TOTAL = "nvlink_recoveries_succeeded_total"
    NVLINK_RECOVERIES_FAILED_TOTAL = "nvlink_recoveries_failed_total"
    NVLINK_RECOVERIES_TOTAL = "nvlink_recoveries_total"
    NVLINK_EFFECTIVE_ERRORS_TOTAL = "nvlink_effective_errors_total"
    NVLINK_EFFECTIVE_BIT_ERROR_RATIO = "nvlink_effective_bit_error_ratio"
    NVLINK_SYMBOL_ERRORS_TOTAL = "nvlink_symbol_errors_total"
    NVLINK_SYMBOL_BIT_ERROR_RATIO = "nvlink_symbol_bit_error_ratio"
    NVLINK_FEC_BLOCKS_TOTAL = "nvlink_fec_blocks_total"
    NVLINK_RETRY_BLOCKS_TOTAL = "nvlink_retry_blocks_total"
    # C2C: the link between GPU and Grace
    C2C_LINK_ACTIVE = "c2c_link_active"
    C2C_ERRORS_TOTAL = "c2c_errors_total"
    C2C_REPLAYS_TOTAL = "c2c_replays_total"
    C2C_BACK_TO_BACK_REPLAYS_TOTAL = "c2c_back_to_back_replays_total"
    C2C_POWER_STATE = "c2c_power_state"
    # PCIe
    PCIE_REPLAYS_TOTAL = "pcie_replays_total"
    PCIE_REPLAY_ROLLOVERS_TOTAL = "pcie_replay_rollovers_total"
    PCIE_RECOVERIES_TOTAL = "pcie_recoveries_total"
    PCIE_ERRORS_TOTAL = "pcie_errors_total"
    PCIE_LANE_ERRORS_TOTAL = "pcie_lane_errors_total"
    PCIE_TRANSMITTED_BYTES_TOTAL = "pcie_transmitted_bytes_total"
    PCIE_RECEIVED_BYTES_TOTAL = "pcie_received_bytes_total"
    PCIE_LINK_GENERATION = "pcie_link_generation"
    PCIE_LINK_GENERATION_MAX = "pcie_link_generation_max"
    PCIE_LINK_WIDTH = "pcie_link_width"


class Part(NamedTuple):
    """A quantity of one part of a GPU: a link, a lane, a location; `label` names the part."""

    quantity: Quantity
    label: str


Key = Quantity | Part


@dataclass(frozen=True, slots=True)
class Metric:
    """What stands in the table for a quantity.

    `part` is the label of what there are several of. Beyond `low` and `high` no GB300 has a
    truthful answer: a sentinel such as 4294967295, or a counter that physics cannot reach.
    """

    text: str
    round: Round
    low: float
    high: float
    part: str | None = None


_W, _MODULE_W = 5_000.0, 10_000.0
_COUNT, _BYTES = 2.0**63, 2.0**63
_PULSE, _STATUS, _LINKS, _DETAIL = Round.PULSE, Round.STATUS, Round.LINKS, Round.DETAIL

METRICS: dict[Quantity, Metric] = {
    Quantity.POWER_WATTS: Metric("GPU power, instant.", _PULSE, 0, _W),
    Quantity.POWER_AVERAGE_WATTS: Metric("GPU power, one-second average.", _PULSE, 0, _W),
    Quantity.MODULE_POWER_WATTS: Metric(
        "Power of the superchip: one reading seen by both its GPUs.", _PULSE, 0, _MODULE_W
    ),
    Quantity.MODULE_POWER_AVERAGE_WATTS: Metric(
        "Power of the superchip, one-second average, seen by both its GPUs.", _PULSE, 0, _MODULE_W
    ),
    Quantity.MEMORY_POWER_WATTS: Metric("Memory power, one-second average.", _PULSE, 0, 2_000),
    Quantity.POWER_LIMIT_WATTS: Metric("Limit enforced now, out-of-band caps included.", _PULSE, 0, _W),
    Quantity.POWER_LIMIT_REQUESTED_WATTS: Metric("Limit that in-band software asked for.", _STATUS, 0, _W),
    Quantity.POWER_LIMIT_DEFAULT_WATTS: Metric("Limit without any request.", _STATUS, 0, _W),
    Quantity.POWER_LIMIT_MIN_WATTS: Metric("Lowest limit that can be asked for.", _DETAIL, 0, _W),
    Quantity.POWER_LIMIT_MAX_WATTS: Metric("Highest limit that can be asked for.", _DETAIL, 0, _W),
    Quantity.MODULE_POWER_LIMIT_WATTS: Metric("Limit of the superchip enforced now.", _STATUS, 0, _MODULE_W),
    Quantity.MODULE_POWER_LIMIT_REQUESTED_WATTS: Metric(
        "Limit of the superchip that in-band software asked for.", _STATUS, 0, _MODULE_W
    ),
    Quantity.MODULE_POWER_LIMIT_DEFAULT_WATTS: Metric(
        "Limit of the superchip without any request.", _STATUS, 0, _MODULE_W
    ),
    Quantity.MODULE_POWER_LIMIT_MIN_WATTS: Metric("Lowest limit of the superchip.", _DETAIL, 0, _MODULE_W),
    Quantity.MODULE_POWER_LIMIT_MAX_WATTS: Metric("Highest limit of the superchip.", _DETAIL, 0, _MODULE_W),
    Quantity.ENERGY_JOULES_TOTAL: Metric("Energy since the driver was loaded.", _PULSE, 0, 1e13),
    Quantity.SMOOTHING_ENABLED: Metric("1 while power smoothing is on.", _DETAIL, 0, 1),
    Quantity.SMOOTHING_PRIVILEGE_LEVEL: Metric("Privilege that power smoothing grants.", _DETAIL, 0, 16),
    Quantity.SMOOTHING_RAMP_DOWN_IMMEDIATE: Metric("1 while the ramp down begins at once.", _DETAIL, 0, 1),
    Quantity.SMOOTHING_CEILING_WATTS: Metric("Power ceiling that smoothing applies.", _DETAIL, 0, _W),
    Quantity.SMOOTHING_FLOOR_WATTS: Metric("Power floor that smoothing applies.", _DETAIL, 0, _W),
    Quantity.SMOOTHING_LIFETIME_REMAINING_RATIO: Metric("Life left in the smoothing circuit.", _DETAIL, 0, 1),
    Quantity.SMOOTHING_ACTIVE_PROFILE: Metric("Smoothing profile in use.", _DETAIL, 0, 255),
    Quantity.TEMPERATURE_CELSIUS: Metric("GPU temperature.", _PULSE, -50, 150),
    Quantity.TEMPERATURE_MARGIN_CELSIUS: Metric("Degrees left to the GPU's limit.", _PULSE, -100, 200),
    Quantity.MEMORY_TEMPERATURE_CELSIUS: Metric("Memory temperature.", _PULSE, -50, 150),
    Quantity.TEMPERATURE_LIMIT_OFFSET_CELSIUS: Metric(
        "Where a limit lies, relative to the slowdown reference.", _DETAIL, -150, 150, "limit"
    ),
    Quantity.CLOCK_HERTZ: Metric("Clock now.", _STATUS, 0, 1e11, "domain"),
    Quantity.CLOCK_MAX_HERTZ: Metric("Highest clock.", _DETAIL, 0, 1e11, "domain"),
    Quantity.PERFORMANCE_STATE: Metric("Performance state, 0 is the fastest.", _STATUS, 0, 15),
    Quantity.CLOCK_EVENT: Metric("1 while this reason holds the clocks down.", _PULSE, 0, 1, "reason"),
    Quantity.THROTTLE_SECONDS_TOTAL: Metric(
        "Time during which this reason held the clocks down; misses no short one.", _PULSE, 0, 1e10, "reason"
    ),
    Quantity.UTILISATION_RATIO: Metric("Share of time with a kernel running.", _PULSE, 0, 1),
    Quantity.MEMORY_UTILISATION_RATIO: Metric("Share of time with memory traffic.", _PULSE, 0, 1),
    Quantity.ENCODER_UTILISATION_RATIO: Metric("Share of time in which the encoder worked.", _STATUS, 0, 1),
    Quantity.DECODER_UTILISATION_RATIO: Metric("Share of time in which the decoder worked.", _STATUS, 0, 1),
    Quantity.ENGINE_ACTIVE_RATIO: Metric(
        "Share of the cycles since the last collection in which this part of the chip worked.",
        _STATUS,
        0,
        1,
        "engine",
    ),
    Quantity.COMPUTE_PROCESSES: Metric("Processes that compute on the GPU.", _DETAIL, 0, 100_000),
    Quantity.COMPUTE_PROCESSES_MEMORY_BYTES: Metric("Memory that these processes hold.", _DETAIL, 0, _BYTES),
    Quantity.MEMORY_TOTAL_BYTES: Metric("Memory, all of it.", _STATUS, 0, 1e13),
    Quantity.MEMORY_USED_BYTES: Metric("Memory in use, reserved not counted.", _STATUS, 0, 1e13),
    Quantity.MEMORY_FREE_BYTES: Metric("Memory that is free.", _STATUS, 0, 1e13),
    Quantity.MEMORY_RESERVED_BYTES: Metric("Memory that driver and firmware reserve.", _STATUS, 0, 1e13),
    Quantity.ECC_ENABLED: Metric("1 while ECC is on.", _DETAIL, 0, 1),
    Quantity.ECC_PENDING: Metric("1 when ECC will be on after a reset.", _DETAIL, 0, 1),
    Quantity.ECC_CORRECTABLE_VOLATILE_TOTAL: Metric("Correctable errors since driver load.", _STATUS, 0, _COUNT),
    Quantity.ECC_UNCORRECTABLE_VOLATILE_TOTAL: Metric("Uncorrectable errors since driver load.", _STATUS, 0, _COUNT),
    Quantity.ECC_CORRECTABLE_AGGREGATE_TOTAL: Metric("Correctable errors in the GPU's life.", _STATUS, 0, _COUNT),
    Quantity.ECC_UNCORRECTABLE_AGGREGATE_TOTAL: Metric("Uncorrectable errors in the GPU's life.", _STATUS, 0, _COUNT),
    Quantity.ECC_LOCATION_CORRECTABLE_VOLATILE_TOTAL: Metric(
        "Correctable errors since driver load, by location.", _DETAIL, 0, _COUNT, "location"
    ),
    Quantity.ECC_LOCATION_UNCORRECTABLE_VOLATILE_TOTAL: Metric(
        "Uncorrectable errors since driver load, by location.", _DETAIL, 0, _COUNT, "location"
    ),
    Quantity.ECC_LOCATION_CORRECTABLE_AGGREGATE_TOTAL: Metric(
        "Correctable errors in the GPU's life, by location.", _DETAIL, 0, _COUNT, "location"
    ),
    Quantity.ECC_LOCATION_UNCORRECTABLE_AGGREGATE_TOTAL: Metric(
        "Uncorrectable errors in the GPU's life, by location.", _DETAIL, 0, _COUNT, "location"
    ),
    Quantity.SRAM_ERRORS_TOTAL: Metric("SRAM errors by kind; needs root.", _DETAIL, 0, _COUNT, "kind"),
    Quantity.SRAM_THRESHOLD_EXCEEDED: Metric("1 when SRAM errors passed the vendor's threshold.", _DETAIL, 0, 1),
    Quantity.ROWS_REMAPPED_CORRECTABLE_TOTAL: Metric("Rows remapped for correctable errors.", _STATUS, 0, 1e6),
    Quantity.ROWS_REMAPPED_UNCORRECTABLE_TOTAL: Metric("Rows remapped for uncorrectable errors.", _STATUS, 0, 1e6),
    Quantity.REMAP_PENDING: Metric("1 while a row remap waits for a reset of the GPU.", _PULSE, 0, 1),
    Quantity.REMAP_FAILED: Metric("1 when a row remap failed: a candidate for replacement.", _PULSE, 0, 1),
    Quantity.REMAP_BANKS: Metric("Memory banks by how many spare rows they have left.", _DETAIL, 0, 1e7, "spare"),
    Quantity.CHANNEL_REPAIR_PENDING: Metric("1 while a channel repair waits for a reset.", _DETAIL, 0, 1),
    Quantity.TPC_REPAIR_PENDING: Metric("1 while a TPC repair waits for a reset.", _DETAIL, 0, 1),
    Quantity.MEMORY_UNREPAIRABLE: Metric("1 when memory cannot be repaired.", _DETAIL, 0, 1),
    Quantity.NVLINK_LINKS: Metric("NVLinks that the GPU has.", _DETAIL, 0, 64),
    Quantity.NVLINK_STATE: Metric("0 inactive, 1 active, 2 asleep, 3 active without traffic.", _PULSE, 0, 3, "link"),
    Quantity.NVLINK_SPEED_BYTES_PER_SECOND: Metric("Speed of the link.", _DETAIL, 0, 1e13, "link"),
    Quantity.NVLINK_POWER_STATE: Metric("0 full speed, 1 low power.", _DETAIL, 0, 1, "link"),
    Quantity.NVLINK_DATA_TRANSMITTED_BYTES_TOTAL: Metric("Payload sent over all links.", _LINKS, 0, _BYTES),
    Quantity.NVLINK_DATA_RECEIVED_BYTES_TOTAL: Metric("Payload received over all links.", _LINKS, 0, _BYTES),
    Quantity.NVLINK_TRANSMITTED_PACKETS_TOTAL: Metric("Packets sent.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_TRANSMITTED_BYTES_TOTAL: Metric("Bytes sent.", _LINKS, 0, _BYTES, "link"),
    Quantity.NVLINK_RECEIVED_PACKETS_TOTAL: Metric("Packets received.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_RECEIVED_BYTES_TOTAL: Metric("Bytes received.", _LINKS, 0, _BYTES, "link"),
    Quantity.NVLINK_MALFORMED_PACKETS_TOTAL: Metric("Malformed packets received.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_BUFFER_OVERRUNS_TOTAL: Metric("Receive buffers that overran.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_RECEIVE_ERRORS_TOTAL: Metric("Receive errors.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_REMOTE_ERRORS_TOTAL: Metric("Packets that the remote end marked bad.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_HEADER_ERRORS_TOTAL: Metric("Packets with a wrong header.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_INTEGRITY_ERRORS_TOTAL: Metric(
        "Times the link's integrity limit was passed.", _LINKS, 0, _COUNT, "link"
    ),
    Quantity.NVLINK_TRANSMIT_DISCARDS_TOTAL: Metric("Packets dropped on sending.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_RECOVERIES_SUCCEEDED_TOTAL: Metric(
        "Recoveries that brought the link back.", _LINKS, 0, _COUNT, "link"
    ),
    Quantity.NVLINK_RECOVERIES_FAILED_TOTAL: Metric("Recoveries that left the link down.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_RECOVERIES_TOTAL: Metric("Recoveries begun.", _LINKS, 0, _COUNT, "link"),
    Quantity.NVLINK_EFFECTIVE_ERRORS_TOTAL: Metric("Errors left after correction.", _DETAIL, 0, _COUNT, "link"),
    Quantity.NVLINK_EFFECTIVE_BIT_ERROR_RATIO: Metric("Bit errors left after correction.", _DETAIL, 0, 1, "link"),
    Quantity.NVLINK_SYMBOL_ERRORS_TOTAL: Metric("Symbol errors.", _DETAIL, 0, _COUNT, "link"),
    Quantity.NVLINK_SYMBOL_BIT_ERROR_RATIO: Metric("Symbol errors as a ratio.", _DETAIL, 0, 1, "link"),
    Quantity.NVLINK_FEC_BLOCKS_TOTAL: Metric(
        "Blocks of all links by how many symbols had to be corrected.", _DETAIL, 0, _COUNT, "symbols"
    ),
    Quantity.NVLINK_RETRY_BLOCKS_TOTAL: Metric("Blocks sent again.", _DETAIL, 0, _COUNT, "link"),
    Quantity.C2C_LINK_ACTIVE: Metric("1 while the link to Grace is up.", _LINKS, 0, 1, "c2c_link"),
    Quantity.C2C_ERRORS_TOTAL: Metric("CRC errors on the link to Grace.", _LINKS, 0, _COUNT, "c2c_link"),
    Quantity.C2C_REPLAYS_TOTAL: Metric("Replays on the link to Grace.", _LINKS, 0, _COUNT, "c2c_link"),
    Quantity.C2C_BACK_TO_BACK_REPLAYS_TOTAL: Metric("Replays that followed a replay.", _LINKS, 0, _COUNT, "c2c_link"),
    Quantity.C2C_POWER_STATE: Metric("0 full power, 1 low power.", _DETAIL, 0, 1, "c2c_link"),
    Quantity.PCIE_REPLAYS_TOTAL: Metric("PCIe replays.", _STATUS, 0, _COUNT),
    Quantity.PCIE_REPLAY_ROLLOVERS_TOTAL: Metric("Times the replay counter rolled over.", _STATUS, 0, _COUNT),
    Quantity.PCIE_RECOVERIES_TOTAL: Metric("Times the link went from L0 into recovery.", _STATUS, 0, _COUNT),
    Quantity.PCIE_ERRORS_TOTAL: Metric("PCIe errors by kind.", _STATUS, 0, _COUNT, "kind"),
    Quantity.PCIE_LANE_ERRORS_TOTAL: Metric("PCIe errors by lane.", _DETAIL, 0, _COUNT, "lane"),
    Quantity.PCIE_TRANSMITTED_BYTES_TOTAL: Metric("Bytes sent over PCIe; the counter may wrap.", _STATUS, 0, _BYTES),
    Quantity.PCIE_RECEIVED_BYTES_TOTAL: Metric("Bytes received over PCIe; the counter may wrap.", _STATUS, 0, _BYTES),
    Quantity.PCIE_LINK_GENERATION: Metric("PCIe generation that the link runs at.", _DETAIL, 0, 16),
    Quantity.PCIE_LINK_GENERATION_MAX: Metric("PCIe generation that GPU and host could run at.", _DETAIL, 0, 16),
    Quantity.PCIE_LINK_WIDTH: Metric("PCIe lanes in use.", _DETAIL, 0, 64),
}


def quantity_of(key: Key) -> Quantity:
    """Return the quantity that a key is about."""
    return key.quantity if isinstance(key, Part) else key


def spelt(key: Key) -> str:
    """Return a key as text: its catalogue name, and the part after a slash."""
    return f"{key.quantity.value}/{key.label}" if isinstance(key, Part) else key.value


def is_plausible(key: Key, value: float) -> bool:
    """Return whether physics allows a value; a sentinel or a garbled number is not."""
    metric = METRICS[quantity_of(key)]
    return metric.low <= value <= metric.high


def of_round(one: Round) -> frozenset[Quantity]:
    """Return the quantities that a round collects."""
    return frozenset(quantity for quantity, metric in METRICS.items() if metric.round is one)
