"""The only Python that touches the state file: typed calls into the control library.

The library owns the layout, so this module knows members by name and no offset. A name, GPU or
position that does not exist raises, and so does a state file of another layout.
"""

import ctypes
import struct
from enum import IntEnum
from pathlib import Path

from tests.fakedriver.library import CONTROL_LIBRARY

TRAY = -1
"""Stands in for a GPU number where a member of the whole tray is meant."""

_BYTES_MAX = 128


class StateError(Exception):
    """The state file cannot be used, or a name or position in it does not exist."""


class _Slot(IntEnum):
    DEFAULT = 0
    INTEGER = 1
    REAL = 2
    ERROR = 3


_I32, _U32, _I64, _U64 = ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64
_TEXT, _STATE, _REAL = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_double

_SIGNATURES: dict[str, tuple[object, tuple[object, ...]]] = {
    "controlCreate": (_STATE, (_TEXT,)),
    "controlOpen": (_STATE, (_TEXT,)),
    "controlClose": (None, (_STATE,)),
    "controlGpuCount": (_U32, ()),
    "controlSetNumber": (_I32, (_STATE, _I32, _TEXT, _U32, _I64)),
    "controlGetNumber": (_I32, (_STATE, _I32, _TEXT, _U32, ctypes.POINTER(_I64))),
    "controlSetBytes": (_I32, (_STATE, _I32, _TEXT, _TEXT, ctypes.c_size_t)),
    "controlGetBytes": (_I32, (_STATE, _I32, _TEXT, _TEXT, ctypes.c_size_t)),
    "controlFunction": (_I32, (_TEXT,)),
    "controlFunctionName": (_TEXT, (_I32,)),
    "controlSetField": (_I32, (_STATE, _I32, _U32, _U32, _U32, _U32, _U64, _REAL)),
    "controlCountField": (_I32, (_STATE, _I32, _U32, _U32, _I64, _REAL)),
    "controlRestartUptime": (_I32, (_STATE, _I32)),
    "controlPowerChanged": (_I32, (_STATE, _I32)),
    "controlSetEnergy": (_I32, (_STATE, _I32, _U64)),
    "controlGetEnergy": (_I32, (_STATE, _I32, ctypes.POINTER(_U64))),
    "controlSetClockEvents": (_I32, (_STATE, _I32, _U64)),
    "controlClearThrottleTimes": (_I32, (_STATE, _I32)),
    "controlSetActivity": (_I32, (_STATE, _I32, _U32, _REAL)),
    "controlSetProcess": (_I32, (_STATE, _I32, _U32, _U32, _U64)),
    "controlPushEvent": (_I32, (_STATE, _I32, _I32, _U64, _U64)),
    "controlWake": (None, (_STATE,)),
}


def _load(libraries: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(libraries / CONTROL_LIBRARY))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


