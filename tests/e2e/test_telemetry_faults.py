"""Faults of the telling against the ledger: what the network does leaves no trace, blindness stays blindness."""

from pathlib import Path

from collectors.racks import World
from collectors.scenario import Telemetry, load
from service.core.health import State
from service.core.timeline import lengths
from tests.day import DAY, played, world
from tests.oracle import compare, told_by


def disturbed(*faults: dict[str, str]) -> World:
    """Return the rack's day with faults of the telling."""
    scenario = world().scenario
    return World(scenario.model_copy(update={"telemetry": [Telemetry.model_validate(one) for one in faults]}), DAY)


def test_a_bad_network_leaves_no_trace_in_the_ledger(tmp_path: Path) -> None:
    """Batches lost, cut, doubled, out of order and hours late: the same timelines to the millisecond."""
    quiet, loud = tmp_path / "quiet", tmp_path / "loud"
    quiet.mkdir()
    loud.mkdir()
    racks = disturbed(
        {"at": "30m", "kind": "lost", "target": "r0001", "lasts": "22h"},
        {"at": "30m", "kind": "truncated", "target": "r0001", "lasts": "22h"},
        {"at": "30m", "kind": "duplicated", "target": "r0001", "lasts": "22h"},
        {"at": "30m", "kind": "reordered", "target": "r0001", "lasts": "22h"},
        {"at": "3h", "kind": "partition", "target": "r0001/t06", "lasts": "4h"},
        {"at": "7h50m", "kind": "partition", "target": "r0001", "lasts": "3h"},
    )
    site, ledger = played(loud, racks, every_second=False)
    found, outcomes = told_by(ledger), site.service.recorder.outcomes
    calm, plain = played(quiet, world(), every_second=False)
    expected = told_by(plain)
    wrong = [line for gpu in racks.place_of for line in compare(racks, found, gpu, DAY).wrong]
    for one in (site, calm):
        one.service.stop()

    assert not wrong
    assert outcomes["duplicate"] > 1_000
    for gpu in racks.place_of:
        assert found.history.gpu_timeline(gpu, DAY) == expected.history.gpu_timeline(gpu, DAY)


def test_blindness_is_unknown_and_never_down(tmp_path: Path) -> None:
    """Where nobody looked the ledger knows nothing, to the second; it never makes an outage of it."""
    scenario = disturbed(
        {"at": "6h", "kind": "agent_down", "target": "r0001/t15", "lasts": "1h"},
        {"at": "6h", "kind": "hang", "target": "r0001/t16/g2", "lasts": "5m"},
        {"at": "6h", "kind": "reload", "target": "r0001/t17", "lasts": "1s"},
        {"at": "6h", "kind": "clock", "target": "r0001/t18", "lasts": "1h", "amount": "2s"},
    ).scenario
    racks = World(scenario.model_copy(update={"profile": "none", "faults": []}), DAY)
    site, ledger = played(tmp_path, racks, every_second=False)
    found = told_by(ledger)
    site.service.stop()
    timelines = {gpu: found.history.gpu_timeline(gpu, DAY) for gpu in racks.place_of}
    unknown = {gpu: lengths(timeline)[State.UNKNOWN] for gpu, timeline in timelines.items()}
    expected = dict.fromkeys(racks.place_of, (0, 0))
    expected |= dict.fromkeys(racks.nodes["r0001-t15"].gpus, (3_600_000, 3_602_000))
    expected[racks.nodes["r0001-t16"].gpus[2]] = (300_000, 302_000)
    expected |= dict.fromkeys(racks.nodes["r0001-t17"].gpus, (0, 2_000))
    expected |= dict.fromkeys(racks.nodes["r0001-t18"].gpus, (0, 6_000))

    assert {one.state for timeline in timelines.values() for one in timeline} == {State.UP, State.UNKNOWN}
    for gpu, (least, most) in expected.items():
        assert least <= unknown[gpu] <= most, racks.place_of[gpu]


def test_a_silent_rack_that_is_healthy_leaves_the_truth_inside_the_bounds(tmp_path: Path) -> None:
    """An hour without agents is 72 unknown GPU-hours: the lower bound pays for it, the truth is not contradicted."""
    racks = World(load("observer-blind"), DAY)
    site, _ = played(tmp_path, racks, every_second=False)
    (result,) = site.results()
    site.service.stop()

    assert result["agrees"] is True
    assert 72 * 3_600_000 <= result["unknown_gpu_ms"] <= 72 * 3_602_000
