"""A driver that lies: repeated identities, garbage texts, numbers beyond physics, wrong counts."""

import pytest

from tests.fakedriver.driver import FakeDriver, Return, Text
from tests.fakedriver.program import answer

TEXTS = """
n.nvmlInit()
h = handles()[0]

def raw(name, length):
    buffer = (ctypes.c_ubyte * (length + 1))(*[0xEE] * (length + 1))
    result = getattr(n.nvmlLib, name)(h, buffer, ctypes.c_uint(length))
    return [result, bytes(buffer).hex()]
"""


def test_two_gpus_may_claim_one_uuid(driver: FakeDriver) -> None:
    """Both tell it, and asking by it leads to the first of them."""
    driver.set_identity(3, uuid=driver.uuid(1))

    result = answer(
        driver,
        f"""
        n.nvmlInit()
        say([[n.nvmlDeviceGetUUID(h) for h in handles()],
             n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID("{driver.uuid(1)}"))])
        """,
    )

    assert result == [[driver.uuid(gpu) for gpu in (0, 1, 2, 1)], 1]


def test_a_text_may_be_no_text(driver: FakeDriver) -> None:
    """Bytes that are not UTF-8, and nothing at all, reach the caller as they are."""
    driver.set_text(0, Text.NAME, b"GB\xff\xfe\x00300")
    driver.set_text(0, Text.SERIAL, b"")

    result = answer(
        driver,
        TEXTS
        + """
def name():
    try:
        return n.nvmlDeviceGetName(h)
    except UnicodeDecodeError:
        return "undecodable"
say([raw("nvmlDeviceGetName", 8), name(), n.nvmlDeviceGetSerial(h)])
""",
    )

    assert result == [[0, "4742fffe00eeeeeeee"], "undecodable", ""]


def test_a_text_may_fill_the_whole_buffer(driver: FakeDriver) -> None:
    """Unterminated text takes every byte the caller gave, and not one more."""
    driver.set_unterminated_text(0, unterminated=True)

    result = answer(
        driver,
        TEXTS + 'say([raw("nvmlDeviceGetVbiosVersion", 32), len(n.nvmlDeviceGetUUID(h)), raw("nvmlDeviceGetName", 9)])',
    )

    (code, text), uuid_length, (too_small, _) = result
    assert code == 0
    assert bytes.fromhex(text) == b"97.10.4A.00.1A".ljust(32, b"x") + b"\xee"
    assert uuid_length == 96
    assert too_small == Return.INSUFFICIENT_SIZE


def test_the_driver_may_not_know_its_version(driver: FakeDriver) -> None:
    """The version may be empty, garbage, or run to the end of the buffer."""
    source = """
        n.nvmlInit()
        buffer = ctypes.create_string_buffer(80)
        n.nvmlLib.nvmlSystemGetDriverVersion(buffer, 80)
        say(buffer.raw.hex())
        """
    driver.set_driver_version(b"\xc3", unterminated=True)
    garbage = answer(driver, source)
    driver.set_driver_version(b"")
    empty = answer(driver, source)

    assert bytes.fromhex(garbage) == b"\xc3" + b"x" * 79
    assert bytes.fromhex(empty) == bytes(80)


def test_a_chassis_serial_may_be_garbage(driver: FakeDriver) -> None:
    """The serial of the rack is sixteen bytes of anything."""
    driver.set_text(0, Text.CHASSIS_SERIAL, bytes(range(0xF0, 0x100)))

    result = answer(
        driver,
        """
        n.nvmlInit()
        p = n.c_nvmlPlatformInfo_v2_t()
        n.nvmlDeviceGetPlatformInfo(handles()[0], ctypes.byref(p))
        say(bytes(p)[20:36].hex())
        """,
    )

    assert bytes.fromhex(result) == bytes(range(0xF0, 0x100))


def test_slots_may_be_beyond_the_rack(driver: FakeDriver) -> None:
    """Slot and tray are bytes, also those that are no character."""
    driver.set_location(slot=255, tray=200, host=129)

    result = answer(
        driver,
        """
        n.nvmlInit()
        p = n.c_nvmlPlatformInfo_v2_t()
        n.nvmlDeviceGetPlatformInfo(handles()[0], ctypes.byref(p))
        say(list(bytes(p)[36:39]))
        """,
    )

    assert result == [255, 200, 129]


@pytest.mark.parametrize(("told", "beyond"), [(9, 5), (2, 0)])
def test_the_count_may_be_wrong(driver: FakeDriver, told: int, beyond: int) -> None:
    """The driver may tell more GPUs than it has handles for, or fewer; handles stay true."""
    driver.set_count(told)

    result = answer(
        driver,
        f"""
        n.nvmlInit()
        say([n.nvmlDeviceGetCount(), [code(n.nvmlDeviceGetHandleByIndex, i) for i in range({told})]])
        """,
    )

    assert result == [told, [0] * (told - beyond) + [Return.INVALID_ARGUMENT] * beyond]


def test_values_may_be_beyond_physics(driver: FakeDriver) -> None:
    """Whatever a register can hold is passed on: sentinels, all ones, impossible percentages."""
    driver.set_power(0, 4_294_967.295)
    driver.set_temperature(0, -2_147_483_648, margin=2_147_483_647)
    driver.set_utilisation(0, 2**32 - 1, memory=250)
    driver.set_memory_used(0, 2**64 - 1)
    driver.set_clocks(0, sm=10**9)
    driver.set_field(0, 82, 2**32 - 1)
    driver.set_field(0, 308, float("nan"))

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        load = n.nvmlDeviceGetUtilizationRates(h)
        hot, mean = fields(h, [82, 308])
        say([n.nvmlDeviceGetPowerUsage(h), n.nvmlDeviceGetTemperatureV(h, 0), n.nvmlDeviceGetMarginTemperature(h),
             load.gpu, load.memory, n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2).used,
             n.nvmlDeviceGetClockInfo(h, 1), hot, mean != mean])
        """,
    )

    assert result == [2**32 - 1, -(2**31), 2**31 - 1, 2**32 - 1, 250, 2**64 - 1, 10**9, 2**32 - 1, True]
