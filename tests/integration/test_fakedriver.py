"""The simulated driver, seen by the real pynvml in a process of its own.

pynvml loads the library by its name, so the search path must be set before a process starts:
every test runs a small program and compares what it says.
"""

import ctypes
import json
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.fakedriver.control import State, StateError
from tests.fakedriver.driver import ALL_LINKS, EVERY_GPU, FakeDriver, Place, Return, ValueType
from tests.fakedriver.library import DRIVER_LIBRARY, build, declared_functions, header

PRELUDE = """
import ctypes, json, sys, threading, time
import pynvml as n

def say(value):
    print(json.dumps(value), flush=True)

def hear():
    sys.stdin.readline()

def code(function, *arguments):
    try:
        function(*arguments)
    except n.NVMLError as error:
        return error.value
    return 0

def decode(entry):
    if entry.nvmlReturn:
        return {"error": entry.nvmlReturn}
    member = ["dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal"][entry.valueType]
    return getattr(entry.value, member)

def fields(handle, wanted):
    return [decode(entry) for entry in n.nvmlDeviceGetFieldValues(handle, wanted)]

def handles():
    return [n.nvmlDeviceGetHandleByIndex(i) for i in range(n.nvmlDeviceGetCount())]
"""

NVML_EVENT_TYPES = 0xFF9F


class Program:
    """A running program that talks to the test line by line."""

    def __init__(self, driver: FakeDriver, source: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(source)],
            env=driver.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def hear(self) -> Any:
        """Return what the program says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the program ended without an answer"
        return json.loads(line)

    def go_on(self) -> None:
        """Let the program pass its next `hear()`."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def answer(driver: FakeDriver, source: str) -> Any:
    """Run a program on the driver and return the one thing it says."""
    with Program(driver, source) as program:
        return program.hear()


@pytest.fixture
def driver() -> Iterator[FakeDriver]:
    """Yield a healthy, idle tray."""
    with FakeDriver() as running:
        yield running


# Surface


def test_every_declared_function_is_exported() -> None:
    """A tool never fails at symbol lookup, whatever function of the header it uses."""
    nm = ["nm", "--dynamic", "--defined-only", str(build() / DRIVER_LIBRARY)]

    listed = subprocess.run(nm, capture_output=True, text=True, check=True).stdout

    exported = {line.split()[-1] for line in listed.splitlines()}
    assert exported == set(declared_functions())
    assert {"nvmlInit", "nvmlInit_v2", "nvmlEventSetWait", "nvmlEventSetWait_v2"} <= exported


def test_no_declaration_is_overlooked() -> None:
    """The list of functions is what the C preprocessor leaves of the header, renamed or not."""
    found: set[str] = set()
    for definitions in ([], ["-DNVML_NO_UNVERSIONED_FUNC_DEFS"]):
        preprocess = ["gcc", "-E", "-P", *definitions, str(header())]
        text = subprocess.run(preprocess, capture_output=True, text=True, check=True).stdout
        found |= set(re.findall(r"\b(nvml[A-Z]\w*)\s*\(", text))

    assert found == set(declared_functions())


def test_library_is_loaded_by_its_name() -> None:
    """The file carries the name that pynvml asks the dynamic linker for."""
    dynamic = ["readelf", "--dynamic", str(build() / DRIVER_LIBRARY)]

    listed = subprocess.run(dynamic, capture_output=True, text=True, check=True).stdout

    assert "soname: [libnvidia-ml.so.1]" in listed


def test_stub_counts_and_is_not_supported(driver: FakeDriver) -> None:
    """A function nobody implemented answers NOT_SUPPORTED and leaves a trace."""
    result = answer(driver, "n.nvmlInit(); say(code(n.nvmlDeviceGetFanSpeed, handles()[0]))")

    assert result == Return.NOT_SUPPORTED
    assert driver.calls("nvmlDeviceGetFanSpeed") == 1
    assert driver.trace()["nvmlDeviceGetCount_v2"] == 1


# Defaults


def test_system_defaults(driver: FakeDriver) -> None:
    """The node is the captured one: driver 580.173.02, CUDA 13.0, four GPUs, no CC mode."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        say([n.nvmlSystemGetDriverVersion(), n.nvmlSystemGetCudaDriverVersion(),
             n.nvmlSystemGetCudaDriverVersion_v2(), n.nvmlDeviceGetCount(),
             n.nvmlSystemGetConfComputeState().ccFeature,
             n.nvmlSystemGetNVMLVersion().startswith("13.")])
        """,
    )

    assert result == ["580.173.02", 13000, 13000, 4, 0, True]


