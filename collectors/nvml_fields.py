"""Field values of NVML: our own numbers, one prebuilt batch, decoded by the returned type.

The numbers are ours because bindings have renumbered theirs; the types are decoded as they
come because their tags vary by driver. An entry is 40 bytes, little-endian:
id, scope, timestamp µs, latency µs, value type, return code, eight bytes of value.
"""

import ctypes
import struct
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collectors.catalogue import Key, Quantity, is_plausible
from collectors.device import Missing

ENTRY = struct.Struct("<IIqqII8s")
_CODE = struct.Struct("<I")
_CODE_OFFSET = 28
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
SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION = 0, 1, 2, 3, 4
FUNCTION_NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED, BAD_VERSION, DEPRECATED, UNKNOWN = 13, 15, 16, 25, 26, 999
_TELLING = (UNINITIALIZED, GPU_IS_LOST, RESET_REQUIRED)  # what they say holds beyond the one call
_NO_NUMBER = 0xFFFFFFFF  # what drivers write where there is no answer
_UNSUPPORTED = {NOT_SUPPORTED, FUNCTION_NOT_FOUND, BAD_VERSION, DEPRECATED}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the batch: what it feeds, and the factor from the vendor's unit to ours."""

    number: int
    scope: int
    quantity: Quantity | None
    factor: float


class Answer(NamedTuple):
    """What the driver wrote into one entry; the value means nothing unless the code is 0."""

    field: Field
    code: int
    value_type: int
    value: bytes


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

Call = Callable[[int, object], int]
"""The driver's call: `(count, array) -> return code`."""


class FieldBatch:
    """A reusable array for one GPU, with a guard entry: some drivers touch one past the count."""

    def __init__(self, fields: Sequence[Field] = BATCH) -> None:
        """Lay the array out once."""
        self.fields = tuple(fields)
        blank = [ENTRY.pack(one.number, one.scope, 0, 0, 0, 0, bytes(8)) for one in self.fields]
        self._blank = b"".join(blank)
        self._raw = bytearray(len(self._blank) + ENTRY.size)
        self._used = memoryview(self._raw)[: len(self._blank)]
        self._array = (ctypes.c_char * len(self._raw)).from_buffer(self._raw)

    def ask(self, call: Call) -> int:
        """Fill the array by one call and return its code."""
        self._used[:] = self._blank  # nothing of the last answer stays
        return call(len(self.fields), self._array)

    def ask_singly(self, call: Call) -> list[int]:
        """Fill the array by one call a field and return the code of each call.

        A field whose call was refused carries that code, as if its entry had been answered so.
        """
        return [self._ask_one(call, offset) for offset in range(0, len(self._blank), ENTRY.size)]

    def _ask_one(self, call: Call, offset: int) -> int:
        end = offset + ENTRY.size
        self._used[offset:end] = self._blank[offset:end]  # the entry before may have run over it
        code = call(1, ctypes.byref(self._array, offset))
        if code != SUCCESS:
            _CODE.pack_into(self._raw, offset + _CODE_OFFSET, code)
        return code

    def without(self, refused: Container[Field]) -> "FieldBatch":
        """Return a smaller batch that holds the same answers."""
        kept = [number for number, one in enumerate(self.fields) if one not in refused]
        smaller = FieldBatch([self.fields[number] for number in kept])
        entries = [bytes(self._used[at * ENTRY.size : (at + 1) * ENTRY.size]) for at in kept]
        smaller._used[:] = b"".join(entries)
        return smaller

    def answers(self) -> list[Answer]:
        """Return what each entry holds now, in the order of the fields."""
        return [
            Answer(field, code, value_type, value)
            for field, (_, _, _, _, value_type, code, value) in zip(
                self.fields, ENTRY.iter_unpack(self._used), strict=True
            )
        ]


def decode(value_type: int, value: bytes) -> float | None:
    """Return the number that eight bytes hold by their value type; None for an unknown type."""
    decoder = _DECODERS.get(value_type)
    return decoder.unpack(value)[0] if decoder is not None else None


def missing_for(code: int) -> Missing:
    """Return why a whole call gave nothing, by NVML's return code."""
    if code in _UNSUPPORTED:
        return Missing.UNSUPPORTED
    return Missing.FORBIDDEN if code == NO_PERMISSION else Missing.FAILED


def missing_field_for(code: int) -> Missing:
    """Return why a field is absent; a scope that this GPU does not know means unsupported."""
    return Missing.UNSUPPORTED if code == INVALID_ARGUMENT else missing_for(code)


def telling(codes: Collection[int]) -> int:
    """Return the one of several codes that says most about the GPU as a whole."""
    failed = (code for code in codes if code != SUCCESS and missing_field_for(code) is Missing.FAILED)
    return next((code for code in _TELLING if code in codes), min(failed, default=UNKNOWN))


def sift(answers: Iterable[Answer], values: dict[Key, float], missing: dict[Key, Missing]) -> int | None:
    """Sort answers into values and missing, in base units; return the recovery action if read."""
    action = None
    for answer in answers:
        quantity = answer.field.quantity
        number = decode(answer.value_type, answer.value) if answer.code == SUCCESS else None
        if quantity is None:
            action = int(number) if number is not None and 0 <= number < _NO_NUMBER else None
        elif number is None:
            missing[quantity] = missing_field_for(answer.code) if answer.code != SUCCESS else Missing.FAILED
        else:
            keep(quantity, number * answer.field.factor, values, missing)
    return action


def keep(key: Key, value: float, values: dict[Key, float], missing: dict[Key, Missing]) -> None:
    """Keep a value that physics allows; call anything else failed."""
    if is_plausible(key, value):
        values[key] = value
    else:
        missing[key] = Missing.FAILED
