"""The traps of NVML, one law each: the real bindings on the simulated driver."""

import itertools
import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from collectors.catalogue import Key, Part, Quantity, Round, of_round, quantity_of
from collectors.device import Access, FabricState, Missing, Reading, Survey
from collectors.nvml import NvmlDevice
from service.core.errors import DriverUnavailable
from tests.fakedriver.codes import LinkState, Text
from tests.fakedriver.driver import FakeDriver
from tests.fakedriver.here import driver_here

FUNCTION_NOT_FOUND, NOT_SUPPORTED, NO_PERMISSION, INVALID, LOST, BAD_VERSION = 13, 3, 4, 2, 15, 25
LINKS = tuple(str(link) for link in range(18))


@pytest.fixture
def driver() -> Iterator[FakeDriver]:
    """A tray that this process's bindings see."""
    with driver_here() as fake:
        yield fake


@pytest.fixture
def device(driver: FakeDriver) -> Iterator[NvmlDevice]:
    """A device on it, closed at the end."""
    made = NvmlDevice()
    yield made
    made.close()


def first(device: NvmlDevice) -> str:
    """Open and return the UUID at position 0."""
    return device.open().gpus[0].uuid


def parts(values: Mapping[Key, float], quantity: Quantity) -> dict[str, float]:
    """Return a quantity's values by the label of the part."""
    return {key.label: value for key, value in values.items() if isinstance(key, Part) and key.quantity is quantity}


def engines(device: NvmlDevice, gpu: str) -> Survey:
    """Survey twice, more than 100 ms apart, as GPM wants it."""
    device.survey(gpu, Round.STATUS)
    time.sleep(0.15)
    return device.survey(gpu, Round.STATUS)


@pytest.mark.parametrize("one", list(Round), ids=lambda one: one.value)
def test_every_quantity_of_a_round_has_a_value_or_a_reason(device: NvmlDevice, one: Round) -> None:
    """Nothing of the catalogue is silently absent; nothing is both there and missing as a whole."""
    gpu = first(device)
    said = device.read(gpu) if one is Round.PULSE else device.survey(gpu, one)

    assert {*map(quantity_of, (*said.values, *said.missing))} == of_round(one)
    assert not set(said.values) & set(said.missing)
    assert not {quantity_of(key) for key in said.values} & {key for key in said.missing if isinstance(key, Quantity)}


def test_a_tray_of_gb300_tells_everything_that_root_is_not_needed_for(device: NvmlDevice) -> None:
    """Only smoothing and SRAM are forbidden to a user; nothing is unsupported or failed."""
    gpu = first(device)
    engines(device, gpu)
    time.sleep(0.15)
    said: list[Reading | Survey] = [
        device.read(gpu),
        *(device.survey(gpu, one) for one in Round if one is not Round.PULSE),
    ]
    missing = {quantity_of(key): why for one in said for key, why in one.missing.items()}

    assert set(missing.values()) == {Missing.FORBIDDEN}
    assert {quantity.value.split("_")[0] for quantity in missing} == {"smoothing", "sram"}
    assert sum(len(one.values) for one in said) > 600


def test_root_may_read_smoothing_and_sram(driver: FakeDriver, device: NvmlDevice) -> None:
    """What was forbidden is told to who may; the lifetime is a ratio."""
    driver.set_privileged(privileged=True)
    detail = device.survey(first(device), Round.DETAIL)

    assert Missing.FORBIDDEN not in detail.missing.values()
    assert detail.values[Quantity.SMOOTHING_LIFETIME_REMAINING_RATIO] == 1.0


def test_module_power_is_one_reading_seen_by_both_gpus(driver: FakeDriver, device: NvmlDevice) -> None:
    """Two GPUs of a module share serial and module power; the scopes stay apart."""
    driver.set_module_power(0, 1_900.0, instant=2_000.0)
    gpus = device.open().gpus
    one, other = (device.read(gpu.uuid).values for gpu in gpus[:2])

    assert gpus[0].module == gpus[1].module != gpus[2].module
    assert one[Quantity.MODULE_POWER_WATTS] == other[Quantity.MODULE_POWER_WATTS] == 2_000.0
    assert one[Quantity.MODULE_POWER_AVERAGE_WATTS] == 1_900.0
    assert one[Quantity.POWER_WATTS] == pytest.approx(180.3)
    assert one[Quantity.MEMORY_POWER_WATTS] == pytest.approx(35.7)


