"""A library that answers from a capture: the machine as it was then, through the code that reads drivers.

Nothing ever happens on it: waiting for events ends with the time. What was not captured answers
that this driver lacks it.
"""

import threading
from collections.abc import Sequence

from collectors.nvml.capture import (
    BY_INDEX,
    BY_UUID,
    FIELD_VALUES,
    GPM_TAKE,
    GPM_TELL,
    UNRECORDED,
    Answered,
    Capture,
    gpm_sample,
    version_of,
)
from collectors.nvml.codes import FUNCTION_NOT_FOUND, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, SUCCESS, TIMEOUT
from collectors.nvml.fields import ENTRY
from collectors.nvml.library import Argument, Buffer

_FIRST_HANDLE = 0x1000  # handles are no small numbers and never null
_EVENT_SET = 0x2000
_FIRST_SAMPLE = 0x3000


class ReplayLibrary:
    """A capture behind the library port; see `collectors.nvml.library.Library`."""

    def __init__(self, capture: Capture) -> None:
        """Lay the answers out for looking up."""
        self._init = capture.init
        self._calls = {(one.function, one.gpu, one.numbers, one.version): one for one in capture.calls}
        self._fields = {
            (run.gpu, run.field, scope): (run.code, run.type, _bytes(run.value, 8))
            for run in capture.fields
            for scope in range(run.first, run.last + 1)
        }
        self._sampled: dict[int, int] = {}
        self._samples = 0
        self._waiting = threading.Event()

    def init(self) -> int:
        """Return what initialising answered then."""
        self._waiting.clear()
        return self._init

    def shutdown(self) -> None:
        """End waits."""
        self._waiting.set()

    def call(self, function: str, handle: int | None, *arguments: Argument) -> int:
        """Answer as the machine did."""
        gpu = None if handle is None else handle - _FIRST_HANDLE
        numbers = [one for one in arguments if isinstance(one, int)]
        buffers = [one for one in arguments if isinstance(one, Buffer)]
        if function == FIELD_VALUES and gpu is not None:
            return self._answer_fields(gpu, numbers[0], buffers[0])
        if function == BY_UUID:
            return self._by_uuid(*buffers)
        if function == BY_INDEX:
            return self._by_index(numbers[0], buffers[0])
        if function in UNRECORDED:
            return self._own(function, numbers, buffers)
        if function == GPM_TAKE and gpu is not None:
            self._sampled[numbers[0]] = gpu
            numbers = []
        if function == GPM_TELL:
            gpu = self._sampled.get(gpm_sample(buffers[0]))
        known = self._calls.get((function, gpu, tuple(numbers), version_of(function, arguments)))
        return FUNCTION_NOT_FOUND if known is None else _fill(known, buffers)

    def _own(self, function: str, numbers: Sequence[int], buffers: Sequence[Buffer]) -> int:
        if function == "nvmlEventSetWait_v2":
            self._waiting.wait(numbers[-1] / 1000)
            return TIMEOUT
        if function == "nvmlEventSetCreate":
            _put(buffers[0], _EVENT_SET.to_bytes(8, "little"))
        if function == "nvmlGpmSampleAlloc":
            self._samples += 1
            _put(buffers[0], (_FIRST_SAMPLE + self._samples).to_bytes(8, "little"))
        return SUCCESS

    def _by_index(self, index: int, out: Buffer) -> int:
        known = self._calls.get((BY_INDEX, index, (), 0))
        if known is None or known.code:
            return known.code if known is not None else INVALID_ARGUMENT
        _put(out, (_FIRST_HANDLE + index).to_bytes(8, "little"))
        return SUCCESS

    def _by_uuid(self, asked: Buffer, out: Buffer) -> int:
        wanted = bytes(asked.raw).rstrip(b"\0").hex()
        for one in self._calls.values():
            if one.function == "nvmlDeviceGetUUID" and one.gpu is not None and one.out == (wanted,):
                return self._by_index(one.gpu, out)
        return NOT_FOUND

    def _answer_fields(self, gpu: int, count: int, entries: Buffer) -> int:
        for at in range(0, count * ENTRY.size, ENTRY.size):
            number, scope, *_ = ENTRY.unpack_from(entries.raw, at)
            code, kind, value = self._fields.get((gpu, number, scope), (NOT_SUPPORTED, 0, bytes(8)))
            ENTRY.pack_into(entries.raw, at, number, scope, 0, 0, kind, code, value)
        return SUCCESS


def _fill(known: Answered, buffers: Sequence[Buffer]) -> int:
    for buffer, out in zip(buffers, known.out, strict=False):
        _put(buffer, _bytes(out, len(buffer.raw)))
    return known.code


def _put(buffer: Buffer, raw: bytes) -> None:
    buffer.raw[:] = raw.ljust(len(buffer.raw), b"\0")[: len(buffer.raw)]


def _bytes(text: str, size: int) -> bytes:
    return bytes.fromhex(text).ljust(size, b"\0")[:size]
