"""The driver's event set: who is subscribed to what, and waiting for what comes.

A GPU that refuses is left out, polling still sees it; a driver that refuses all is polled only.
A set on which a GPU was lost is built again without it, and a GPU that came back joins again.
"""

import struct
import threading
from collections.abc import Mapping

from collectors.device import DeviceEvent, DeviceEventKind
from collectors.nvml.codes import GPU_IS_LOST, NOT_SUPPORTED, SUCCESS, TIMEOUT, UNINITIALIZED, UNKNOWN
from collectors.nvml.library import Buffer, Library
from service.core import limits

WANTED = 0xFE0A  # XID, double-bit ECC, storms, retirement, poison, unavailable, recovery action
XID = 0x8
_EVENT = struct.Struct("<QQQII")  # device, type, data, instances


class EventSet:
    """One life of the event set; `open` begins it. `wait` is called from one thread."""

    def __init__(self, library: Library) -> None:
        """Hold nothing yet."""
        self._library = library
        self._set: int | None = None
        self._uuid_of: dict[int, str] = {}
        self._lost: set[str] = set()
        self._returned: set[str] = set()  # was lost, answers again, announces nothing yet
        self._waiting = threading.Lock()  # held while the driver may be using the set
        self._closing = threading.Event()
        self.masks: dict[str, int] = {}

    def open(self, handles: Mapping[str, int]) -> int:
        """Subscribe to every GPU, by UUID; return UNINITIALIZED if the driver went away meanwhile."""
        self._closing.clear()
        self._uuid_of = {handle: gpu for gpu, handle in handles.items()}
        self._lost, self._returned = set(), set()
        return self._subscribe(frozenset())

    def close(self) -> None:
        """Let go; a set that is still being waited on is left to the driver's shutdown."""
        self._closing.set()
        if self._waiting.acquire(timeout=2 * limits.EVENT_WAIT_MS / 1000):
            self._free()
            self._waiting.release()
        self._set = None

    def lost(self, gpu: str) -> None:
        """Note that a GPU does not answer."""
        self._lost.add(gpu)

    def returned(self, gpu: str, handle: int) -> None:
        """Note that a GPU answers again, perhaps under another handle."""
        self._lost.discard(gpu)
        self._uuid_of[handle] = gpu
        self._returned.add(gpu)

    def wait(self, timeout_ms: int) -> tuple[int, tuple[DeviceEvent, ...]]:
        """Wait for the first event, then take what else is there; return the last code and the events."""
        events: list[DeviceEvent] = []
        with self._waiting:
            code = self._welcome_back() or self._next(events, timeout_ms)
            if code == GPU_IS_LOST:
                code = self._rebuild() or self._next(events, timeout_ms)
            while code == SUCCESS and len(events) < limits.EVENTS_DRAINED:
                code = self._next(events, 0)
        if not events and code not in {TIMEOUT, UNINITIALIZED}:
            self._closing.wait(timeout_ms / 1000)  # a driver that refuses to wait must not make us spin
        return code, tuple(events)

    def _next(self, events: list[DeviceEvent], timeout_ms: int) -> int:
        if self._set is None:
            return NOT_SUPPORTED
        data = Buffer(bytes(_EVENT.size))
        code = self._library.call("nvmlEventSetWait_v2", None, self._set, data, timeout_ms)
        if code == SUCCESS:
            events.append(self._event(data))
        return code

    def _event(self, data: Buffer) -> DeviceEvent:
        handle, kind, number, *_ = _EVENT.unpack(data.raw)
        return DeviceEvent(
            kind=DeviceEventKind.XID if kind == XID else DeviceEventKind.OTHER,
            gpu=self._uuid_of.get(handle),
            event_type=kind,
            data=number,
        )

    def _subscribe(self, but: frozenset[str]) -> int:
        created = Buffer(bytes(8))
        code = self._library.call("nvmlEventSetCreate", None, created)
        if code != SUCCESS:
            self._set = None
            return UNINITIALIZED if code == UNINITIALIZED else SUCCESS
        self._set, self.masks = created.number(), {}
        for handle, gpu in list(self._uuid_of.items()):  # a GPU may come back meanwhile
            code = self._register(handle, gpu) if gpu not in but else NOT_SUPPORTED
            if code == UNKNOWN:  # leaves the set undefined
                self._free()
                return self._subscribe(but | {gpu})
            if code == UNINITIALIZED:
                return code
        return SUCCESS

    def _register(self, handle: int, gpu: str) -> int:
        supported = Buffer(bytes(8))
        code = self._library.call("nvmlDeviceGetSupportedEventTypes", handle, supported)
        mask = supported.number() & WANTED
        if code != SUCCESS or mask == 0:
            return code or NOT_SUPPORTED
        code = self._library.call("nvmlDeviceRegisterEvents", handle, mask, self._set or 0)
        if code == SUCCESS:
            self.masks[gpu] = mask
        return code

    def _rebuild(self) -> int:
        self._free()
        return self._subscribe(frozenset(self._lost))

    def _welcome_back(self) -> int:
        handles = {gpu: handle for handle, gpu in list(self._uuid_of.items())}
        while self._returned and self._set is not None:
            gpu = self._returned.pop()
            if self._register(handles[gpu], gpu) == UNINITIALIZED:
                return UNINITIALIZED
        return SUCCESS

    def _free(self) -> None:
        if self._set is not None:
            self._library.call("nvmlEventSetFree", None, self._set)
            self._set = None
