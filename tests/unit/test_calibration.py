"""What is drawn agrees with what was counted: the calibration table of the failure seeds.

Faults only, no devices. Bands are those of the table (95 %, homogeneous process); means over
seeds are checked against the expectation within four standard errors.
"""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

import pytest

from collectors.simulation.chance import lognormal_ms, stream
from collectors.simulation.faults import KINDS, Fault, Unit
from collectors.simulation.incident import class_of
from collectors.simulation.layout import RackShape
from collectors.simulation.process import Site, draw, infancy
from collectors.simulation.profiles import PROCESSES, PROFILES, RATE_PER_GPU_DAY, Class, Process, Profile, Stage
from service.core.health import Health
from service.core.limits import DAY_MS, HOUR_MS, MINUTE_MS
from service.core.model import Span

START = 1_782_864_000_000
BESIDE = {"application", "scale_out_flap"}  # not part of the total
SHAPE_64 = RackShape(trays=16, gpus=4)  # 256 of them are 16 384 GPUs


def site(
    profile: str, racks: int, days: int, seed: int, *, shape: RackShape | None = None, process: str = "flat"
) -> Site:
    """Return a fleet of racks over some days."""
    return Site(
        racks=[f"r{number:04d}" for number in range(1, racks + 1)],
        window=Span(START, START + days * DAY_MS),
        seed=seed,
        profile=PROFILES[profile],
        process=PROCESSES[process],
        shape=shape or RackShape(),
    )


def counts(faults: Sequence[Fault]) -> Counter[str]:
    """Return how many incidents of each class there are."""
    names = {fault.incident for fault in faults}
    return Counter(name for incident in names if (name := incident.partition("/")[0]) not in BESIDE)


@pytest.mark.parametrize(
    ("classes", "expected", "low", "high"),
    [
        ((), 419, 379, 460),
        (("faulty_gpu",), 148, 125, 172),
        (("hbm",), 72, 56, 89),
        (("network",), 35, 24, 47),
        (("host",), 21, 13, 30),
        (("maintenance",), 32, 21, 44),
        (("software",), 56, 42, 71),
    ],
    ids=["all", "faulty GPU", "HBM", "network", "host hardware", "host maintenance", "software"],
)
def test_llama3_draws_what_was_counted_by_class(classes: tuple[str, ...], expected: int, low: int, high: int) -> None:
    """16 384 GPUs over 54 days: the mean is the count, and 19 of 20 seeds lie in its band."""
    drawn = [counts(draw(site("llama3", 256, 54, seed, shape=SHAPE_64))) for seed in range(120)]
    found = [sum(one.values()) if not classes else sum(one[name] for name in classes) for one in drawn]

    assert abs(fmean(found) - expected) < 4 * math.sqrt(expected / len(found))
    assert sum(low <= count <= high for count in found) >= 0.9 * len(found)


@pytest.mark.parametrize(
    ("profile", "shape", "racks", "days", "seeds", "low", "high"),
    [
        ("llama3", RackShape(trays=10, gpus=4), 25, 54, 400, 16, 36),
        ("gb300", RackShape(), 972, 30, 8, 933, 1_056),
        ("gb300", RackShape(), 8, 30, 400, 0, 17),
    ],
    ids=["1 000 GPUs, 54 days", "69 984 GPUs, 30 days", "a row of 8 racks, 30 days"],
)
def test_totals_of_fleets_lie_in_their_bands(
    profile: str, shape: RackShape, racks: int, days: int, seeds: int, low: int, high: int
) -> None:
    """Totals follow the published rate at every size of fleet."""
    expected = shape.trays * shape.gpus * racks * days * RATE_PER_GPU_DAY
    found = [sum(counts(draw(site(profile, racks, days, seed, shape=shape))).values()) for seed in range(seeds)]

    assert abs(fmean(found) - expected) < 4 * math.sqrt(expected / seeds)
    assert sum(low <= count <= high for count in found) >= 0.9 * seeds


def test_one_rack_sees_about_one_event_a_month() -> None:
    """1.02 expected in 30 days, 0 to 3 in 19 of 20 racks."""
    found = [sum(counts(draw(site("llama3", 1, 30, seed))).values()) for seed in range(2_000)]

    assert abs(fmean(found) - 72 * 30 * RATE_PER_GPU_DAY) < 4 * math.sqrt(1.02 / len(found))
    assert sum(count <= 3 for count in found) > 0.95 * len(found)


