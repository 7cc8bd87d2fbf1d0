"""Laws of the simulated racks: an oracle that adds up, whatever is asked and in whatever order."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.catalogue import METRICS, Part, Quantity, Round, is_plausible, of_round, quantity_of
from collectors.device import Missing
from collectors.mock import MockDevice
from collectors.racks import World
from collectors.scenario import Scenario, parse
from collectors.simulation.faults import KINDS, Fault
from collectors.simulation.heat import LIMIT_CELSIUS
from collectors.simulation.layout import LINKS, links_of_switch_tray
from collectors.simulation.power import MODULE_LIMIT_WATTS
from service.clock import SimulatedClock
from service.core.errors import DeviceGone, DriverUnavailable
from service.core.health import Health, State
from service.core.limits import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from service.core.model import Span

START = 1_782_864_000_000
WINDOW = Span(START, START + DAY_MS)


def made(**changes: object) -> World:
    """Return the world of a rack under load, with changes."""
    text = parse("name: one\nracks: [r0001]\nload: [{at: 0s, utilisation: 0.5}]\nlength: 1d\n", "one.yaml")
    return World(Scenario.model_validate({**text.model_dump(), "length": "1d", "load": [], **changes}), WINDOW)


def seconds(length: int) -> str:
    """Return a duration as scenarios spell it."""
    return f"{length}s"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return racks with load, caps, coolant, smoothing and faults of any kind."""
    offsets = st.integers(0, 86_000)
    phases = {
        "load": [
            {"at": seconds(draw(offsets)), "utilisation": draw(st.floats(0, 1))} for _ in range(draw(st.integers(0, 4)))
        ],
        "caps": [
            {"at": seconds(draw(offsets)), "cap_watts": float(draw(st.integers(200, 1_400)))}
            for _ in range(draw(st.integers(0, 2)))
        ],
        "coolant": [
            {"at": seconds(draw(offsets)), "celsius": float(draw(st.integers(25, 70)))}
            for _ in range(draw(st.integers(0, 2)))
        ],
        "faults": [
            {
                "at": seconds(draw(offsets)),
                "kind": draw(st.sampled_from([kind for kind in KINDS if kind != "undelivered"])),
                "target": draw(st.sampled_from(["r0001", "r0001/t01", "r0001/t01/g1"])),
                "lasts": seconds(draw(st.integers(1, 20_000))),
            }
            for _ in range(draw(st.integers(0, 3)))
        ],
    }
    return made(**phases, smoothing=draw(st.booleans()), trays_per_rack=2)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.lists(st.integers(0, 86_399_000), min_size=2, max_size=12))
