"""An idle, healthy tray tells the numbers of a published capture."""

from pathlib import Path

from tests.fakedriver.driver import EVERY_GPU, FakeDriver, Place
from tests.fakedriver.program import answer


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