def test_limits_are_read_by_their_value_type(device: NvmlDevice) -> None:
    """A T.Limit of -5 is -5 and not 4294967291."""
    detail = device.survey(first(device), Round.DETAIL)

    assert parts(detail.values, Quantity.TEMPERATURE_LIMIT_OFFSET_CELSIUS) == {
        "shutdown": -5,
        "slowdown": -2,
        "memory_max": 0,
        "gpu_max": 0,
    }


def test_a_throttle_between_two_polls_is_not_missed(driver: FakeDriver, device: NvmlDevice) -> None:
    """A power brake of 40 ms that no mask shows advances the counter by 40 ms."""
    gpu = first(device)
    before = device.read(gpu).values
    driver.set_clock_events(0, 0x80)
    driver.advance(0.04)
    driver.set_clock_events(0, 0x1)
    after = device.read(gpu).values
    brake = Part(Quantity.THROTTLE_SECONDS_TOTAL, "hw_power_brake")

    assert after[Part(Quantity.CLOCK_EVENT, "hw_power_brake")] == 0
    assert after[brake] - before[brake] >= 0.04
    assert after[Part(Quantity.THROTTLE_SECONDS_TOTAL, "hw_thermal")] == 0


def test_ecc_and_nvlink_are_never_asked_in_one_call(driver: FakeDriver, device: NvmlDevice) -> None:
    """On a driver that answers nothing to a mixed batch, both are told."""
    driver.set_quirks(mixed_batch=True)
    gpu = first(device)
    status, links, detail = (device.survey(gpu, one) for one in (Round.STATUS, Round.LINKS, Round.DETAIL))

    assert status.values[Quantity.ECC_CORRECTABLE_VOLATILE_TOTAL] == 0
    assert set(parts(links.values, Quantity.NVLINK_RECOVERIES_TOTAL)) == set(LINKS)
    assert set(parts(detail.values, Quantity.NVLINK_SYMBOL_ERRORS_TOTAL)) == set(LINKS)
    assert len(parts(detail.values, Quantity.ECC_LOCATION_UNCORRECTABLE_VOLATILE_TOTAL)) == 6
    assert len(parts(detail.values, Quantity.ECC_LOCATION_CORRECTABLE_VOLATILE_TOTAL)) == 5


def test_a_driver_that_runs_over_the_count_harms_no_round(driver: FakeDriver, device: NvmlDevice) -> None:
    """With the over-read quirk every round reads as without it."""
    gpu = first(device)
    without = {one: device.survey(gpu, one).values for one in (Round.LINKS, Round.DETAIL)}
    driver.set_quirks(overread=True)

    assert {one: device.survey(gpu, one).values for one in without} == without


def test_field_calls_of_a_process_never_overlap(driver: FakeDriver, device: NvmlDevice) -> None:
    """Four GPUs read and surveyed from four threads: one field call at a time."""
    gpus = [gpu.uuid for gpu in device.open().gpus]
    driver.set_latency(field_us=20)

    def work(gpu: str) -> None:
        for one in itertools.islice(itertools.cycle((Round.LINKS, Round.STATUS)), 6):
            device.read(gpu)
            device.survey(gpu, one)

    threads = [threading.Thread(target=work, args=(gpu,)) for gpu in gpus]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert driver.overlapping_field_calls() == 0


def test_links_are_as_many_as_the_gpu_says(driver: FakeDriver, device: NvmlDevice) -> None:
    """Field 91 decides, not a constant of the bindings; no link beyond is asked for."""
    driver.set_field(1, 91, 12)
    driver.set_field_error(2, 91, NOT_SUPPORTED)
    gpus = [gpu.uuid for gpu in device.open().gpus]
    states = [len(parts(device.read(gpu).values, Quantity.NVLINK_STATE)) for gpu in gpus]
    links = device.survey(gpus[2], Round.LINKS)

    assert states == [18, 12, 0, 18]
    assert links.missing[Quantity.NVLINK_RECOVERIES_TOTAL] is Missing.UNSUPPORTED


