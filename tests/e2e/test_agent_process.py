"""The agent as operators run it: what its processes hold, and how they end together."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakedriver.driver import FakeDriver
from tests.processes import end, free_port, get, start, threenines, wait_for


@dataclass
class Running:
    """An agent and the collector that it started."""

    agent: int
    collector: int


def _holds(pid: int, library: str) -> bool:
    return library in Path(f"/proc/{pid}/maps").read_text()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(params=[signal.SIGTERM, signal.SIGKILL])
def ended_by(request: pytest.FixtureRequest) -> signal.Signals:
    """How the agent ends."""
    return signal.Signals(request.param)


@pytest.fixture
def running(tmp_path: Path, ended_by: signal.Signals) -> Iterator[Running]:
    """An agent on a simulated tray, without a service, until it is ended."""
    port = free_port()
    arguments = threenines(
        "agent",
        *("--to", f"http://127.0.0.1:{free_port()}", "--rack", "r0001", "--tray", "7"),
        *("--spool", str(tmp_path / "spool"), "--listen", f"127.0.0.1:{port}"),
    )
    with FakeDriver() as driver:
        process = start(arguments, env=driver.environment(), log=tmp_path / "agent.log")
        wait_for("values", lambda: "gpu_power_watts" in get(f"http://127.0.0.1:{port}/metrics"))
        (collector,) = (pid for pid in _all_below(process.pid) if _holds(pid, "libnvidia-ml"))
        yield Running(process.pid, collector)
        if ended_by is signal.SIGKILL:
            process.kill()
            process.wait(10)
        else:
            assert end(process) == 0
        wait_for("the collector's end", lambda: not _is_alive(collector))


def _all_below(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        found.extend(int(child) for child in (thread / "children").read_text().split())
    return found


def test_the_agent_holds_neither_driver_nor_what_parsed_its_options(running: Running) -> None:
    """The driver's library lives in the collector only; the agent shed pydantic; both end together."""
    assert _holds(running.collector, "libnvidia-ml")
    assert not _holds(running.agent, "libnvidia-ml")
    assert not _holds(running.agent, "pydantic_core")
    assert not _holds(running.collector, "msgspec")
