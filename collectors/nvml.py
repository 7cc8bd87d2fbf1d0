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

from collectors.catalogue import Key, Quantity, Round, of_round
from collectors.clock import SystemClock
from collectors.device import (
    Access,
    DeviceEvent,
    DeviceEventKind,
    FabricState,
    GpuIdentity,
    Inventory,
    Missing,
    Reading,
    Survey,
)
from collectors.fabric import judge, unpack
from collectors.nvml_fields import (
    BAD_VERSION,
    FUNCTION_NOT_FOUND,
    GPU_IS_LOST,
    NOT_SUPPORTED,
    RESET_REQUIRED,
    SUCCESS,
    UNINITIALIZED,
    UNKNOWN,
    FieldBatch,
    keep,
    missing_field_for,
    missing_for,
    sift,
    telling,
)
from collectors.nvml_lock import TIMEOUT, FieldLock
from service.core import limits
from service.core.errors import DeviceGone, DriverUnavailable
from service.core.ports import Clock

_NOT_FOUND, _VERSION_MISMATCH = 6, 18
_WANTED_EVENTS = 0xFE0A
_XID_EVENT = 0x8
_DRAIN_MAX = 1_024
_FIND_AGAIN_READS = 5  # how often a lost GPU is looked for by its UUID
_CAUSES = {
    UNINITIALIZED: ("driver:reloaded", "the driver is being reloaded: wait, it is tried again"),
    4: ("agent:unreadable", "give the agent read access to /dev/nvidiactl and /dev/nvidia*"),
    9: ("driver:not_loaded", "load the NVIDIA kernel module (modprobe nvidia)"),
    12: ("driver:library_missing", "install the driver's user space (libnvidia-ml.so.1)"),
    _VERSION_MISMATCH: ("driver:version_mismatch", "library and kernel module differ: reload the module or reboot"),
}
_OTHER_CAUSE = ("agent:unreadable", "see the kernel log (dmesg) for what the driver says")
_ACCESS = {GPU_IS_LOST: Access.LOST, RESET_REQUIRED: Access.RESET_REQUIRED}
_FINAL = {SUCCESS, UNINITIALIZED, TIMEOUT, *_ACCESS}  # asking field by field would tell no more
_NO_SUCH_CALL = {NOT_SUPPORTED, FUNCTION_NOT_FOUND, BAD_VERSION}

