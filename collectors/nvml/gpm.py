"""Which parts of the chip worked since the last collection: NVML's GPM, two samples and their difference.

A sample is the driver's memory; two are allocated for a GPU once, and take turns. Less than
100 ms apart they tell nothing.
"""

import struct
from dataclasses import dataclass, field

from collectors.catalogue import Key, Part, Quantity
from collectors.device import Missing
from collectors.nvml.codes import NOT_SUPPORTED, SUCCESS, missing_for
from collectors.nvml.fields import keep
from collectors.nvml.library import Buffer, Library

_ENGINES = {1: "graphics", 2: "sm", 3: "sm_occupancy", 5: "tensor", 10: "dram"}
_HEAD = struct.Struct("<IIQQ")  # version, count, the two samples
_METRIC = struct.Struct("<IId24x")  # id, return code, value, three texts
_VERSION, _PERCENT = 1, 0.01
_KEYS = {number: Part(Quantity.ENGINE_ACTIVE_RATIO, engine) for number, engine in _ENGINES.items()}


@dataclass(slots=True)
class Gpm:
    """The two samples of one GPU, and whether it has any."""

    _samples: list[int] = field(default_factory=list)  # older first
    _taken: int = 0
    _refused: int = SUCCESS

    def ask(self, library: Library, handle: int, values: dict[Key, float], missing: dict[Key, Missing]) -> int:
        """Take a sample and sort what it says beside the one before; return the code.

        The first time there is nothing to compare with: everything is missing as failed.
        """
        code = self._refused or self._sample(library, handle)
        if code == SUCCESS and self._taken > 1:
            code = self._compare(library, values, missing)
        if code != SUCCESS or self._taken <= 1:
            missing[Quantity.ENGINE_ACTIVE_RATIO] = missing_for(code)
        if missing_for(code) is Missing.UNSUPPORTED:
            self._refused = code
        return code

    def free(self, library: Library) -> None:
        """Give the driver its memory back."""
        for sample in self._samples:
            library.call("nvmlGpmSampleFree", None, sample)
        self._samples, self._taken = [], 0

    def _sample(self, library: Library, handle: int) -> int:
        code = SUCCESS if self._samples else self._allocate(library, handle)
        if code != SUCCESS:
            return code
        self._samples.reverse()
        code = library.call("nvmlGpmSampleGet", handle, self._samples[1])
        self._taken = self._taken + 1 if code == SUCCESS else 0
        return code

    def _allocate(self, library: Library, handle: int) -> int:
        support = Buffer(struct.pack("<II", _VERSION, 0))
        code = library.call("nvmlGpmQueryDeviceSupport", handle, support)
        if code == SUCCESS and not struct.unpack_from("<4xI", support.raw)[0]:
            return NOT_SUPPORTED
        while code == SUCCESS and len(self._samples) < 2:  # noqa: PLR2004 -- before and after
            sample = Buffer(bytes(8))
            code = library.call("nvmlGpmSampleAlloc", None, sample)
            if code == SUCCESS:
                self._samples.append(sample.number())
        return code

    def _compare(self, library: Library, values: dict[Key, float], missing: dict[Key, Missing]) -> int:
        metrics = b"".join(_METRIC.pack(number, 0, 0.0) for number in _KEYS)
        buffer = Buffer(_HEAD.pack(_VERSION, len(_KEYS), *self._samples) + metrics)
        code = library.call("nvmlGpmMetricsGet", None, buffer)
        if code != SUCCESS:
            return code
        for number, refused, value in _METRIC.iter_unpack(memoryview(buffer.raw)[_HEAD.size :]):
            if refused == SUCCESS:
                keep(_KEYS[number], value * _PERCENT, values, missing)
            else:
                missing[_KEYS[number]] = missing_for(refused)
        return SUCCESS
