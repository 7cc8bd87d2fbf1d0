"""`make bench`: figures beside the budgets of the design; prints tables, judges nothing.

Each figure names what was measured. Times are of this machine under whatever else it does;
`tests/bench/RESULTS.md` keeps them with machine and date.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.bench import agent_cost, demo, hang, recorder, sla_month, xid_latency
from tests.bench.table import Table
from tests.fakedriver.driver import build


@dataclass(frozen=True)
class Bench:
    """A bench, and how many seconds it watches each subject unless told otherwise.

    A minute for what also works once a minute; enough intervals for a p99 of gaps.
    """

    run: Callable[[int], Iterator[Table]]
    seconds: int = 0

    @property
    def purpose(self) -> str:
        """The first sentence of its module."""
        return str(sys.modules[self.run.__module__].__doc__).partition("\n")[0]


BENCHES: Mapping[str, Bench] = {
    "agent": Bench(agent_cost.run, seconds=60),
    "xid": Bench(xid_latency.run),
    "hang": Bench(hang.run, seconds=40),
    "recorder": Bench(recorder.run),
    "demo": Bench(demo.run),
    "sla": Bench(sla_month.run),
}


def main() -> None:
    """Run the benches that were named, or all; tables go to stdout, progress to stderr."""
    arguments = _arguments()
    print(f"machine: {os.cpu_count()} cores, {os.uname().machine}, Python {sys.version.split()[0]}")
    build()  # the driver, before anything is timed
    for name in arguments.bench or BENCHES:
        bench = BENCHES[name]
        for table in bench.run(arguments.seconds or bench.seconds):
            print(f"\n{table.text()}", flush=True)


def _arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:<10}{bench.purpose}" for name, bench in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure against the budgets of the design, beside other exporters on the same simulated driver.",
        epilog=f"benches:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bench", nargs="*", metavar="BENCH", help="which to run; all by default")
    parser.add_argument("--seconds", type=int, help="watch each subject so long, instead of each bench's own time")
    arguments = parser.parse_args()
    if unknown := set(arguments.bench) - set(BENCHES):
        parser.error(f"no bench is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    return arguments


if __name__ == "__main__":
    main()
