"""A command from start to end: wall time, CPU time and the peak of its memory."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT

_LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Measured:
    """What one run of a command took; `output` is its stdout."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    status: int
    output: str


def measured(command: Sequence[str], log: Path) -> Measured:
    """Run a command to its end, process start included; its stdout goes through a file beside the log."""
    beside = log.with_suffix(".out")
    peak, began = 0.0, time.perf_counter()
    with log.open("ab") as errors, beside.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=ROOT)
        # From /proc: the peak that wait4 reports includes this process as it was when it forked.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, peak_mib(process.pid))
            time.sleep(_LOOK_SECONDS)
        took = time.perf_counter() - began
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(took, used.ru_utime + used.ru_stime, peak, process.returncode, beside.read_text())


def peak_mib(pid: int) -> float:
    """Return the most memory that a living process ever held, 0 for one that ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
