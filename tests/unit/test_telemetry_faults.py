"""Faults of the telling: each wrapper bends what it says it bends, while it says so, and nothing else."""

from collections import deque
from dataclasses import replace

import msgspec
import pytest

from collectors.catalogue import Part, Quantity, Round, is_plausible
from collectors.device import Access, Device, DeviceEventKind, Missing
from collectors.mock import MockDevice
from collectors.racks import World
from collectors.scenario import parse
from collectors.simulation.chance import stream
from collectors.simulation.faults import Fault
from collectors.simulation.telemetry import (
    SENTINEL,
    FaultyDevice,
    FaultyPublisher,
    NodeTelemetry,
    SkewedClock,
    TelemetryFault,
    TelemetryKind,
    draw_telemetry,
)
from service.clock import SimulatedClock
from service.core.errors import BusUnavailable, DeviceGone
from service.core.limits import DAY_MS, HOUR_MS, SECOND_MS
from service.core.model import Span
from service.core.ports import Clock, Publisher
from service.core.wire import Batch, Receipt

START = 1_782_864_000_000
NODE = "r0001-t01"


def world() -> World:
    """Return a busy rack on which nothing fails."""
    text = "name: one\nracks: [r0001]\nload: [{at: 0s, utilisation: 0.5}]\n"
    return World(parse(text, "one.yaml"), Span(START, START + DAY_MS))


def fault(kind: TelemetryKind, *, gpu: int | None = None, amount: int = 0, lasts: int = 600) -> NodeTelemetry:
    """Return one fault, an hour after the start."""
    at_ms = START + HOUR_MS
    return NodeTelemetry((TelemetryFault(at_ms, at_ms + lasts * SECOND_MS, kind, NODE, gpu, amount),))


def rig(telemetry: NodeTelemetry) -> tuple[FaultyDevice, SimulatedClock, list[str], World]:
    """Return a bent tray, opened a minute before its fault, with clock, GPUs and world."""
    racks, clock = world(), SimulatedClock(START + HOUR_MS - 60_000)
    device = FaultyDevice(MockDevice(racks, NODE, clock), telemetry, clock)
    return device, clock, [gpu.uuid for gpu in device.open().gpus], racks


def test_without_a_fault_a_wrapper_changes_nothing() -> None:
    """What the device says passes as it is, in every round."""
    device, clock, gpus, racks = rig(NodeTelemetry())
    plain = MockDevice(racks, NODE, clock)
    plain.open()

    assert device.read(gpus[0]) == plain.read(gpus[0])
    assert device.survey(gpus[0], Round.DETAIL) == plain.survey(gpus[0], Round.DETAIL)


def test_a_sentinel_is_a_value_beyond_physics_and_goes_away() -> None:
    """4294967295 for a while, then the truth again."""
    device, clock, gpus, _ = rig(fault(TelemetryKind.SENTINEL))
    clock.advance_to(START + HOUR_MS)
    bent = device.read(gpus[0]).values[Quantity.POWER_AVERAGE_WATTS]
    clock.sleep(600)
    after = device.read(gpus[0]).values[Quantity.POWER_AVERAGE_WATTS]

    assert bent == SENTINEL
    assert not is_plausible(Quantity.POWER_AVERAGE_WATTS, bent)
    assert is_plausible(Quantity.POWER_AVERAGE_WATTS, after)


def test_a_slipped_unit_is_a_thousandfold() -> None:
    """Milliwatts passed off as watts."""
    device, clock, gpus, racks = rig(fault(TelemetryKind.UNIT_SLIP))
    clock.advance_to(START + HOUR_MS)

    assert device.read(gpus[0]).values[Quantity.POWER_WATTS] == 1000 * racks.power_watts(gpus[0], clock.now_ms())


def test_a_sensor_that_is_gone_is_missing_and_not_zero() -> None:
    """After an update the memory sensors are unsupported; everything else is there."""
    device, clock, gpus, _ = rig(fault(TelemetryKind.SENSOR_MISSING))
    clock.advance_to(START + HOUR_MS)
    reading = device.read(gpus[0])

    assert reading.missing[Quantity.MEMORY_TEMPERATURE_CELSIUS] is Missing.UNSUPPORTED
    assert Quantity.MEMORY_TEMPERATURE_CELSIUS not in reading.values
    assert Quantity.TEMPERATURE_CELSIUS in reading.values


