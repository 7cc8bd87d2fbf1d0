"""Field batches: laid out once, decoded by what came back, and never a number that is none."""

import struct

import pytest

from collectors.catalogue import METRICS, Key, Quantity
from collectors.device import Missing
from collectors.nvml.batches import PULSE
from collectors.nvml.codes import missing_field_for, missing_for, telling
from collectors.nvml.fields import ENTRY, Answer, Field, FieldBatch, bit_error_ratio, decode, sift
from collectors.nvml.library import Buffer

POWER = Field(186, 0, Quantity.POWER_WATTS, 0.001)
ENERGY = Field(83, 0, Quantity.ENERGY_JOULES_TOTAL, 0.001)
ACTION = Field(230, 0, None, 1.0)
JUNK = b"\xa5" * ENTRY.size


def entries(count: int, buffer: Buffer) -> list[tuple[int, int]]:
    """Return (id, scope) as a driver would find them in the memory it is given."""
    return [struct.unpack_from("<II", buffer.raw, at * ENTRY.size) for at in range(count)]


def fill(count: int, buffer: Buffer, *, code: int = 0, overrun: bool = True) -> None:
    """Answer each entry with its own id as an unsigned int, and run over the end as some drivers do."""
    for at, (number, scope) in enumerate(entries(count, buffer)):
        filled = ENTRY.pack(number, scope, 1, 1, 1, code, struct.pack("<I4s", number, b"\xa5" * 4))
        buffer.raw[at * ENTRY.size : (at + 1) * ENTRY.size] = filled
    if overrun:
        buffer.raw[count * ENTRY.size : (count + 1) * ENTRY.size] = JUNK


def filled(count: int, buffer: Buffer) -> int:
    """Answer as `fill` does, with the code of success."""
    fill(count, buffer)
    return 0


def answer(code: int, kind: int, value: bytes, field: Field = POWER) -> Answer:
    return Answer(field, code, kind, value)


@pytest.mark.parametrize(
    ("kind", "value", "number"),
    [
        (0, struct.pack("<d", 38.5), 38.5),
        (1, struct.pack("<I4s", 4_000_000_000, b"\xff" * 4), 4_000_000_000),
        (2, struct.pack("<Q", 2**63), 2**63),
        (3, struct.pack("<Q", 2**64 - 1), 2**64 - 1),
        (4, struct.pack("<q", -5), -5),
        (5, struct.pack("<i4s", -5, b"\xff" * 4), -5),
        (6, struct.pack("<H6s", 65_535, b"\xff" * 6), 65_535),
        (7, bytes(8), None),
        (2**32 - 1, bytes(8), None),
    ],
)
def test_a_value_is_decoded_by_the_type_that_came_back(kind: int, value: bytes, number: float | None) -> None:
    """Bytes beyond the member are junk; a limit of -5 is -5 and not 4294967291; an unknown type is no number."""
    assert decode(kind, value) == number


def test_the_driver_finds_ids_and_scopes_and_a_guard_entry() -> None:
    """Each call sees the same batch although the driver wrote over it and one entry past it."""
    batch, seen = FieldBatch(PULSE), []

    def call(count: int, buffer: Buffer) -> int:
        seen.append(entries(count, buffer))
        fill(count, buffer)
        return 0

    batch.ask(call)
    batch.ask(call)

    assert seen == [[(one.number, one.scope) for one in PULSE]] * 2
    assert [one.code for one in batch.answers()] == [0] * len(PULSE)


def test_no_answer_outlives_its_call() -> None:
    """A driver that fills nothing leaves no value of the call before."""
    batch = FieldBatch([POWER])
    batch.ask(filled)
    batch.ask(lambda *_: 0)

    assert batch.answers()[0].value == bytes(8)


def test_asked_singly_a_refused_field_carries_the_code_of_its_call() -> None:
    """The overrun of one entry does not spoil the next; refusals stay with their field."""
    batch, asked = FieldBatch([POWER, ENERGY, ACTION]), []

    def call(count: int, buffer: Buffer) -> int:
        asked.extend(entries(count, buffer))
        if asked[-1][0] == ENERGY.number:
            return 2
        fill(count, buffer)
        return 0

    codes = batch.ask_singly(call)

    assert asked == [(186, 0), (83, 0), (230, 0)]
    assert codes == [0, 2, 0] == [one.code for one in batch.answers()]
    assert decode(batch.answers()[2].value_type, batch.answers()[2].value) == 230


def test_a_batch_without_its_culprits_keeps_the_other_answers() -> None:
    """What was answered beside a culprit is not asked again."""
    batch = FieldBatch([POWER, ENERGY, ACTION])
    batch.ask(filled)
    smaller = batch.without({ENERGY})

    assert smaller.fields == (POWER, ACTION)
    assert smaller.answers() == [batch.answers()[0], batch.answers()[2]]


