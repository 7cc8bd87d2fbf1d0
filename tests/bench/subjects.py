"""What is measured beside what: our agent, nvitop's exporter, a bare exporter."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.bench.receiver import Receiver
from tests.fakedriver.driver import EVERY_GPU, FakeDriver
from tests.peers import nvitop_exporter
from tests.processes import end, free_port, get, start, threenines, wait_for


@dataclass(frozen=True)
class Subject:
    """A program that serves a page about the tray.

    `command` takes a directory of its own, the address facts go to, and the port to listen on;
    `power` finds a GPU's index and power in watts on its page.
    """

    name: str
    command: Callable[[Path, str, int], Sequence[str]]
    power: re.Pattern[str]


@dataclass(frozen=True)
class Running:
    """A subject that serves."""

    process: "subprocess.Popen[bytes]"
    url: str


def _agent(directory: Path, bus: str, port: int) -> list[str]:
    return threenines(
        "agent",
        *("--to", bus, "--rack", "r0001", "--tray", "7"),
        *("--spool", str(directory / "spool"), "--listen", f"127.0.0.1:{port}"),
    )


def _bare(_directory: Path, _bus: str, port: int) -> list[str]:
    return [sys.executable, "-m", "tests.bench.bare_exporter", str(port)]


OURS = Subject("threenines", _agent, re.compile(r'^threenines_gpu_power_watts\{gpu="(\d)"[^}]*\} (\S+)', re.MULTILINE))
NVITOP = Subject(
    f"nvitop-exporter {metadata.version('nvitop-exporter')}",
    lambda _directory, _bus, port: nvitop_exporter(port),
    re.compile(r'^gpu_power_usage_W\{[^}]*index="(\d)"[^}]*\} (\S+)', re.MULTILINE),
)
BARE = Subject("bare exporter", _bare, re.compile(r'^bare_field_186\{gpu="(\d)"[^}]*\} (\S+)', re.MULTILINE))


@contextmanager
def running(subject: Subject, driver: FakeDriver, directory: Path, bus: Receiver) -> Iterator[Running]:
    """Run a subject until the block ends; it is entered when the page shows every GPU."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    log = directory / f"{subject.name.split()[0]}.log"
    process = start(subject.command(directory, bus.url, port), env=driver.environment(), log=log)
    try:
        wait_for(subject.name, lambda: len(subject.power.findall(get(url))) >= len(EVERY_GPU))
        yield Running(process, url)
    finally:
        end(process)
