"""The vendor's raw numbers that tests speak in."""

from enum import IntEnum, StrEnum
from typing import Final

ALL_LINKS: Final = 0xFFFFFFFF
"""Scope id of the sum over all NVLinks (fields 138 to 141)."""
LINKS: Final = range(18)
"""NVLinks of one GPU."""
EVENT_TYPES: Final = tuple(1 << bit for bit in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15))
"""Every event a GPU can be registered for, one bit each."""


class Return(IntEnum):
    """The result codes that tests inject."""

    SUCCESS = 0
    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    INSUFFICIENT_SIZE = 7
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    LIB_RM_VERSION_MISMATCH = 18
    NO_DATA = 21
    ARGUMENT_VERSION_MISMATCH = 25
    GPU_NOT_FOUND = 28
    UNKNOWN = 999


class Scope(IntEnum):
    """What a power reading is about."""

    GPU = 0
    MODULE = 1
    MEMORY = 2


class ValueType(IntEnum):
    """The tag of a field value."""

    DOUBLE = 0
    UNSIGNED_INT = 1
    UNSIGNED_LONG = 2
    UNSIGNED_LONG_LONG = 3
    SIGNED_LONG_LONG = 4
    SIGNED_INT = 5
    UNSIGNED_SHORT = 6


class LinkState(IntEnum):
    """What an NVLink says it is."""

    INACTIVE = 0
    ACTIVE = 1
    SLEEP = 2
    TRAFFIC_DISABLED = 3


class LinkCounter(IntEnum):
    """The counters of one NVLink, by field id."""

    SENT_BYTES = 202
    RECEIVED_BYTES = 204
    MALFORMED_PACKETS = 206
    BUFFER_OVERRUNS = 207
    RECEIVE_ERRORS = 208
    REMOTE_ERRORS = 209
    GENERAL_ERRORS = 210
    INTEGRITY_ERRORS = 211
    SEND_DISCARDS = 212
    RECOVERIES_DONE = 213
    RECOVERIES_FAILED = 214
    RECOVERIES = 215
    EFFECTIVE_ERRORS = 219
    SYMBOL_ERRORS = 221


class EccLocation(IntEnum):
    """Where memory errors are counted, in the order of the fields."""

    L1 = 0
    L2 = 1
    DEVICE = 2
    REGISTER = 3
    TEXTURE = 4
    CBU = 5


class SramCounter(IntEnum):
    """The counters of SRAM errors."""

    AGGREGATE_UNCORRECTABLE_PARITY = 0
    AGGREGATE_UNCORRECTABLE_SECDED = 1
    AGGREGATE_CORRECTABLE = 2
    VOLATILE_UNCORRECTABLE_PARITY = 3
    VOLATILE_UNCORRECTABLE_SECDED = 4
    VOLATILE_CORRECTABLE = 5
    L2 = 6
    SM = 7
    PCIE = 8
    MICROCONTROLLER = 9
    OTHER = 10


class Text(StrEnum):
    """The texts of a GPU that a test may spoil, by their names in the state."""

    NAME = "name"
    UUID = "uuid"
    SERIAL = "serial"
    BOARD_PART_NUMBER = "board_part_number"
    VBIOS_VERSION = "vbios_version"
    GSP_VERSION = "gsp_version"
    CHASSIS_SERIAL = "chassis_serial"
