"""A machine's raw answers, written down: what every function said, byte by byte, identifiers masked.

A capture is taken on hardware that somebody has and read wherever nobody has it: `replay` answers
from it, through the same code that reads a driver. Answers to the same question are kept once, the
newest; runs of equal field answers over scopes are folded.
"""

import hashlib
import itertools
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec

from collectors.nvml.fields import ENTRY
from collectors.nvml.library import Argument, Buffer, Library
from service.core.errors import ConfigurationError

FIELD_VALUES, BY_INDEX, BY_UUID = (
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetHandleByUUID",
)
GPM_TAKE, GPM_TELL = "nvmlGpmSampleGet", "nvmlGpmMetricsGet"
# What these hand out is memory of the driver, or news: a replay has its own.
UNRECORDED = frozenset(
    {
        "nvmlEventSetCreate",
        "nvmlEventSetFree",
        "nvmlEventSetWait_v2",
        "nvmlDeviceRegisterEvents",
        "nvmlGpmSampleAlloc",
        "nvmlGpmSampleFree",
    }
)
_CAPTURE_BYTES = 16 * 2**20
_VERSIONED = {"nvmlDeviceGetGpuFabricInfoV", "nvmlDeviceGetTemperatureV"}
_SCOPES_MAX = 64  # more than any GPU has of anything
Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2})*\Z", max_length=1 << 20)]
_GPM_SAMPLES = struct.Struct("<8xQQ")


class Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a function answered: for which GPU (by index; None for the system), asked with which numbers.

    `version` is the struct version that was handed over, where one function takes several. `out`
    holds the memory that the driver filled, as hex without its trailing zeros.
    """

    function: str
    gpu: int | None = None
    numbers: tuple[int, ...] = ()
    version: int = 0
    code: int = 0
    out: tuple[Hex, ...] = ()


class FieldRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The same answer of a field over consecutive scopes: code, value type, eight bytes as hex."""

    gpu: int
    field: int
    first: int
    last: int
    code: int = 0
    type: int = 0
    value: Hex = ""