def test_identity_defaults(driver: FakeDriver) -> None:
    """Each GPU has its own UUID, GPUs of a module share a serial, module ids are not in order."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        say([[n.nvmlDeviceGetUUID(h), n.nvmlDeviceGetSerial(h), n.nvmlDeviceGetModuleId(h),
              n.nvmlDeviceGetMinorNumber(h), n.nvmlDeviceGetIndex(h),
              n.nvmlDeviceGetPciInfo(h).busId] for h in handles()])
        """,
    )

    uuids, serials, modules, minors, indices, buses = zip(*result, strict=True)
    assert list(uuids) == [driver.uuid(gpu) for gpu in EVERY_GPU]
    assert len(set(uuids)) == len(uuids)
    assert serials[0] == serials[1] != serials[2] == serials[3]
    assert modules == (2, 1, 4, 3)
    assert minors == indices == (0, 1, 2, 3)
    assert buses == tuple(f"000000{domain}:06:00.0" for domain in ("08", "09", "18", "19"))


def test_model_defaults(driver: FakeDriver) -> None:
    """A GPU says it is a GB300 of the Blackwell generation, firmware as bytes, MIG off."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        pci = n.nvmlDeviceGetPciInfo(h)
        say([n.nvmlDeviceGetName(h), n.nvmlDeviceGetBrand(h), n.nvmlDeviceGetArchitecture(h),
             n.nvmlDeviceGetCudaComputeCapability(h), n.nvmlDeviceGetBoardPartNumber(h),
             n.nvmlDeviceGetVbiosVersion(h), n.nvmlDeviceGetGspFirmwareVersion(h).decode(),
             n.nvmlDeviceGetAddressingMode(h), n.nvmlDeviceGetPersistenceMode(h),
             n.nvmlDeviceGetComputeMode(h), n.nvmlDeviceGetMigMode(h),
             f"{pci.pciDeviceId:X} {pci.pciSubSystemId:X} {pci.busIdLegacy}"])
        """,
    )

    assert result == [
        *("NVIDIA GB300", 14, 10, [10, 3], "900-2G548-0081-000", "97.10.4A.00.1A"),
        *("580.173.02", 2, 1, 0, [0, 0], "31C210DE 21F110DE 0008:06:00.0"),
    ]


def test_reading_defaults(driver: FakeDriver) -> None:
    """Idle readings are the captured ones, and limit = temperature + margin."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        say([[n.nvmlDeviceGetPowerUsage(h), n.nvmlDeviceGetTemperatureV(h, 0),
              n.nvmlDeviceGetMarginTemperature(h), n.nvmlDeviceGetPowerManagementLimitConstraints(h),
              n.nvmlDeviceGetEnforcedPowerLimit(h), n.nvmlDeviceGetClockInfo(h, 1),
              n.nvmlDeviceGetMaxClockInfo(h, 1), n.nvmlDeviceGetClockInfo(h, 3),
              n.nvmlDeviceGetCurrentClocksEventReasons(h), n.nvmlDeviceGetPerformanceState(h),
              n.nvmlDeviceGetUtilizationRates(h).gpu,
              n.nvmlDeviceGetComputeRunningProcesses(h)] for h in handles()])
        """,
    )

    same = [[200_000, 1_400_000], 1_400_000, 120, 2070, 600, 0x1, 0, 0, []]
    assert result == [
        [180_400, 38, 49, *same],
        [176_300, 39, 48, *same],
        [175_900, 39, 48, *same],
        [180_100, 39, 48, *same],
    ]


def test_memory_defaults(driver: FakeDriver) -> None:
    """The old memory call counts the reserved part as used, the new one does not."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        old, new = n.nvmlDeviceGetMemoryInfo(h), n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2)
        say([v // 2**20 for v in (old.used, new.total, new.reserved, new.used, new.free)])
        """,
    )

    assert result == [946, 284_208, 947, 0, 283_262]


def test_platform_and_fabric_defaults(driver: FakeDriver) -> None:
    """Slot 25, tray 15, host 1, a completed fabric with a clique, all healthy."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[1]
        p, f = n.c_nvmlPlatformInfo_v2_t(), n.c_nvmlGpuFabricInfo_v3_t()
        n.nvmlDeviceGetPlatformInfo(h, ctypes.byref(p))
        n.nvmlDeviceGetGpuFabricInfoV(h, ctypes.byref(f))
        raw = bytes(p)
        say([len(raw), int.from_bytes(raw[4:12], "big") == n.nvmlDeviceGetPdi(h),
             raw[20:36].rstrip(b"\\0").decode(), list(raw[36:41]),
             [f.state, f.status, f.cliqueId, f.healthMask, f.healthSummary],
             any(bytes(f)[4:20])])
        """,
    )

    assert result == [
        *(44, True, driver.place.chassis_serial(), [25, 15, 1, 1, 1]),
        *([3, 0, 32766, 0x1AA, 1], True),
    ]


