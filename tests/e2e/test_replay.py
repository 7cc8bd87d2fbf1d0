"""An agent on a captured machine shows what the golden says, through the command that operators type."""

from pathlib import Path

from tests.processes import ROOT, end, free_port, get, start, threenines, wait_for

CLOCKED = ("_age_seconds", "_duration_seconds", "agent_facts_total", "gpu_frozen")  # what differs from run to run
BEYOND = ("agent_xid_source_up", "gpu_memory_missing_bytes")  # what an agent knows beside what the device says
LAST = ("gpu_engine_active_ratio", "gpu_ecc_enabled")  # engines need two looks to compare


def timeless(text: str) -> list[str]:
    """Return the samples that time has no part in."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return sorted(line for line in lines if not line.split("{")[0].split(" ")[0].endswith((*CLOCKED, *BEYOND)))


def test_an_agent_on_a_capture_serves_the_golden(tmp_path: Path) -> None:
    """Every sample of the golden but ages, durations and counts of facts, and no other."""
    port = free_port()
    arguments = threenines(
        "agent",
        *("--replay", str(ROOT / "tests/captures/loaded.json"), "--interval-ms", "100"),
        *("--to", f"http://127.0.0.1:{free_port()}", "--rack", "r0001", "--tray", "7"),
        *("--spool", str(tmp_path / "spool"), "--listen", f"127.0.0.1:{port}"),
    )
    golden = (ROOT / "tests/golden/metrics/loaded.prom").read_text()
    agent = start(arguments, log=tmp_path / "agent.log")
    url = f"http://127.0.0.1:{port}/metrics"
    wait_for("all rounds of all GPUs", lambda: all(get(url).count(one) == golden.count(one) for one in LAST), 40)
    shown = get(url)
    status = end(agent)

    assert status == 0
    assert timeless(shown) == timeless(golden)
