"""Which fields a GPU is asked for in which round: literal tables, one batch a driver call.

ECC and NVLink fields never share a call: a related board answered nothing when they did. Per-lane
counters of older NVLink generations and retired pages are not asked for; Blackwell has none.
"""

from collectors.catalogue import Key, Part, Quantity, Round
from collectors.nvml.fields import RECOVERY_ACTION, Field

MILLI, NANO, PERCENT, KIBI, MEGA = 0.001, 1e-9, 0.01, 1024.0, 1e6
GPU, MODULE, MEMORY = 0, 1, 2  # power scopes
ALL_LINKS = 0xFFFFFFFF
LINK_COUNT, C2C_COUNT = 91, 170
LANES = 16

_Q = Quantity

_THROTTLE = {
    74: "sw_power_cap",
    75: "thermal",
    76: "sync_boost",
    77: "board_limit",
    78: "low_utilisation",
    79: "reliability",
    80: "application_clocks",
    81: "base_clocks",
    269: "sw_thermal",
    270: "hw_thermal",
    271: "hw_power_brake",
    309: "power_smoothing",
}

PULSE = (
    Field(186, GPU, _Q.POWER_WATTS, MILLI),
    Field(185, GPU, _Q.POWER_AVERAGE_WATTS, MILLI),
    Field(186, MODULE, _Q.MODULE_POWER_WATTS, MILLI),
    Field(185, MODULE, _Q.MODULE_POWER_AVERAGE_WATTS, MILLI),
    Field(185, MEMORY, _Q.MEMORY_POWER_WATTS, MILLI),
    Field(190, GPU, _Q.POWER_LIMIT_WATTS, MILLI),
    Field(83, 0, _Q.ENERGY_JOULES_TOTAL, MILLI),
    Field(82, 0, _Q.MEMORY_TEMPERATURE_CELSIUS),
    Field(144, 0, _Q.REMAP_PENDING),
    Field(145, 0, _Q.REMAP_FAILED),
    Field(RECOVERY_ACTION, 0, None),
    *(Field(number, 0, Part(_Q.THROTTLE_SECONDS_TOTAL, cause), NANO) for number, cause in _THROTTLE.items()),
)

_PCIE_ERRORS = (
    "correctable",
    "naks_received",
    "receiver",
    "bad_tlp",
    "naks_sent",
    "bad_dllp",
    "non_fatal",
    "fatal",
    "unsupported_request",
    "lcrc",
)

STATUS = (
    Field(192, GPU, _Q.POWER_LIMIT_REQUESTED_WATTS, MILLI),
    Field(189, GPU, _Q.POWER_LIMIT_DEFAULT_WATTS, MILLI),
    Field(190, MODULE, _Q.MODULE_POWER_LIMIT_WATTS, MILLI),
    Field(192, MODULE, _Q.MODULE_POWER_LIMIT_REQUESTED_WATTS, MILLI),
    Field(189, MODULE, _Q.MODULE_POWER_LIMIT_DEFAULT_WATTS, MILLI),
    Field(3, 0, _Q.ECC_CORRECTABLE_VOLATILE_TOTAL),
    Field(4, 0, _Q.ECC_UNCORRECTABLE_VOLATILE_TOTAL),
    Field(5, 0, _Q.ECC_CORRECTABLE_AGGREGATE_TOTAL),
    Field(6, 0, _Q.ECC_UNCORRECTABLE_AGGREGATE_TOTAL),
    Field(142, 0, _Q.ROWS_REMAPPED_CORRECTABLE_TOTAL),
    Field(143, 0, _Q.ROWS_REMAPPED_UNCORRECTABLE_TOTAL),
    Field(94, 0, _Q.PCIE_REPLAYS_TOTAL),
    Field(95, 0, _Q.PCIE_REPLAY_ROLLOVERS_TOTAL),
    Field(169, 0, _Q.PCIE_RECOVERIES_TOTAL),
    Field(197, 0, _Q.PCIE_TRANSMITTED_BYTES_TOTAL),
    Field(198, 0, _Q.PCIE_RECEIVED_BYTES_TOTAL),
    *(Field(number, 0, Part(_Q.PCIE_ERRORS_TOTAL, kind)) for number, kind in enumerate(_PCIE_ERRORS, start=173)),
)

_LINK_COUNTERS = {
    201: _Q.NVLINK_TRANSMITTED_PACKETS_TOTAL,
    202: _Q.NVLINK_TRANSMITTED_BYTES_TOTAL,
    203: _Q.NVLINK_RECEIVED_PACKETS_TOTAL,
    204: _Q.NVLINK_RECEIVED_BYTES_TOTAL,
    206: _Q.NVLINK_MALFORMED_PACKETS_TOTAL,
    207: _Q.NVLINK_BUFFER_OVERRUNS_TOTAL,
    208: _Q.NVLINK_RECEIVE_ERRORS_TOTAL,
    209: _Q.NVLINK_REMOTE_ERRORS_TOTAL,
    210: _Q.NVLINK_HEADER_ERRORS_TOTAL,
    211: _Q.NVLINK_INTEGRITY_ERRORS_TOTAL,
    212: _Q.NVLINK_TRANSMIT_DISCARDS_TOTAL,
    213: _Q.NVLINK_RECOVERIES_SUCCEEDED_TOTAL,
    214: _Q.NVLINK_RECOVERIES_FAILED_TOTAL,
    215: _Q.NVLINK_RECOVERIES_TOTAL,
}
_C2C_COUNTERS = {
    171: _Q.C2C_LINK_ACTIVE,
    231: _Q.C2C_ERRORS_TOTAL,
    232: _Q.C2C_REPLAYS_TOTAL,
    233: _Q.C2C_BACK_TO_BACK_REPLAYS_TOTAL,
}

