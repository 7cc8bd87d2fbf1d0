"""Drive the simulated driver: what a test says happens to the hardware of one tray.

A `FakeDriver` owns one state file. Processes started with its `environment()` load the simulated
library in place of the vendor's and see every change on their next call. Units are watts, joules,
degrees Celsius, percent and bytes; codes and masks are the vendor's raw numbers.

    with FakeDriver() as driver:
        driver.set_power(2, 1390.0)
        driver.raise_xid(1, 79)
        subprocess.run([...], env=driver.environment())
"""

from tests.fakedriver.codes import (
    ALL_LINKS,
    EVENT_TYPES,
    LINKS,
    EccLocation,
    LinkCounter,
    LinkState,
    Return,
    Scope,
    SramCounter,
    Text,
    ValueType,
)
from tests.fakedriver.counters import Counters
from tests.fakedriver.defaults import GPUS, Place
from tests.fakedriver.failures import Failures
from tests.fakedriver.library import build
from tests.fakedriver.readings import Readings
from tests.fakedriver.tray import EVERY_GPU, STATE_VARIABLE

__all__ = [
    "ALL_LINKS",
    "EVENT_TYPES",
    "EVERY_GPU",
    "GPUS",
    "LINKS",
    "STATE_VARIABLE",
    "EccLocation",
    "FakeDriver",
    "LinkCounter",
    "LinkState",
    "Place",
    "Return",
    "Scope",
    "SramCounter",
    "Text",
    "ValueType",
    "build",
]


class FakeDriver(Readings, Counters, Failures):
    """One simulated tray, healthy and idle until told otherwise; see `Tray` for its arguments."""