def test_a_link_that_is_down_shows_in_the_pulse(driver: FakeDriver, device: NvmlDevice) -> None:
    """What decides health is exact to one poll."""
    driver.set_link(0, 7, state=LinkState.INACTIVE)
    states = parts(device.read(first(device)).values, Quantity.NVLINK_STATE)

    assert {link for link, state in states.items() if state != 1} == {"7"}


def test_an_invalid_argument_on_one_link_means_not_supported(driver: FakeDriver, device: NvmlDevice) -> None:
    """The other links and counters are read; the refused one is asked for no more."""
    driver.set_field_error(0, 211, INVALID, scope=3)
    gpu = first(device)
    links = device.survey(gpu, Round.LINKS)
    driver.clear_field(0, 211, scope=3)
    again = device.survey(gpu, Round.LINKS)
    refused = Part(Quantity.NVLINK_INTEGRITY_ERRORS_TOTAL, "3")

    assert links.missing == again.missing == {refused: Missing.UNSUPPORTED}


def test_what_a_gpu_refused_is_asked_again_after_its_reset(driver: FakeDriver, device: NvmlDevice) -> None:
    """A field refused before a GPU was lost may be there when it is back."""
    driver.set_field_error(0, 94, NOT_SUPPORTED)
    gpu = first(device)
    before = device.survey(gpu, Round.STATUS)
    driver.set_gpu_error(0, LOST)
    lost = device.read(gpu)
    while_lost = device.survey(gpu, Round.STATUS)
    driver.clear_field(0, 94)
    driver.set_gpu_error(0, 0)
    back = [device.read(gpu).access for _ in range(6)][-1]
    after = device.survey(gpu, Round.STATUS)

    assert before.missing[Quantity.PCIE_REPLAYS_TOTAL] is Missing.UNSUPPORTED
    assert (lost.access, back) == (Access.LOST, Access.OK)
    assert set(while_lost.missing.values()) == {Missing.FAILED}
    assert after.values[Quantity.PCIE_REPLAYS_TOTAL] == 0


def test_a_batch_that_fails_as_a_whole_is_asked_one_by_one_once(driver: FakeDriver, device: NvmlDevice) -> None:
    """Single questions when a batch fails, and not again while that is in vain."""
    gpu = first(device)
    device.read(gpu)
    driver.set_call_error("nvmlDeviceGetFieldValues", 999, gpu=0)
    before = driver.calls("nvmlDeviceGetFieldValues")
    first_fail = device.read(gpu)
    asked = driver.calls("nvmlDeviceGetFieldValues") - before
    device.read(gpu)
    asked_again = driver.calls("nvmlDeviceGetFieldValues") - before - asked
    driver.set_call_error("nvmlDeviceGetFieldValues", 0, gpu=0)

    assert first_fail.access is Access.FAILED
    assert asked > 10
    assert asked_again == 1
    assert device.read(gpu).access is Access.OK


def test_an_older_driver_is_read_through_older_calls(driver: FakeDriver, device: NvmlDevice) -> None:
    """A missing function or struct version falls back, and stays with what works."""
    driver.set_call_error("nvmlDeviceGetTemperatureV", FUNCTION_NOT_FOUND)
    driver.set_call_error("nvmlDeviceGetCurrentClocksEventReasons", FUNCTION_NOT_FOUND)
    driver.set_call_error("nvmlDeviceGetMarginTemperature", FUNCTION_NOT_FOUND)
    gpu = first(device)
    readings = [device.read(gpu) for _ in range(3)]

    assert [one.values[Quantity.TEMPERATURE_CELSIUS] for one in readings] == [38] * 3
    assert readings[-1].values[Part(Quantity.CLOCK_EVENT, "gpu_idle")] == 1
    assert readings[-1].missing == {Quantity.TEMPERATURE_MARGIN_CELSIUS: Missing.UNSUPPORTED}
    assert driver.calls("nvmlDeviceGetTemperatureV") == 1
    assert driver.calls("nvmlDeviceGetMarginTemperature") == 1


def test_the_slow_pcie_call_is_never_made(driver: FakeDriver, device: NvmlDevice) -> None:
    """Traffic comes from counters; the call that blocks 20 ms a direction is left alone."""
    gpu = first(device)
    for one in (Round.STATUS, Round.LINKS, Round.DETAIL):
        device.survey(gpu, one)
    device.read(gpu)

    assert driver.calls("nvmlDeviceGetPcieThroughput") == 0