class State:
    """One mapped state file."""

    def __init__(self, libraries: Path, path: Path, *, create: bool) -> None:
        self._library = _load(libraries)
        opener = self._library.controlCreate if create else self._library.controlOpen
        self._state: int | None = opener(str(path).encode())
        if not self._state:
            message = f"{path}: cannot be {'created' if create else 'opened, or another layout'}"
            raise StateError(message)

    @property
    def gpu_count(self) -> int:
        """GPUs that the layout has room for."""
        return int(self._library.controlGpuCount())

    def close(self) -> None:
        """Unmap the file; further calls raise."""
        if self._state:
            self._library.controlClose(self._state)
        self._state = None

    def set(self, gpu: int, name: str, value: int, index: int = 0) -> None:
        """Write one number of a GPU, or of the tray for `TRAY`."""
        self._call("controlSetNumber", gpu, name.encode(), index, value)

    def get(self, gpu: int, name: str, index: int = 0) -> int:
        """Read one number of a GPU, or of the tray for `TRAY`."""
        value = _I64()
        self._call("controlGetNumber", gpu, name.encode(), index, ctypes.byref(value))
        return value.value

    def set_bytes(self, gpu: int, name: str, value: bytes) -> None:
        """Write a text or byte member; too long a value raises."""
        self._call("controlSetBytes", gpu, name.encode(), value, len(value))

    def get_text(self, gpu: int, name: str) -> str:
        """Read a text member."""
        buffer = ctypes.create_string_buffer(_BYTES_MAX)
        self._call("controlGetBytes", gpu, name.encode(), buffer, _BYTES_MAX)
        return buffer.value.decode()

    def function(self, name: str) -> int:
        """Return the position of a library function in `calls` and `call_error`."""
        position = int(self._library.controlFunction(name.encode()))
        if position < 0:
            message = f"nvml.h declares no {name}"
            raise StateError(message)
        return position

    def function_names(self) -> list[str]:
        """Return every function name, in the order of `calls` and `call_error`."""
        names: list[str] = []
        while name := self._library.controlFunctionName(len(names)):
            names.append(name.decode())
        return names

    def set_field(
        self,
        gpu: int,
        field: int,
        scope: int,
        value: float,
        *,
        value_type: int | None = None,
        per_second: float = 0.0,
    ) -> None:
        """Make one field answer a value, which may advance by `per_second`."""
        kind = _Slot.INTEGER if isinstance(value, int) else _Slot.REAL
        tag = 0 if value_type is None else value_type + 1
        self._call("controlSetField", gpu, field, scope, kind, tag, _bits(value), per_second)

    def set_field_error(self, gpu: int, field: int, scope: int, code: int) -> None:
        """Make one field answer an error of its own."""
        self._call("controlSetField", gpu, field, scope, _Slot.ERROR, 0, code, 0.0)

    def clear_field(self, gpu: int, field: int, scope: int) -> None:
        """Let one field answer its default again."""
        self._call("controlSetField", gpu, field, scope, _Slot.DEFAULT, 0, 0, 0.0)

    def count_field(self, gpu: int, field: int, scope: int, more: int, per_second: float) -> None:
        """Add to a counter and set its rate."""
        self._call("controlCountField", gpu, field, scope, more, per_second)

    def restart_uptime(self, gpu: int) -> None:
        """Let the uptime of a GPU begin now."""
        self._call("controlRestartUptime", gpu)

    def power_changed(self, gpu: int) -> None:
        """Let energy and samples follow the power numbers written before."""
        self._call("controlPowerChanged", gpu)

    def set_energy(self, gpu: int, millijoules: int) -> None:
        """Set the energy counter; it advances from there."""
        self._call("controlSetEnergy", gpu, millijoules)

    def energy(self, gpu: int) -> int:
        """Return the energy counter in millijoules, as the driver would now."""
        value = _U64()
        self._call("controlGetEnergy", gpu, ctypes.byref(value))
        return value.value

    def set_clock_events(self, gpu: int, reasons: int) -> None:
        """Set the mask and start or stop the throttle counters accordingly."""
        self._call("controlSetClockEvents", gpu, reasons)

    def clear_throttle_times(self, gpu: int) -> None:
        """Set all throttle counters to zero; the running ones go on."""
        self._call("controlClearThrottleTimes", gpu)

    def set_activity(self, gpu: int, metric: int, rate: float) -> None:
        """Let an activity metric accumulate at a rate of its unit."""
        self._call("controlSetActivity", gpu, metric, rate)

    def set_process(self, gpu: int, index: int, pid: int, used_bytes: int) -> None:
        """Write one entry of the process list."""
        self._call("controlSetProcess", gpu, index, pid, used_bytes)

    def push_event(self, gpu: int, event_type: int, data: int, *, is_system: bool) -> None:
        """Append an event to the history and wake every waiter."""
        self._call("controlPushEvent", gpu, int(is_system), event_type, data)

    def wake(self) -> None:
        """Make every waiter look at the state again."""
        self._library.controlWake(self._opened())

    def _opened(self) -> int:
        if not self._state:
            message = "the state file is closed"
            raise StateError(message)
        return self._state

    def _call(self, function: str, *arguments: object) -> None:
        if getattr(self._library, function)(self._opened(), *arguments) < 0:
            message = f"{function}{arguments}: no such name, GPU or position, or value too long"
            raise StateError(message)


def _bits(value: float) -> int:
    if isinstance(value, int):
        return value & 0xFFFFFFFFFFFFFFFF
    return int.from_bytes(struct.pack("<d", value), "little")
