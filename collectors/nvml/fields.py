"""Field values of NVML: our own numbers, prebuilt batches, decoded by the returned type.

The numbers are ours because bindings have renumbered theirs; the types are decoded as they
come because their tags vary by driver. An entry is 40 bytes, little-endian:
id, scope, timestamp µs, latency µs, value type, return code, eight bytes of value.
"""

import struct
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collectors.catalogue import Key, is_plausible
from collectors.device import Missing
from collectors.nvml.codes import SUCCESS, missing_field_for
from collectors.nvml.library import Buffer

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
_NO_NUMBER = {1: 0xFFFFFFFF, 2: 0xFFFFFFFFFFFFFFFF, 3: 0xFFFFFFFFFFFFFFFF}  # written where there is no answer
RECOVERY_ACTION = 230
_ACTION_MAX = 0xFFFFFFFE


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a batch: what it feeds, and the factor from the vendor's unit to ours.

    `is_summed` adds the fields of one key up; `is_ber` reads a coded bit error ratio. The
    recovery action feeds no key: it is evidence, not a value.
    """

    number: int
    scope: int
    key: Key | None
    factor: float = 1.0
    is_summed: bool = False
    is_ber: bool = False


class Answer(NamedTuple):
    """What the driver wrote into one entry; the value means nothing unless the code is 0."""

    field: Field
    code: int
    value_type: int
    value: bytes


Call = Callable[[int, Buffer], int]
"""The driver's call: `(count, entries) -> return code`."""


class FieldBatch:
    """Reusable entries for one GPU, with a guard entry: some drivers touch one past the count."""

    def __init__(self, fields: Sequence[Field]) -> None:
        """Lay the entries out once."""
        self.fields = tuple(fields)
        self.is_settled = False  # what this GPU does not support was left out
        self.is_split = False  # asked field by field, in vain
        blank = [ENTRY.pack(one.number, one.scope, 0, 0, 0, 0, bytes(8)) for one in self.fields]
        self._buffer = Buffer(b"".join(blank) + bytes(ENTRY.size))
        self._used = memoryview(self._buffer.raw)[: len(blank) * ENTRY.size]

    def ask(self, call: Call) -> int:
        """Fill the entries by one call and return its code."""
        self._buffer.clear()
        return call(len(self.fields), self._buffer)

    def ask_singly(self, call: Call) -> list[int]:
        """Fill the entries by one call a field and return the code of each call.

        A field whose call was refused carries that code, as if its entry had been answered so.
        """
        self._buffer.clear()
        return [self._ask_one(call, offset) for offset in range(0, len(self._used), ENTRY.size)]

    def _ask_one(self, call: Call, offset: int) -> int:
        end = offset + ENTRY.size
        single = Buffer(bytes(self._used[offset:end]) + bytes(ENTRY.size))
        code = call(1, single)
        if code != SUCCESS:
            _CODE.pack_into(single.raw, _CODE_OFFSET, code)
        self._used[offset:end] = single.raw[: ENTRY.size]
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


def bit_error_ratio(code: float) -> float:
    """Return the ratio that NVML packs as mantissa (bits 8-11) and negative exponent (bits 0-7)."""
    packed = int(code)
    return float((packed >> 8 & 0xF) * 10.0 ** -(packed & 0xFF))


def sift(answers: Iterable[Answer], values: dict[Key, float], missing: dict[Key, Missing]) -> int | None:
    """Sort answers into values and missing, in base units; return the recovery action if read."""
    action = None
    for answer in answers:
        field = answer.field
        number = decode(answer.value_type, answer.value) if answer.code == SUCCESS else None
        if field.key is None:
            action = int(number) if number is not None and 0 <= number <= _ACTION_MAX else None
        elif number is None or _NO_NUMBER.get(answer.value_type) == number:
            missing[field.key] = missing_field_for(answer.code) if answer.code != SUCCESS else Missing.FAILED
        else:
            number = bit_error_ratio(number) if field.is_ber else number * field.factor
            keep(field.key, number + (values.get(field.key, 0) if field.is_summed else 0), values, missing)
    return action


def keep(key: Key, value: float, values: dict[Key, float], missing: dict[Key, Missing]) -> None:
    """Keep a value that physics allows; call anything else failed."""
    if is_plausible(key, value):
        values[key] = value
    else:
        missing[key] = Missing.FAILED
