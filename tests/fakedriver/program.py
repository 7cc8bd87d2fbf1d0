"""Programs that use the simulated driver through the real pynvml, in processes of their own.

pynvml loads the library by its name, so the search path must be set before a process starts: a test
runs a small program and compares what it says.
"""

import json
import subprocess
import sys
import textwrap
from types import TracebackType
from typing import Any, Self

from tests.fakedriver.driver import FakeDriver

PRELUDE = """
import ctypes, json, sys, threading, time
import pynvml as n

def say(value):
    print(json.dumps(value), flush=True)

def hear():
    sys.stdin.readline()

def code(function, *arguments):
    try:
        function(*arguments)
    except n.NVMLError as error:
        return error.value
    return 0

def decode(entry):
    if entry.nvmlReturn:
        return {"error": entry.nvmlReturn}
    member = ["dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal"][entry.valueType]
    return getattr(entry.value, member)

def fields(handle, wanted):
    return [decode(entry) for entry in n.nvmlDeviceGetFieldValues(handle, wanted)]

def handles():
    return [n.nvmlDeviceGetHandleByIndex(i) for i in range(n.nvmlDeviceGetCount())]
"""


class Program:
    """A running program that talks to the test line by line."""

    def __init__(self, driver: FakeDriver, source: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(source)],
            env=driver.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def hear(self) -> Any:
        """Return what the program says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the program ended without an answer"
        return json.loads(line)

    def go_on(self) -> None:
        """Let the program pass its next `hear()`."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def answer(driver: FakeDriver, source: str) -> Any:
    """Run a program on the driver and return the one thing it says."""
    with Program(driver, source) as program:
        return program.hear()
