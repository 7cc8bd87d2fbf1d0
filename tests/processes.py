"""Real processes for tests: threenines itself, Prometheus; each on free loopback ports, ended by handle."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> str:
    """Return the body of a loopback URL."""
    with urllib.request.urlopen(url, timeout=5) as reply:
        return str(reply.read().decode())


def wait_for(what: str, ready: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait, bounded, until something is so; an error of the network means not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def start(arguments: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path) -> subprocess.Popen[bytes]:
    """Start a command with its output in a file."""
    with log.open("ab") as output:
        return subprocess.Popen(arguments, env=env, stdout=output, stderr=output, cwd=ROOT)


def threenines(*arguments: str) -> list[str]:
    """Return the command line of this checkout's threenines."""
    return [sys.executable, "-m", "service", *arguments]


def end(process: subprocess.Popen[bytes], *, seconds: float = 20.0) -> int:
    """Ask a process to stop and return its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
        raise


def binary(name: str) -> str:
    """Return the path of a server's binary, or fail with the mend."""
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: run `make servers`"
    return found


def promtool_check(exposition: str) -> subprocess.CompletedProcess[str]:
    """Let promtool judge an exposition."""
    return subprocess.run(
        [binary("promtool"), "check", "metrics"], input=exposition, text=True, capture_output=True, check=False
    )


class Prometheus:
    """A real Prometheus that scrapes loopback targets every second."""

    def __init__(
        self, directory: Path, targets: Mapping[str, int], extra: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Start it, scraping one job per name and port; `extra` adds keys to a job, such as its TLS."""
        jobs = [
            {"job_name": n, "static_configs": [{"targets": [f"127.0.0.1:{p}"]}], **(extra or {}).get(n, {})}
            for n, p in targets.items()
        ]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        file = directory / "prometheus.json"  # JSON is YAML
        file.write_text(json.dumps(config))
        self.port = free_port()
        arguments = [
            binary("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        self._process = start(arguments, env=dict(os.environ), log=directory / "prometheus.log")
        wait_for("prometheus ready", lambda: "Ready" in get(f"http://127.0.0.1:{self.port}/-/ready"))

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Return the result vector of an instant query."""
        text = get(f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": promql}))
        result: list[dict[str, Any]] = json.loads(text)["data"]["result"]
        return result

    def stop(self) -> None:
        """End it."""
        end(self._process)
