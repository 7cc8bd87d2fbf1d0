"""The instruments of `make bench` measure what they say."""

import subprocess
import sys
import time

import pytest

from tests.bench.hang import Seen
from tests.bench.receiver import receiving
from tests.bench.table import Table, percentile
from tests.bench.usage import family, usage
from tests.processes import ROOT

CHILD = "x = bytearray(64 << 20); [i * i for i in range(2_000_000)]; print(flush=True); input()"
PARENT = f"""
import subprocess, sys
pipe = subprocess.PIPE
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdin=pipe, stdout=pipe, text=True)
child.stdout.readline()
print(flush=True)
input()
child.communicate("\\n")
print(flush=True)
input()
"""


def test_usage_is_of_the_whole_tree() -> None:
    """Memory of a child counts while it lives, its CPU also after it ended."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        both = usage(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        alone = usage(process.pid)
        process.stdin.write("\n")

    assert (both.processes, alone.processes) == (2, 1)
    assert both.rss_mib - alone.rss_mib >= 64
    assert alone.rss_mib < 64 <= both.pss_mib <= both.rss_mib
    assert alone.cpu_seconds >= both.cpu_seconds - 0.02  # what the child used is counted in ticks from then on


def test_usage_of_nobody_is_nothing() -> None:
    """A process that ended uses nothing and has no family but itself."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    used = usage(ended.pid)

    assert (used.cpu_seconds, used.rss_mib, used.processes) == (0, 0, 0)
    assert family(ended.pid) == [ended.pid]


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 3), (0.99, 5), (1.0, 5)])
def test_percentile(share: float, value: float) -> None:
    """A percentile is one of the values, whatever their order."""
    assert percentile([5, 1, 4, 2, 3], share) == value


def test_tables_line_up() -> None:
    """Columns are as wide as their widest cell, and every row has all of them."""
    table = Table(title="what", columns=("figure", "budget"), rows=[("a", "1", ""), ("longer", "12345678", "<= 3")])

    assert table.text().splitlines() == [
        "what    figure    budget",
        "------  --------  ------",
        "a       1",
        "longer  12345678  <= 3",
    ]


def test_a_frozen_value_is_one_reading() -> None:
    """Only a newer value is another reading; every page with a value has its age."""
    seen = Seen()
    for read_at, now in ((1.0, 1.1), (1.0, 1.6), (None, 2.0), (2.0, 2.2), (1.5, 2.3)):
        seen.note(read_at, now)

    assert seen.read_at == [1.0, 2.0]
    assert seen.ages == pytest.approx([0.1, 0.6, 0.2, 0.8])
    assert seen.scrapes == 5


def test_nothing_arrives_at_a_bus_that_nobody_uses() -> None:
    """Waiting for an XID that never comes ends, and says so."""
    with receiving() as bus:
        began = time.monotonic()

        assert bus.wait_for_xids(1, 0.1) is None
    assert time.monotonic() - began >= 0.1


def test_help_lists_every_bench_and_an_unknown_one_is_refused() -> None:
    """Who types a wrong name is told the right ones, and nothing is measured."""
    helped, refused = (
        subprocess.run(
            [sys.executable, "-m", "tests.bench", argument], cwd=ROOT, capture_output=True, text=True, check=False
        )
        for argument in ("--help", "nonsense")
    )

    assert helped.returncode == 0
    assert refused.returncode == 2
    for name in ("agent", "xid", "hang", "recorder", "demo"):
        assert name in helped.stdout
        assert name in refused.stderr
    assert not refused.stdout
