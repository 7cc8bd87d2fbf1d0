"""What NVML answers one call at a time: which function, what it is handed, how its answer reads.

Structs are laid out here by size and version, little-endian, so that no default of the bindings
is shared between threads and no member is decoded that the driver did not mean as text.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from collectors.catalogue import Key, Part, Quantity, Round
from collectors.device import Missing
from collectors.nvml.codes import INSUFFICIENT_SIZE, NO_SUCH_CALL, SUCCESS, missing_for
from collectors.nvml.fields import keep
from collectors.nvml.library import Buffer, Library

_Q = Quantity
_MHZ, _PERCENT = 1e6, 0.01
_NOT_AVAILABLE = 2**64 - 1
_PROCESSES = 128
_PROCESS = struct.Struct("<I4xQII")  # pid, bytes, instance ids

Unpack = Callable[[Sequence[bytes]], Sequence[float | None]]


def versioned(version: int, size: int) -> bytes:
    """Return a blank struct of NVML that begins with its version and size."""
    return struct.pack("<I", version << 24 | size) + bytes(size - 4)


def _unpacked(layout: str, factor: float = 1.0) -> Unpack:
    """Return how the first answer reads: its members times a factor."""
    shape = struct.Struct(layout)

    def unpack(answers: Sequence[bytes]) -> Sequence[float | None]:
        return [value * factor for value in shape.unpack_from(answers[0])]

    return unpack


@dataclass(frozen=True, slots=True)
class Call:
    """One function: numbers and blank memory to hand over, and the keys that its answer feeds.

    `unpack` gets the filled memory, one piece for each blank, and returns a value for each key.
    `older` is asked instead on drivers that lack the function or its struct.
    """

    function: str
    arguments: tuple[int | bytes, ...]
    keys: tuple[Key, ...]
    unpack: Unpack
    older: "Call | None" = None


def _number(function: str, key: Key, *numbers: int, factor: float = 1.0) -> Call:
    """Return a call that fills one unsigned number."""
    return Call(function, (*numbers, bytes(4)), (key,), _unpacked("<I", factor))


_TEMPERATURE = (_Q.TEMPERATURE_CELSIUS,)
_REASONS = {
    0x1: "gpu_idle",
    0x2: "application_clocks",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
    0x100: "display_clocks",
    0x200: "board_limit",
    0x400: "reliability",
}
_REASON_KEYS = tuple(Part(_Q.CLOCK_EVENT, reason) for reason in _REASONS.values())


def _reasons(answers: Sequence[bytes]) -> Sequence[float]:
    mask = int.from_bytes(answers[0], "little")
    return [float(bool(mask & bit)) for bit in _REASONS]


PULSE = (
    Call(
        "nvmlDeviceGetTemperatureV",
        (versioned(1, 12),),
        _TEMPERATURE,
        _unpacked("<8xi"),
        older=Call("nvmlDeviceGetTemperature", (0, bytes(4)), _TEMPERATURE, _unpacked("<i")),
    ),
    Call("nvmlDeviceGetMarginTemperature", (versioned(1, 8),), (_Q.TEMPERATURE_MARGIN_CELSIUS,), _unpacked("<4xi")),
    Call(
        "nvmlDeviceGetUtilizationRates",
        (bytes(8),),
        (_Q.UTILISATION_RATIO, _Q.MEMORY_UTILISATION_RATIO),
        _unpacked("<II", _PERCENT),
    ),
    Call(
        "nvmlDeviceGetCurrentClocksEventReasons",
        (bytes(8),),
        _REASON_KEYS,
        _reasons,
        older=Call("nvmlDeviceGetCurrentClocksThrottleReasons", (bytes(8),), _REASON_KEYS, _reasons),
    ),
)

_DOMAINS = {0: "graphics", 1: "sm", 2: "memory", 3: "video"}

STATUS = (
    Call(
        "nvmlDeviceGetMemoryInfo_v2",
        (versioned(2, 40),),
        (_Q.MEMORY_TOTAL_BYTES, _Q.MEMORY_RESERVED_BYTES, _Q.MEMORY_FREE_BYTES, _Q.MEMORY_USED_BYTES),
        _unpacked("<8xQQQQ"),
    ),
    *(
        _number("nvmlDeviceGetClockInfo", Part(_Q.CLOCK_HERTZ, name), domain, factor=_MHZ)
        for domain, name in _DOMAINS.items()
    ),
    _number("nvmlDeviceGetPerformanceState", _Q.PERFORMANCE_STATE),
    Call(
        "nvmlDeviceGetEncoderUtilization",
        (bytes(4), bytes(4)),
        (_Q.ENCODER_UTILISATION_RATIO,),
        _unpacked("<I", _PERCENT),
    ),
    Call(
        "nvmlDeviceGetDecoderUtilization",
        (bytes(4), bytes(4)),
        (_Q.DECODER_UTILISATION_RATIO,),
        _unpacked("<I", _PERCENT),
    ),
)

_SRAM = (
    "aggregate_uncorrectable_parity",
    "aggregate_uncorrectable_secded",
    "aggregate_correctable",
    "volatile_uncorrectable_parity",
    "volatile_uncorrectable_secded",
    "volatile_correctable",
)
_SPARES = ("max", "high", "partial", "low", "none")


def _processes(answers: Sequence[bytes]) -> Sequence[float | None]:
    """Return how many processes there are, and their memory where the driver tells of all of it."""
    count = int.from_bytes(answers[0], "little")
    if count > _PROCESSES:
        return float(count), None
    held = [_PROCESS.unpack_from(answers[1], at * _PROCESS.size)[1] for at in range(count)]
    return float(count), None if _NOT_AVAILABLE in held else float(sum(held))


DETAIL = (
    *(
        _number("nvmlDeviceGetMaxClockInfo", Part(_Q.CLOCK_MAX_HERTZ, name), domain, factor=_MHZ)
        for domain, name in _DOMAINS.items()
    ),
    Call(
        "nvmlDeviceGetRowRemapperHistogram",
        (bytes(20),),
        tuple(Part(_Q.REMAP_BANKS, spare) for spare in _SPARES),
        _unpacked("<5I"),
    ),
    Call(
        "nvmlDeviceGetRepairStatus",
        (versioned(1, 12),),
        (_Q.CHANNEL_REPAIR_PENDING, _Q.TPC_REPAIR_PENDING),
        _unpacked("<4xII"),
    ),
    _number("nvmlDeviceGetUnrepairableMemoryFlag_v1", _Q.MEMORY_UNREPAIRABLE),
    Call(
        "nvmlDeviceGetSramEccErrorStatus",
        (versioned(1, 104),),
        (*(Part(_Q.SRAM_ERRORS_TOTAL, kind) for kind in _SRAM), _Q.SRAM_THRESHOLD_EXCEEDED),
        _unpacked("<8x6Q40xI"),
    ),
    _number("nvmlDeviceGetCurrPcieLinkGeneration", _Q.PCIE_LINK_GENERATION),
    _number("nvmlDeviceGetMaxPcieLinkGeneration", _Q.PCIE_LINK_GENERATION_MAX),
    _number("nvmlDeviceGetCurrPcieLinkWidth", _Q.PCIE_LINK_WIDTH),
    Call(
        "nvmlDeviceGetComputeRunningProcesses_v3",
        (struct.pack("<I", _PROCESSES), bytes(_PROCESSES * _PROCESS.size)),
        (_Q.COMPUTE_PROCESSES, _Q.COMPUTE_PROCESSES_MEMORY_BYTES),
        _processes,
    ),
)

CALLS: dict[Round, tuple[Call, ...]] = {
    Round.PULSE: PULSE,
    Round.STATUS: STATUS,
    Round.LINKS: (),
    Round.DETAIL: DETAIL,
}


@dataclass(slots=True)
class Prepared:
    """A call with memory of its own; one GPU's, used by one thread."""

    call: Call
    _arguments: list[int | Buffer] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Reserve the memory."""
        self._reserve()

    def ask(self, library: Library, handle: int, values: dict[Key, float], missing: dict[Key, Missing]) -> int:
        """Call the driver and sort what it answered; return the code."""
        code = self._call(library, handle)
        if code in NO_SUCH_CALL and self.call.older is not None:
            self.call = self.call.older  # this driver only knows the older one
            self._reserve()
            code = self._call(library, handle)
        if code in {SUCCESS, INSUFFICIENT_SIZE}:
            self._keep(values, missing)
        else:
            missing.update(dict.fromkeys(self.call.keys, missing_for(code)))
        return code

    def _reserve(self) -> None:
        self._arguments = [Buffer(one) if isinstance(one, bytes) else one for one in self.call.arguments]

    def _call(self, library: Library, handle: int) -> int:
        for one in self._arguments:
            if isinstance(one, Buffer):
                one.clear()
        return library.call(self.call.function, handle, *self._arguments)

    def _keep(self, values: dict[Key, float], missing: dict[Key, Missing]) -> None:
        answers = [bytes(one.raw) for one in self._arguments if isinstance(one, Buffer)]
        for key, value in zip(self.call.keys, self.call.unpack(answers), strict=True):
            if value is None:
                missing[key] = Missing.FAILED
            else:
                keep(key, value, values, missing)