@pytest.mark.parametrize("per_thousand_gpu_days", [0.3, 0.4736, 1.0])
def test_the_rate_may_be_swept(per_thousand_gpu_days: float) -> None:
    """The factor on the rate scales the total and nothing else."""
    plan = site("llama3", 400, 30, 5)
    rate = per_thousand_gpu_days / 1000 / RATE_PER_GPU_DAY
    swept = Site(racks=plan.racks, window=plan.window, seed=5, profile=plan.profile, rate=rate)
    expected = 400 * 72 * 30 * per_thousand_gpu_days / 1000

    assert abs(sum(counts(draw(swept)).values()) - expected) < 4 * math.sqrt(expected)


def test_gb300_draws_each_class_at_its_share() -> None:
    """Over 6 million GPU-days every class of the mix comes as often as the table says."""
    drawn = sum((counts(draw(site("gb300", 1_000, 30, seed))) for seed in range(3)), Counter())
    total = 3 * 72_000 * 30 * RATE_PER_GPU_DAY
    shares = {one.name: one.share for one in PROFILES["gb300"].classes if one.in_total}

    assert sum(shares.values()) == pytest.approx(99.95)
    for name, share in shares.items():
        expected = total * share / 99.95
        assert abs(drawn[name] - expected) < 4.5 * math.sqrt(expected), name


@pytest.mark.parametrize(
    ("median_ms", "sigma", "mean_hours"),
    [(6 * HOUR_MS, 0.8, 8.26), (12 * MINUTE_MS, 0.7, 0.2556), (2 * HOUR_MS, 1.2, 4.11)],
)
def test_lognormal_means_are_what_the_law_says(median_ms: int, sigma: float, mean_hours: float) -> None:
    """The mean is median x exp(sigma^2 / 2): formula, table and draws agree."""
    chance = stream(3, "lengths")
    drawn = [lognormal_ms(chance, median_ms, sigma) / HOUR_MS for _ in range(40_000)]

    assert median_ms / HOUR_MS * math.exp(sigma**2 / 2) == pytest.approx(mean_hours, rel=0.002)
    assert fmean(drawn) == pytest.approx(mean_hours, rel=4 * math.sqrt((math.exp(sigma**2) - 1) / 40_000))


def at_least(k: int, n: int, one: float) -> float:
    """Return the probability that at least k of n independent units serve."""
    return sum(math.comb(n, up) * one**up * (1 - one) ** (n - up) for up in range(k, n + 1))


TRAYS_ONLY = Profile(
    per_gpu_day=RATE_PER_GPU_DAY,
    classes=(Class(name="tray", share=1, stages=((1.0, (Stage(kind="host", median_ms=12 * HOUR_MS),)),)),),
)


def test_trays_and_racks_serve_as_the_closed_form_says() -> None:
    """12 h of repair, trays only: 99.905 % a tray, 98.31 % for 18 of 18, 99.99993 % for 16 of 18."""
    tray = 1 - 4 * RATE_PER_GPU_DAY * 0.5
    plan = site("none", 400, 360, 2)
    drawn = draw(Site(racks=plan.racks, window=plan.window, seed=2, profile=TRAYS_ONLY))
    tray_ms = sum(fault.to_ms - fault.from_ms for fault in drawn)
    rack_ms = sum(_union_ms([fault for fault in drawn if fault.places[0].rack == rack]) for rack in plan.racks)
    all_ms = 400 * plan.window.length_ms

    assert tray == pytest.approx(0.99905, abs=5e-6)
    assert at_least(18, 18, tray) == pytest.approx(0.9831, abs=5e-5)
    assert at_least(16, 18, tray) == pytest.approx(0.9999993, abs=5e-8)
    assert 1 - tray_ms / (18 * all_ms) == pytest.approx(tray, abs=5e-5)
    assert 1 - rack_ms / all_ms == pytest.approx(at_least(18, 18, tray), abs=8e-4)


def _union_ms(faults: Sequence[Fault]) -> int:
    total, end_ms = 0, 0
    for fault in sorted(faults):
        total += max(0, fault.to_ms - max(fault.from_ms, end_ms))
        end_ms = max(end_ms, fault.to_ms)
    return total


_GPUS = {Unit.GPU: 1, Unit.TRAY: 4, Unit.RACK: 72}
_SOFTWARE = {"software", "bad_push"}


def _lost_gpu_hours(classes: Sequence[Class], hall_gpus: int) -> float:
    """Return the expected GPU-hours down of one incident of the mix, by its means."""
    total = 0.0
    for one in classes:
        weight = sum(weight for weight, _ in one.stages)
        for share, stages in one.stages:
            for stage in stages:
                kind = KINDS[stage.kind]
                gpus = hall_gpus if one.name == "site_power" else _GPUS[kind.unit]
                hours = stage.median_ms / HOUR_MS * math.exp(stage.sigma**2 / 2)
                total += one.share * share / weight * gpus * hours if kind.health is Health.DOWN else 0
    return total / 99.95


