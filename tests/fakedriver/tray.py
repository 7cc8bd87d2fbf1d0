"""One simulated tray: its state file, its libraries, and what processes did to it."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.fakedriver import defaults
from tests.fakedriver.control import TRAY, State
from tests.fakedriver.defaults import GPUS, Place
from tests.fakedriver.library import CACHE, build

STATE_VARIABLE: Final = "THREENINES_FAKE_DRIVER_STATE"
EVERY_GPU: Final = range(GPUS)


class Tray:
    """The state file of one tray and the libraries that read it.

    Args:
        path: Where to put the state file, which must not exist; by default a temporary place
            that `close` removes.
        attach: Drive the tray of an existing state file as it is, instead of making one.
        place: Which tray it is; trays with different numbers have different identifiers.
        cache_dir: Where built libraries are kept.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        attach: bool = False,
        place: Place | None = None,
        cache_dir: Path = CACHE,
    ) -> None:
        self.place = place or Place()
        self.libraries = build(cache_dir)
        self._scratch = Path(tempfile.mkdtemp(prefix="fakedriver-")) if path is None else None
        self.path = path or Path(self._scratch or ".") / "tray.state"
        self._state = State(self.libraries, self.path, create=not attach)
        if not attach:
            defaults.fill_tray(self._state, self.place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the state file, and remove it if this object chose its place."""
        self._state.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment in which a process finds this driver.

        Args:
            base: What to extend; by default the environment of this process.
        """
        found = dict(os.environ if base is None else base)
        inherited = found.get("LD_LIBRARY_PATH")
        search = [str(self.libraries), *([inherited] if inherited else [])]
        return found | {
            "LD_LIBRARY_PATH": os.pathsep.join(search),
            STATE_VARIABLE: str(self.path),
        }

    def uuid(self, gpu: int) -> str:
        """Return the UUID that a GPU reports."""
        return self._state.get_text(gpu, "uuid")

    def serial(self, gpu: int) -> str:
        """Return the serial that a GPU reports; both GPUs of a module share it."""
        return self._state.get_text(gpu, "serial")

    def calls(self, function: str | None = None) -> int:
        """Return how often a function was called by all processes; all functions by default."""
        if function is None:
            return self._state.get(TRAY, "calls_total")
        return self._state.get(TRAY, "calls", self._state.function(function))

    def trace(self) -> dict[str, int]:
        """Return the functions that were called, with how often."""
        counts = {
            name: self._state.get(TRAY, "calls", position) for position, name in enumerate(self._state.function_names())
        }
        return {name: count for name, count in counts.items() if count}

    def overlapping_field_calls(self) -> int:
        """Return how many field batches began while the same process was inside another."""
        return self._state.get(TRAY, "field_calls_overlapping")

    def advance(self, seconds: float) -> None:
        """Push the clock of all counters forward, instead of waiting."""
        offset = self._state.get(TRAY, "clock_offset_ns")
        self._state.set(TRAY, "clock_offset_ns", offset + int(seconds * 1e9))
