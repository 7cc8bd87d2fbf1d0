"""How long the headless demo takes, from typing the command to its end."""

import subprocess
import time
from collections.abc import Iterator

from tests.bench.table import Table, progress
from tests.processes import ROOT, threenines


def run(_seconds: int) -> Iterator[Table]:
    """Take a month of simulated racks through the whole path."""
    progress("demo: headless")
    began = time.perf_counter()
    subprocess.run(threenines("demo", "--headless", "--json"), cwd=ROOT, capture_output=True, check=True)
    yield Table(
        title="headless demo, process start included",
        columns=("figure", "budget"),
        rows=[("seconds", f"{time.perf_counter() - began:.1f}", "<= 45")],
    )