def test_pool_availability_follows_the_mix() -> None:
    """19.0 GPU-h lost per event, 99.962 % of a pool; the site class adds 14.8, 99.933 %."""
    classes = [one for one in PROFILES["gb300"].classes if one.in_total]
    usual = _lost_gpu_hours([one for one in classes if one.name not in {"site_power", *_SOFTWARE}], 0)
    halls = _lost_gpu_hours([one for one in classes if one.name == "site_power"], 7_200)

    assert usual == pytest.approx(19.0, abs=0.3)
    assert halls == pytest.approx(14.8, abs=0.1)
    assert 1 - usual * RATE_PER_GPU_DAY / 24 == pytest.approx(0.99962, abs=1e-5)
    assert 1 - (usual + halls) * RATE_PER_GPU_DAY / 24 == pytest.approx(0.99933, abs=1e-5)


def test_drawn_fleets_lose_what_the_mix_says() -> None:
    """Drawn GPU-hours per event lie at the expectation, which rare rack-wide classes dominate."""
    lost, events = 0.0, 0
    for seed in range(8):
        drawn = draw(site("gb300", 972, 30, seed))
        down = [fault for fault in drawn if fault.shape.health is Health.DOWN]
        kept = [fault for fault in down if class_of(fault) not in {"site_power", *_SOFTWARE}]
        lost += sum((fault.to_ms - fault.from_ms) / HOUR_MS * len(fault.places) for fault in kept)
        events += sum(counts(drawn).values())

    assert lost / events == pytest.approx(19.0, abs=2.5)


# The shape of the process


def test_a_rack_more_changes_nothing_for_the_others() -> None:
    """Each rack has its own stream; what it shares with a row, a cohort or a hall does not move."""
    few, many = (draw(site("gb300", racks, 300, 4)) for racks in (20, 21))

    assert _without(many, "r0021") == _without(few, "r0021")


def _without(faults: Sequence[Fault], rack: str) -> list[tuple[int, int, str, tuple[str, ...]]]:
    kept = []
    for fault in faults:
        places = tuple(str(place) for place in fault.places if place.rack != rack)
        if places:
            kept.append((fault.from_ms, fault.to_ms, fault.kind, places))
    return sorted(kept)


def test_the_same_seed_draws_the_same_faults() -> None:
    """A seed is a month; another seed is another month."""
    assert draw(site("gb300", 10, 300, 4, process="field")) == draw(site("gb300", 10, 300, 4, process="field"))
    assert draw(site("gb300", 10, 300, 4)) != draw(site("gb300", 10, 300, 5))


def test_lemon_trays_give_more_than_half_of_the_events() -> None:
    """In the field process 1.5 % of trays give most tray events, and the fleet's total stays."""
    drawn = draw(site("gb300", 972, 30, 6, process="field"))
    trays: Counter[tuple[str, int]] = Counter()
    for incident, places in {fault.incident: fault.places for fault in drawn}.items():
        if incident.partition("/")[0] not in BESIDE and len(places) <= 4:
            trays[places[0].rack, places[0].tray] += 1
    worst = trays.most_common(round(0.015 * 972 * 18))

    assert sum(count for _, count in worst) > sum(trays.values()) / 2
    assert 800 < sum(counts(drawn).values()) < 1_250


def test_young_racks_fail_more_often() -> None:
    """The hazard falls from its highest to that of an old rack in 60 days, by a Weibull of shape 0.5."""
    process = PROCESSES["field"]

    assert infancy(process, 0) == 3.0
    assert infancy(process, 15 * DAY_MS) == pytest.approx(2.0)
    assert infancy(process, 60 * DAY_MS) == 1.0
    assert infancy(process, 600 * DAY_MS) == 1.0
    assert infancy(PROCESSES["flat"], 0) == 1.0


def test_nothing_fails_before_it_is_accepted() -> None:
    """A rack that is delivered in the middle has its first fault after that."""
    plan = site("gb300", 8, 300, 7)
    accepted = START + 100 * DAY_MS
    drawn = draw(
        Site(
            racks=plan.racks,
            window=plan.window,
            seed=7,
            profile=plan.profile,
            process=PROCESSES["field"],
            accepted={"r0001": accepted},
        )
    )
    hit = [fault.from_ms for fault in drawn if any(place.rack == "r0001" for place in fault.places)]

    assert hit
    assert min(hit) >= accepted


