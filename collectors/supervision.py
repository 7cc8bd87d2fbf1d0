"""What to do about calls that hang, collectors that die and readings that never change: pure decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from collectors.catalogue import Quantity
from collectors.device import Reading
from service.core import limits

_ALIVE = (Quantity.POWER_WATTS, Quantity.ENERGY_JOULES_TOTAL)  # never still while a GPU has power


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the overdue GPUs cannot be read, and whether the collector is to be replaced for it."""

    cause: str
    replace: bool


def judge(hanging: Mapping[str, int], polled: int, *, in_vain: int = 0, answers_elsewhere: bool = False) -> Verdict:
    """Return what overdue calls mean.

    When every GPU hangs the driver holds its global lock: nobody is to blame, and a new process
    may get through. One GPU that hangs beside others that answer is worth their interruption only
    late, and only if a fresh process can reach it: opening could hang on it and blind them all.

    Args:
        hanging: For each GPU whose call is overdue, how long it has lasted, ms.
        polled: GPUs that are polled.
        in_vain: Replacements since all of them last answered; each doubles the bounds.
        answers_elsewhere: Whether another process reached the hanging GPUs meanwhile.
    """
    patience = min(2**in_vain, limits.REPLACED_AGAIN_MAX)
    if len(hanging) >= polled:
        return Verdict("driver:hung", bool(hanging) and min(hanging.values()) > limits.DRIVER_HUNG_MS * patience)
    longest_ms = max(hanging.values(), default=0)
    return Verdict("agent:hung_call", answers_elsewhere and longest_ms > limits.GPU_HUNG_MS * patience)


def retry_ms(failures: int, *, cause: str) -> int:
    """Return how long to wait before a driver is opened again, after so many failures in a row.

    A collector that dies is soon replaced, and ever later if that does not help; so is a driver
    that hangs, because each try may leave a process behind. Others are asked at a pace that slackens
    with the minutes: each try costs a process, and none may wait as long as the grace of silence.
    """
    if cause == "agent:collector_lost":
        return int(min(limits.COLLECTOR_RETRY_MS * 2 ** min(failures, 16), limits.COLLECTOR_RETRY_MAX_MS))
    if cause == "driver:hung":
        return int(min(limits.DRIVER_RETRY_MS * 2 ** min(failures, 16), limits.COLLECTOR_RETRY_MAX_MS))
    slack = failures * limits.DRIVER_RETRY_MS // limits.MINUTE_MS
    return int(min(limits.DRIVER_RETRY_MS * 2 ** min(slack, 16), limits.DRIVER_RETRY_MAX_MS))


@dataclass(slots=True)
class Stillness:
    """Counts pulses of each GPU that agree in every bit: a healthy poll that never changes is no life."""

    _last: dict[str, Reading] = field(default_factory=dict)
    _same: dict[str, int] = field(default_factory=dict)

    def note(self, reading: Reading) -> None:
        """Take in a pulse; one without power or energy proves nothing."""
        last = self._last.get(reading.gpu)
        is_same = last is not None and last.values == reading.values and all(key in reading.values for key in _ALIVE)
        self._same[reading.gpu] = self._same.get(reading.gpu, 0) + 1 if is_same else 0
        self._last[reading.gpu] = reading

    def frozen(self) -> tuple[str, ...]:
        """Return the GPUs whose pulses have been one and the same for too long."""
        return tuple(gpu for gpu, count in self._same.items() if count >= limits.FROZEN_READINGS)