def test_trays_differ(tmp_path: Path) -> None:
    """Two trays of a rack share the cluster and chassis, and no GPU identity."""
    with (
        FakeDriver(tmp_path / "a", place=Place(number=1)) as first,
        FakeDriver(tmp_path / "b", place=Place(number=2)) as second,
    ):
        uuids = {tray.uuid(gpu) for tray in (first, second) for gpu in EVERY_GPU}
        serials = {tray.serial(gpu) for tray in (first, second) for gpu in EVERY_GPU}

    assert first.place.cluster == second.place.cluster
    assert len(uuids) == 2 * len(EVERY_GPU)
    assert len(serials) == len(EVERY_GPU)


# Struct versions


def test_unknown_struct_versions_are_refused(driver: FakeDriver) -> None:
    """A struct version the driver does not know answers 25; fabric version 2 is still known."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        def with_version(kind, call, version):
            struct = kind()
            struct.version = version
            return code(call, h, ctypes.byref(struct))
        fabric = n.nvmlDeviceGetGpuFabricInfoV
        say([with_version(n.c_nvmlPlatformInfo_v2_t, n.nvmlDeviceGetPlatformInfo, 0x100002C),
             with_version(n.c_nvmlGpuFabricInfo_v3_t, fabric, 0x4000028),
             with_version(n.c_nvmlGpuFabricInfo_v3_t, fabric, 0x2000024),
             with_version(n.c_nvmlGpuFabricInfo_v3_t, fabric, 0x3000028),
             code(n.nvmlDeviceGetMemoryInfo, h, 0x1000028)])
        """,
    )

    assert result == [25, 25, 0, 0, 25]


def test_fabric_state_is_one_byte(driver: FakeDriver) -> None:
    """Of the four bytes that pynvml reads as state, only the first is the driver's."""
    driver.set_fabric(0, state=2)
    driver.set_quirks(fabric_padding=True)

    result = answer(
        driver,
        """
        n.nvmlInit()
        f = n.c_nvmlGpuFabricInfo_v3_t()
        n.nvmlDeviceGetGpuFabricInfoV(handles()[0], ctypes.byref(f))
        say([f.state == 2, f.state & 0xFF])
        """,
    )

    assert result == [False, 2]


# Fields


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


# Time


def test_energy_integrates_power(driver: FakeDriver) -> None:
    """An hour at 1000 W is 3.6 MJ, in every process and through all three doors."""
    driver.set_power(0, 1000.0)
    before = driver.energy(0)

    driver.advance(3600)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([n.nvmlDeviceGetTotalEnergyConsumption(h), *fields(h, [83, 191])])
        """,
    )
    after = driver.energy(0)
    assert all(3.6e6 <= reading / 1000 - before <= after - before for reading in result)
    assert after - before == pytest.approx(3.6e6, rel=0.01)


def test_energy_remembers_earlier_power(driver: FakeDriver) -> None:
    """Changing the power changes the slope, never the energy used so far."""
    start = driver.energy(3)

    driver.set_power(3, 200.0, instant=100.0)
    driver.advance(1000)
    driver.set_power(3, 1400.0)
    driver.advance(1000)

    assert driver.energy(3) - start == pytest.approx(1000 * 100 + 1000 * 1400, rel=0.01)


def test_throttle_time_follows_the_mask(driver: FakeDriver) -> None:
    """The counter of a reason advances while its bit is set and stands still otherwise."""
    driver.set_clock_events(0, 0x80 | 0x20)
    driver.advance(2.0)
    driver.set_clock_events(0, 0x1)
    driver.advance(50.0)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([fields(h, [271, 269, 75, 270, 74, 309]), n.nvmlDeviceGetCurrentClocksEventReasons(h)])
        """,
    )

    times, mask = result
    assert mask == 0x1
    assert all(2e9 <= advanced < 3e9 for advanced in times[:3])
    assert times[3:] == [0, 0, 0]


def test_counters_advance_at_their_rate(driver: FakeDriver) -> None:
    """A field can count by itself."""
    driver.set_field(0, 202, 10, scope=3, per_second=1e9)
    driver.advance(100)

    result = answer(driver, "n.nvmlInit(); say(fields(handles()[0], [(202, 3), (202, 4)]))")

    assert result[0] == pytest.approx(1e11, rel=0.05)
    assert result[1] == 0