def test_processes_are_listed_only_in_the_slow_round(driver: FakeDriver, device: NvmlDevice) -> None:
    """Their number and memory are told; a list longer than ours gives the number alone."""
    driver.set_processes(0, [(100, 5_000), (101, 7_000)])
    gpu = first(device)
    device.read(gpu)
    device.survey(gpu, Round.STATUS)
    before = driver.calls("nvmlDeviceGetComputeRunningProcesses_v3")
    detail = device.survey(gpu, Round.DETAIL)

    assert before == 0
    assert detail.values[Quantity.COMPUTE_PROCESSES] == 2
    assert detail.values[Quantity.COMPUTE_PROCESSES_MEMORY_BYTES] == 12_000


def test_memory_counts_reserved_apart_from_used(driver: FakeDriver, device: NvmlDevice) -> None:
    """The second version of the call is used: an idle GPU uses nothing."""
    values = device.survey(first(device), Round.STATUS).values

    assert values[Quantity.MEMORY_USED_BYTES] == 0
    assert values[Quantity.MEMORY_RESERVED_BYTES] == 947 * 2**20
    assert values[Quantity.MEMORY_TOTAL_BYTES] == 284_208 * 2**20


def test_engines_are_compared_over_two_samples(driver: FakeDriver, device: NvmlDevice) -> None:
    """The first survey has nothing to compare with; the second tells each engine's share."""
    driver.set_engine_activity(0, graphics=90.0, sm=80.0, occupancy=70.0, tensor=60.0, dram=50.0)
    gpu = first(device)
    nothing = device.survey(gpu, Round.STATUS)
    time.sleep(0.15)
    shares = parts(device.survey(gpu, Round.STATUS).values, Quantity.ENGINE_ACTIVE_RATIO)

    assert nothing.missing[Quantity.ENGINE_ACTIVE_RATIO] is Missing.FAILED
    assert shares == pytest.approx(
        {"graphics": 0.9, "sm": 0.8, "sm_occupancy": 0.7, "tensor": 0.6, "dram": 0.5}, abs=0.01
    )


def test_a_gpu_without_engine_counters_says_unsupported_once(driver: FakeDriver, device: NvmlDevice) -> None:
    """It is not asked again."""
    driver.set_gpm_support(0, supported=False)
    gpu = first(device)
    said = [device.survey(gpu, Round.STATUS).missing[Quantity.ENGINE_ACTIVE_RATIO] for _ in range(3)]

    assert said == [Missing.UNSUPPORTED] * 3
    assert driver.calls("nvmlGpmQueryDeviceSupport") == 1


def test_a_gpu_that_goes_and_comes_leaves_no_memory_of_the_driver_behind(
    driver: FakeDriver, device: NvmlDevice
) -> None:
    """The samples of its engines from before are given back, however often it is lost."""
    gpu = first(device)
    for _ in range(5):
        device.survey(gpu, Round.STATUS)
        driver.set_gpu_error(0, 15)
        device.read(gpu)
        driver.set_gpu_error(0, 0)
        while device.read(gpu).access is not Access.OK:
            pass

    assert driver.calls("nvmlGpmSampleAlloc") == driver.calls("nvmlGpmSampleFree") == 10


def test_trays_and_slots_beyond_127_are_bytes_and_no_characters(driver: FakeDriver, device: NvmlDevice) -> None:
    """The bindings would raise on them."""
    driver.set_location(slot=200, tray=150)
    inventory = device.open()

    assert (inventory.slot, inventory.tray) == (200, 150)


def test_junk_beside_the_fabric_state_changes_nothing(driver: FakeDriver, device: NvmlDevice) -> None:
    """The state is one byte; the three after it are padding."""
    driver.set_quirks(fabric_padding=True)

    assert device.read(first(device)).fabric is FabricState.HEALTHY


def test_an_older_fabric_struct_is_read_without_its_summary(driver: FakeDriver, device: NvmlDevice) -> None:
    """Where version 3 is unknown, version 2 is asked, and stays."""
    gpu = first(device)
    driver.set_call_error("nvmlDeviceGetGpuFabricInfoV", BAD_VERSION)
    refused = device.read(gpu).fabric
    driver.set_call_error("nvmlDeviceGetGpuFabricInfoV", 0)

    assert refused is FabricState.UNKNOWN
    assert device.read(gpu).fabric is FabricState.HEALTHY


