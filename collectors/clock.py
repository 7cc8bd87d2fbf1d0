"""The agent's own clock, and the identity of boots and runs: the only reader of either."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from service.core.ports import Clock

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class SystemClock:
    """Wall, monotonic and sleep of this host."""

    def now_ms(self) -> int:
        """Return wall-clock time, ms UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return ms since an arbitrary instant of this boot."""
        return time.monotonic_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A run's scale: wall time at its start, carried on by the monotonic clock.

    A wall clock that jumps cannot stretch, shrink or reverse a span of the run.
    """

    wall_ms: int
    mono_ms: int

    @classmethod
    def take(cls, clock: Clock) -> "Anchor":
        """Return the scale that begins now."""
        return cls(clock.now_ms(), clock.monotonic_ms())

    def at(self, mono_ms: int) -> int:
        """Return the run's time at a monotonic instant."""
        return self.wall_ms + mono_ms - self.mono_ms

    def drift_ms(self, clock: Clock) -> int:
        """Return how far the wall clock has moved away from the run's scale."""
        return abs(clock.now_ms() - self.at(clock.monotonic_ms()))


@dataclass(frozen=True, slots=True)
class HostBoot:
    """Which boot of the host this is, and when it began, ms UTC."""

    boot: str
    boot_ms: int


def host_boot(proc: Path = Path("/proc")) -> HostBoot:
    """Return this host's boot id and boot time from procfs."""
    boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    for line in (proc / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return HostBoot(boot, int(line.split()[1]) * 1000)
    msg = f"{proc / 'stat'} has no btime line"
    raise OSError(msg)


def new_run(at_ms: int) -> str:
    """Return a run id never used before: a ULID, so that runs sort by their start."""
    number = (at_ms << 80) | int.from_bytes(os.urandom(10))
    digits = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits.append(_CROCKFORD[digit])
    return "".join(reversed(digits))
