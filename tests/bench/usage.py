"""What a process and all its children use, read from /proc: a subject may be several processes."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_PARENT, _ENDED_USER, _ENDED_SYSTEM = 1, 13, 14


@dataclass(frozen=True)
class Usage:
    """Sums over the tree, now."""

    cpu_seconds: float
    rss_mib: float
    pss_mib: float
    processes: int


def usage(root: int) -> Usage:
    """Return what a process and its descendants use.

    CPU includes children that ended and were waited for. PSS counts a page shared by n processes
    as a part of n, RSS counts it for each of them.
    """
    tree = [pid for pid in family(root) if _stat(pid)]
    return Usage(
        cpu_seconds=sum(map(_cpu_seconds, tree)),
        rss_mib=sum(_kib(pid, "status", "VmRSS:") for pid in tree) / 1024,
        pss_mib=sum(_kib(pid, "smaps_rollup", "Pss:") for pid in tree) / 1024,
        processes=len(tree),
    )


def family(root: int) -> list[int]:
    """Return a process and all its living descendants."""
    parents = {pid: int(stat[_PARENT]) for pid in _every_pid() if (stat := _stat(pid))}
    found = [root]
    for member in found:  # grows while it is walked
        found += [pid for pid, parent in parents.items() if parent == member]
    return found


def _every_pid() -> list[int]:
    return [int(file.name) for file in PROC.iterdir() if file.name.isdigit()]


def _text(pid: int, file: str) -> str:
    try:
        return (PROC / str(pid) / file).read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended since it was listed
        return ""


def _stat(pid: int) -> list[str]:
    # The second field is a name that may hold spaces and brackets: count from the last bracket.
    return _text(pid, "stat").rpartition(")")[2].split()


def _cpu_seconds(pid: int) -> float:
    stat = _stat(pid)
    if not stat:
        return 0.0
    return _own_seconds(pid) + (int(stat[_ENDED_USER]) + int(stat[_ENDED_SYSTEM])) / os.sysconf("SC_CLK_TCK")


def _own_seconds(pid: int) -> float:
    """Return what all threads of a process used, ended ones too, to the nanosecond; stat counts in 10 ms."""
    clock = (~pid << 3) | 2  # what clock_getcpuclockid(3) makes of a pid on Linux
    try:
        return time.clock_gettime(clock)
    except OSError:  # it ended since it was listed
        return 0.0


def _kib(pid: int, file: str, key: str) -> int:
    return next((int(line.split()[1]) for line in _text(pid, file).splitlines() if line.startswith(key)), 0)
