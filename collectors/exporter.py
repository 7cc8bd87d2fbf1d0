"""The node's `/metrics`: per-GPU values and health, built fresh from the newest readings.

`gpu` is the position on the tray; `threenines_gpu_info` joins it to the UUID. A value that
could not be read has no series; why stands in `threenines_gpu_value_missing`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from collectors.catalogue import METRICS, Part, Quantity, quantity_of
from collectors.device import Reading, Survey
from collectors.shown import Shown
from service.core.errors import ConfigurationError
from service.core.health import State
from service.core.ports import Clock
from service.core.xid import CLASS_OF, classify

_GPU = ("gpu",)
# name without prefix: (help, labels); a name that ends in _total is a counter
CATALOGUE: dict[str, tuple[str, tuple[str, ...]]] = {
    "gpu_info": ("Which GPU sits at a position; always 1.", ("gpu", "uuid", "module", "pci_bus_id", "name")),
    "node_info": ("Driver of the node; always 1.", ("driver", "cuda")),
    "gpu_health": ("1 for the health that the agent decided, 0 for the others.", ("gpu", "state")),
    "gpu_recovery_action": ("What the driver asks for (field 230); 0 is nothing.", _GPU),
    "gpu_value_missing": ("1 for a value that could not be read, with the reason.", ("gpu", "value", "part", "reason")),
    "gpu_reading_age_seconds": ("Age of the newest reading.", _GPU),
    "gpu_read_duration_seconds": ("Duration of the newest reading.", _GPU),
    "gpu_call_overdue": ("1 while a driver call hangs beyond its deadline.", _GPU),
    "gpu_xid_events_total": ("XIDs raised by the driver, by code and our class.", ("gpu", "xid", "class")),
    "agent_driver_up": ("1 while the driver answers.", ()),
    "agent_facts_total": ("Facts written to the spool.", ()),
    "agent_facts_lost_total": ("Facts that the spool could not take; told to the service as a gap.", ()),
}
_NAME = {quantity: f"gpu_{quantity.value}" for quantity in Quantity}
CATALOGUE |= {
    _NAME[quantity]: (metric.text, ("gpu",) if metric.part is None else ("gpu", metric.part))
    for quantity, metric in METRICS.items()
}

Family = CounterMetricFamily | GaugeMetricFamily
Sample = tuple[str, list[str], float]


class NodeCollector:
    """Builds the node's families at each scrape."""

    def __init__(self, shown: Shown, clock: Clock) -> None:
        """Show what an agent shows."""
        self._shown, self._clock = shown, clock

    def collect(self) -> Iterable[Metric]:
        """Return every family; those without a sample are left out."""
        families: dict[str, Family] = {}
        for name, labels, value in self._samples():
            if name not in families:
                families[name] = _family(name)
            families[name].add_metric(labels, value)
        return families.values()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the families depend on the hardware."""
        return ()

    def _samples(self) -> Iterator[Sample]:
        shown = self._shown
        yield "agent_driver_up", [], float(shown.driver_up)
        yield "agent_facts_total", [], shown.facts
        yield "agent_facts_lost_total", [], shown.lost_facts
        inventory = shown.inventory
        if inventory is None:
            return
        yield "node_info", [inventory.driver_version, str(inventory.cuda_version)], 1
        for gpu in inventory.gpus:
            label = str(gpu.position)
            yield "gpu_info", [label, gpu.uuid, gpu.module, gpu.pci_bus_id, gpu.name], 1
            yield "gpu_call_overdue", [label], float(gpu.uuid in shown.overdue)
            yield from self._health(label, gpu.uuid)
            yield from self._reading(label, gpu.uuid)
            yield from self._xids(label, gpu.uuid)

    def _health(self, label: str, uuid: str) -> Iterator[Sample]:
        now = self._shown.health.get(uuid, State.UNKNOWN.value)
        for state in State:
            yield "gpu_health", [label, state.value], float(state.value == now)

    def _reading(self, label: str, uuid: str) -> Iterator[Sample]:
        reading = self._shown.readings.get(uuid)
        if reading is None:
            return
        age_ms = self._clock.monotonic_ms() - self._shown.read_mono_ms[uuid]
        yield "gpu_reading_age_seconds", [label], age_ms / 1000
        yield "gpu_read_duration_seconds", [label], self._shown.took_ms[uuid] / 1000
        if uuid in self._shown.overdue:  # what was good before it hung is not live any more
            return
        collected: tuple[Reading | Survey, ...] = (reading, *self._shown.surveys.get(uuid, {}).values())
        for one in collected:
            for key, value in one.values.items():
                labels = [label, key.label] if isinstance(key, Part) else [label]
                yield _NAME[quantity_of(key)], labels, value
            for key, reason in one.missing.items():
                part = key.label if isinstance(key, Part) else ""
                yield "gpu_value_missing", [label, quantity_of(key).value, part, reason.value], 1
        if reading.recovery_action is not None:
            yield "gpu_recovery_action", [label], reading.recovery_action

    def _xids(self, label: str, uuid: str) -> Iterator[Sample]:
        seen = {code: count for (gpu, code), count in self._shown.xids.items() if gpu == uuid}
        for code in sorted({*CLASS_OF, *seen}):
            yield "gpu_xid_events_total", [label, str(code), classify(code).value], seen.get(code, 0)


def _family(name: str) -> Family:
    text, labels = CATALOGUE[name]
    full = f"threenines_{name}"
    if name.endswith("_total"):
        return CounterMetricFamily(full.removesuffix("_total"), text, labels=labels)
    return GaugeMetricFamily(full, text, labels=labels)


def serve(shown: Shown, clock: Clock, host: str, port: int) -> tuple[int, Callable[[], None]]:
    """Serve `/metrics`; return the port and a function that stops it.

    Raises:
        ConfigurationError: If the port cannot be had.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(shown, clock))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        msg = f"cannot listen on {host}:{port}: {error.strerror}; choose another --listen"
        raise ConfigurationError(msg) from error
    return _port(server), lambda: _end(server, thread)


def _port(server: WSGIServer) -> int:
    return int(server.server_address[1])


def _end(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join(5)