def test_a_stale_reading_hides_what_happened_since() -> None:
    """A GPU is lost, and the last good reading is repeated as live."""
    device, clock, gpus, racks = rig(fault(TelemetryKind.STALE))
    good = device.read(gpus[0])
    clock.advance_to(START + HOUR_MS)
    racks.inject(Fault(START + HOUR_MS, START + 3 * HOUR_MS, "gpu_lost", racks.nodes[NODE].places))
    hidden = device.read(gpus[0])
    clock.sleep(600)

    assert hidden == good
    assert device.read(gpus[0]).access is Access.LOST


def test_a_hang_holds_one_gpu_and_ends() -> None:
    """A call on the hung GPU takes as long as the hang; its tray-mates answer at once."""
    telemetry = fault(TelemetryKind.HANG, gpu=2, lasts=30)
    device, clock, gpus, _ = rig(telemetry)
    clock.advance_to(START + HOUR_MS)
    device.read(gpus[0])
    at_once = clock.now_ms()
    device.read(gpus[2])

    assert at_once == START + HOUR_MS
    assert START + HOUR_MS + 30_000 <= clock.now_ms() < START + HOUR_MS + 31_000
    assert not telemetry.overdue(2, START + HOUR_MS + 2_500)
    assert telemetry.overdue(2, START + HOUR_MS + 2_501)
    assert not telemetry.overdue(1, START + HOUR_MS + 2_501)


def test_a_reload_voids_handles_and_counters_begin_anew() -> None:
    """Reads fail until the device is opened again; then energy counts from 0."""
    device, clock, gpus, _ = rig(fault(TelemetryKind.RELOAD, lasts=1))
    before = device.read(gpus[0]).values[Quantity.ENERGY_JOULES_TOTAL]
    clock.advance_to(START + HOUR_MS)
    with pytest.raises(DeviceGone):
        device.read(gpus[0])
    with pytest.raises(DeviceGone):
        device.wait_events(0)
    device.open()
    first = device.read(gpus[0]).values[Quantity.ENERGY_JOULES_TOTAL]
    clock.sleep(10)
    second = device.read(gpus[0]).values[Quantity.ENERGY_JOULES_TOTAL]

    assert before > 0
    assert first == 0
    assert 0 < second < before


def test_an_xid_twice_is_the_same_xid_again() -> None:
    """Both announcements are of the same code and GPU."""
    device, clock, _, racks = rig(fault(TelemetryKind.XID_TWICE))
    clock.advance_to(START + HOUR_MS)
    device.wait_events(0)
    racks.inject(Fault(START + HOUR_MS + 1, START + 2 * HOUR_MS, "gpu_reset", racks.nodes[NODE].places[:1]))
    clock.sleep(1)
    events = device.wait_events(0)

    assert [(event.kind, event.data) for event in events] == [(DeviceEventKind.XID, 46)] * 2
    assert events[0] == events[1]


def test_a_clock_that_is_off_moves_the_wall_and_not_monotonic_time() -> None:
    """The step is as large as it says, while it says so."""
    inner = SimulatedClock(START)
    clock = SkewedClock(inner, fault(TelemetryKind.CLOCK, amount=-40_000))
    inner.advance_to(START + HOUR_MS)

    assert clock.now_ms() == START + HOUR_MS - 40_000
    assert clock.monotonic_ms() == START + HOUR_MS
    inner.sleep(600)
    assert clock.now_ms() == inner.now_ms()


class Wire:
    """A publisher that keeps what it was given."""

    def __init__(self) -> None:
        """Begin empty."""
        self.batches: list[Batch] = []
        self.answers: deque[Receipt] = deque()

    def publish(self, batch: Batch) -> None:
        """Keep a batch."""
        self.batches.append(batch)

    def publish_reading(self, payload: bytes) -> None:
        """Keep nothing."""

    def receipts(self, wait_seconds: float) -> tuple[Receipt, ...]:
        """Return what came."""
        found = tuple(self.answers)
        self.answers.clear()
        return found

    def close(self) -> None:
        """Do nothing."""