_Values = dict[Key, float]
_Absent = dict[Key, Missing]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a GPU of a multi-node NVLink rack sits; other GPUs have none."""

    chassis_serial: str
    slot: int
    tray: int


@dataclass(slots=True)
class _Gpu:
    """What is kept of a GPU between reads: handle, array, structs, and what it does not support."""

    identity: GpuIdentity
    handle: Any
    fabric: Any
    temperature: Any
    utilisation: Any
    number: ctypes.c_uint
    place: _Place | None
    batch: FieldBatch = field(default_factory=FieldBatch)
    dropped: _Absent = field(default_factory=dict)  # fields that would spoil the batch
    is_split: bool = False  # asked field by field, in vain
    lost_reads: int = 0  # since it last answered
    fabric_raw: bytes = b""  # the last answer, and what was made of it
    fabric_state: FabricState = FabricState.UNKNOWN


class NvmlDevice:
    """All GPUs that the driver of this host shows; see `collectors.device.Device`."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Touch nothing before `open`."""
        self._clock = clock or SystemClock()
        self._gpus: dict[str, _Gpu] = {}
        self._uuid_of: dict[int, str] = {}
        self._events: Any = None
        self._returned: set[str] = set()  # was lost, answers again, announces nothing yet
        self._is_open = False
        self._closing = threading.Event()
        self._waiting = threading.Lock()  # held while the driver may be using the event set
        self._functions: dict[str, Callable[..., int]] = {}
        self.field_lock = FieldLock(self._clock)

    def open(self) -> Inventory:
        """Initialise NVML, take the inventory, subscribe to events."""
        _refuse_other_bindings()
        self.close()
        try:
            pynvml.nvmlInit()
            self._is_open = True
            return self._take_in()
        except pynvml.NVMLError as error:
            self.close()
            cause, mend = _CAUSES.get(error.value, _OTHER_CAUSE)
            raise DriverUnavailable(cause, f"NVML: {error} (code {error.value}): {mend}") from error

    def _take_in(self) -> Inventory:
        self._closing.clear()
        self._functions = {name: _pointer(name) for name in _HOT}
        self.field_lock = FieldLock(self._clock)  # a call that hangs from before keeps the old one
        self._gpus = {gpu.identity.uuid: gpu for gpu in _found()}
        self._uuid_of = {_address(gpu.handle): uuid for uuid, gpu in self._gpus.items()}
        self._returned = set()
        masks = self._subscribe()
        return _inventory(list(self._gpus.values()), masks)

    def close(self) -> None:
        """Let go of events and library; idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        self._closing.set()
        events, self._events = self._events, None
        # A set that is still being waited on is left to the driver's shutdown, not pulled away.
        if self._waiting.acquire(timeout=2 * limits.EVENT_WAIT_MS / 1000):
            _free(events)
            self._waiting.release()
        _optional(pynvml.nvmlShutdown)  # after a reload it is void already

    # Reading

    def read(self, gpu: str) -> Reading:
        """Collect one GPU: one field batch, temperature, utilisation, fabric."""
        known = self._gpus[gpu]
        code = self._find_again(known) or self._fields(known)
        if code != SUCCESS:
            return self._failed(known, code)
        values: _Values = {}
        missing: _Absent = dict(known.dropped)
        answers = known.batch.answers()
        action = sift(answers, values, missing)
        if not values and Missing.FAILED in missing.values():
            codes = {answer.code for answer in answers}
            return self._failed(known, telling(codes), action)  # a GPU that needs a reset still says so
        if known.lost_reads:
            known.lost_reads = 0
            self._returned.add(gpu)
        for quantity in of_round(Round.PULSE) - values.keys() - missing.keys():
            missing[quantity] = Missing.UNSUPPORTED
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

    def survey(self, gpu: str, one: Round) -> Survey:
        """Collect another round of one GPU."""
        known = self._gpus[gpu]
        missing: _Absent = dict.fromkeys(of_round(one), Missing.UNSUPPORTED)
        return Survey(gpu=known.identity.uuid, round=one, values={}, missing=missing)

    @staticmethod
    def _failed(known: _Gpu, code: int, action: int | None = None) -> Reading:
        _check_reload(code)
        access = _ACCESS.get(code, Access.FAILED)
        known.lost_reads += access is Access.LOST
        return Reading(
            gpu=known.identity.uuid,
            access=access,
            values={},
            missing=dict.fromkeys(of_round(Round.PULSE), Missing.FAILED),
            recovery_action=action,
            error=f"NVML: {pynvml.NVMLError(code)} (code {code})",
        )

    def _find_again(self, known: _Gpu) -> int:
        """Look now and then for a lost GPU by its UUID; it may come back under another handle."""
        if known.lost_reads == 0 or known.lost_reads % _FIND_AGAIN_READS:
            return SUCCESS
        try:
            known.handle = pynvml.nvmlDeviceGetHandleByUUID(known.identity.uuid)
        except pynvml.NVMLError as error:
            return GPU_IS_LOST if error.value == _NOT_FOUND else int(error.value)
        self._uuid_of[_address(known.handle)] = known.identity.uuid
        return SUCCESS

    def _fields(self, known: _Gpu) -> int:
        function = self._functions["nvmlDeviceGetFieldValues"]
        lock, gpu = self.field_lock, known.identity.uuid

        def call(count: int, array: object) -> int:
            return lock.call(gpu, lambda: function(known.handle, count, array))

        code = known.batch.ask(call)
        if code == SUCCESS:
            known.is_split = False
            return code
        if code in _FINAL or known.is_split:
            return code
        codes = known.batch.ask_singly(call)
        known.is_split = SUCCESS not in codes
        if known.is_split or UNINITIALIZED in codes:
            return telling(codes)
        _drop_culprits(known, codes)
        return SUCCESS

    def _temperature(self, known: _Gpu, values: _Values, missing: _Absent) -> None:
        code, celsius = NOT_SUPPORTED, 0
        if known.temperature is not None:
            function = self._functions["nvmlDeviceGetTemperatureV"]
            code = function(known.handle, ctypes.byref(known.temperature))
            celsius = known.temperature.temperature
        if code in _NO_SUCH_CALL:
            known.temperature = None  # this driver only knows the older call
            code = self._functions["nvmlDeviceGetTemperature"](known.handle, 0, ctypes.byref(known.number))
            celsius = known.number.value
        _check_reload(code)
        missing.pop(Quantity.TEMPERATURE_CELSIUS, None)
        if code == SUCCESS:
            keep(Quantity.TEMPERATURE_CELSIUS, celsius, values, missing)
        else:
            missing[Quantity.TEMPERATURE_CELSIUS] = missing_for(code)

    def _utilisation(self, known: _Gpu, values: _Values, missing: _Absent) -> None:
        percents = known.utilisation
        code = self._functions["nvmlDeviceGetUtilizationRates"](known.handle, ctypes.byref(percents))
        _check_reload(code)
        missing.pop(Quantity.UTILISATION_RATIO, None)
        missing.pop(Quantity.MEMORY_UTILISATION_RATIO, None)
        if code == SUCCESS:
            keep(Quantity.UTILISATION_RATIO, percents.gpu / 100, values, missing)
            keep(Quantity.MEMORY_UTILISATION_RATIO, percents.memory / 100, values, missing)
        else:
            why = missing_for(code)
            missing[Quantity.UTILISATION_RATIO] = missing[Quantity.MEMORY_UTILISATION_RATIO] = why

    def _fabric(self, known: _Gpu) -> FabricState:
        function = self._functions["nvmlDeviceGetGpuFabricInfoV"]
        code = function(known.handle, ctypes.byref(known.fabric))
        if code == BAD_VERSION and isinstance(known.fabric, pynvml.c_nvmlGpuFabricInfo_v3_t):
            known.fabric = pynvml.c_nvmlGpuFabricInfo_v2_t()
            code = function(known.handle, ctypes.byref(known.fabric))
        _check_reload(code)
        if code != SUCCESS:
            return FabricState.UNSUPPORTED if code == NOT_SUPPORTED else FabricState.UNKNOWN
        raw = bytes(known.fabric)
        if raw != known.fabric_raw:  # it hardly ever changes
            known.fabric_raw, known.fabric_state = raw, judge(unpack(raw, is_multi_node=known.place is not None))
        return known.fabric_state

    # Events

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Wait for the first event, then take what else is there."""
        found: list[DeviceEvent] = []
        with self._waiting:
            try:
                code = self._collect(found, timeout_ms)
            except pynvml.NVMLError as error:  # a subscription met a driver that went away
                raise _gone() from error
        if not found:
            _check_reload(code)
            if code != TIMEOUT:  # a driver that refuses to wait must not make us spin
                self._closing.wait(timeout_ms / 1000)
        return tuple(found)

    def _collect(self, found: list[DeviceEvent], timeout_ms: int) -> int:
        self._welcome_back()
        code = self._next_event(found, timeout_ms)
        if code == GPU_IS_LOST:
            self._resubscribe()
            code = self._next_event(found, timeout_ms)
        while code == SUCCESS and len(found) < _DRAIN_MAX:
            code = self._next_event(found, 0)
        return code

    def _next_event(self, found: list[DeviceEvent], timeout_ms: int) -> int:
        events = self._events
        if events is None:
            return NOT_SUPPORTED
        data = pynvml.c_nvmlEventData_t()
        code = self._functions["nvmlEventSetWait_v2"](events, ctypes.byref(data), timeout_ms)
        if code == SUCCESS:
            found.append(self._event(data))
        return code

    def _event(self, data: Any) -> DeviceEvent:  # noqa: ANN401 -- a ctypes struct of the bindings
        is_xid = data.eventType == _XID_EVENT
        return DeviceEvent(
            kind=DeviceEventKind.XID if is_xid else DeviceEventKind.OTHER,
            gpu=self._uuid_of.get(_address(data.device)),
            event_type=int(data.eventType),
            data=int(data.eventData),
        )

    def _subscribe(self, but: frozenset[str] = frozenset()) -> dict[str, int]:
        """Make the event set of all GPUs but these and return what each announces.

        A GPU that refuses is left out: polling still sees it. A driver that refuses all is
        polled only.
        """
        try:
            self._events = events = pynvml.nvmlEventSetCreate()
        except pynvml.NVMLError as error:
            _reraise_reload(error)
            return {}
        masks: dict[str, int] = {}
        for uuid, gpu in self._gpus.items():
            mask, code = _register(gpu, events) if uuid not in but else (0, NOT_SUPPORTED)
            if code == UNKNOWN:  # leaves the set undefined
                _free(events)
                return self._subscribe(but | {uuid})
            if code == SUCCESS:
                masks[uuid] = mask
        return masks

    def _resubscribe(self) -> None:
        """Build the event set again without the GPUs that are lost."""
        events, self._events = self._events, None
        _free(events)
        self._subscribe(frozenset(uuid for uuid, gpu in self._gpus.items() if gpu.lost_reads))

    def _welcome_back(self) -> None:
        """Subscribe again to GPUs that were lost and answer again."""
        while self._returned and self._events is not None:
            gpu = self._gpus.get(self._returned.pop())
            if gpu is not None:
                _register(gpu, self._events)


