"""The NVIDIA driver behind the device port: the only importer of pynvml.

Identity goes through the bindings; the hot path calls prebuilt arrays through the raw
function pointers. Vendor units, struct versions and error codes end here.
"""

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pynvml

from collectors.device import (
    Access,
    DeviceEvent,
    DeviceEventKind,
    FabricState,
    GpuIdentity,
    Inventory,
    Missing,
    Quantity,
    Reading,
)
from collectors.fabric import FabricInfo, judge
from collectors.nvml_fields import BATCH, FieldBatch, keep, missing_for, sift
from service.core import limits
from service.core.errors import DeviceGone, DriverUnavailable

_UNINITIALIZED, _TIMEOUT, _LOST, _RESET_REQUIRED, _BAD_VERSION = 1, 10, 15, 16, 25
_WANTED_EVENTS = 0xFE0A
_XID_EVENT = 0x8
_DRAIN_MAX = 1_024
_CAUSES = {
    9: ("driver:not_loaded", "load the NVIDIA kernel module (modprobe nvidia)"),
    12: ("driver:library_missing", "install the driver's user space (libnvidia-ml.so.1)"),
    18: ("driver:version_mismatch", "library and kernel module differ: reload the module or reboot"),
}
_ACCESS = {_LOST: Access.LOST, _RESET_REQUIRED: Access.RESET_REQUIRED}


class FieldLock:
    """Serialises field-value calls; a holder that overruns its deadline loses the lock.

    The vendor has serialised these calls itself after an incident. A hung holder must not
    blind its tray-mates: after the deadline the lock is replaced and the others go on.
    """

    def __init__(self, deadline_seconds: float = limits.CALL_DEADLINE_MS / 2000) -> None:
        """Begin unlocked."""
        self._deadline = deadline_seconds
        self._lock = threading.Lock()
        self.lost_by_holders = 0

    def call(self, function: Callable[[], int]) -> int:
        """Run a call under the lock; a holder that overruns has it taken away."""
        lock = self._lock
        if not lock.acquire(timeout=self._deadline):
            self.lost_by_holders += 1
            lock = threading.Lock()
            lock.acquire()
            self._lock = lock
        try:
            return function()
        finally:
            lock.release()


@dataclass(slots=True)
class _Gpu:
    """What is kept of a GPU between reads: handle, array, structs, and what it does not support."""

    identity: GpuIdentity
    handle: Any
    batch: FieldBatch = field(default_factory=FieldBatch)
    utilisation: Any = field(default_factory=pynvml.c_nvmlUtilization_t)
    fabric: Any = None
    temperature: Any = None


