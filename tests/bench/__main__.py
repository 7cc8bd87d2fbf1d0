"""`make bench`: figures beside the budgets of the design; prints tables, judges nothing.

Each figure names what was measured. Times are of this machine under whatever else it does;
`tests/bench/RESULTS.md` keeps them with machine and date.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping

from tests.bench import agent_cost, demo, hang, recorder, xid_latency
from tests.bench.table import Table
from tests.fakedriver.driver import build

Bench = Callable[[int], Iterator[Table]]
BENCHES: Mapping[str, Bench] = {
    "agent": agent_cost.run,
    "xid": xid_latency.run,
    "hang": hang.run,
    "recorder": recorder.run,
    "demo": demo.run,
}
SECONDS = 30


def main() -> None:
    """Run the benches that were named, or all; tables go to stdout, progress to stderr."""
    arguments = _arguments()
    print(f"machine: {os.cpu_count()} cores, {os.uname().machine}, Python {sys.version.split()[0]}")
    build()  # the driver, before anything is timed
    for name in arguments.bench or BENCHES:
        for table in BENCHES[name](arguments.seconds):
            print(f"\n{table.text()}", flush=True)


def _arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:<10}{_purpose(bench)}" for name, bench in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure against the budgets of the design, beside other exporters on the same simulated driver.",
        epilog=f"benches:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bench", nargs="*", choices=[*BENCHES, []], metavar="BENCH", help="which to run; all by default"
    )
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long each subject is watched (%(default)s)")
    arguments = parser.parse_args()
    if unknown := set(arguments.bench) - set(BENCHES):
        parser.error(f"no bench is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    return arguments


def _purpose(bench: Bench) -> str:
    return str(sys.modules[bench.__module__].__doc__).partition("\n")[0]


if __name__ == "__main__":
    main()
