"""A healthy, idle tray for every test of the simulated driver."""

from collections.abc import Iterator

import pytest

from tests.fakedriver.driver import FakeDriver


@pytest.fixture
def driver() -> Iterator[FakeDriver]:
    """Yield a healthy, idle tray."""
    with FakeDriver() as running:
        yield running