_LIMIT_OFFSETS = {193: "shutdown", 194: "slowdown", 195: "memory_max", 196: "gpu_max"}
_LOCATIONS = ("l1", "l2", "device", "register", "texture", "cbu")  # of the last: uncorrectable only


def _by_location(first: int, correctable: Quantity, uncorrectable: Quantity) -> tuple[Field, ...]:
    numbers = iter(range(first, first + 2 * len(_LOCATIONS) - 1))
    kinds = [(kind, location) for location in _LOCATIONS for kind in (correctable, uncorrectable)]
    del kinds[-2]
    return tuple(
        Field(number, 0, Part(kind, location)) for number, (kind, location) in zip(numbers, kinds, strict=True)
    )


DETAIL = (
    Field(187, GPU, _Q.POWER_LIMIT_MIN_WATTS, MILLI),
    Field(188, GPU, _Q.POWER_LIMIT_MAX_WATTS, MILLI),
    Field(187, MODULE, _Q.MODULE_POWER_LIMIT_MIN_WATTS, MILLI),
    Field(188, MODULE, _Q.MODULE_POWER_LIMIT_MAX_WATTS, MILLI),
    Field(251, 0, _Q.SMOOTHING_ENABLED),
    Field(252, 0, _Q.SMOOTHING_PRIVILEGE_LEVEL),
    Field(253, 0, _Q.SMOOTHING_RAMP_DOWN_IMMEDIATE),
    Field(254, 0, _Q.SMOOTHING_CEILING_WATTS),
    Field(255, 0, _Q.SMOOTHING_FLOOR_WATTS),
    Field(258, 0, _Q.SMOOTHING_LIFETIME_REMAINING_RATIO, PERCENT),
    Field(264, 0, _Q.SMOOTHING_ACTIVE_PROFILE),
    Field(1, 0, _Q.ECC_ENABLED),
    Field(2, 0, _Q.ECC_PENDING),
    *(Field(number, 0, Part(_Q.TEMPERATURE_LIMIT_OFFSET_CELSIUS, name)) for number, name in _LIMIT_OFFSETS.items()),
    *_by_location(7, _Q.ECC_LOCATION_CORRECTABLE_VOLATILE_TOTAL, _Q.ECC_LOCATION_UNCORRECTABLE_VOLATILE_TOTAL),
    *_by_location(18, _Q.ECC_LOCATION_CORRECTABLE_AGGREGATE_TOTAL, _Q.ECC_LOCATION_UNCORRECTABLE_AGGREGATE_TOTAL),
    *(Field(183, lane, Part(_Q.PCIE_LANE_ERRORS_TOTAL, str(lane))) for lane in range(LANES)),
)

_SPEED, _POWER_STATE, _RETRIES = 164, 167, 295
_EFFECTIVE_ERRORS, _EFFECTIVE_BER, _SYMBOL_ERRORS, _SYMBOL_BER = 219, 220, 221, 222
_FEC = range(235, 251)


def _per(count: int, counters: dict[int, Quantity]) -> tuple[Field, ...]:
    return tuple(
        Field(number, one, Part(quantity, str(one))) for number, quantity in counters.items() for one in range(count)
    )


def _link_detail(link: int) -> tuple[Field, ...]:
    def part(quantity: Quantity) -> Key:
        return Part(quantity, str(link))

    return (
        Field(_SPEED, link, part(_Q.NVLINK_SPEED_BYTES_PER_SECOND), MEGA),
        Field(_POWER_STATE, link, part(_Q.NVLINK_POWER_STATE)),
        Field(_EFFECTIVE_ERRORS, link, part(_Q.NVLINK_EFFECTIVE_ERRORS_TOTAL)),
        Field(_EFFECTIVE_BER, link, part(_Q.NVLINK_EFFECTIVE_BIT_ERROR_RATIO), is_ber=True),
        Field(_SYMBOL_ERRORS, link, part(_Q.NVLINK_SYMBOL_ERRORS_TOTAL)),
        Field(_SYMBOL_BER, link, part(_Q.NVLINK_SYMBOL_BIT_ERROR_RATIO), is_ber=True),
        Field(_RETRIES, link, part(_Q.NVLINK_RETRY_BLOCKS_TOTAL)),
        *(
            Field(number, link, Part(_Q.NVLINK_FEC_BLOCKS_TOTAL, str(symbols)), is_summed=True)
            for symbols, number in enumerate(_FEC)
        ),
    )


def batches(one: Round, links: int, c2c_links: int) -> tuple[tuple[Field, ...], ...]:
    """Return the batches of a round for a GPU with this many NVLinks and C2C links; empty ones are left out."""
    return tuple(batch for batch in _batches(one, links, c2c_links) if batch)


def _batches(one: Round, links: int, c2c_links: int) -> tuple[tuple[Field, ...], ...]:
    if one is Round.PULSE:
        return PULSE, _per(links, {165: _Q.NVLINK_STATE})
    if one is Round.STATUS:
        return (STATUS,)
    if one is Round.LINKS:
        totals = (
            Field(138, ALL_LINKS, _Q.NVLINK_DATA_TRANSMITTED_BYTES_TOTAL, KIBI),
            Field(139, ALL_LINKS, _Q.NVLINK_DATA_RECEIVED_BYTES_TOTAL, KIBI),
        )
        return (*totals, *_per(links, _LINK_COUNTERS)) if links else (), _per(c2c_links, _C2C_COUNTERS)
    detail = tuple(field for link in range(links) for field in _link_detail(link))
    count = (Field(LINK_COUNT, 0, _Q.NVLINK_LINKS),)
    return DETAIL, count + detail, _per(c2c_links, {234: _Q.C2C_POWER_STATE})