def test_samples_show_a_short_spike(driver: FakeDriver) -> None:
    """The sample buffer holds a spike that is over when somebody asks."""
    driver.set_power(0, 900.0)
    driver.advance(3.0)
    driver.set_power(0, 1390.0)
    driver.advance(0.3)
    driver.set_power(0, 900.0)
    driver.advance(0.5)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        tag, samples = n.nvmlDeviceGetSamples(h, 0, 0)
        last = samples[-1].timeStamp
        say([n.nvmlDeviceGetPowerUsage(h), [s.sampleValue.uiVal for s in samples],
             code(n.nvmlDeviceGetSamples, h, 0, last + 10**9)])
        """,
    )

    now, samples, nothing_new = result
    assert now == 900_000
    assert set(samples) == {900_000, 1_390_000}
    assert 13 <= samples.count(1_390_000) <= 17
    assert nothing_new == Return.NOT_FOUND


# Activity

GPM_SOURCE = """
n.nvmlInit()
hs = handles()

def sample(h, into=None):
    into = into or n.nvmlGpmSampleAlloc()
    n.nvmlGpmSampleGet(h, into)
    return into

def metrics(first, second, *wanted):
    request = n.c_nvmlGpmMetricsGet_t()
    request.version, request.numMetrics = 1, len(wanted)
    request.sample1, request.sample2 = first, second
    for entry, metric in zip(request.metrics, wanted):
        entry.metricId, entry.value = metric, -1
    n.nvmlGpmMetricsGet(request)
    return [[entry.nvmlReturn, entry.value] for entry in list(request.metrics)[:len(wanted)]]
"""


def test_gpm_averages_between_two_samples(driver: FakeDriver) -> None:
    """A metric is the mean over the time between its samples, whatever happened meanwhile."""
    driver.set_engine_activity(1, graphics=90, sm=80, occupancy=40, tensor=60, dram=30)
    source = GPM_SOURCE + "a = sample(hs[1]); say(0); hear(); say(metrics(a, sample(hs[1]), 1, 2, 3, 5, 10))"

    with Program(driver, source) as program:
        program.hear()
        driver.advance(1000)
        driver.set_engine_activity(1, sm=0, tensor=20)
        driver.advance(1000)
        program.go_on()
        result = program.hear()

    assert [code for code, _ in result] == [0] * 5
    assert [value for _, value in result] == pytest.approx([90, 40, 40, 40, 30], rel=0.01)


def test_gpm_traffic_is_that_of_the_fields(driver: FakeDriver) -> None:
    """Traffic is MiB/s of the counters that fields show: per link, summed, PCIe; C2C of its own."""
    mib = 2.0**20
    driver.set_field(0, 204, 0, scope=0, per_second=100 * mib)
    driver.set_field(0, 204, 0, scope=17, per_second=50 * mib)
    driver.set_field(0, 202, 0, scope=17, per_second=8 * mib)
    driver.set_field(0, 197, 0, per_second=3 * mib)
    driver.set_gpm(0, 100, 700.0)
    source = GPM_SOURCE + "a = sample(hs[0]); say(0); hear(); "
    source += "say(metrics(a, sample(hs[0]), 60, 61, 62, 63, 96, 97, 20, 21, 100))"

    with Program(driver, source) as program:
        program.hear()
        driver.advance(1000)
        program.go_on()
        result = program.hear()

    assert [value for _, value in result] == pytest.approx([150, 8, 100, 0, 50, 8, 3, 0, 700], rel=0.01)


def test_gpm_metrics_fail_one_by_one(driver: FakeDriver) -> None:
    """Unknown ids and injected errors stay in their entry; a failed entry has no value."""
    driver.set_gpm_error(0, 5, Return.UNKNOWN)
    driver.set_field_error(0, 202, Return.NOT_SUPPORTED, scope=4)
    driver.set_engine_activity(0, sm=10)
    source = GPM_SOURCE + "a = sample(hs[0]); say(0); hear(); say(metrics(a, sample(hs[0]), 2, 5, 30, 470, 999, 71))"

    with Program(driver, source) as program:
        program.hear()
        driver.advance(10)
        program.go_on()
        result = program.hear()

    assert [code for code, _ in result] == [0, 999, 3, 3, 3, 3]
    assert all(value == -1 for _, value in result[1:])


def test_gpm_samples_must_fit_together(driver: FakeDriver) -> None:
    """Samples within 100 ms hold nothing yet; of two GPUs, reversed, unfilled or freed are refused."""
    source = (
        GPM_SOURCE
        + """