_HOT = (
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetTemperatureV",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetGpuFabricInfoV",
    "nvmlEventSetWait_v2",
)


def _refuse_other_bindings() -> None:
    """Refuse the abandoned distribution `pynvml`, which shadows NVIDIA's single file, and old ones.

    Raises:
        DriverUnavailable: With the package to remove or to install.
    """
    if hasattr(pynvml, "__path__") or not hasattr(pynvml, "nvmlDeviceGetGpuFabricInfoV"):
        msg = f"{pynvml.__file__} is not NVIDIA's pynvml: remove the package `pynvml`, install `nvidia-ml-py`"
        raise DriverUnavailable("driver:library_missing", msg)
    if not hasattr(pynvml, "c_nvmlGpuFabricInfo_v3_t"):
        msg = f"{pynvml.__file__} is too old: install nvidia-ml-py 13.580 or newer"
        raise DriverUnavailable("driver:library_missing", msg)


def _gone() -> DeviceGone:
    return DeviceGone("the driver was reloaded under us: open again")


def _check_reload(code: int) -> None:
    if code == UNINITIALIZED:
        raise _gone()


def _reraise_reload(error: pynvml.NVMLError) -> None:
    if error.value in {UNINITIALIZED, _VERSION_MISMATCH}:
        raise error


