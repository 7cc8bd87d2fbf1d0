"""The way users do it today: 15 s samples of every GPU in Prometheus, and `avg_over_time` over them."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.core.limits import HOUR_MS, SECOND_MS
from service.core.model import Place, Span
from tests.bench.measured import peak_mib
from tests.bench.sla_fleet import Fleet, gpu_name
from tests.bench.table import progress
from tests.processes import binary, end, free_port, get, start, wait_for

_EVERY_SECONDS = 15
_BLOCK_HOURS = 18  # as large as Prometheus itself makes them soon, so that it has few to open
_QUERY_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One query: its seconds, and downtime in seconds by GPU (or of the pool, summed)."""

    seconds: float
    down_seconds: dict[str, float]


def write_blocks(fleet: Fleet, places: Sequence[Place], directory: Path) -> None:
    """Make blocks of a gauge that is 1 while its GPU is up or degraded and 0 while it is down.

    Each GPU is scraped at an instant of its own within the 15 s, as Prometheus spreads its targets.
    """
    text, count = directory / "samples.txt", -(-fleet.month.length_ms // (_BLOCK_HOURS * HOUR_MS))
    for number in range(count):
        progress(f"sla: {len(places)} GPUs as {_EVERY_SECONDS} s samples, block {number + 1} of {count}")
        from_ms = fleet.month.from_ms + number * _BLOCK_HOURS * HOUR_MS
        to_ms = min(from_ms + _BLOCK_HOURS * HOUR_MS, fleet.month.to_ms)
        _write_text(fleet, places, Span(from_ms, to_ms), text)
        command = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
        longest = f"--max-block-duration={_BLOCK_HOURS}h"
        subprocess.run([*command, longest, str(text), str(directory / "tsdb")], check=True, capture_output=True)
    text.unlink()


def _write_text(fleet: Fleet, places: Sequence[Place], block: Span, path: Path) -> None:
    seconds = range(block.from_ms // SECOND_MS, block.to_ms // SECOND_MS, _EVERY_SECONDS)
    texts = [[str(at + offset) for at in seconds] for offset in range(_EVERY_SECONDS)]
    with path.open("w") as file:
        file.write("# TYPE up gauge\n")
        for index, place in enumerate(places):
            head, tail = f'up{{gpu="{gpu_name(place)}"}} ', f".{index * 7 % 1000:03d}\n"
            shown, phase_ms = texts[index % _EVERY_SECONDS], index % _EVERY_SECONDS * SECOND_MS + index * 7 % 1000
            down = [span for one in fleet.down(place) if (span := one.clip(block)) is not None]
            if not down:
                file.write(f"{head}1 " + f"{tail}{head}1 ".join(shown) + tail)
                continue
            for at, second in zip(seconds, shown, strict=True):
                at_ms = at * SECOND_MS + phase_ms
                up = not any(span.from_ms <= at_ms < span.to_ms for span in down)
                file.write(f"{head}{int(up)} {second}{tail}")
        file.write("# EOF\n")


class Peer:
    """A Prometheus that keeps blocks for ever and scrapes nothing."""

    def __init__(self, directory: Path) -> None:
        """Start it on the blocks of a directory."""
        config, self._port = directory / "prometheus.yml", free_port()
        config.write_text("{}")
        arguments = [
            binary("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            "--storage.tsdb.retention.time=100y",
            f"--storage.tsdb.max-block-duration={_BLOCK_HOURS}h",  # what is timed is a query, not a compaction
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        self._process = start(arguments, log=directory / "prometheus.log")
        wait_for("prometheus ready", lambda: "Ready" in get(f"http://127.0.0.1:{self._port}/-/ready"), 60)

    @property
    def peak_mib(self) -> float:
        """The most memory that it ever held."""
        return peak_mib(self._process.pid)

    def down_seconds(self, expression: str, fleet: Fleet) -> Answer:
        """Return what a ratio says of the month, as downtime in seconds of a GPU."""
        began = time.perf_counter()
        result = self._query(expression, fleet.month.to_ms // SECOND_MS)
        took, whole = time.perf_counter() - began, fleet.month.length_ms / SECOND_MS
        return Answer(seconds=took, down_seconds={name: (1 - ratio) * whole for name, ratio in result.items()})

    def _query(self, expression: str, at_seconds: int) -> dict[str, float]:
        asked = urllib.parse.urlencode({"query": expression, "time": at_seconds})
        url = f"http://127.0.0.1:{self._port}/api/v1/query?{asked}"
        with urllib.request.urlopen(url, timeout=_QUERY_SECONDS) as reply:
            result = json.loads(reply.read())["data"]["result"]
        return {one["metric"].get("gpu", "pool"): float(one["value"][1]) for one in result}

    def stop(self) -> None:
        """End it."""
        end(self._process)