a, close = sample(hs[0]), sample(hs[0])
say(0)
hear()
b, other, empty = sample(hs[0]), sample(hs[1]), n.nvmlGpmSampleAlloc()
results = [code(metrics, *pair, 1) for pair in ((a, close), (a, b), (a, other), (b, a), (a, empty))]
n.nvmlGpmSampleFree(b)
say(results + [code(metrics, a, b, 1), code(n.nvmlGpmSampleFree, b)])
"""
    )

    with Program(driver, source) as program:
        program.hear()
        driver.advance(0.5)
        program.go_on()
        result = program.hear()

    assert result == [Return.NO_DATA, 0, 2, 2, 2, 2, 2]


def test_gpm_support(driver: FakeDriver) -> None:
    """A GPU without GPM says so and takes no samples; an unknown struct version is refused."""
    driver.set_gpm_support(2, supported=False)

    result = answer(
        driver,
        GPM_SOURCE
        + """
def unknown_version():
    support = n.c_nvmlGpmSupport_t()
    support.version = 9
    return n.nvmlLib.nvmlGpmQueryDeviceSupport(hs[0], ctypes.byref(support))
say([[n.nvmlGpmQueryDeviceSupport(h).isSupportedDevice, code(sample, h)] for h in hs[1:3]] + [unknown_version()])
""",
    )

    assert result == [[1, 0], [0, 3], 25]


# Failures of one GPU


def test_lost_gpu(driver: FakeDriver) -> None:
    """A lost GPU fails at its handle and on its old one; the others and the count do not."""
    source = """
        n.nvmlInit()
        old = handles()
        uuid = n.nvmlDeviceGetUUID(old[1])
        say(uuid)
        hear()
        say([n.nvmlDeviceGetCount(), [code(n.nvmlDeviceGetPowerUsage, h) for h in old],
             code(n.nvmlDeviceGetHandleByIndex, 1), code(n.nvmlDeviceGetHandleByUUID, uuid),
             code(n.nvmlDeviceGetHandleByPciBusId, "00000009:06:00.0"),
             code(n.nvmlDeviceGetHandleByIndex, 2)])
        """

    with Program(driver, source) as program:
        assert program.hear() == driver.uuid(1)
        driver.set_gpu_error(1, Return.GPU_IS_LOST)
        program.go_on()
        result = program.hear()

    assert result == [4, [0, 15, 0, 0], 15, 15, 15, 0]


def test_gpu_that_needs_a_reset(driver: FakeDriver) -> None:
    """Code 16 stops everything but handles and the recovery action."""
    driver.set_gpu_error(0, Return.RESET_REQUIRED)
    driver.set_recovery_action(0, 4)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = handles()[0]
        say([code(n.nvmlDeviceGetPowerUsage, h), fields(h, [230, 82])])
        """,
    )

    assert result == [16, [4, {"error": 16}]]


def test_absent_gpu(driver: FakeDriver) -> None:
    """An absent GPU leaves count and index; its neighbours move up and keep their UUIDs."""
    driver.set_absent(1)

    result = answer(
        driver,
        f"""
        n.nvmlInit()
        present = handles()
        say([[n.nvmlDeviceGetUUID(h) for h in present], [n.nvmlDeviceGetIndex(h) for h in present],
             code(n.nvmlDeviceGetHandleByUUID, "{driver.uuid(1)}"),
             code(n.nvmlDeviceGetHandleByIndex, 3)])
        """,
    )

    assert result == [[driver.uuid(gpu) for gpu in (0, 2, 3)], [0, 1, 2], 6, 2]


def test_handles_are_found_by_uuid_and_address(driver: FakeDriver) -> None:
    """UUID and PCI address lead to the same GPU; what is not there is not found."""
    result = answer(
        driver,
        f"""
        n.nvmlInit()
        say([n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID("{driver.uuid(2)}")),
             n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByPciBusId("0000:0018:06:00.0"[5:])),
             code(n.nvmlDeviceGetHandleByUUID, "GPU-none"),
             code(n.nvmlDeviceGetHandleByPciBusId, "00000001:06:00.0")])
        """,
    )

    assert result == [2, 2, 6, 6]


HANG_SOURCE = """
    n.nvmlInit()
    hs = handles()
    def took(h):
        start = time.monotonic()
        n.nvmlDeviceGetPowerUsage(h)
        return time.monotonic() - start
    say(0)
    hear()
    hung = threading.Thread(target=took, args=(hs[2],))
    hung.start()
    time.sleep(0.05)
    others = [took(hs[i]) for i in (0, 1, 3)]
    hung.join()
    say(others)
    """