@pytest.mark.parametrize("field", [186, 83, 144, 165])
@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION, 999])
def test_one_refused_field_costs_no_other(driver: FakeDriver, device: NvmlDevice, field: int, code: int) -> None:
    """Whatever a single field answers, every other value of the pulse is read."""
    gpu = first(device)
    whole = device.read(gpu)
    driver.set_field_error(0, field, code)
    less = device.read(gpu)

    assert len(whole.values) - len(less.values) == 1
    assert less.access is Access.OK


def test_garbage_in_texts_is_text(driver: FakeDriver, device: NvmlDevice) -> None:
    """A name that is no UTF-8, or fills its memory to the end, stops nobody."""
    driver.set_text(0, Text.NAME, b"GB300 \xff\xfe\x80")
    driver.set_unterminated_text(1, unterminated=True)
    gpus = device.open().gpus

    assert len(gpus) == 4
    assert gpus[0].name.startswith("GB300 ")
    assert [device.read(gpu.uuid).access for gpu in gpus] == [Access.OK] * 4


@pytest.mark.parametrize(
    ("field", "value", "key"),
    [
        (186, 4_294_967_295, Quantity.POWER_WATTS),
        (186, 90_000_000, Quantity.POWER_WATTS),
        (82, 255, Quantity.MEMORY_TEMPERATURE_CELSIUS),
        (144, 7, Quantity.REMAP_PENDING),
        (190, 4_294_967_295, Quantity.POWER_LIMIT_WATTS),
    ],
)
def test_what_physics_forbids_is_a_failure(
    driver: FakeDriver, device: NvmlDevice, field: int, value: int, key: Quantity
) -> None:
    """A sentinel, 90 kW, 255 degrees, a flag of 7: no value, and a reason."""
    driver.set_field(0, field, value)
    reading = device.read(first(device))

    assert key not in reading.values
    assert reading.missing[key] is Missing.FAILED


def test_a_reset_required_gpu_is_not_surveyed(driver: FakeDriver, device: NvmlDevice) -> None:
    """A GPU that just refused is left alone until it answers."""
    gpu = first(device)
    driver.set_gpu_error(0, 16)
    device.read(gpu)
    before = driver.calls()
    survey = device.survey(gpu, Round.LINKS)

    assert driver.calls() == before
    assert set(survey.missing.values()) == {Missing.FAILED}


def test_an_init_that_found_no_gpu_says_so(driver: FakeDriver, device: NvmlDevice) -> None:
    """The error's number and words are in the text."""
    driver.set_init_error(28)
    with pytest.raises(DriverUnavailable, match="no GPU was found"):
        device.open()


def test_a_gpu_that_hangs_while_the_driver_is_opened_blinds_no_other(driver: FakeDriver, device: NvmlDevice) -> None:
    """Three say who they are in time; the fourth is counted as one that did not answer."""
    driver.set_hang(2, 30_000)
    inventory = device.open()
    readings = [device.read(gpu.uuid).access for gpu in inventory.gpus]
    driver.set_hang(2, 0)

    assert [gpu.uuid for gpu in inventory.gpus] == [driver.uuid(gpu) for gpu in (0, 1, 3)]
    assert inventory.unanswered == 1
    assert readings == [Access.OK] * 3


def test_a_driver_that_hangs_as_a_whole_while_it_is_opened_is_hung(driver: FakeDriver, device: NvmlDevice) -> None:
    """Nobody is missing: nobody was heard."""
    for gpu in range(4):
        driver.set_hang(gpu, 30_000)
    with pytest.raises(DriverUnavailable) as caught:
        device.open()
    for gpu in range(4):
        driver.set_hang(gpu, 0)

    assert caught.value.cause == "driver:hung"


def test_two_gpus_under_one_uuid_are_both_in_the_inventory(driver: FakeDriver, device: NvmlDevice) -> None:
    """Whoever tells of them must be able to see that there are two."""
    driver.set_identity(1, uuid=driver.uuid(0))

    assert [gpu.uuid for gpu in device.open().gpus].count(driver.uuid(0)) == 2