def batch(number: int, facts: int = 4) -> Batch:
    """Return a batch of some facts."""
    return Batch(node=NODE, run="run", first_seq=number, facts=tuple(msgspec.Raw(b"{}") for _ in range(facts)))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (TelemetryKind.DUPLICATED, [1, 1, 5, 5, 9, 9]),
        (TelemetryKind.REORDERED, [5, 1]),  # the third waits for a fourth
        (TelemetryKind.TRUNCATED, [1, 5, 9]),
    ],
)
def test_a_publisher_doubles_reorders_and_cuts(kind: TelemetryKind, expected: list[int]) -> None:
    """What arrives is what the fault says; outside it everything arrives once and whole."""
    wire, clock = Wire(), SimulatedClock(START + HOUR_MS)
    publisher = FaultyPublisher(wire, fault(kind), clock, stream(1, "wire"))
    for number in (1, 5, 9):
        publisher.publish(batch(number))
    found = [one.first_seq for one in wire.batches]
    sizes = {len(one.facts) for one in wire.batches}
    clock.sleep(600)
    publisher.publish(batch(13))

    assert found == expected
    assert sizes == ({2} if kind is TelemetryKind.TRUNCATED else {4})
    assert 13 in [one.first_seq for one in wire.batches]
    assert len(wire.batches[-1].facts) == 4


def test_a_lossy_publisher_loses_some_and_not_all() -> None:
    """About half of the batches vanish without a word, the same half for the same seed."""
    found = []
    for _ in range(2):
        wire, clock = Wire(), SimulatedClock(START + HOUR_MS)
        publisher = FaultyPublisher(wire, fault(TelemetryKind.LOST), clock, stream(1, "wire"))
        for number in range(100):
            publisher.publish(batch(number + 1, 1))
        found.append([one.first_seq for one in wire.batches])

    assert 25 < len(found[0]) < 75
    assert found[0] == found[1]


def test_a_partition_says_so_and_ends() -> None:
    """Nothing passes and the sender knows; afterwards everything does."""
    wire, clock = Wire(), SimulatedClock(START + HOUR_MS)
    publisher = FaultyPublisher(wire, fault(TelemetryKind.PARTITION), clock, stream(1, "wire"))
    with pytest.raises(BusUnavailable):
        publisher.publish(batch(1))
    clock.sleep(600)
    publisher.publish(batch(1))

    assert [one.first_seq for one in wire.batches] == [1]


def test_drawn_telemetry_faults_come_at_their_rate_and_leave_other_nodes_alone() -> None:
    """Poisson a node-day, each node from a stream of its own."""
    window = Span(START, START + 30 * DAY_MS)
    few, many = ([*draw_telemetry([f"n{i}" for i in range(count)], window, 3, 2.0, 4)] for count in (40, 41))

    assert abs(len(few) - 40 * 30 * 2) < 4 * (40 * 30 * 2) ** 0.5
    assert [one for one in many if one.node != "n40"] == few
    assert [*draw_telemetry(["n0"], window, 3, 0.0, 4)] == []


def test_wrappers_are_what_they_wrap() -> None:
    """A bent device is a device, a bent publisher a publisher, a skewed clock a clock."""
    racks, clock = world(), SimulatedClock(START)
    telemetry = NodeTelemetry()
    device: Device = FaultyDevice(MockDevice(racks, NODE, clock), telemetry, clock)
    publisher: Publisher = FaultyPublisher(Wire(), telemetry, clock, stream(1))
    skewed: Clock = SkewedClock(clock, telemetry)
    again = FaultyDevice(device, fault(TelemetryKind.SENTINEL), clock)
    gpu = again.open().gpus[0].uuid
    clock.advance_to(START + HOUR_MS)

    assert again.read(gpu).values[Quantity.POWER_AVERAGE_WATTS] == SENTINEL
    assert replace(again.read(gpu), values={}).access is Access.OK
    assert publisher.receipts(0) == ()
    assert skewed.now_ms() == clock.now_ms()
    assert Part(Quantity.NVLINK_STATE, "0") in again.read(gpu).values