@pytest.mark.parametrize(("lock", "waited"), [(False, False), (True, True)])
def test_hang(driver: FakeDriver, *, lock: bool, waited: bool) -> None:
    """A hanging GPU stops its own calls only, unless the driver's lock is shared."""
    with Program(driver, HANG_SOURCE) as program:
        program.hear()
        driver.set_global_lock(held=lock)
        driver.set_hang(2, 400)
        program.go_on()
        others = program.hear()

    assert (max(others) > 0.2) == waited


def test_hang_can_be_withdrawn(driver: FakeDriver) -> None:
    """A test need not wait for the end of a hang it no longer needs."""
    driver.set_hang(0, 60_000)
    source = "n.nvmlInit(); say(0); n.nvmlDeviceGetHandleByIndex(0); say(1)"

    with Program(driver, source) as program:
        program.hear()
        time.sleep(0.05)
        start = time.monotonic()
        driver.set_hang(0, 0)
        program.hear()

    assert time.monotonic() - start < 5


def test_call_error(driver: FakeDriver) -> None:
    """One function can fail while the rest of the GPU works."""
    driver.set_call_error("nvmlDeviceGetPowerUsage", Return.UNKNOWN, gpu=1)

    result = answer(
        driver,
        """
        n.nvmlInit()
        say([[code(n.nvmlDeviceGetPowerUsage, h), code(n.nvmlDeviceGetUUID, h)] for h in handles()])
        """,
    )

    assert result == [[0, 0], [999, 0], [0, 0], [0, 0]]