class Capture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The answers of one machine. `note` says what it is and what it was doing."""

    format: int
    note: str
    init: int
    calls: tuple[Answered, ...]
    fields: tuple[FieldRun, ...]


def load(path: Path) -> Capture:
    """Return the capture in a file.

    Raises:
        ConfigurationError: If the file cannot be read or is no capture of a format known here.
    """
    try:
        if path.stat().st_size > _CAPTURE_BYTES:
            raise ConfigurationError(f"{path}: larger than {_CAPTURE_BYTES} bytes; name a capture")
        capture = msgspec.json.decode(path.read_bytes(), type=Capture)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; name a capture made by scan --capture") from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path}: no capture: {error}; make one with scan --capture") from error
    if capture.format != 1:
        raise ConfigurationError(f"{path}: capture of format {capture.format}; this version reads 1")
    for run in capture.fields:
        if not 0 <= run.last - run.first < _SCOPES_MAX:
            raise ConfigurationError(f"{path}: field {run.field} spans scopes {run.first} to {run.last}; take it anew")
    return capture


def save(capture: Capture, path: Path) -> None:
    """Write a capture to a file, a line an answer, so that two captures can be compared.

    Raises:
        ConfigurationError: If the file cannot be written.
    """
    text = msgspec.json.encode(capture).decode()
    lines = text.replace("},{", "},\n{").replace('"calls":[', '"calls":[\n').replace('"fields":[', '"fields":[\n')
    try:
        path.write_text(lines + "\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; choose another file for --capture") from error


def trimmed(raw: bytes) -> str:
    """Return bytes as hex without the zeros at the end."""
    return raw.rstrip(b"\0").hex()


def version_of(function: str, arguments: tuple[Argument, ...]) -> int:
    """Return the struct version that is handed over, where a function takes several; else 0."""
    first = next((one for one in arguments if isinstance(one, Buffer)), None)
    return int.from_bytes(first.blank[3:4]) if first is not None and function in _VERSIONED else 0


def gpm_sample(buffer: Buffer) -> int:
    """Return the newer of the two samples that a comparison is about."""
    return int(_GPM_SAMPLES.unpack_from(buffer.raw)[1])


@dataclass(slots=True)
class Recorder:
    """A library that writes down what the one behind it answers; see `Library`."""

    library: Library
    is_masking: bool = True
    _init: int = 0
    _gpu_of: dict[int, int] = field(default_factory=dict)  # by handle
    _sampled: dict[int, int] = field(default_factory=dict)  # GPU by GPM sample
    _calls: dict[tuple[object, ...], Answered] = field(default_factory=dict)
    _fields: dict[tuple[int, int, int], tuple[int, int, str]] = field(default_factory=dict)

    def init(self) -> int:
        """Initialise the library behind."""
        self._init = self.library.init()
        return self._init

    def shutdown(self) -> None:
        """Let go of the library behind."""
        self.library.shutdown()

    def call(self, function: str, handle: int | None, *arguments: Argument) -> int:
        """Call the library behind and keep what it answered."""
        asked = self._asked_of(function, handle, arguments)
        code = self.library.call(function, handle, *arguments)
        gpu = self._number(arguments) if function == BY_INDEX else asked
        if function == FIELD_VALUES and gpu is not None:
            self._keep_fields(gpu, code, arguments)
        elif function not in UNRECORDED and function != BY_UUID:
            self._keep(function, gpu, code, arguments)
        return code

    def taken(self, note: str) -> Capture:
        """Return everything that was answered so far."""
        runs = tuple(itertools.chain.from_iterable(_runs(gpu, number, self._fields) for gpu, number in self._asked()))
        calls = tuple(self._calls[asked] for asked in sorted(self._calls, key=repr))
        return Capture(format=1, note=note, init=self._init, calls=calls, fields=runs)

    def _asked(self) -> list[tuple[int, int]]:
        return sorted({(gpu, number) for gpu, number, _ in self._fields})

    def _number(self, arguments: tuple[Argument, ...]) -> int | None:
        """Learn which handle stands for the GPU of an index."""
        index, handle = arguments
        if not isinstance(index, int) or not isinstance(handle, Buffer):
            return None
        self._gpu_of[handle.number()] = index
        return index

    def _asked_of(self, function: str, handle: int | None, arguments: tuple[Argument, ...]) -> int | None:
        """Return whom a call is about; a comparison of samples is about whom they were taken of."""
        first = arguments[0] if arguments else None
        if function == GPM_TELL and isinstance(first, Buffer):
            return self._sampled.get(gpm_sample(first))
        gpu = self._gpu_of.get(handle) if handle is not None else None
        if function == GPM_TAKE and isinstance(first, int) and gpu is not None:
            self._sampled[first] = gpu
        return gpu

    def _keep(self, function: str, gpu: int | None, code: int, arguments: tuple[Argument, ...]) -> None:
        numbers = () if function in {BY_INDEX, GPM_TAKE} else tuple(one for one in arguments if isinstance(one, int))
        said = [_without_addresses(function, bytes(one.raw)) for one in arguments if isinstance(one, Buffer)]
        out = [masked(function, raw) for raw in said] if self.is_masking else said
        answered = Answered(
            function=function,
            gpu=gpu,
            numbers=numbers,
            version=version_of(function, arguments),
            code=code,
            out=() if code or function == BY_INDEX else tuple(map(trimmed, out)),
        )
        self._calls[function, gpu, numbers, answered.version] = answered

    def _keep_fields(self, gpu: int, refused: int, arguments: tuple[Argument, ...]) -> None:
        count, entries = arguments
        if not isinstance(count, int) or not isinstance(entries, Buffer):
            return
        for number, scope, _, _, kind, code, value in ENTRY.iter_unpack(memoryview(entries.raw)[: count * ENTRY.size]):
            code = refused or code  # noqa: PLW2901 -- a call that was refused answered nothing
            self._fields[gpu, number, scope] = (code, 0, "") if code else (0, kind, trimmed(value))


def _runs(gpu: int, number: int, fields: dict[tuple[int, int, int], tuple[int, int, str]]) -> list[FieldRun]:
    scopes = sorted(scope for one, field, scope in fields if (one, field) == (gpu, number))
    runs: list[FieldRun] = []
    for scope in scopes:
        code, kind, value = fields[gpu, number, scope]
        last = runs[-1] if runs else None
        if last is not None and (last.last, last.code, last.type, last.value) == (scope - 1, code, kind, value):
            runs[-1] = msgspec.structs.replace(last, last=scope)
        else:
            runs.append(FieldRun(gpu=gpu, field=number, first=scope, last=scope, code=code, type=kind, value=value))
    return runs


_GPM_HEAD, _GPM_METRIC, _GPM_VALUE = 24, 40, 16


def _without_addresses(function: str, raw: bytes) -> bytes:
    """Return an answer without the addresses in it, which mean something to one process only."""
    if function != GPM_TELL:
        return raw
    metrics = [raw[at : at + _GPM_VALUE] + bytes(24) for at in range(_GPM_HEAD, len(raw), _GPM_METRIC)]
    return raw[:8] + bytes(16) + b"".join(metrics)


# Where identifiers stand in an answer: function, first byte, byte after the last; None is the whole text.
_IDENTIFIERS: dict[str, tuple[tuple[int, int | None], ...]] = {
    "nvmlDeviceGetUUID": ((4, None),),  # after `GPU-`
    "nvmlDeviceGetSerial": ((0, None),),
    "nvmlDeviceGetPlatformInfo": ((4, 20), (20, 36)),  # InfiniBand GUID, chassis serial
    "nvmlDeviceGetGpuFabricInfoV": ((4, 20),),  # cluster
}
_PROCESSES, _PID = "nvmlDeviceGetComputeRunningProcesses_v3", 24


def masked(function: str, raw: bytes) -> bytes:
    """Return an answer with its identifiers replaced: alike for equal ones, and not to be turned back."""
    if function == _PROCESSES and len(raw) > _PID:
        return b"".join(bytes(4) + raw[at + 4 : at + _PID] for at in range(0, len(raw), _PID))
    for first, last in _IDENTIFIERS.get(function, ()):
        raw = raw[:first] + _scrambled(raw[first:last]) + raw[len(raw) if last is None else last :]
    return raw


def _scrambled(raw: bytes) -> bytes:
    """Return other characters of the same kinds; bytes that are no text become other bytes, zeros stay."""
    digest = itertools.cycle(hashlib.sha256(raw.rstrip(b"\0")).digest())
    is_text = all(byte == 0 or byte in b"0123456789abcdefABCDEF-" for byte in raw)
    return bytes(_scrambled_byte(byte, one, is_text=is_text) for byte, one in zip(raw, digest, strict=False))


def _scrambled_byte(byte: int, by: int, *, is_text: bool) -> int:
    if byte == 0 or (is_text and byte == ord("-")):
        return byte
    if not is_text:
        return by or 1
    return b"0123456789"[by % 10] if byte in b"0123456789" else b"abcdef"[by % 6]
