"""The command line as its users meet it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.fakedriver.driver import FakeDriver
from tests.processes import ROOT, free_port, get, start, threenines, wait_for


def call(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        threenines(*arguments), cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_headless_demo_prints_one_json_object_near_the_truth() -> None:
    """A month of four racks: availability within an edge of the simulated truth, the same each time."""
    done = call("demo", "--headless", "--json")
    result = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert [one["tenant"] for one in result["tenants"]] == ["reflection", "second-tenant", "landlord"]
    for one in result["tenants"]:
        bounds = {name: float(text) for name, text in one["availability"].items()}
        assert 0 <= bounds["lo"] <= bounds["hi"] <= 1
        assert abs(bounds["lo"] - float(one["truth"])) < 1e-6
        assert bounds["hi"] < 1, "something failed in every rack"


def test_the_live_demo_moves_on_metrics_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """While it runs the service's metrics move; Ctrl-C ends it and removes its directory."""
    port = free_port()
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    arguments = threenines("demo", "--listen", f"127.0.0.1:{port}", "--replay-seconds", "20")
    process = start(arguments, env=env, log=tmp_path / "demo.log")
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        wait_for("tenants on /metrics", lambda: 'month_availability_ratio{bound="lo"' in get(url), 60)
        first = get(url)
        time.sleep(1)
        moved = get(url) != first
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    finally:
        process.kill()
        process.wait(5)

    assert moved
    assert status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]


def test_scan_reads_the_tray_once_and_judges_it() -> None:
    """Four healthy GPUs are exit status 0; a lost one is 1; no driver is 2 with a mend."""
    with FakeDriver() as driver:
        fine = call("scan", "-o", "json", env=driver.environment())
        driver.set_recovery_action(1, 1)
        broken = call("scan", env=driver.environment())
    without = call("scan")

    seen = json.loads(fine.stdout)
    assert (fine.returncode, len(seen["gpus"]), seen["node"]["slot"]) == (0, 4, 25)
    assert broken.returncode == 1
    assert "recovery:reset_gpu" in broken.stdout
    assert without.returncode == 2
    assert "install the driver" in without.stderr


def test_import_then_statement_gives_the_published_shape(tmp_path: Path) -> None:
    """History from a CSV becomes an exact statement in the documented shape."""
    day = "2026-07-{:02d}T00:00:00Z"
    rows = ["gpu,rack,tray,health,cause,from,to"]
    rows += [f"GPU-{at},r0001,1,up,,{day.format(1)},2026-08-01T00:00:00Z" for at in range(3)]
    rows += [
        f"GPU-3,r0001,1,up,,{day.format(1)},{day.format(11)}",
        f"GPU-3,r0001,1,down,xid:79,{day.format(11)},2026-07-11T00:44:38.401Z",
        "GPU-3,r0001,1,up,,2026-07-11T00:44:38.401Z,2026-08-01T00:00:00Z",
    ]
    spans, contract = tmp_path / "spans.csv", tmp_path / "c.yaml"
    spans.write_text("\n".join(rows) + "\n")
    contract.write_text(
        (ROOT / "service/data/demo.yaml").read_text().replace("places: [r0001, r0002]", "places: [r0001/t01]")
    )
    ledger = f"sqlite:///{tmp_path / 'l.db'}"
    imported = call("import", str(spans), "--ledger", ledger)
    arguments = ("--contract", str(contract), "--ledger", ledger, "--tenant", "reflection", "--month", "2026-07")
    done = call("statement", *arguments, "-o", "json")
    gpu, pool = json.loads(done.stdout)["objectives"]

    assert imported.returncode == 0, imported.stderr
    assert done.returncode == 1
    # a 31-day month allows 2 678 400 ms at 99.9 %: one ms more is a miss for that GPU
    assert (gpu["down_ms"], gpu["unknown_ms"], gpu["denominator_ms"]) == (2_678_401, 0, 4 * 2_678_400_000)
    assert gpu["units"] == {"total": 4, "met": 3, "missed": 1, "undetermined": 0}
    assert (gpu["met"], pool["met"]) == (False, True)
    assert gpu["exact"]["lo"] == "10710921599/10713600000"
    assert gpu["availability"]["lo"].startswith("0.99974999")
    assert gpu["credit"] == {"amount": "7716.05", "currency": "USD", "tier": "10"}
    assert pool["credit"]["amount"] == "0.00"
    assert gpu["causes"] == {"xid:79": 2_678_401}


def test_errors_name_place_and_mend() -> None:
    """A wrong tenant, a missing ledger and a wrong address are exit status 2 and one line."""
    for arguments, word in (
        (
            (
                "statement",
                "--contract",
                "nowhere.yaml",
                "--ledger",
                "sqlite:///x",
                "--tenant",
                "t",
                "--month",
                "2026-07",
            ),
            "nowhere.yaml",
        ),
        (("demo", "--scenario", "no-such"), "name a file or one of bad-push, "),
        (("agent", "--to", "http://example.com", "--rack", "r0001", "--tray", "1", "--mock", "quiet"), "use https"),
        (("serve", "--contract", "service/data/demo.yaml", "--listen", "nonsense"), "HOST:PORT"),
    ):
        done = call(*arguments)

        assert done.returncode == 2, done.stderr
        assert word in done.stderr


def test_every_command_has_help_with_an_example() -> None:
    """`--help` of each command shows how it is typed."""
    commands = ("demo", "agent", "serve", "scan", "doctor", "check", "import", "statement", "verify", "backup", "fact")
    facts = ("lease", "accept", "swap", "claim", "approve", "refuse", "stop", "mark", "assert", "correct", "list")
    for command in (*commands, *(f"fact {one}" for one in facts)):
        done = call(*command.split(), "--help")

        assert done.returncode == 0
        assert f"threenines {command}" in done.stdout