def _pointer(name: str) -> Callable[..., int]:
    """Return the library's function; one that an older driver lacks answers that it is not there."""
    try:
        pointer: Callable[..., int] = pynvml._nvmlGetFunctionPointer(name)  # noqa: SLF001 -- the bindings offer no raw call
    except pynvml.NVMLError:
        return lambda *_: FUNCTION_NOT_FOUND
    return pointer


def _address(handle: Any) -> int:  # noqa: ANN401 -- an opaque pointer of the bindings
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _drop_culprits(known: _Gpu, codes: list[int]) -> None:
    """Leave out of later batches what this GPU refused for good; a failure is asked again."""
    refused = {
        one: missing_field_for(code)
        for one, code in zip(known.batch.fields, codes, strict=True)
        if code != SUCCESS and missing_field_for(code) is not Missing.FAILED
    }
    known.dropped.update((one.quantity, why) for one, why in refused.items() if one.quantity is not None)
    known.batch = known.batch.without(refused)


def _register(gpu: _Gpu, events: Any) -> tuple[int, int]:  # noqa: ANN401
    """Subscribe to what a GPU supports of what we want; return that mask and the driver's code."""
    try:
        mask = int(pynvml.nvmlDeviceGetSupportedEventTypes(gpu.handle)) & _WANTED_EVENTS
        if mask == 0:
            return 0, NOT_SUPPORTED
        pynvml.nvmlDeviceRegisterEvents(gpu.handle, mask, events)
    except pynvml.NVMLError as error:
        _reraise_reload(error)
        return 0, int(error.value)
    return mask, SUCCESS