@pytest.mark.parametrize(
    ("code", "why", "why_field"),
    [
        (3, Missing.UNSUPPORTED, Missing.UNSUPPORTED),
        (13, Missing.UNSUPPORTED, Missing.UNSUPPORTED),
        (26, Missing.UNSUPPORTED, Missing.UNSUPPORTED),
        (4, Missing.FORBIDDEN, Missing.FORBIDDEN),
        (2, Missing.FAILED, Missing.UNSUPPORTED),
        (15, Missing.FAILED, Missing.FAILED),
        (21, Missing.FAILED, Missing.FAILED),
        (999, Missing.FAILED, Missing.FAILED),
    ],
)
def test_absent_forbidden_and_failed_stay_apart(code: int, why: Missing, why_field: Missing) -> None:
    """An invalid argument is a wrong scope on a field, and a stale handle on a call."""
    assert missing_for(code) is why
    assert missing_field_for(code) is why_field


@pytest.mark.parametrize(
    ("codes", "code"),
    [({15, 999}, 15), ({1, 15, 16}, 1), ({16, 3, 0}, 16), ({3, 4, 20}, 20), ({0}, 999), (set(), 999)],
)
def test_the_telling_code_is_about_the_gpu_as_a_whole(codes: set[int], code: int) -> None:
    """Reload, lost and reset required go first; unanswered fields without a failure are unknown."""
    assert telling(codes) == code


def test_vendor_units_end_here() -> None:
    """Milliwatts and millijoules become watts and joules."""
    values: dict[Key, float] = {}
    missing: dict[Key, Missing] = {}
    action = sift(
        [
            answer(0, 1, struct.pack("<I4x", 180_300)),
            answer(0, 3, struct.pack("<Q", 5_000_000_971), ENERGY),
            answer(0, 1, struct.pack("<I4x", 4), ACTION),
        ],
        values,
        missing,
    )

    assert values == pytest.approx({Quantity.POWER_WATTS: 180.3, Quantity.ENERGY_JOULES_TOTAL: 5_000_000.971})
    assert (missing, action) == ({}, 4)


@pytest.mark.parametrize(
    "one",
    [
        answer(999, 1, bytes(8)),
        answer(0, 99, bytes(8)),
        answer(0, 1, b"\xff" * 8),
        answer(0, 5, struct.pack("<i4x", -1)),
        answer(0, 0, struct.pack("<d", float("nan"))),
        answer(0, 0, struct.pack("<d", float("inf"))),
    ],
)
def test_what_is_no_number_is_missing_and_never_zero(one: Answer) -> None:
    """Errors, unknown types, sentinels, negative power, NaN and infinity are failures, also as an action."""
    values: dict[Key, float] = {}
    missing: dict[Key, Missing] = {}
    action = sift([one, one._replace(field=ACTION)], values, missing)

    assert (values, missing, action) == ({}, {Quantity.POWER_WATTS: Missing.FAILED}, None)


@pytest.mark.parametrize(("code", "ratio"), [(0x10F, 1e-15), (0xC08, 12e-8), (0xFFF, 15e-255), (0, 0.0)])
def test_a_bit_error_ratio_is_mantissa_and_negative_exponent(code: int, ratio: float) -> None:
    """Bits 8 to 11 times ten to the minus bits 0 to 7."""
    assert bit_error_ratio(code) == pytest.approx(ratio, rel=1e-12)


def test_fields_of_one_key_add_up() -> None:
    """A histogram over all links is the sum of what each link says."""
    one, two = (Field(235, link, Quantity.NVLINK_LINKS, is_summed=True) for link in (0, 1))
    values: dict[Key, float] = {}
    sift([answer(0, 3, struct.pack("<Q", 20), one), answer(0, 3, struct.pack("<Q", 22), two)], values, {})

    assert values == {Quantity.NVLINK_LINKS: 42}


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_all_ones_is_no_count(kind: int) -> None:
    """A counter of all ones is what drivers write where they have none."""
    values: dict[Key, float] = {}
    missing: dict[Key, Missing] = {}
    raw = b"\xff" * (4 if kind == 1 else 8)
    replays = Field(94, 0, Quantity.PCIE_REPLAYS_TOTAL)
    sift([answer(0, kind, raw.ljust(8, b"\0"), replays)], values, missing)

    assert (values, missing) == ({}, {Quantity.PCIE_REPLAYS_TOTAL: Missing.FAILED})


def test_every_quantity_has_a_plausible_range() -> None:
    """A quantity cannot be added without saying what is impossible."""
    assert set(METRICS) == set(Quantity)
