"""Batched field values: types, scopes, errors in their entries, known defects."""

import pytest

from tests.fakedriver.driver import ALL_LINKS, FakeDriver, Return, ValueType
from tests.fakedriver.program import Program, answer


def test_field_defaults(driver: FakeDriver) -> None:
    """Values decode by their tag, negative limits included, over all power scopes."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        say(fields(handles()[0], [193, 194, 195, 196, (185, 0), (185, 1), (185, 2), (186, 1),
            (187, 0), (188, 1), (190, 0), 82, 230, 308, 1, 3, 142, 91, (164, 17), (165, 0),
            (166, 5), (222, 3), (138, 0xFFFFFFFF), 170, (171, 13), 94]))
        """,
    )

    assert result == [
        *(-5, -2, 0, 0, 180_400, 488_300, 35_700, 487_700),
        *(200_000, 2_900_000, 1_400_000, 38, 0, 38.0, 1, 0, 0, 18, 53_125, 1),
        *(7, 0xFFF, 0, 14, 1, 0),
    ]


def test_field_errors_stay_in_their_entry(driver: FakeDriver) -> None:
    """A batch succeeds although entries fail: unsupported, forbidden, or out of range."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        say(fields(handles()[0], [29, 92, 161, 999, 251, 288, 300, (186, 2), (185, 3), (185, 4),
            (165, 18), (83, 1), 82]))
        """,
    )

    errors = [entry["error"] for entry in result[:-1]]
    assert errors == [3, 3, 3, 3, 4, 4, 4, 3, 3, 2, 2, 2]
    assert result[-1] == 38


def test_root_reads_power_smoothing(driver: FakeDriver) -> None:
    """Power smoothing is forbidden, not absent: with the right it answers."""
    driver.set_privileged(privileged=True)

    result = answer(driver, "n.nvmlInit(); say(fields(handles()[0], [251, (260, 4), 258]))")

    assert result == [0, 0, 100]


def test_field_overrides(driver: FakeDriver) -> None:
    """One field of one GPU and scope can be given a value, a tag, an error, and be let go."""
    driver.set_field(1, 213, 7, scope=5)
    driver.set_field(1, 3, 2**64 - 1)
    driver.set_field(1, 186, 1_390_000, value_type=ValueType.UNSIGNED_LONG_LONG)
    driver.set_field(1, 308, 71.5)
    driver.set_field(1, 193, -9)
    driver.set_field(1, 138, 99, scope=ALL_LINKS)
    driver.set_field_error(1, 82, Return.UNKNOWN)
    driver.set_field_error(1, 94, Return.NO_DATA)
    driver.clear_field(1, 94)

    wanted = "[(213, 5), (213, 4), 3, 186, 308, 193, (138, 0xFFFFFFFF), 82, 94]"
    result = answer(driver, f"n.nvmlInit(); say([fields(h, {wanted}) for h in handles()[:2]])")

    assert result[0] == [0, 0, 0, 180_300, 38.0, -5, 0, 38, 0]
    assert result[1] == [7, 0, 2**64 - 1, 1_390_000, 71.5, -9, 99, {"error": 999}, 0]


def test_ecc_is_the_same_through_both_doors(driver: FakeDriver) -> None:
    """The ECC and remapping calls answer from the fields."""
    driver.set_field(0, 4, 3)
    driver.set_field(0, 144, 1)
    driver.set_field_error(0, 5, Return.UNKNOWN)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([n.nvmlDeviceGetTotalEccErrors(h, 1, 0), n.nvmlDeviceGetTotalEccErrors(h, 0, 0),
             code(n.nvmlDeviceGetTotalEccErrors, h, 0, 1), n.nvmlDeviceGetRemappedRows(h)])
        """,
    )

    assert result == [3, 0, 999, [0, 0, 1, 0]]


def test_failed_entries_hold_junk(driver: FakeDriver) -> None:
    """A failed entry is undefined: who reads it anyway finds no plausible zero."""
    result = answer(
        driver,
        "n.nvmlInit(); say(n.nvmlDeviceGetFieldValues(handles()[0], [29])[0].value.ullVal)",
    )

    assert result == 0xA5A5A5A5A5A5A5A5


@pytest.mark.parametrize("overread", [False, True])
def test_overread_quirk(driver: FakeDriver, *, overread: bool) -> None:
    """With the quirk a batch touches the entry after its last one, without it none."""
    driver.set_quirks(overread=overread)

    result = answer(
        driver,
        """
        n.nvmlInit()
        values = (n.c_nvmlFieldValue_t * 2)()
        values[0].fieldId = 82
        result = n.nvmlLib.nvmlDeviceGetFieldValues(handles()[0], 1, values)
        say([result, values[0].value.uiVal, any(bytes(values)[40:])])
        """,
    )

    assert result == [0, 38, overread]


def test_mixed_batch_quirk(driver: FakeDriver) -> None:
    """With the quirk, ECC and NVLink counters spoil each other, and only together."""
    driver.set_quirks(mixed_batch=True)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([fields(h, [3, (202, 0)]), fields(h, [3]), fields(h, [(202, 0)])])
        """,
    )

    assert result == [[{"error": 3}, {"error": 3}], [0], [0]]


def test_overlapping_batches_are_counted(driver: FakeDriver) -> None:
    """Two threads inside a field batch at once are noticed; one after the other are not."""
    driver.set_latency(field_us=20_000)
    source = """
        n.nvmlInit()
        h = handles()[0]
        for _ in range(2):
            fields(h, [82])
        say(0)
        hear()
        threads = [threading.Thread(target=fields, args=(h, [82])) for _ in range(2)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        say(0)
        """

    with Program(driver, source) as program:
        program.hear()
        in_sequence = driver.overlapping_field_calls()
        program.go_on()
        program.hear()

    assert in_sequence == 0
    assert driver.overlapping_field_calls() == 1
