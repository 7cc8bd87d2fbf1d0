"""Faults of the telling, apart from faults of the hardware: their truth, and wrappers that commit them.

A `FaultyDevice` bends what a device says, a `FaultyPublisher` what reaches the bus, a
`SkewedClock` when it is said to be. Each takes the faults of one node and does nothing
outside them; the hardware's truth knows of none of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from collectors.catalogue import Key, Quantity, Round, quantity_of
from collectors.device import Device, DeviceEvent, DeviceEventKind, Inventory, Missing, Reading, Survey
from collectors.simulation.chance import Chance, lognormal_ms, poisson, stream
from service.core.errors import BusUnavailable, DeviceGone
from service.core.limits import CALL_DEADLINE_MS, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from service.core.model import Span
from service.core.ports import Clock, Publisher
from service.core.wire import Batch, Receipt

SENTINEL = 4_294_967_295.0
_HANG_SECONDS = 0.05  # between looks whether a hang is over
_HANGS_MS = 60 * SECOND_MS  # the longest that a simulated call blocks
_SLIPS = frozenset({Quantity.POWER_WATTS, Quantity.MODULE_POWER_WATTS, Quantity.ENERGY_JOULES_TOTAL})
_GONE = frozenset({Quantity.MEMORY_TEMPERATURE_CELSIUS, Quantity.MEMORY_POWER_WATTS})
_GARBLED = frozenset({Quantity.POWER_AVERAGE_WATTS, Quantity.MODULE_POWER_AVERAGE_WATTS})


class TelemetryKind(Enum):
    """What can go wrong between a healthy or broken GPU and the ledger."""

    AGENT_DOWN = "agent_down"  # nobody looks
    HANG = "hang"  # one GPU's calls do not return
    PARTITION = "partition"  # nothing leaves the node; it comes late
    LOST = "lost"  # some batches vanish without a word
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    TRUNCATED = "truncated"  # the end of a batch is missing
    CLOCK = "clock"  # the node's wall clock is off
    RELOAD = "reload"  # the driver is reloaded: handles void, counters from 0
    XID_TWICE = "xid_twice"  # the same XID is announced again
    STALE = "stale"  # the last value is repeated as live
    SENTINEL = "sentinel"  # 4294967295 for a value
    UNIT_SLIP = "unit_slip"  # milliwatts passed off as watts
    SENSOR_MISSING = "sensor_missing"  # a sensor is gone after an update


@dataclass(frozen=True, slots=True, order=True)
class TelemetryFault:
    """One fault of the telling; `gpu` is a position, None for the whole node; `amount_ms` moves a clock."""

    from_ms: int
    to_ms: int
    kind: TelemetryKind = field(compare=False)
    node: str = ""
    gpu: int | None = field(default=None, compare=False)
    amount_ms: int = 0


# kind: (weight, median length, sigma); assumed, no public figure
_DRAWN: dict[TelemetryKind, tuple[float, int, float]] = {
    TelemetryKind.AGENT_DOWN: (2, 4 * MINUTE_MS, 1.0),
    TelemetryKind.HANG: (2, MINUTE_MS, 0.8),
    TelemetryKind.PARTITION: (2, 20 * MINUTE_MS, 1.0),
    TelemetryKind.LOST: (1, HOUR_MS, 0.5),
    TelemetryKind.DUPLICATED: (1, HOUR_MS, 0.5),
    TelemetryKind.REORDERED: (1, HOUR_MS, 0.5),
    TelemetryKind.TRUNCATED: (1, HOUR_MS, 0.5),
    TelemetryKind.RELOAD: (1, SECOND_MS, 0.0),
    TelemetryKind.XID_TWICE: (1, DAY_MS, 0.0),
    TelemetryKind.SENTINEL: (1, 10 * MINUTE_MS, 0.5),
    TelemetryKind.UNIT_SLIP: (1, HOUR_MS, 0.5),
    TelemetryKind.SENSOR_MISSING: (1, DAY_MS, 0.5),
}


def draw_telemetry(nodes: Sequence[str], window: Span, seed: int, rate: float, gpus: int) -> Iterator[TelemetryFault]:
    """Return faults of the telling of a window, `rate` a node-day, each node from its own stream."""
    for node in nodes if rate else ():
        chance = stream(seed, node, "telemetry")
        for _ in range(poisson(chance, rate * window.length_ms / DAY_MS)):
            kind = chance.choices(list(_DRAWN), [weight for weight, _, _ in _DRAWN.values()])[0]
            _, median_ms, sigma = _DRAWN[kind]
            from_ms = chance.randrange(window.from_ms, window.to_ms)
            gpu = chance.randrange(gpus) if kind is TelemetryKind.HANG else None
            yield TelemetryFault(from_ms, from_ms + lognormal_ms(chance, median_ms, sigma), kind, node, gpu)


@dataclass(frozen=True, slots=True)
class NodeTelemetry:
    """The faults of the telling of one node."""

    faults: tuple[TelemetryFault, ...] = ()

    def holds(self, kind: TelemetryKind, at_ms: int, gpu: int | None = None) -> TelemetryFault | None:
        """Return the fault of a kind that holds at an instant, for a GPU or for the node."""
        for fault in self.faults:
            if fault.kind is kind and fault.from_ms <= at_ms < fault.to_ms and fault.gpu in {None, gpu}:
                return fault
        return None

    def offset_ms(self, at_ms: int) -> int:
        """Return how far the node's wall clock is off."""
        fault = self.holds(TelemetryKind.CLOCK, at_ms)
        return fault.amount_ms if fault else 0

    def overdue(self, gpu: int, at_ms: int) -> bool:
        """Return whether a GPU's call has been hanging beyond its deadline."""
        fault = self.holds(TelemetryKind.HANG, at_ms, gpu)
        return fault is not None and at_ms - fault.from_ms > CALL_DEADLINE_MS

    def reloads(self, after_ms: int, up_to_ms: int) -> bool:
        """Return whether the driver was reloaded in `(after_ms, up_to_ms]`."""
        return any(fault.kind is TelemetryKind.RELOAD and after_ms < fault.from_ms <= up_to_ms for fault in self.faults)

    def changes(self) -> tuple[int, ...]:
        """Return the instants at which anything about the telling changes, sorted."""
        return tuple(sorted({edge for fault in self.faults for edge in (fault.from_ms, fault.to_ms)}))


