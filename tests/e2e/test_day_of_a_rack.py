"""A simulated rack's day in the ledger equals what happened, edge by edge: see `tests.oracle`."""

from collections import Counter
from pathlib import Path

from service.core.health import State
from tests.day import DAY, played, world
from tests.oracle import compare, told_by


def test_every_edge_of_a_racks_day_is_in_the_ledger_and_no_other(tmp_path: Path) -> None:
    """18 trays of 4 GPUs for 24 h, read every second around changes and hourly elsewhere."""
    racks = world()
    site, ledger = played(tmp_path, racks, every_second=False)
    told = told_by(ledger)
    found = [compare(racks, told, gpu, DAY) for gpu in racks.place_of]
    site.service.stop()
    rules = Counter(rule for one in found for rule in one.rules)

    assert not [line for one in found for line in one.wrong]
    assert rules["event"] >= 30
    assert rules["polled"] >= 500
    assert rules["silence"] >= 250
    assert rules["boot"] >= 250
    assert rules["held"] >= 1
    assert sum(one.suspicions for one in found) >= 2


def test_what_no_driver_shows_is_up_in_the_ledger_and_listed_apart(tmp_path: Path) -> None:
    """Silent corruption, slowness and the network outside are the world's truth only."""
    racks = world()
    site, ledger = played(tmp_path, racks, every_second=False)
    told = told_by(ledger)
    (result,) = site.results()
    site.service.stop()
    silent = {
        cause
        for gpu in racks.place_of
        for segment in racks.truth(gpu, DAY)
        if segment.state is State.DEGRADED
        for cause in segment.causes & racks.silent
    }
    words = {cause for gpu in racks.place_of for one in told.history.gpu_timeline(gpu, DAY) for cause in one.causes}

    assert silent == {"network:scale_out", "gpu:silent_corruption", "gpu:slow"}
    assert not silent & words
    assert set(result["truth_gpu_ms"]["unseen_by_design"]) >= {"gpu:silent_corruption", "gpu:slow"}
