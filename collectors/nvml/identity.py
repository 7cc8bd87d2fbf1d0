"""Which GPUs the driver shows and where each sits; asked once each time the driver is opened."""

import struct
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from collectors.device import GpuIdentity
from collectors.nvml.batches import C2C_COUNT, LINK_COUNT
from collectors.nvml.calls import versioned
from collectors.nvml.codes import (
    BAD_VERSION,
    GPU_IS_LOST,
    INVALID_ARGUMENT,
    NOT_FOUND,
    RESET_REQUIRED,
    SUCCESS,
    UNINITIALIZED,
    VERSION_MISMATCH,
)
from collectors.nvml.fields import Field, FieldBatch, decode
from collectors.nvml.library import Buffer, Library
from service.core import limits
from service.core.ports import Clock

_PCI = struct.Struct("<16xIII8x32s")  # domain, bus, device; the legacy spelling and ids are passed over
_TEXT = 96
_GONE = frozenset({GPU_IS_LOST, RESET_REQUIRED, NOT_FOUND, INVALID_ARGUMENT})  # of the last: no such index any more
_LINKS_MAX = 64  # more links than any GPU has: the count is no count


class NotAnswered(Exception):  # an answer that decides a branch here, and leaves as a code
    """Raised when a question that an identity needs got no answer; carries NVML's code."""

    def __init__(self, code: int) -> None:
        """Keep the code."""
        super().__init__(f"NVML code {code}")
        self.code = code


def need(code: int) -> None:
    """Go on after success.

    Raises:
        NotAnswered: With any other code.
    """
    if code != SUCCESS:
        raise NotAnswered(code)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a GPU of a multi-node NVLink rack sits; other GPUs have none."""

    chassis_serial: str
    slot: int
    tray: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A GPU as the driver shows it: who it is, its handle, and how many links it has."""

    identity: GpuIdentity
    handle: int
    place: Place | None
    links: int
    c2c_links: int


def text(library: Library, function: str, handle: int | None) -> str:
    """Return the text that a getter fills; bytes that are no UTF-8 are replaced.

    Raises:
        NotAnswered: With the driver's code.
    """
    buffer = Buffer(bytes(_TEXT))
    need(library.call(function, handle, buffer, _TEXT))
    return buffer.text()


def number(library: Library, function: str, handle: int | None, *, size: int = 4) -> int:
    """Return the unsigned number that a getter fills.

    Raises:
        NotAnswered: With the driver's code.
    """
    buffer = Buffer(bytes(size))
    need(library.call(function, handle, buffer))
    return buffer.number()


def handle_by_uuid(library: Library, gpu: str) -> int:
    """Return the handle of a GPU; it may be another one after the GPU came back.

    Raises:
        NotAnswered: With the driver's code.
    """
    handle = Buffer(bytes(8))
    need(library.call("nvmlDeviceGetHandleByUUID", None, Buffer(gpu.encode() + b"\0"), handle))
    return handle.number()


Locked = Callable[[str, Callable[[], int]], int]
"""Field calls take turns: `(for whom, call) -> return code`."""


def found(library: Library, locked: Locked, clock: Clock) -> tuple[list[Found], int]:
    """Return the GPUs that answer, in order of PCI address, and how many did not say who they are.

    Each is asked in a thread of its own: one that hangs while the driver is opened blinds no
    other. One that is lost or needs a reset is left out and is no such riddle: it did answer.

    Raises:
        NotAnswered: If the driver as a whole gave no answer.
    """
    asked = [_Asking(library, locked, index) for index in range(number(library, "nvmlDeviceGetCount_v2", None))]
    for one in asked:
        one.start()
    until_ms = clock.monotonic_ms() + limits.GPU_OPEN_MS
    for one in asked:
        one.join(max(0, until_ms - clock.monotonic_ms()) / 1000)
    for one in asked:
        if one.refused in {UNINITIALIZED, VERSION_MISMATCH}:
            raise NotAnswered(one.refused)
    known = [one.found for one in asked if one.found is not None]
    gpus = sorted(known, key=lambda gpu: (gpu[0], gpu[1].identity.index))
    seated = [replace(gpu, identity=replace(gpu.identity, position=at)) for at, (_, gpu) in enumerate(gpus)]
    return seated, sum(one.found is None and one.refused not in _GONE for one in asked)