def test_latency(driver: FakeDriver) -> None:
    """Calls and fields cost what the test says, and entries report it."""
    driver.set_latency(call_us=5_000, field_us=1_000)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h = n.nvmlDeviceGetHandleByIndex(0)
        start = time.monotonic()
        values = n.nvmlDeviceGetFieldValues(h, [82] * 10)
        took = time.monotonic() - start
        say([took, values[0].latencyUsec, abs(values[0].timestamp / 1e6 - time.time())])
        """,
    )

    took, reported, age = result
    assert took >= 0.015
    assert reported == 1_000
    assert age < 5


def test_processes(driver: FakeDriver) -> None:
    """The process list grows and shrinks on the next call."""
    driver.set_processes(0, [(4242, 2**30), (4243, 2**31)])

    result = answer(
        driver,
        """
        n.nvmlInit()
        say([[[p.pid, p.usedGpuMemory] for p in n.nvmlDeviceGetComputeRunningProcesses(h)]
             for h in handles()[:2]])
        """,
    )

    assert result == [[[4242, 2**30], [4243, 2**31]], []]


# Lifecycle


def test_init_is_counted(driver: FakeDriver) -> None:
    """As many shutdowns as inits end the library, and nothing works before or after."""
    result = answer(
        driver,
        """
        n._LoadNvmlLibrary()
        count = ctypes.c_uint()
        ask = lambda: n.nvmlLib.nvmlDeviceGetCount_v2(ctypes.byref(count))
        steps = [ask()]
        for call in (n.nvmlLib.nvmlInit_v2, n.nvmlLib.nvmlInit, n.nvmlLib.nvmlShutdown,
                     n.nvmlLib.nvmlShutdown, n.nvmlLib.nvmlShutdown):
            steps += [[call(), ask()]]
        say(steps)
        """,
    )

    assert result == [1, [0, 0], [0, 0], [0, 0], [0, 1], [1, 1]]


INIT_SOURCE = "say(code(n.nvmlInit))"


def test_missing_state_is_a_missing_driver(driver: FakeDriver) -> None:
    """Without its state file the driver is not loaded."""
    driver.path.rename(driver.path.with_suffix(".gone"))

    assert answer(driver, INIT_SOURCE) == Return.DRIVER_NOT_LOADED


def test_other_layout_is_a_version_mismatch(driver: FakeDriver) -> None:
    """A state file of another layout is refused by the library and by the control side."""
    driver.break_layout()

    assert answer(driver, INIT_SOURCE) == Return.LIB_RM_VERSION_MISMATCH
    with pytest.raises(StateError):
        State(driver.libraries, driver.path, create=False)


def test_truncated_state_is_a_version_mismatch(driver: FakeDriver) -> None:
    """A state file of another size is refused too."""
    driver.path.unlink()
    driver.path.write_bytes(b"\0" * 100)

    assert answer(driver, INIT_SOURCE) == Return.LIB_RM_VERSION_MISMATCH


def test_injected_init_error(driver: FakeDriver) -> None:
    """Initialisation fails with the code that was set."""
    driver.set_init_error(Return.UNKNOWN)

    assert answer(driver, INIT_SOURCE) == Return.UNKNOWN


def test_no_gpu_at_all(driver: FakeDriver) -> None:
    """Without GPUs a plain init with version 2 fails, one that allows it does not."""
    for gpu in EVERY_GPU:
        driver.set_absent(gpu)

    result = answer(driver, "say([code(n.nvmlInitWithFlags, 0), code(n.nvmlInitWithFlags, 1)])")

    assert result == [Return.GPU_NOT_FOUND, 0]


def test_reload(driver: FakeDriver) -> None:
    """After a reload everything is uninitialised until shutdown and init; old handles stay dead."""
    source = """
        n.nvmlInit()
        old = handles()
        say(0)
        hear()
        stale = [code(n.nvmlDeviceGetPowerUsage, h) for h in old] + [code(n.nvmlDeviceGetCount)]
        n.nvmlShutdown()
        n.nvmlInit()
        new = handles()
        say([stale, [code(n.nvmlDeviceGetPowerUsage, h) for h in old],
             [code(n.nvmlDeviceGetPowerUsage, h) for h in new],
             n.nvmlDeviceGetTotalEnergyConsumption(new[0]) < 10**7, fields(new[0], [3, 5]),
             n.nvmlSystemGetDriverVersion()])
        """
    driver.set_field(0, 3, 12)
    driver.set_field(0, 5, 40)

    with Program(driver, source) as program:
        program.hear()
        driver.reload(driver_version="595.10")
        program.go_on()
        result = program.hear()

    assert result == [[1] * 5, [2] * 4, [0] * 4, True, [0, 40], "595.10"]


def test_counters_restart_only_across_an_init(driver: FakeDriver) -> None:
    """Who is told of no reload never sees the energy go down, however often it happens."""
    source = """
        n.nvmlInit()
        h, last, back, told = handles()[3], 0, 0, 0
        say(0)
        while told < 50:
            try:
                energy = n.nvmlDeviceGetTotalEnergyConsumption(h)
            except n.NVMLError_Uninitialized:
                told += 1
                n.nvmlShutdown()
                n.nvmlInit()
                h, last = handles()[3], 0
                say(told)
            else:
                back += energy < last
                last = energy
        say(back)
        """

    with Program(driver, source) as program:
        program.hear()
        for told in range(1, 51):
            time.sleep(0.002)
            driver.reload()
            assert program.hear() == told
        steps_back = program.hear()

    assert steps_back == 0


# Events

WAIT_SOURCE = """
n.nvmlInit()
hs = handles()
names = {ctypes.cast(h, ctypes.c_void_p).value: i for i, h in enumerate(hs)}
events = n.nvmlEventSetCreate()
for h in hs:
    n.nvmlDeviceRegisterEvents(h, 0xFE0A & n.nvmlDeviceGetSupportedEventTypes(h), events)
say("registered")
def wait(ms=5000):
    e = n.nvmlEventSetWait_v2(events, ms)
    return [names[ctypes.cast(e.device, ctypes.c_void_p).value], e.eventType, e.eventData]
