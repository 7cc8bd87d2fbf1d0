"""The scenario library: each is documented, plays through the real path, and agrees with its own truth."""

import json
import subprocess
from pathlib import Path

import pytest

from collectors.scenario import SHIPPED, load, parse, shipped
from service.core.errors import ConfigurationError
from service.core.limits import DAY_MS
from tests.processes import ROOT, threenines

DISAGREE = {"observer-blind": "second-tenant"}  # a tray lies there: that is what it shows


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(threenines(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", shipped())
def test_a_scenario_says_what_it_is_and_what_to_look_for(name: str) -> None:
    """Its name is its file's, its summary one line, and a comment says what to look for."""
    text = (SHIPPED / f"{name}.yaml").read_text()
    scenario = load(name)

    assert scenario.name == name
    assert 10 < len(scenario.summary) < 100
    assert "\n" not in scenario.summary
    assert text.startswith("# ")
    assert "# Look for: " in text


@pytest.mark.parametrize("name", [name for name in shipped() if load(name).length <= 2 * DAY_MS])
def test_a_scenario_plays_headless_and_agrees_with_its_own_truth(name: str) -> None:
    """`threenines demo --scenario NAME --headless --json` ends well, each tenant within the edges of the truth."""
    done = call("demo", "--scenario", name, "--headless", "--json")
    result = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert result["scenario"] == name
    assert result["simulated"] is True
    for one in result["tenants"]:
        assert one["agrees"] is (DISAGREE.get(name) != one["tenant"]), one


@pytest.mark.parametrize("name", [name for name in shipped() if load(name).length > 2 * DAY_MS and name != "demo"])
def test_the_first_days_of_a_long_scenario_agree_too(name: str, tmp_path: Path) -> None:
    """The same from a file, cut to three days."""
    path = tmp_path / "cut.yaml"
    lines = (SHIPPED / f"{name}.yaml").read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("length:")) + "\nlength: 3d\n")
    done = call("demo", "--scenario", str(path), "--headless", "--json")

    assert done.returncode == 0, done.stderr
    assert all(one["agrees"] for one in json.loads(done.stdout)["tenants"])


def test_the_list_has_a_line_for_each_scenario() -> None:
    """Name, racks, length and summary, as a table and as JSON."""
    table, rows = call("demo", "--scenario", "list").stdout, call("demo", "--scenario", "list", "--json").stdout
    head, *lines = table.splitlines()

    assert head.split() == ["name", "racks", "length", "summary"]
    assert [line.split()[0] for line in lines] == list(shipped())
    assert [one["name"] for one in json.loads(rows)] == list(shipped())
    assert {"quiet", "demo", "xid79", "nvlink-storm", "leak", "bad-push", "hall-power", "observer-blind"} <= set(
        shipped()
    )


def test_help_shows_how_to_write_a_scenario() -> None:
    """What the help shows is a scenario that can be read."""
    text = call("demo", "--help").stdout
    lines = [line.strip() for line in text[text.index("name: mine") : text.index("Examples:")].splitlines()]

    assert "threenines demo --scenario ./mine.yaml --headless" in text
    assert parse("\n".join(lines), "help").name == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("racks: [r1]\n", "x.yaml: name: Field required"),
        ("[1, 2]\n", "a mapping of keys"),
        ("name: a\nracks: [r1]\nprofile: gb400\n", "profile: Value error, unknown; allowed: none, gb300, llama3"),
        ("name: a\nracks: [r1]\nprocess: wild\n", "process: Value error, unknown; allowed: flat, field"),
        ("name: a\nracks: [r1]\nlength: long\n", "length: Value error, write a duration like 2d6h30m"),
        ("name: a\nracks: [r1]\nfalts: []\n", "falts: Extra inputs are not permitted"),
        (
            "name: a\nracks: [r1]\nfaults: [{at: 1h, kind: fire, target: r1, lasts: 1h}]\n",
            "faults.0.kind: Value error, unknown kind; allowed: gpu_reset,",
        ),
        (
            "name: a\nracks: [r1]\nfaults: [{at: 1h, kind: host, target: r2/t01, lasts: 1h}]\n",
            "host at r2/t01: there is no such rack",
        ),
        (
            "name: a\nracks: [r1]\nfaults: [{at: 1h, kind: host, target: r1/t19, lasts: 1h}]\n",
            "host at r1/t19: there is no such rack, tray",
        ),
        (
            "name: a\nracks: [r1]\ntelemetry: [{at: 1h, kind: gossip, target: r1, lasts: 1h}]\n",
            "telemetry.0.kind: Value error, unknown kind; allowed: agent_down,",
        ),
        ("name: a\nracks: [r1]\ncaps: [{at: 1h, cap_watts: 50}]\n", "a GB300 takes 200 to 1400 W, or none"),
        ("name: a\nracks: [r1]\nload: [{at: 1h, utilisation: 2}]\n", "load.0.utilisation: Input should be less than"),
        ("name: a\nracks: [r1]\nload: [{at: 0s, utilisation: 1, racks: [r9]}]\n", "there is no rack r9"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_said_by_key(text: str, said: str) -> None:
    """Each error names source and key, and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "x.yaml")

    assert "x.yaml" in str(caught.value)
    assert said in str(caught.value)
