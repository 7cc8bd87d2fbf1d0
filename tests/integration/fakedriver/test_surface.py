"""What the simulated driver exports, and which struct versions it knows."""

import re
import subprocess

from tests.fakedriver.driver import FakeDriver, Return
from tests.fakedriver.library import DRIVER_LIBRARY, build, declared_functions, header
from tests.fakedriver.program import answer


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
