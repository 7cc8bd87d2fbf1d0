"""`--web.config.file` as operators meet it: a real Prometheus with a password, and what is refused."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.certificates import Authority
from tests.processes import ROOT, Prometheus, end, free_port, start, threenines, wait_for


@pytest.fixture
def web_config(tmp_path: Path) -> Path:
    """A file with TLS and one user, `prometheus` with the password `right`."""
    Authority.make(tmp_path).issue("node")
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"""
tls_server_config: {{cert_file: node.pem, key_file: node.key}}
basic_auth_users: {{prometheus: {hashed}}}
""")
    return file


def _agent(directory: Path, *more: str) -> list[str]:
    return threenines(
        "agent",
        *("--mock", "quiet", "--to", f"http://127.0.0.1:{free_port()}", "--rack", "r0001", "--tray", "7"),
        *("--spool", str(directory / "spool"), *more),
    )


@pytest.fixture
def prometheus(tmp_path: Path, web_config: Path) -> Iterator[Prometheus]:
    """Scrapes an agent twice: with the right password and with a wrong one."""
    port = free_port()
    command = _agent(tmp_path, "--listen", f"127.0.0.1:{port}", "--web.config.file", str(web_config))
    agent = start(command, log=tmp_path / "agent.log")
    tls = {"scheme": "https", "tls_config": {"ca_file": str(tmp_path / "ca.pem")}}
    known, stranger = ({"username": "prometheus", "password": word} for word in ("right", "wrong"))
    jobs = {"node": {**tls, "basic_auth": known}, "stranger": {**tls, "basic_auth": stranger}}
    made = Prometheus(tmp_path, dict.fromkeys(jobs, port), jobs)
    yield made
    made.stop()
    end(agent)


def test_a_real_prometheus_scrapes_over_tls_with_a_password(prometheus: Prometheus) -> None:
    """With the right password there is data, with a wrong one `up` is 0."""
    wait_for("power", lambda: len(prometheus.query('threenines_gpu_power_watts{job="node"}')) == 4, 30)
    wait_for("the stranger's scrape", lambda: len(prometheus.query('up{job="stranger"}')) == 1, 30)

    assert [one["value"][1] for one in prometheus.query('up{job="node"}')] == ["1"]
    assert [one["value"][1] for one in prometheus.query('up{job="stranger"}')] == ["0"]


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        ((), None, "listen on 127.0.0.1, or ask for TLS and passwords with --web.config.file"),
        (("--web.config.file", "web.yml"), "{}", "web.yml: beyond loopback /metrics needs tls_server_config"),
        (("--web-config-file", "web.yml"), "basic_auth: {}", "web.yml: basic_auth: not supported"),
        (("--dcgm-names", "--dcgm-hostname-label", "host"), None, "one of Hostname, hostname"),
    ],
    ids=["no file", "no protection", "unknown key", "unknown label"],
)
def test_what_is_unsafe_or_misspelt_is_refused_at_start(
    tmp_path: Path, arguments: tuple[str, ...], text: str | None, said: str
) -> None:
    """Exit status 2 and one line that says what to do; nothing listens."""
    if text is not None:
        (tmp_path / "web.yml").write_text(text)
    listen = "127.0.0.1:0" if "--dcgm-names" in arguments else "0.0.0.0:0"
    files = [str(tmp_path / one) if one == "web.yml" else one for one in arguments]
    command = _agent(tmp_path, "--listen", listen, *files)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert said in done.stderr