class SkewedClock:
    """A node's clock: the wall is off while a fault says so, monotonic time is not."""

    def __init__(self, clock: Clock, telemetry: NodeTelemetry) -> None:
        """Run with another clock."""
        self._clock, self._telemetry = clock, telemetry

    def now_ms(self) -> int:
        """Return what the node takes for wall-clock time."""
        true_ms = self._clock.now_ms()
        return true_ms + self._telemetry.offset_ms(true_ms)

    def monotonic_ms(self) -> int:
        """Return monotonic time."""
        return self._clock.monotonic_ms()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._clock.sleep(seconds)


class FaultyDevice:
    """A device whose answers are bent while a fault says so; its clock tells true time."""

    def __init__(self, device: Device, telemetry: NodeTelemetry, clock: Clock) -> None:
        """Wrap a device of one node."""
        self._device, self._telemetry, self._clock = device, telemetry, clock
        self._position: dict[str, int] = {}
        self._last: dict[str, Reading] = {}
        self._zeros: dict[str, dict[Key, float]] = {}
        self._opened_ms = 0
        self._reloaded = False

    def open(self) -> Inventory:
        """Open the device; after a reload its counters begin anew."""
        inventory = self._device.open()
        self._opened_ms = self._clock.now_ms()
        self._position = {gpu.uuid: gpu.position for gpu in inventory.gpus}
        self._zeros.clear()
        return inventory

    def read(self, gpu: str) -> Reading:
        """Return what the device says, bent."""
        at_ms = self._called(gpu)
        position = self._position.get(gpu)
        if self._telemetry.holds(TelemetryKind.STALE, at_ms, position) and gpu in self._last:
            return self._last[gpu]
        reading = self._device.read(gpu)
        values = self._bent(gpu, reading.values, at_ms, f"{gpu}/pulse")
        gone = self._missing(gpu, values, at_ms)
        kept = {key: value for key, value in values.items() if key not in gone}
        bent = replace(reading, values=kept, missing={**reading.missing, **gone})
        self._last[gpu] = bent
        return bent

    def survey(self, gpu: str, one: Round) -> Survey:
        """Return another round of the device, bent."""
        at_ms = self._called(gpu)
        survey = self._device.survey(gpu, one)
        values = self._bent(gpu, survey.values, at_ms, f"{gpu}/{one.value}")
        gone = self._missing(gpu, values, at_ms)
        kept = {key: value for key, value in values.items() if key not in gone}
        return replace(survey, values=kept, missing={**survey.missing, **gone})

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Return what was announced; an XID twice while a fault says so."""
        self._check_reload()
        events = self._device.wait_events(timeout_ms)
        if not self._telemetry.holds(TelemetryKind.XID_TWICE, self._clock.now_ms()):
            return events
        return tuple(event for one in events for event in ((one, one) if one.kind is DeviceEventKind.XID else (one,)))

    def close(self) -> None:
        """Close the device."""
        self._device.close()

    def _called(self, gpu: str) -> int:
        began_ms = self._clock.monotonic_ms()
        self._check_reload()
        position = self._position.get(gpu)
        while self._telemetry.holds(TelemetryKind.HANG, self._clock.now_ms(), position):
            if self._clock.monotonic_ms() - began_ms > _HANGS_MS:
                break
            self._clock.sleep(_HANG_SECONDS)
        return self._clock.now_ms()

    def _check_reload(self) -> None:
        if self._telemetry.reloads(self._opened_ms, self._clock.now_ms()):
            self._reloaded = True
            msg = "the driver was reloaded"
            raise DeviceGone(msg)

    def _bent(self, gpu: str, values: Mapping[Key, float], at_ms: int, who: str) -> dict[Key, float]:
        bent = dict(values)
        position = self._position.get(gpu)
        if self._reloaded:
            zeros = self._zeros.setdefault(who, {key: value for key, value in values.items() if _counts(key)})
            bent |= {key: max(0.0, bent[key] - zero) for key, zero in zeros.items() if key in bent}
        if self._telemetry.holds(TelemetryKind.UNIT_SLIP, at_ms, position):
            bent |= {key: value * 1000 for key, value in bent.items() if quantity_of(key) in _SLIPS}
        if self._telemetry.holds(TelemetryKind.SENTINEL, at_ms, position):
            bent |= {key: SENTINEL for key in bent if quantity_of(key) in _GARBLED}
        return bent

    def _missing(self, gpu: str, values: Mapping[Key, float], at_ms: int) -> dict[Key, Missing]:
        if not self._telemetry.holds(TelemetryKind.SENSOR_MISSING, at_ms, self._position.get(gpu)):
            return {}
        return {key: Missing.UNSUPPORTED for key in values if quantity_of(key) in _GONE}


def _counts(key: Key) -> bool:
    return quantity_of(key).value.endswith("_total")


class FaultyPublisher:
    """An agent's end of the bus on which batches are lost, late, doubled, cut or out of order."""

    def __init__(self, publisher: Publisher, telemetry: NodeTelemetry, clock: Clock, chance: Chance) -> None:
        """Wrap the publisher of one node."""
        self._publisher, self._telemetry, self._clock, self._chance = publisher, telemetry, clock, chance
        self._held: Batch | None = None

    def publish(self, batch: Batch) -> None:
        """Hand a batch over, or do to it what a fault says."""
        if self._holds(TelemetryKind.PARTITION):
            msg = "the network is partitioned"
            raise BusUnavailable(msg)
        if self._holds(TelemetryKind.LOST) and self._chance.random() < 1 / 2:
            return
        if self._holds(TelemetryKind.TRUNCATED) and len(batch.facts) > 1:
            half = batch.facts[: len(batch.facts) // 2]
            batch = Batch(node=batch.node, run=batch.run, first_seq=batch.first_seq, facts=half)
        if self._holds(TelemetryKind.REORDERED) and self._held is None:
            self._held = batch
            return
        self._publisher.publish(batch)
        if self._held is not None:
            held, self._held = self._held, None
            self._publisher.publish(held)
        if self._holds(TelemetryKind.DUPLICATED):
            self._publisher.publish(batch)

    def _holds(self, kind: TelemetryKind) -> bool:
        return self._telemetry.holds(kind, self._clock.now_ms()) is not None

    def publish_reading(self, payload: bytes) -> None:
        """Hand over a reading unless the network is partitioned."""
        if not self._holds(TelemetryKind.PARTITION):
            self._publisher.publish_reading(payload)

    def receipts(self, wait_seconds: float) -> tuple[Receipt, ...]:
        """Return the receipts that came."""
        return self._publisher.receipts(wait_seconds)

    def close(self) -> None:
        """Close the publisher; what was held back is lost."""
        self._publisher.close()