def test_power_stays_within_every_limit_and_energy_is_its_integral(world: World, offsets: list[int]) -> None:
    """A GPU keeps its limit, a superchip its own; energy between two instants is the sum of power."""
    for gpu in world.nodes["r0001-t01"].gpus:
        course = world.course(gpu)
        for at_ms in (START + offset for offset in offsets):
            now = course.now.at(at_ms)
            assert -1e-9 <= world.power_watts(gpu, at_ms) <= now.hard_watts + 1e-6 <= now.limit_watts + 2e-6
            assert world.module_watts(gpu, at_ms) <= MODULE_LIMIT_WATTS + 1e-6
        begin, end = START + min(offsets), START + max(offsets)
        edges = sorted({begin, end, *(at for at in course.power.starts if begin < at < end)})
        summed = sum(  # linear by pieces: the value in the middle times the length
            course.power.at((a + b) // 2) * (b - a) / 1000 if (b - a) % 2 == 0 else course.power.since(a, b)
            for a, b in itertools.pairwise(edges)
        )

        assert world.energy_joules(gpu, end) - world.energy_joules(gpu, begin) == pytest.approx(
            summed, rel=1e-9, abs=1e-3
        )


@settings(max_examples=30, deadline=None)
@given(worlds(), st.lists(st.integers(0, 86_399), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_any_instant_may_be_asked_for_in_any_order(world: World, offsets: list[int], chance: random.Random) -> None:
    """The world does not move by being asked: two devices that are asked in other orders agree."""
    clocks = [SimulatedClock(START), SimulatedClock(START)]
    gpu = world.nodes["r0001-t01"].gpus[1]
    answers: list[dict[int, object]] = [{}, {}]
    for clock, found, order in zip(
        clocks, answers, (sorted(offsets), chance.sample(offsets, len(offsets))), strict=True
    ):
        device = MockDevice(world, "r0001-t01", clock)
        for offset in order:
            clock._now_ms = START + offset * SECOND_MS
            try:
                found[offset] = (device.read(gpu), device.survey(gpu, Round.LINKS))
            except DeviceGone:
                found[offset] = None

    assert answers[0] == answers[1]


@settings(max_examples=30, deadline=None)
@given(worlds(), st.integers(0, 86_000), st.integers(1, 399))
def test_counters_never_fall_within_a_boot_and_throttle_time_is_time(world: World, offset: int, length: int) -> None:
    """Between two reads of one boot every counter grows or stays, throttle seconds by no more than the time."""
    clock = SimulatedClock(START + offset * SECOND_MS)
    device = MockDevice(world, "r0001-t01", clock)
    try:
        gpu = device.open().gpus[0].uuid
        before = {**device.read(gpu).values, **device.survey(gpu, Round.LINKS).values}
        clock.sleep(length)
        after = {**device.read(gpu).values, **device.survey(gpu, Round.LINKS).values}
    except (DriverUnavailable, DeviceGone):
        return
    for key in before.keys() & after.keys():
        if quantity_of(key).value.endswith("_total"):
            assert after[key] >= before[key] - 1e-6, key
        if quantity_of(key) is Quantity.THROTTLE_SECONDS_TOTAL:
            assert after[key] - before[key] <= length + 1e-6, key


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "undelivered"])
def test_every_quantity_stays_plausible_under_every_fault(kind: str) -> None:
    """Whatever is broken: each quantity is read and physically possible, or missing with a reason."""
    world = made(load=[{"at": "0s", "utilisation": 0.9}])
    node = world.nodes["r0001-t01"]
    world.inject(Fault(START + HOUR_MS, START + 2 * HOUR_MS, kind, world.scenario.shape.places("r0001")))
    clock = SimulatedClock(START + HOUR_MS - 1)
    device = MockDevice(world, node.name, clock)
    gpu = device.open().gpus[0].uuid
    for after_ms in (0, 1, 1_000, 30 * MINUTE_MS, 61 * MINUTE_MS):
        clock.advance_to(START + HOUR_MS + after_ms)
        if not world.host_up(node.name, clock.now_ms()):
            continue
        device.open()
        reading = device.read(gpu)
        answers = [(Round.PULSE, reading.values, reading.missing)]
        for one in (Round.STATUS, Round.LINKS, Round.DETAIL):
            survey = device.survey(gpu, one)
            answers.append((one, survey.values, survey.missing))
        for one, values, missing in answers:
            assert {*map(quantity_of, (*values, *missing))} == of_round(one)
            assert [key for key, value in values.items() if not is_plausible(key, value)] == []
            assert all(isinstance(key, Part) == (METRICS[quantity_of(key)].part is not None) for key in values)


def test_a_gb300_has_everything_but_an_encoder() -> None:
    """On a healthy GPU one quantity alone is unsupported, and none failed."""
    clock = SimulatedClock(START + HOUR_MS)
    device = MockDevice(made(), "r0001-t01", clock)
    gpu = device.open().gpus[0].uuid
    missing = {**device.read(gpu).missing}
    for one in (Round.STATUS, Round.LINKS, Round.DETAIL):
        missing |= device.survey(gpu, one).missing

    assert missing == {Quantity.ENCODER_UTILISATION_RATIO: Missing.UNSUPPORTED}


def test_the_module_limit_binds_while_no_gpu_meets_its_own() -> None:
    """At full load two GPUs and Grace want more than 2 900 W: the superchip draws just that, software caps."""
    world = made(load=[{"at": "0s", "utilisation": 1.0}])
    device = MockDevice(world, "r0001-t01", SimulatedClock(START + HOUR_MS))
    gpu = device.open().gpus[0].uuid
    values = device.read(gpu).values

    assert values[Quantity.MODULE_POWER_WATTS] == pytest.approx(MODULE_LIMIT_WATTS)
    assert values[Quantity.POWER_WATTS] < values[Quantity.POWER_LIMIT_WATTS] == 1_400
    assert values[Part(Quantity.CLOCK_EVENT, "sw_power_cap")] == 1
    assert values[Part(Quantity.THROTTLE_SECONDS_TOTAL, "sw_power_cap")] == pytest.approx(3_600)


def test_a_curtailment_shows_in_limit_clocks_and_exact_throttle_time() -> None:
    """900 W from 2 h to 3 h: the limit, the draw, lower clocks, and 3 600 seconds of software power cap."""
    caps = [{"at": "2h", "cap_watts": 900.0}, {"at": "3h", "cap_watts": "none"}]
    world = made(load=[{"at": "0s", "utilisation": 0.8}], caps=caps)
    clock = SimulatedClock(START + HOUR_MS)
    device = MockDevice(world, "r0001-t01", clock)
    gpu = device.open().gpus[0].uuid
    free = device.survey(gpu, Round.STATUS).values
    clock.advance_to(START + 2 * HOUR_MS + 30 * MINUTE_MS)
    capped, status = device.read(gpu).values, device.survey(gpu, Round.STATUS).values
    clock.advance_to(START + 5 * HOUR_MS)
    after = device.read(gpu).values

    assert (capped[Quantity.POWER_LIMIT_WATTS], after[Quantity.POWER_LIMIT_WATTS]) == (900, 1_400)
    assert capped[Quantity.POWER_WATTS] == pytest.approx(900)
    assert status[Quantity.POWER_LIMIT_REQUESTED_WATTS] == 1_400
    clock_now = Part(Quantity.CLOCK_HERTZ, "sm")
    assert status[clock_now] < free[clock_now]
    throttled = Part(Quantity.THROTTLE_SECONDS_TOTAL, "sw_power_cap")
    assert capped[throttled] == pytest.approx(1_800)
    assert after[throttled] == pytest.approx(3_600)


def test_smoothing_makes_ramps_of_steps() -> None:
    """Up at 20 W a second; down after a hold of 10 s: 70 s from full load to idle at the shipped settings."""
    load = [{"at": "0s", "utilisation": 0.0}, {"at": "1h", "utilisation": 0.85}, {"at": "2h", "utilisation": 0.0}]
    world = made(load=load, smoothing=True)
    gpu = world.nodes["r0001-t01"].gpus[0]
    low, high = (world.power_watts(gpu, START + hours * HOUR_MS) for hours in (0, 2))
    up, down = START + HOUR_MS, START + 2 * HOUR_MS
    length_s = (high - low) / 20
    device = MockDevice(world, "r0001-t01", clock := SimulatedClock(down + HOUR_MS))
    device.open()
    values = device.read(gpu).values
    settings_shown = device.survey(gpu, Round.DETAIL).values

    assert world.power_watts(gpu, up + 10_000) == pytest.approx(low + 200)
    assert world.power_watts(gpu, down + 10_000) == pytest.approx(high)
    assert world.power_watts(gpu, down + 20_000) == pytest.approx(high - 200)
    assert world.power_watts(gpu, down + round((length_s + 10) * 1000) - 500) > low
    assert world.power_watts(gpu, down + round((length_s + 10) * 1000) + 1) == pytest.approx(low, abs=0.1)
    assert values[Part(Quantity.THROTTLE_SECONDS_TOTAL, "power_smoothing")] == pytest.approx(length_s, abs=0.01)
    assert settings_shown[Quantity.SMOOTHING_ENABLED] == 1
    assert clock.now_ms() == down + HOUR_MS


def test_warm_coolant_slows_gpus_down_before_they_are_too_hot() -> None:
    """Software holds a GPU at its limit; hotter still, hardware halves the clocks; seconds of both are exact."""
    coolant = [{"at": "1h", "celsius": 54.0}, {"at": "2h", "celsius": 70.0}, {"at": "3h", "celsius": 33.0}]
    world = made(load=[{"at": "0s", "utilisation": 0.95}], coolant=coolant)
    clock = SimulatedClock(START + HOUR_MS + MINUTE_MS)
    device = MockDevice(world, "r0001-t01", clock)
    gpu = device.open().gpus[0].uuid
    software = device.read(gpu).values
    clock.advance_to(START + 2 * HOUR_MS + MINUTE_MS)
    hardware, status = device.read(gpu).values, device.survey(gpu, Round.STATUS).values
    clock.advance_to(START + 4 * HOUR_MS)
    after = device.read(gpu).values
    degraded = [one for one in world.truth(gpu, WINDOW) if one.state is State.DEGRADED]

    assert software[Quantity.TEMPERATURE_CELSIUS] == pytest.approx(LIMIT_CELSIUS)
    assert software[Quantity.TEMPERATURE_MARGIN_CELSIUS] == pytest.approx(0)
    assert software[Part(Quantity.CLOCK_EVENT, "sw_thermal")] == 1
    assert hardware[Part(Quantity.CLOCK_EVENT, "hw_thermal")] == 1
    assert status[Part(Quantity.CLOCK_HERTZ, "sm")] <= 2_070e6 / 2
    assert after[Part(Quantity.THROTTLE_SECONDS_TOTAL, "sw_thermal")] == pytest.approx(3_600)
    assert after[Part(Quantity.THROTTLE_SECONDS_TOTAL, "hw_thermal")] == pytest.approx(3_600)
    assert [(one.from_ms, one.to_ms, one.causes) for one in degraded] == [
        (START + HOUR_MS, START + 3 * HOUR_MS, frozenset({"slowdown:thermal"}))
    ]


def test_a_lost_switch_tray_takes_its_links_from_every_gpu() -> None:
    """Two links of each of 72 GPUs are inactive and carry nothing more; the others go on."""
    world = made(
        load=[{"at": "0s", "utilisation": 0.5}],
        faults=[{"at": "1h", "kind": "switch_tray_spare", "target": "r0001", "lasts": "1h"}],
    )
    clock = SimulatedClock(START + HOUR_MS + MINUTE_MS)
    dead, alive = links_of_switch_tray(4), next(link for link in range(LINKS) if link not in links_of_switch_tray(4))
    for node in world.nodes.values():
        device = MockDevice(world, node.name, clock)
        for gpu in device.open().gpus:
            values = device.read(gpu.uuid).values
            down = [link for link in range(LINKS) if values[Part(Quantity.NVLINK_STATE, str(link))] == 0]
            assert tuple(down) == dead
    sent = [Part(Quantity.NVLINK_TRANSMITTED_BYTES_TOTAL, str(link)) for link in (dead[0], alive)]
    before = device.survey(gpu.uuid, Round.LINKS).values
    clock.sleep(600)
    after = device.survey(gpu.uuid, Round.LINKS).values

    assert after[sent[0]] == before[sent[0]] > 0
    assert after[sent[1]] > before[sent[1]]
    assert after[Part(Quantity.NVLINK_RECOVERIES_FAILED_TOTAL, str(dead[0]))] == 1


def test_a_boot_begins_energy_anew_and_keeps_what_counts_for_life() -> None:
    """After a dark host energy restarts and so do volatile ECC counts; aggregate counts and remaps stay."""
    world = made(
        load=[{"at": "0s", "utilisation": 0.5}],
        faults=[
            {"at": "1h", "kind": "ecc_remap", "target": "r0001/t01/g0", "lasts": "10m"},
            {"at": "2h", "kind": "host", "target": "r0001/t01", "lasts": "1h"},
        ],
    )
    clock = SimulatedClock(START + HOUR_MS + 5 * MINUTE_MS)
    device = MockDevice(world, "r0001-t01", clock)
    gpu = device.open().gpus[0].uuid
    pending = device.read(gpu).values[Quantity.REMAP_PENDING]
    clock.advance_to(START + 2 * HOUR_MS - 1)
    before, old = device.read(gpu).values, device.survey(gpu, Round.STATUS).values
    clock.advance_to(START + 2 * HOUR_MS)
    with pytest.raises(DeviceGone):
        device.read(gpu)
    with pytest.raises(DriverUnavailable):
        device.open()
    clock.advance_to(START + 3 * HOUR_MS)
    with pytest.raises(DeviceGone):
        device.read(gpu)
    device.open()
    after, new = device.read(gpu).values, device.survey(gpu, Round.STATUS).values

    assert pending == 1
    assert before[Quantity.REMAP_PENDING] == after[Quantity.REMAP_PENDING] == 0
    assert before[Quantity.ENERGY_JOULES_TOTAL] > 0 == after[Quantity.ENERGY_JOULES_TOTAL]
    assert (old[Quantity.ECC_UNCORRECTABLE_VOLATILE_TOTAL], new[Quantity.ECC_UNCORRECTABLE_VOLATILE_TOTAL]) == (1, 0)
    assert old[Quantity.ECC_UNCORRECTABLE_AGGREGATE_TOTAL] == new[Quantity.ECC_UNCORRECTABLE_AGGREGATE_TOTAL] == 1
    assert new[Quantity.ROWS_REMAPPED_UNCORRECTABLE_TOTAL] == 1


def test_an_idle_tray_shows_what_the_captured_one_showed() -> None:
    """Idle: about 178 W and 38 C a GPU, about 487 W a superchip, clocks at 120 MHz, nothing in memory."""
    device = MockDevice(made(), "r0001-t01", SimulatedClock(START + HOUR_MS))
    gpu = device.open().gpus[0].uuid
    values, status = device.read(gpu).values, device.survey(gpu, Round.STATUS).values

    assert values[Quantity.POWER_WATTS] == pytest.approx(178, abs=2)
    assert values[Quantity.TEMPERATURE_CELSIUS] == pytest.approx(38, abs=1)
    assert values[Quantity.MODULE_POWER_WATTS] == pytest.approx(487, abs=5)
    assert values[Part(Quantity.CLOCK_EVENT, "gpu_idle")] == 1
    assert status[Part(Quantity.CLOCK_HERTZ, "sm")] == 120e6
    assert status[Quantity.MEMORY_USED_BYTES] == 0


def test_a_slow_gpu_betrays_itself_by_its_clock_alone() -> None:
    """Everything says healthy; clocks and power are lower than its neighbours'."""
    world = made(
        load=[{"at": "0s", "utilisation": 0.9}],
        faults=[{"at": "1h", "kind": "slow_gpu", "target": "r0001/t01/g0", "lasts": "10h"}],
    )
    device = MockDevice(world, "r0001-t01", SimulatedClock(START + 2 * HOUR_MS))
    slow, mate = (gpu.uuid for gpu in device.open().gpus[:2])
    clock = Part(Quantity.CLOCK_HERTZ, "sm")
    slow_clock, mate_clock = (device.survey(gpu, Round.STATUS).values[clock] for gpu in (slow, mate))

    assert slow_clock < 0.7 * mate_clock
    assert {one.state for one in world.visible(slow, WINDOW)} == {State.UP}
    assert "gpu:slow" in {cause for one in world.truth(slow, WINDOW) for cause in one.causes}


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.words])
def test_what_a_kind_shows_is_as_bad_as_it_is(kind: str) -> None:
    """Every word that an agent may write for a fault stands for the health that is true, or a milder look of it."""
    shape = KINDS[kind]
    world = made(faults=[{"at": "1h", "kind": kind, "target": "r0001", "lasts": "1h"}])
    gpu = world.nodes["r0001-t01"].gpus[0]
    inside = Span(START + HOUR_MS + 1, START + 2 * HOUR_MS - 1)
    (true,), (seen,) = world.truth(gpu, inside), world.visible(gpu, inside)

    assert shape.health in {Health.DOWN, Health.DEGRADED}
    assert true.state is seen.state is State(shape.health.value)
    assert true.causes == {shape.cause}
    assert seen.causes == shape.words
