"""Published tools that tests run unchanged on the simulated driver, and how to read what they print."""

import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

BIN = Path(sys.executable).parent


def nvitop_exporter(port: int, *, interval_seconds: float = 1.0) -> list[str]:
    """Return the command line of nvitop's exporter on a loopback port."""
    return [
        str(BIN / "nvitop-exporter"),
        *("--hostname", "tray", "--bind-address", "127.0.0.1"),
        *("--port", str(port), "--interval", str(interval_seconds)),
    ]


def by_gpu(exposition: str, metric: str) -> dict[int, float]:
    """Return the value of a metric for each GPU index, of its first series where it has several."""
    found: dict[int, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == metric and "index" in sample.labels:
                found.setdefault(int(sample.labels["index"]), sample.value)
    return found