"""


def test_xid_burst_arrives_complete_and_in_order(driver: FakeDriver) -> None:
    """Fifty XIDs reach a waiting process in the order they were raised."""
    source = WAIT_SOURCE + "say([wait() for _ in range(50)])"
    raised = [(index % 4, 100 + index) for index in range(50)]
    driver.raise_xid(0, 13)

    with Program(driver, source) as program:
        program.hear()
        for gpu, xid in raised:
            driver.raise_xid(gpu, xid)
        received = program.hear()

    assert received == [[gpu, 0x8, xid] for gpu, xid in raised]


def test_only_xids_carry_data(driver: FakeDriver) -> None:
    """Other events lose their data, and types nobody registered for are not delivered."""
    source = WAIT_SOURCE + "say([wait(), code(wait, 0)])"

    with Program(driver, source) as program:
        program.hear()
        driver.raise_event(3, 0x1, 5)
        driver.raise_event(2, 0x8000, 77)
        received = program.hear()

    assert received[0] == [2, 0x8000, 0]
    assert received[1] == Return.TIMEOUT


def test_wait_wakes_up_at_once(driver: FakeDriver) -> None:
    """A waiter sleeps until the event and not until its next poll."""
    source = WAIT_SOURCE + "wait(); wait(); say(time.monotonic())"

    with Program(driver, source) as program:
        program.hear()
        driver.raise_xid(0, 1)
        time.sleep(0.05)
        raised = time.monotonic()
        driver.raise_xid(0, 2)
        woken = program.hear()

    assert 0 < woken - raised < 0.08


def test_wait_times_out(driver: FakeDriver) -> None:
    """Silence is answered by TIMEOUT, after the time asked for."""
    result = answer(
        driver,
        """
        n.nvmlInit()
        events = n.nvmlEventSetCreate()
        start = time.monotonic()
        say([code(n.nvmlEventSetWait_v2, events, 120), time.monotonic() - start])
        """,
    )

    assert result[0] == Return.TIMEOUT
    assert result[1] >= 0.12


def test_unsupported_event_refuses_all(driver: FakeDriver) -> None:
    """One unsupported bit refuses the whole registration and leaves the set usable."""
    driver.set_supported_events(0, 0x8)

    result = answer(
        driver,
        """
        n.nvmlInit()
        h, events = handles()[0], n.nvmlEventSetCreate()
        say([code(n.nvmlDeviceRegisterEvents, h, 0x8008, events),
             code(n.nvmlDeviceRegisterEvents, h, 0x8, events),
             n.nvmlDeviceGetSupportedEventTypes(handles()[1]),
             code(n.nvmlEventSetFree, events), code(n.nvmlEventSetWait_v2, events, 0)])
        """,
    )

    assert result == [3, 0, NVML_EVENT_TYPES, 0, 2]


def test_waiter_learns_of_a_reload(driver: FakeDriver) -> None:
    """A reload ends a wait with UNINITIALIZED and is announced to system event sets."""
    source = """
        n.nvmlInit()
        events, system = n.nvmlEventSetCreate(), n.nvmlSystemEventSetCreate(0x1000010)
        n.nvmlSystemRegisterEvents(0x1000018, 3, system)
        say(0)
        say(code(n.nvmlEventSetWait_v2, events, 5000))
        hear()
        room = (n.c_nvmlSystemEventData_v1_t * 6)()
        ask = lambda: n.nvmlSystemEventSetWait(0x1000020, system, 1000, room, 6)
        say([[e["eventType"] for e in ask()], [e["eventType"] for e in ask()]])
        """

    with Program(driver, source) as program:
        program.hear()
        time.sleep(0.05)
        driver.reload()
        ended = program.hear()
        program.go_on()
        announced = program.hear()

    assert ended == Return.UNINITIALIZED
    assert announced == [[1, 1, 1, 1, 2, 2], [2, 2]]


# The control side


def test_unknown_names_raise(driver: FakeDriver) -> None:
    """A mistake in a test is an error, not a silent no-op."""
    with pytest.raises(StateError):
        driver.set_call_error("nvmlDeviceGetPowerUsage_v9", 3)
    with pytest.raises(StateError):
        driver.set_power(4, 100.0)
    with pytest.raises(StateError):
        driver.set_field(0, 213, 1, scope=37)
    with pytest.raises(ValueError, match="processes"):
        driver.set_processes(0, [(1, 1)] * 17)


def test_a_second_process_may_drive_the_same_tray(driver: FakeDriver) -> None:
    """Attaching changes nothing by itself and sees what the first side set."""
    driver.set_energy(0, 1_000_000.0)

    with FakeDriver(driver.path, attach=True) as second:
        second.set_power(0, 1234.0)
        seen = second.energy(0)

    assert seen >= 1_000_000.0
    assert driver.path.exists()
    assert answer(driver, "n.nvmlInit(); say(n.nvmlDeviceGetPowerUsage(handles()[0]))") == 1_234_000


def test_counter_never_steps_back_while_it_is_changed(driver: FakeDriver) -> None:
    """Rewriting a value shows the old or the new one, nothing in between."""
    source = """
        n.nvmlInit()
        h = handles()[0]
        say(0)
        seen = []
        while not seen or seen[-1] < 3000:
            seen += fields(h, [(213, 0)])
        say(seen == sorted(seen))
        """
    driver.set_field(0, 213, 1)

    with Program(driver, source) as program:
        program.hear()
        for value in range(2, 3001):
            driver.set_field(0, 213, value)
        in_order = program.hear()

    assert in_order


def test_build_is_kept(tmp_path: Path) -> None:
    """The second build of the same sources is the first one."""
    first = build(tmp_path)
    made = first.stat().st_ctime_ns

    assert build(tmp_path) == first
    assert first.stat().st_ctime_ns == made
    assert ctypes.CDLL(str(first / "libfakecontrol.so")).controlGpuCount() == len(EVERY_GPU)
