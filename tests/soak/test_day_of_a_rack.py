"""The same day as `tests.e2e.test_day_of_a_rack`, each of its 86 400 seconds read from all 72 GPUs."""

from collections import Counter
from pathlib import Path

import pytest

from tests.day import DAY, played, world
from tests.oracle import compare, told_by


@pytest.mark.soak
def test_every_second_of_a_racks_day_agrees_with_the_truth(tmp_path: Path) -> None:
    """6.2 million readings: every edge is in the ledger, and no other."""
    racks = world()
    site, ledger = played(tmp_path, racks, every_second=True)
    told = told_by(ledger)
    found = [compare(racks, told, gpu, DAY) for gpu in racks.place_of]
    site.service.stop()
    rules = Counter(rule for one in found for rule in one.rules)
    print(f"{dict(rules)}, {sum(one.suspicions for one in found)} suspicions, {site.facts} facts")

    assert not [line for one in found for line in one.wrong]
    assert sum(rules.values()) > 1_000
