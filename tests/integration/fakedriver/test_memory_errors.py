"""ECC, SRAM, row remapping and repair, through fields and through their own calls."""

import pytest

from tests.fakedriver.driver import EccLocation, FakeDriver, Return, SramCounter
from tests.fakedriver.program import Program, answer

LOCATIONS = """
n.nvmlInit()
h = handles()[1]
def ask(kind, counter, location):
    try:
        return n.nvmlDeviceGetMemoryErrorCounter(h, kind, counter, location)
    except n.NVMLError as error:
        return {"error": error.value}
"""


@pytest.mark.parametrize(
    ("location", "field"),
    [(EccLocation.L1, 7), (EccLocation.L2, 9), (EccLocation.DEVICE, 11), (EccLocation.REGISTER, 13)],
)
def test_errors_are_counted_where_they_are_and_in_the_totals(
    driver: FakeDriver, location: EccLocation, field: int
) -> None:
    """An error raises its location and both totals, and the call agrees with the field."""
    driver.set_ecc(1, corrected=5, uncorrected=2, location=location)

    result = answer(
        driver,
        LOCATIONS
        + f"""
say([fields(h, [3, 4, 5, 6, {field}, {field + 1}, {field + 11}, {field + 12}]),
     [ask(kind, counter, {int(location)}) for counter in (0, 1) for kind in (0, 1)]])
""",
    )

    assert result == [[5, 2, 5, 2, 5, 2, 5, 2], [5, 2, 5, 2]]


def test_one_location_counts_uncorrected_errors_only(driver: FakeDriver) -> None:
    """The CBU has no corrected counter; shared memory and SRAM are not counted this way."""
    driver.set_ecc(1, corrected=9, uncorrected=4, location=EccLocation.CBU)

    result = answer(driver, LOCATIONS + "say([ask(1, 0, 6), ask(1, 1, 6), ask(0, 0, 6), ask(0, 0, 5), ask(0, 0, 9)])")

    assert result == [4, 4, *({"error": code} for code in (3, 3, 2))]


def test_a_storm_of_corrected_errors(driver: FakeDriver) -> None:
    """Corrected errors can pour in by the second and stop again."""
    driver.set_ecc(0, corrected_per_second=17_700)
    driver.advance(10)
    driver.set_ecc(0)
    driver.advance(10)

    total, here = answer(driver, "n.nvmlInit(); say(fields(handles()[0], [3, 11]))")

    assert total == here == pytest.approx(177_000, rel=0.05)


def test_sram_errors_are_for_root(driver: FakeDriver) -> None:
    """SRAM counters are forbidden, not absent: with the right they are told, each in its place."""
    source = """
        n.nvmlInit()
        h = handles()[0]
        def ask():
            s = n.c_nvmlEccSramErrorStatus_v1_t()
            n.nvmlDeviceGetSramEccErrorStatus(h, ctypes.byref(s))
            return [s.aggregateUncParity, s.aggregateCor, s.volatileUncSecDed,
                    s.aggregateUncBucketSm, s.bThresholdExceeded]
        say(code(ask))
        hear()
        say(ask())
        """
    driver.set_sram_errors(0, SramCounter.AGGREGATE_UNCORRECTABLE_PARITY, 1)
    driver.set_sram_errors(0, SramCounter.AGGREGATE_CORRECTABLE, 2**40)
    driver.set_sram_errors(0, SramCounter.VOLATILE_UNCORRECTABLE_SECDED, 3)
    driver.set_sram_errors(0, SramCounter.SM, 4)
    driver.set_sram_threshold(0, exceeded=True)

    with Program(driver, source) as program:
        refused = program.hear()
        driver.set_privileged(privileged=True)
        program.go_on()
        told = program.hear()

    assert refused == Return.NO_PERMISSION
    assert told == [1, 2**40, 3, 4, 1]


def test_remapping_and_repair(driver: FakeDriver) -> None:
    """Rows, flags and spare banks are told alike by field, old call and new call."""
    driver.set_remap(0, corrected=3, uncorrected=1, pending=True, failure=False)
    driver.set_remap_spares(0, (5900, 40, 10, 1, 1))
    driver.set_repair(0, channel_pending=True, unrepairable=True)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        new = n.c_nvmlRemappedRowsInfo_v2_t()
        n.nvmlDeviceGetRemappedRows_v2(h, ctypes.byref(new))
        banks = n.nvmlDeviceGetRowRemapperHistogram(h)
        repair = n.nvmlDeviceGetRepairStatus(h)
        say([fields(h, [142, 143, 144, 145]), list(n.nvmlDeviceGetRemappedRows(h)),
             [new.corrActiveRemaps, new.uncActiveRemaps, new.bPending, new.bfailureOccurred],
             [banks.max, banks.high, banks.partial, banks.low, banks.none],
             repair])
        """,
    )

    assert result == [[3, 1, 1, 0], [3, 1, 1, 0], [3, 1, 1, 0], [5900, 40, 10, 1, 1], [1, 0]]


def test_healthy_memory(driver: FakeDriver) -> None:
    """A healthy GPU has all banks in full and nothing pending."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[3]
        banks = n.nvmlDeviceGetRowRemapperHistogram(h)
        say([banks.max, banks.none, n.nvmlDeviceGetRepairStatus(h), n.nvmlDeviceGetEccMode(h)])
        """,
    )

    assert result == [5952, 0, [0, 0], [1, 1]]


def test_unrepairable_memory_is_the_first_word_of_its_struct(driver: FakeDriver) -> None:
    """The header's struct has no version, pynvml's has: its wrapper says 0 whatever the driver says."""
    driver.set_repair(0, unrepairable=True)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h, flag = handles()[0], ctypes.c_uint(9)
        n.nvmlLib.nvmlDeviceGetUnrepairableMemoryFlag_v1(h, ctypes.byref(flag))
        say([flag.value, n.nvmlDeviceGetUnrepairableMemoryFlag_v1(h)])
        """,
    )

    assert result == [1, 0]
