"""The door to NVIDIA's bindings: the library that they load, called by function name.

Every getter of NVML has one form: a handle, numbers, and memory that the driver fills. So one
method is enough, and what it carries can be written down and played back (`capture`, `replay`).
Nothing here knows what any of it means.
"""

import ctypes
from collections.abc import Callable
from typing import Protocol

import pynvml

from collectors.nvml.codes import FUNCTION_NOT_FOUND, SUCCESS
from service.core.errors import DriverUnavailable


class Buffer:
    """Memory that a driver call reads and fills; as long as its blank, with which it begins."""

    __slots__ = ("blank", "pointer", "raw")

    def __init__(self, blank: bytes) -> None:
        """Reserve the memory once; calls reuse it."""
        self.blank = blank
        self.raw = bytearray(blank)
        self.pointer = (ctypes.c_char * len(self.raw)).from_buffer(self.raw)

    def clear(self) -> None:
        """Put the blank back, so that nothing of the last answer stays."""
        self.raw[:] = self.blank

    def number(self) -> int:
        """Return the buffer as one unsigned number."""
        return int.from_bytes(self.raw, "little")

    def text(self) -> str:
        """Return the text up to its end; bytes that are no UTF-8 are replaced."""
        return bytes(self.raw).split(b"\0")[0].decode("utf-8", "replace")


Argument = int | Buffer


class Library(Protocol):
    """NVML as functions by name. Calls may come from several threads at once."""

    def init(self) -> int:
        """Load the library, initialise it once, and return its code.

        Raises:
            DriverUnavailable: If the bindings are not NVIDIA's, or too old.
        """
        ...

    def shutdown(self) -> None:
        """Let go of the library; any code is fine, after a reload it is void already."""
        ...

    def call(self, function: str, handle: int | None, *arguments: Argument) -> int:
        """Call a function with a GPU's handle (None for functions of the system) and return its code.

        A function that this driver lacks answers `FUNCTION_NOT_FOUND`.
        """
        ...


class DriverLibrary:
    """The library of the driver on this host; see `Library`."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._functions: dict[str, Callable[..., int]] = {}

    def init(self) -> int:
        """Load and initialise."""
        _refuse_other_bindings()
        self._functions = {}
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return int(error.value)
        return SUCCESS

    def shutdown(self) -> None:
        """Undo one `init`."""
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return

    def call(self, function: str, handle: int | None, *arguments: Argument) -> int:
        """Call by name; every number travels as 64 bits, which fits each parameter of NVML."""
        pointer = self._functions.get(function) or self._look_up(function)
        passed = [one.pointer if isinstance(one, Buffer) else ctypes.c_uint64(one) for one in arguments]
        return pointer(*passed) if handle is None else pointer(ctypes.c_void_p(handle), *passed)

    def _look_up(self, function: str) -> Callable[..., int]:
        try:
            pointer: Callable[..., int] = pynvml._nvmlGetFunctionPointer(function)  # noqa: SLF001 -- the bindings offer no raw call
        except pynvml.NVMLError:
            pointer = _not_found
        self._functions[function] = pointer
        return pointer


def _not_found(*_: object) -> int:
    return FUNCTION_NOT_FOUND


def _refuse_other_bindings() -> None:
    """Refuse the abandoned distribution `pynvml`, which shadows NVIDIA's single file, and old ones."""
    if hasattr(pynvml, "__path__") or not hasattr(pynvml, "nvmlDeviceGetGpuFabricInfoV"):
        msg = f"{pynvml.__file__} is not NVIDIA's pynvml: remove the package `pynvml`, install `nvidia-ml-py`"
        raise DriverUnavailable("driver:library_missing", msg)
    if not hasattr(pynvml, "c_nvmlGpuFabricInfo_v3_t"):
        msg = f"{pynvml.__file__} is too old: install nvidia-ml-py 13.580 or newer"
        raise DriverUnavailable("driver:library_missing", msg)
