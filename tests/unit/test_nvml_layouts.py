"""The structs that are laid out by hand have the sizes and versions that NVIDIA's bindings give them."""

import ctypes
import struct
from typing import Any

import pynvml
import pytest

from collectors.catalogue import Round
from collectors.nvml import events, gpm, identity
from collectors.nvml.calls import CALLS, Call, versioned
from collectors.nvml.fields import ENTRY

BY_FUNCTION = {call.function: call for one in Round for call in CALLS[one]}


def blank(call: Call, at: int = 0) -> bytes:
    """Return the memory that a call hands over."""
    return [one for one in call.arguments if isinstance(one, bytes)][at]


@pytest.mark.parametrize(
    ("function", "layout", "version"),
    [
        ("nvmlDeviceGetTemperatureV", pynvml.c_nvmlTemperature_v1_t, pynvml.nvmlTemperature_v1),
        ("nvmlDeviceGetMarginTemperature", pynvml.c_nvmlMarginTemperature_v1_t, pynvml.nvmlMarginTemperature_v1),
        ("nvmlDeviceGetUtilizationRates", pynvml.c_nvmlUtilization_t, None),
        ("nvmlDeviceGetMemoryInfo_v2", pynvml.c_nvmlMemory_v2_t, pynvml.nvmlMemory_v2),
        ("nvmlDeviceGetRowRemapperHistogram", pynvml.c_nvmlRowRemapperHistogramValues, None),
        ("nvmlDeviceGetRepairStatus", pynvml.c_nvmlRepairStatus_t, pynvml.nvmlRepairStatus_v1),
        (
            "nvmlDeviceGetSramEccErrorStatus",
            pynvml.c_nvmlEccSramErrorStatus_v1_t,
            pynvml.nvmlEccSramErrorStatus_v1,
        ),
    ],
)
def test_a_struct_is_as_large_as_the_bindings_say(function: str, layout: type[Any], version: int | None) -> None:
    """Size and, where the struct has one, version agree."""
    handed = blank(BY_FUNCTION[function])

    assert len(handed) == ctypes.sizeof(layout)
    assert version is None or struct.unpack_from("<I", handed)[0] == version


def test_structs_outside_the_table_agree_too() -> None:
    """Entries, events, PCI addresses, platform, fabric, processes and GPM metrics."""
    processes = BY_FUNCTION["nvmlDeviceGetComputeRunningProcesses_v3"]
    count = struct.unpack("<I", blank(processes))[0]

    assert ctypes.sizeof(pynvml.c_nvmlFieldValue_t) == ENTRY.size
    assert ctypes.sizeof(pynvml.c_nvmlEventData_t) == events._EVENT.size
    assert ctypes.sizeof(pynvml.nvmlPciInfo_t) == identity._PCI.size
    assert ctypes.sizeof(pynvml.c_nvmlPlatformInfo_v2_t) == len(versioned(2, 44))
    assert ctypes.sizeof(pynvml.c_nvmlGpuFabricInfo_v3_t) == len(versioned(3, 40))
    assert ctypes.sizeof(pynvml.c_nvmlGpuFabricInfo_v2_t) == len(versioned(2, 36))
    assert ctypes.sizeof(pynvml.c_nvmlProcessInfo_v3_t) * count == len(blank(processes, 1))
    assert ctypes.sizeof(pynvml.c_nvmlGpmMetric_t) == gpm._METRIC.size


def test_every_call_feeds_as_many_keys_as_it_unpacks() -> None:
    """No value is left without a key, and no key without a value."""
    for one in Round:
        for call in CALLS[one]:
            answers = [part for part in call.arguments if isinstance(part, bytes)]

            assert len(call.unpack(answers)) == len(call.keys), call.function
