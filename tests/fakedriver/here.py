"""The simulated driver inside this process, for tests that drive the real bindings themselves."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakedriver.driver import STATE_VARIABLE, FakeDriver, build


@contextmanager
def driver_here() -> Iterator[FakeDriver]:
    """Yield a healthy, idle tray that the bindings of this process find by its library's name."""
    ctypes.CDLL(str(build() / "libnvidia-ml.so.1"), ctypes.RTLD_GLOBAL)
    with FakeDriver() as driver:
        os.environ[STATE_VARIABLE] = driver.environment()[STATE_VARIABLE]
        try:
            yield driver
        finally:
            del os.environ[STATE_VARIABLE]