class NvmlDevice:
    """All GPUs that the driver of this host shows; see `collectors.device.Device`."""

    def __init__(self) -> None:
        """Touch nothing before `open`."""
        self._gpus: dict[str, _Gpu] = {}
        self._uuid_of: dict[int, str] = {}
        self._events: Any = None
        self._open = False
        self.field_lock = FieldLock()
        self._functions: dict[str, Callable[..., int]] = {}

    def open(self) -> Inventory:
        """Initialise NVML, take the inventory, subscribe to events."""
        if not hasattr(pynvml, "nvmlDeviceGetGpuFabricInfoV"):
            msg = "the module pynvml is not NVIDIA's: remove the package `pynvml`, keep `nvidia-ml-py`"
            raise DriverUnavailable("driver:library_missing", msg)
        try:
            pynvml.nvmlInit()
            self._open = True
            self._functions = {name: self._pointer(name) for name in _HOT}
            self._gpus = {gpu.identity.uuid: gpu for gpu in _found()}
            masks = self._subscribe()
            return _inventory(tuple(gpu.identity for gpu in self._gpus.values()), masks)
        except pynvml.NVMLError as error:
            self.close()
            cause, mend = _CAUSES.get(error.value, ("driver:not_loaded", "see the driver's log"))
            raise DriverUnavailable(cause, f"NVML: {error}: {mend}") from error

    @staticmethod
    def _pointer(name: str) -> Callable[..., int]:
        pointer: Callable[..., int] = pynvml._nvmlGetFunctionPointer(name)  # noqa: SLF001 -- the bindings offer no raw call
        return pointer

    def close(self) -> None:
        """Let go of events and library; idempotent."""
        if not self._open:
            return
        self._open = False
        events, self._events = self._events, None
        for release in ([lambda: pynvml.nvmlEventSetFree(events)] if events is not None else []) + [
            pynvml.nvmlShutdown
        ]:
            try:
                release()
            except pynvml.NVMLError:  # after a reload both are void already
                continue

    def read(self, gpu: str) -> Reading:
        """Collect one GPU: one field batch, temperature, utilisation, fabric."""
        known = self._gpus[gpu]
        values: dict[Quantity, float] = {}
        missing: dict[Quantity, Missing] = {}
        code = self._fields(known)
        if code != 0:
            return self._failed(gpu, code)
        entries = known.batch.entries()
        codes = {entry[1] for entry in entries}
        action = sift(entries, values, missing)
        if 0 not in {code for field, code, _, _ in entries if field.quantity is not None} and codes & _ACCESS.keys():
            return self._failed(gpu, (codes & _ACCESS.keys()).pop(), action)
        self._temperature(known, values, missing)
        self._utilisation(known, values, missing)
        return Reading(
            gpu=gpu,
            access=Access.OK,
            values=values,
            missing=missing,
            recovery_action=action,
            fabric=self._fabric(known),
        )

    def _failed(self, gpu: str, code: int, action: int | None = None) -> Reading:
        if code == _UNINITIALIZED:
            msg = "the driver was reloaded under us"
            raise DeviceGone(msg)
        return Reading(
            gpu=gpu,
            access=_ACCESS.get(code, Access.FAILED),
            values={},
            missing=dict.fromkeys(Quantity, Missing.FAILED),
            recovery_action=action,  # a GPU that needs a reset still says so
            error=f"NVML return code {code}",
        )

    def _fields(self, known: _Gpu) -> int:
        function = self._functions["nvmlDeviceGetFieldValues"]

        def call(count: int, array: object) -> int:
            return self.field_lock.call(lambda: function(known.handle, count, array))

        code = known.batch.ask(call)
        if code in {0, _UNINITIALIZED, *_ACCESS} or len(known.batch.fields) == 1:
            return code
        return self._ask_one_by_one(known, call, code)

    @staticmethod
    def _ask_one_by_one(known: _Gpu, call: Callable[[int, object], int], code: int) -> int:
        """Re-ask once, field by field, and keep the fields that do not spoil the batch."""
        good = [one for one in BATCH if FieldBatch((one,)).ask(call) == 0]
        if not good:
            return code
        known.batch = FieldBatch(good)
        return known.batch.ask(call)

    def _temperature(self, known: _Gpu, values: dict[Quantity, float], missing: dict[Quantity, Missing]) -> None:
        if known.temperature is None:
            known.temperature = pynvml.c_nvmlTemperature_v1_t()
            known.temperature.version = pynvml.nvmlTemperature_v1
            known.temperature.sensorType = 0
        code = self._functions["nvmlDeviceGetTemperatureV"](known.handle, ctypes.byref(known.temperature))
        if code == 0:
            keep(Quantity.TEMPERATURE_CELSIUS, known.temperature.temperature, values, missing)
        else:
            missing[Quantity.TEMPERATURE_CELSIUS] = missing_for(code)

    def _utilisation(self, known: _Gpu, values: dict[Quantity, float], missing: dict[Quantity, Missing]) -> None:
        code = self._functions["nvmlDeviceGetUtilizationRates"](known.handle, ctypes.byref(known.utilisation))
        for quantity, percent in (
            (Quantity.UTILISATION_RATIO, known.utilisation.gpu),
            (Quantity.MEMORY_UTILISATION_RATIO, known.utilisation.memory),
        ):
            if code == 0:
                keep(quantity, percent / 100, values, missing)
            else:
                missing[quantity] = missing_for(code)

    def _fabric(self, known: _Gpu) -> FabricState:
        if known.fabric is None:
            known.fabric = pynvml.c_nvmlGpuFabricInfo_v3_t()
        info = known.fabric
        function = self._functions["nvmlDeviceGetGpuFabricInfoV"]
        code = function(known.handle, ctypes.byref(info))
        if code == _BAD_VERSION and isinstance(info, pynvml.c_nvmlGpuFabricInfo_v3_t):
            known.fabric = info = pynvml.c_nvmlGpuFabricInfo_v2_t()
            code = function(known.handle, ctypes.byref(info))
        if code != 0:
            return FabricState.UNSUPPORTED if missing_for(code) is Missing.UNSUPPORTED else FabricState.UNKNOWN
        return judge(
            FabricInfo(
                state=info.state & 0xFF,  # one byte in C, four in the bindings
                status=info.status,
                clique=info.cliqueId,
                cluster=bytes(info)[4:20],
                mask=info.healthMask,
                summary=getattr(info, "healthSummary", None),
            )
        )

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Wait for the first event, then take what else is there."""
        found: list[DeviceEvent] = []
        data = pynvml.c_nvmlEventData_t()
        wait = self._functions["nvmlEventSetWait_v2"]
        while len(found) < _DRAIN_MAX:
            code = wait(self._events, ctypes.byref(data), 0 if found else timeout_ms)
            if code == 0:
                found.append(self._event(data))
                continue
            if code == _UNINITIALIZED:
                msg = "the driver was reloaded under us"
                raise DeviceGone(msg)
            if code == _LOST:
                self._resubscribe()
            break
        return tuple(found)

    def _event(self, data: Any) -> DeviceEvent:  # noqa: ANN401 -- a ctypes struct of the bindings
        uuid = self._uuid_of.get(ctypes.cast(data.device, ctypes.c_void_p).value or 0)
        is_xid = data.eventType == _XID_EVENT
        return DeviceEvent(
            kind=DeviceEventKind.XID if is_xid else DeviceEventKind.OTHER,
            gpu=uuid,
            event_type=int(data.eventType),
            data=int(data.eventData),
        )

    def _subscribe(self) -> dict[str, int]:
        self._events = pynvml.nvmlEventSetCreate()
        masks: dict[str, int] = {}
        for uuid, gpu in self._gpus.items():
            try:
                mask = pynvml.nvmlDeviceGetSupportedEventTypes(gpu.handle) & _WANTED_EVENTS
                pynvml.nvmlDeviceRegisterEvents(gpu.handle, mask, self._events)
            except pynvml.NVMLError:  # this GPU announces nothing; polling still sees it
                continue
            masks[uuid] = mask
            self._uuid_of[ctypes.cast(gpu.handle, ctypes.c_void_p).value or 0] = uuid
        return masks

    def _resubscribe(self) -> None:
        """Build the event set again without the GPU that was lost while waiting."""
        pynvml.nvmlEventSetFree(self._events)
        self._subscribe()


_HOT = (
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetTemperatureV",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetGpuFabricInfoV",
    "nvmlEventSetWait_v2",
)


def _found() -> list[_Gpu]:
    """Return the GPUs that answer, in order of PCI address; a lost one is left out."""
    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            pci = pynvml.nvmlDeviceGetPciInfo(handle)
            found.append((pci.domain, pci.bus, pci.device, index, handle, _text(pci.busId)))
        except pynvml.NVMLError as error:
            if error.value in {_UNINITIALIZED, 18}:
                raise
    found.sort(key=lambda one: one[:4])
    return [_gpu(position, *one[3:]) for position, one in enumerate(found)]


def _gpu(position: int, index: int, handle: Any, bus_id: str) -> _Gpu:  # noqa: ANN401
    identity = GpuIdentity(
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        position=position,
        index=index,
        module=_text(_optional(pynvml.nvmlDeviceGetSerial, handle) or ""),
        module_id=_optional(pynvml.nvmlDeviceGetModuleId, handle),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        pci_bus_id=bus_id,
        minor=_optional(pynvml.nvmlDeviceGetMinorNumber, handle),
    )
    return _Gpu(identity, handle)


def _inventory(gpus: tuple[GpuIdentity, ...], masks: dict[str, int]) -> Inventory:
    place = _platform(gpus[0].index) if gpus else None
    return Inventory(
        gpus=gpus,
        driver_version=_text(pynvml.nvmlSystemGetDriverVersion()),
        nvml_version=_text(pynvml.nvmlSystemGetNVMLVersion()),
        cuda_version=pynvml.nvmlSystemGetCudaDriverVersion_v2(),
        chassis_serial=place[0] if place else None,
        slot=place[1] if place else None,
        tray=place[2] if place else None,
        event_types=masks,
    )


def _platform(index: int) -> tuple[str, int, int] | None:
    """Return chassis serial, slot and tray from the struct's raw bytes.

    The bindings declare bytes as characters: reading members decodes them and raises.
    """
    info = pynvml.c_nvmlPlatformInfo_v2_t()
    try:
        pynvml.nvmlDeviceGetPlatformInfo(pynvml.nvmlDeviceGetHandleByIndex(index), ctypes.byref(info))
    except pynvml.NVMLError:
        return None
    raw = bytes(info)
    return raw[20:36].split(b"\0")[0].decode("ascii", "replace"), raw[36], raw[37]


def _optional(function: Callable[[Any], Any], handle: Any) -> Any:  # noqa: ANN401
    try:
        return function(handle)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