class _Asking(threading.Thread):
    """Asks one GPU who it is; left behind when it hangs."""

    def __init__(self, library: Library, locked: Locked, index: int) -> None:
        super().__init__(name=f"identity-{index}", daemon=True)
        self._library, self._locked, self._index = library, locked, index
        self.found: tuple[tuple[int, int, int], Found] | None = None
        self.refused = SUCCESS

    def run(self) -> None:
        """Ask."""
        try:
            handle = _handle(self._library, self._index)
            address, bus_id = _pci(self._library, handle)
            self.found = address, _found(self._library, self._locked, handle, index=self._index, bus_id=bus_id)
        except NotAnswered as error:
            self.refused = error.code


def _handle(library: Library, index: int) -> int:
    buffer = Buffer(bytes(8))
    need(library.call("nvmlDeviceGetHandleByIndex_v2", None, index, buffer))
    return buffer.number()


def _pci(library: Library, handle: int) -> tuple[tuple[int, int, int], str]:
    buffer = Buffer(bytes(_PCI.size))
    need(library.call("nvmlDeviceGetPciInfo_v3", handle, buffer))
    domain, bus, device, spelling = _PCI.unpack(buffer.raw)
    return (domain, bus, device), spelling.split(b"\0")[0].decode("ascii", "replace")


def _found(library: Library, locked: Locked, handle: int, *, index: int, bus_id: str) -> Found:
    gpu = text(library, "nvmlDeviceGetUUID", handle)
    cluster, clique = _domain(library, handle)
    identity = GpuIdentity(
        uuid=gpu,
        position=index,  # until all are known
        index=index,
        module=_text_or_none(library, "nvmlDeviceGetSerial", handle) or gpu,  # no serial: a module of its own
        module_id=_number_or_none(library, "nvmlDeviceGetModuleId", handle),
        name=text(library, "nvmlDeviceGetName", handle),
        pci_bus_id=bus_id,
        minor=_number_or_none(library, "nvmlDeviceGetMinorNumber", handle),
        board_part_number=_text_or_none(library, "nvmlDeviceGetBoardPartNumber", handle),
        vbios_version=_text_or_none(library, "nvmlDeviceGetVbiosVersion", handle),
        numa_node=_number_or_none(library, "nvmlDeviceGetNumaNodeId", handle),
        cluster=cluster,
        clique=clique,
    )
    return Found(
        identity=identity,
        handle=handle,
        place=_place(library, handle),
        links=_count(library, locked, handle, LINK_COUNT),
        c2c_links=_count(library, locked, handle, C2C_COUNT),
    )


def _place(library: Library, handle: int) -> Place | None:
    """Return where a GPU sits in its rack, from the struct's raw bytes; None outside racks.

    The bindings declare bytes as characters: reading members decodes them and raises.
    """
    buffer = Buffer(versioned(2, 44))
    if library.call("nvmlDeviceGetPlatformInfo", handle, buffer) != SUCCESS:
        return None
    raw = bytes(buffer.raw)
    return Place(raw[20:36].split(b"\0")[0].decode("ascii", "replace"), slot=raw[36], tray=raw[37])


def fabric_info(library: Library, handle: int, version: int) -> tuple[int, bytes]:
    """Return the driver's code and its raw fabric answer, struct version 3 or 2."""
    buffer = Buffer(versioned(version, 40 if version == 3 else 36))  # noqa: PLR2004 -- the newer of two structs
    return library.call("nvmlDeviceGetGpuFabricInfoV", handle, buffer), bytes(buffer.raw)


def _domain(library: Library, handle: int) -> tuple[str | None, int | None]:
    """Return cluster and clique of a GPU whose registration with the fabric is complete."""
    code, raw = fabric_info(library, handle, 3)
    if code == BAD_VERSION:
        code, raw = fabric_info(library, handle, 2)
    status, clique, state = struct.unpack_from("<20xIIB", raw)
    if (code, status, state) != (SUCCESS, SUCCESS, 3) or not any(raw[4:20]):
        return None, None
    return str(uuid.UUID(bytes=raw[4:20])), clique


def _count(library: Library, locked: Locked, handle: int, field: int) -> int:
    """Return how many links a GPU has; 0 where it has none or does not say."""
    batch = FieldBatch([Field(field, 0, None)])
    batch.ask(
        lambda count, entries: locked(
            f"handle {handle}", lambda: library.call("nvmlDeviceGetFieldValues", handle, count, entries)
        )
    )
    answer = batch.answers()[0]
    value = decode(answer.value_type, answer.value) if answer.code == SUCCESS else None
    return int(value) if value is not None and 0 <= value <= _LINKS_MAX else 0


def _text_or_none(library: Library, function: str, handle: int) -> str | None:
    try:
        return text(library, function, handle) or None
    except NotAnswered:
        return None


def _number_or_none(library: Library, function: str, handle: int) -> int | None:
    try:
        return number(library, function, handle)
    except NotAnswered:
        return None
