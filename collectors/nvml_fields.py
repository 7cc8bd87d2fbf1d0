"""Field values of NVML: our own numbers, one prebuilt batch, decoded by the returned type.

The numbers are ours because bindings have renumbered theirs; the types are decoded as they
come because their tags vary by driver. An entry is 40 bytes, little-endian:
id, scope, timestamp µs, latency µs, value type, return code, eight bytes of value.
"""

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.device import Missing, Quantity

ENTRY = struct.Struct("<IIqqII8s")
_DECODERS = {
    0: struct.Struct("<d"),
    1: struct.Struct("<I4x"),
    2: struct.Struct("<Q"),
    3: struct.Struct("<Q"),
    4: struct.Struct("<q"),
    5: struct.Struct("<i4x"),
    6: struct.Struct("<H6x"),
}

RECOVERY_ACTION = 230
SUCCESS, NOT_SUPPORTED, NO_PERMISSION, INVALID_ARGUMENT = 0, 3, 4, 2


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the batch: what it feeds, and the factor from the vendor's unit to ours."""

    number: int
    scope: int
    quantity: Quantity | None
    factor: float


MILLI = 0.001
BATCH: tuple[Field, ...] = (
    Field(186, 0, Quantity.POWER_WATTS, MILLI),
    Field(185, 0, Quantity.POWER_AVERAGE_WATTS, MILLI),
    Field(186, 1, Quantity.MODULE_POWER_WATTS, MILLI),
    Field(185, 2, Quantity.MEMORY_POWER_WATTS, MILLI),
    Field(190, 0, Quantity.POWER_LIMIT_WATTS, MILLI),
    Field(83, 0, Quantity.ENERGY_JOULES_TOTAL, MILLI),
    Field(82, 0, Quantity.MEMORY_TEMPERATURE_CELSIUS, 1.0),
    Field(RECOVERY_ACTION, 0, None, 1.0),
)

# Beyond these no GB300 has a truthful answer; a sentinel such as 4294967295 never passes.
PLAUSIBLE: dict[Quantity, tuple[float, float]] = {
    Quantity.POWER_WATTS: (0, 5_000),
    Quantity.POWER_AVERAGE_WATTS: (0, 5_000),
    Quantity.MODULE_POWER_WATTS: (0, 10_000),
    Quantity.MEMORY_POWER_WATTS: (0, 2_000),
    Quantity.POWER_LIMIT_WATTS: (0, 5_000),
    Quantity.ENERGY_JOULES_TOTAL: (0, 1e13),
    Quantity.TEMPERATURE_CELSIUS: (-50, 150),
    Quantity.MEMORY_TEMPERATURE_CELSIUS: (-50, 150),
    Quantity.UTILISATION_RATIO: (0, 1),
    Quantity.MEMORY_UTILISATION_RATIO: (0, 1),
}

_ASK = struct.Struct("<II")


class FieldBatch:
    """A reusable array for one GPU, with a guard entry: some drivers touch one past the count."""

    def __init__(self, fields: Sequence[Field] = BATCH) -> None:
        """Lay the array out once."""
        self.fields = tuple(fields)
        self._buffer = ctypes.create_string_buffer(ENTRY.size * (len(self.fields) + 1))
        self._used = ENTRY.size * len(self.fields)

    def ask(self, call: Callable[[int, object], int]) -> int:
        """Fill the array by one call `(count, array) -> return code` and return that code."""
        for number, field in enumerate(self.fields):
            _ASK.pack_into(self._buffer, number * ENTRY.size, field.number, field.scope)
        return call(len(self.fields), self._buffer)

    def entries(self) -> list[tuple[Field, int, int, bytes]]:
        """Return (field, return code, value type, value bytes) of each entry."""
        raw = memoryview(self._buffer)[: self._used]
        return [
            (field, code, kind, value)
            for field, (_, _, _, _, kind, code, value) in zip(self.fields, ENTRY.iter_unpack(raw), strict=True)
        ]


def decode(kind: int, value: bytes) -> float | None:
    """Return the number that eight bytes hold by their value type; None for an unknown type."""
    decoder = _DECODERS.get(kind)
    return decoder.unpack(value)[0] if decoder is not None else None


def missing_for(code: int) -> Missing:
    """Return why a value is absent, by NVML's return code; a wrong scope means unsupported."""
    if code in {NOT_SUPPORTED, INVALID_ARGUMENT}:
        return Missing.UNSUPPORTED
    return Missing.FORBIDDEN if code == NO_PERMISSION else Missing.FAILED


def sift(
    entries: Sequence[tuple[Field, int, int, bytes]],
    values: dict[Quantity, float],
    missing: dict[Quantity, Missing],
) -> int | None:
    """Sort entries into values and missing, in base units; return the recovery action if read."""
    action = None
    for field, code, kind, raw in entries:
        number = decode(kind, raw) if code == SUCCESS else None
        if field.quantity is None:
            action = int(number) if number is not None else None
        elif number is None:
            missing[field.quantity] = missing_for(code) if code != SUCCESS else Missing.FAILED
        else:
            keep(field.quantity, number * field.factor, values, missing)
    return action


def keep(quantity: Quantity, value: float, values: dict[Quantity, float], missing: dict[Quantity, Missing]) -> None:
    """Keep a value that physics allows; call anything else failed."""
    low, high = PLAUSIBLE[quantity]
    if low <= value <= high:
        values[quantity] = value
    else:
        missing[quantity] = Missing.FAILED