def test_a_bad_push_takes_some_racks_of_one_cohort_one_after_another() -> None:
    """2 to 6 of 16 racks fall in one incident, minutes apart."""
    drawn = draw(site("gb300", 64, 1_500, 8))
    pushes: dict[str, list[Fault]] = {}
    for fault in drawn:
        if fault.kind == "push":
            pushes.setdefault(fault.incident, []).append(fault)

    assert pushes
    for hit in pushes.values():
        racks = {place.rack for fault in hit for place in fault.places}
        assert 2 <= len(racks) <= 6
        assert len({(int(rack[1:]) - 1) // 16 for rack in racks}) == 1
        assert max(fault.from_ms for fault in hit) - min(fault.from_ms for fault in hit) >= 7 * MINUTE_MS


def test_a_leak_throttles_first_then_isolates_the_rack() -> None:
    """The stages of a leak touch; a leak of a row's loop warms the other racks and isolates one."""
    drawn = draw(site("gb300", 64, 1_500, 9))
    stages: dict[str, list[Fault]] = {}
    for fault in drawn:
        if class_of(fault) == "cooling":
            stages.setdefault(fault.incident, []).append(fault)

    assert any(len(hit) > 2 or len({p.rack for f in hit for p in f.places}) > 1 for hit in stages.values())
    for hit in stages.values():
        (isolated,) = [fault for fault in hit if fault.kind == "leak"]
        warm = [fault for fault in hit if fault.kind == "coolant_loss"]
        assert {fault.to_ms for fault in warm} == {isolated.from_ms}
        assert len({place.rack for place in isolated.places}) == 1


def test_few_crews_make_repairs_longer() -> None:
    """With the same draws, one crew and one spare wait where many do not."""
    plan = site("gb300", 40, 300, 11)
    means = []
    for crews, spares in ((None, None), (1, 1)):
        process = Process(crews=crews, spares=spares)
        drawn = draw(Site(racks=plan.racks, window=plan.window, seed=11, profile=plan.profile, process=process))
        means.append(fmean(fault.to_ms - fault.from_ms for fault in drawn if fault.kind in {"gpu_lost", "host"}))

    assert means[1] > 1.5 * means[0]


def test_hands_begin_in_their_hours() -> None:
    """Work starts between 6 and 22 UTC: an outage at night waits for the morning."""
    plan = site("gb300", 40, 300, 12)
    process = Process(access_hours=(6, 22))
    flat, waits = (
        draw(Site(racks=plan.racks, window=plan.window, seed=12, profile=plan.profile, process=one))
        for one in (Process(), process)
    )
    longer = 0
    for before, after in zip(sorted(flat), sorted(waits), strict=True):
        if before.kind == "host":
            in_day_ms = before.from_ms % DAY_MS
            wait_ms = 6 * HOUR_MS - in_day_ms if in_day_ms < 6 * HOUR_MS else 0
            wait_ms = DAY_MS - in_day_ms + 6 * HOUR_MS if in_day_ms >= 22 * HOUR_MS else wait_ms
            longer += wait_ms > 0
            assert after.to_ms == before.to_ms + wait_ms

    assert longer > 10


def test_strained_classes_follow_the_load() -> None:
    """With strain, an idle site sees fewer power and network events than a full one."""
    plan = site("gb300", 200, 300, 13)
    found = []
    for load in (0.0, 1.0):
        drawn = draw(
            Site(
                racks=plan.racks,
                window=plan.window,
                seed=13,
                profile=plan.profile,
                process=Process(strain=0.5),
                load=lambda _at_ms, load=load: load,  # type: ignore[misc]
            )
        )
        found.append(counts(drawn))

    assert found[1]["scale_out"] > 2 * found[0]["scale_out"]
    assert abs(found[1]["host"] - found[0]["host"]) < 0.3 * found[0]["host"]


def test_repeats_come_on_the_same_tray() -> None:
    """A burst is one tray's: every generation of an incident hits the same places."""
    plan = site("gb300", 100, 300, 14)
    drawn = draw(
        Site(racks=plan.racks, window=plan.window, seed=14, profile=plan.profile, process=Process(repeats=0.3))
    )
    first = {fault.incident: fault for fault in drawn if "." not in fault.incident}
    repeated = [fault for fault in drawn if fault.incident.endswith(".1")]

    assert repeated
    for fault in repeated:
        origin = first[fault.incident.removesuffix(".1")]
        assert fault.places[0].tray == origin.places[0].tray
        assert fault.from_ms >= origin.to_ms


def test_a_beta_factor_makes_some_tray_faults_rack_wide() -> None:
    """5 % of what would take a tray takes its rack; without the factor nothing does."""
    plan = site("gb300", 200, 300, 15)
    shares = []
    for beta in (0.0, 0.05):
        process = Process(beta=beta)
        drawn = draw(Site(racks=plan.racks, window=plan.window, seed=15, profile=plan.profile, process=process))
        sizes = [len(fault.places) for fault in drawn if fault.kind == "host"]
        shares.append(sum(size == 72 for size in sizes) / len(sizes))

    assert shares[0] == 0
    assert 0.02 < shares[1] < 0.09