def _free(events: Any) -> None:  # noqa: ANN401
    if events is not None:
        _optional(pynvml.nvmlEventSetFree, events)


def _found() -> list[_Gpu]:
    """Return the GPUs that answer, in order of PCI address; a lost one is left out."""
    places = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            pci = pynvml.nvmlDeviceGetPciInfo(handle)
        except pynvml.NVMLError as error:
            _reraise_reload(error)
            continue
        places.append(((pci.domain, pci.bus, pci.device, index), handle, _text(pci.busId)))
    found: list[_Gpu] = []
    for (*_, index), handle, bus_id in sorted(places, key=lambda place: place[0]):
        try:
            found.append(_gpu(_identity(len(found), index, handle, bus_id), handle))
        except pynvml.NVMLError as error:  # lost a moment ago
            _reraise_reload(error)
    return found


def _identity(position: int, index: int, handle: Any, bus_id: str) -> GpuIdentity:  # noqa: ANN401
    uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
    return GpuIdentity(
        uuid=uuid,
        position=position,
        index=index,
        module=_text(_optional(pynvml.nvmlDeviceGetSerial, handle) or uuid),  # no serial: a module of its own
        module_id=_optional(pynvml.nvmlDeviceGetModuleId, handle),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        pci_bus_id=bus_id,
        minor=_optional(pynvml.nvmlDeviceGetMinorNumber, handle),
    )


def _gpu(identity: GpuIdentity, handle: Any) -> _Gpu:  # noqa: ANN401
    temperature = pynvml.c_nvmlTemperature_v1_t()
    temperature.version, temperature.sensorType = pynvml.nvmlTemperature_v1, 0
    return _Gpu(
        identity,
        handle,
        fabric=pynvml.c_nvmlGpuFabricInfo_v3_t(),
        temperature=temperature,
        utilisation=pynvml.c_nvmlUtilization_t(),
        number=ctypes.c_uint(),
        place=_place(handle),
    )


def _inventory(gpus: list[_Gpu], masks: dict[str, int]) -> Inventory:
    place = next((gpu.place for gpu in gpus if gpu.place is not None), None)
    return Inventory(
        gpus=tuple(gpu.identity for gpu in gpus),
        driver_version=_text(pynvml.nvmlSystemGetDriverVersion()),
        nvml_version=_text(pynvml.nvmlSystemGetNVMLVersion()),
        cuda_version=pynvml.nvmlSystemGetCudaDriverVersion_v2(),
        chassis_serial=place.chassis_serial if place else None,
        slot=place.slot if place else None,
        tray=place.tray if place else None,
        event_types=masks,
    )


def _place(handle: Any) -> _Place | None:  # noqa: ANN401
    """Return where a GPU sits in its rack, from the struct's raw bytes; None outside racks.

    The bindings declare bytes as characters: reading members decodes them and raises.
    """
    info = pynvml.c_nvmlPlatformInfo_v2_t()
    try:
        pynvml.nvmlDeviceGetPlatformInfo(handle, ctypes.byref(info))
    except pynvml.NVMLError:
        return None
    raw = bytes(info)
    return _Place(raw[20:36].split(b"\0")[0].decode("ascii", "replace"), slot=raw[36], tray=raw[37])


def _optional(function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
