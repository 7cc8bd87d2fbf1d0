"""Drawing the faults of a window from a seed: who fails, when, and what fails with it.

Each rack draws from a stream of its own, each group of racks (row, firmware cohort, hall) from
one of its own: a rack added at the end changes nothing for the others but what it shares with
them. Groups are drawn at their full size and thinned to the racks that exist.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from collectors.simulation.chance import Chance, lognormal_ms, poisson, stream
from collectors.simulation.faults import KINDS, Fault, Unit
from collectors.simulation.incident import Incident, Part
from collectors.simulation.layout import RackShape, groups
from collectors.simulation.profiles import PROCESSES, PROFILES, Class, Process, Profile, Scope, Stage
from collectors.simulation.repair import repaired
from service.core.limits import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from service.core.model import Place, Span

_GENERATIONS = 5  # of repeats; the next would be 0.15 to the sixth
_EVENING_MS = 18 * HOUR_MS


def _half_load(_at_ms: int) -> float:
    return 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is drawn: racks of a shape over a window.

    `accepted` says since when a rack serves (default: long ago); nothing fails before. `load`
    is the utilisation over time, 0 to 1. `rate` is a factor on the profile's total.
    """

    racks: Sequence[str]
    window: Span
    seed: int
    profile: Profile = PROFILES["none"]
    process: Process = PROCESSES["flat"]
    shape: RackShape = field(default_factory=RackShape)
    rate: float = 1.0
    load: Callable[[int], float] = _half_load
    accepted: Mapping[str, int] = field(default_factory=dict)

    @property
    def gpu_days(self) -> float:
        """GPU-days of one rack over the window."""
        return self.shape.trays * self.shape.gpus * self.window.length_ms / DAY_MS


def draw(site: Site) -> tuple[Fault, ...]:
    """Return the faults that begin in a site's window, in order of time; they may end later."""
    incidents = [one for rack in site.racks for one in _of_rack(site, rack)]
    for scope, size in _sizes(site.profile).items():
        for number, members in enumerate(groups(site.racks, size)):
            incidents += _of_group(site, scope, number, members, size)
    return tuple(sorted(fault for one in repaired(incidents, site.process) for fault in one.faults()))


def _sizes(profile: Profile) -> dict[Scope, int]:
    return {Scope.ROW: profile.row_racks, Scope.COHORT: profile.cohort_racks, Scope.HALL: profile.hall_racks}


def _mean(site: Site, share: float) -> float:
    """Return the expected number of incidents of a share of the total in one rack."""
    profile = site.profile
    total = site.gpu_days * profile.per_gpu_day * site.rate
    return total * share / profile.total_share if share else 0.0


# One rack


def _of_rack(site: Site, rack: str) -> Iterator[Incident]:
    chance = stream(site.seed, rack)
    weights = _lemons(site, chance)
    own = [one for one in site.profile.classes if one.scope is Scope.RACK]
    trays = [one for one in own if _unit(one) is not Unit.RACK]
    wide = [one for one in own if _unit(one) is Unit.RACK]
    share = sum(weights) / len(weights) * (1 - site.process.repeats)
    for number, one in enumerate((*_arrivals(site, rack, chance, trays, share), *_arrivals(site, rack, chance, wide))):
        yield from _burst(site, rack, chance, weights, one, number)
    yield from _applications(site, rack, chance)


def _lemons(site: Site, chance: Chance) -> list[float]:
    """Return how often each tray fails beside the average one of a large fleet."""
    process = site.process
    mean = 1 + process.lemon_share * (process.lemon_factor - 1)
    if process.lemon_factor == 1:
        return [1.0] * site.shape.trays
    return [
        (process.lemon_factor if chance.random() < process.lemon_share else 1.0) / mean for _ in range(site.shape.trays)
    ]


def _arrivals(
    site: Site, rack: str, chance: Chance, classes: Sequence[Class], factor: float = 1.0
) -> list[tuple[int, Class]]:
    """Return when incidents of which class begin: Poisson, thinned to what age and load allow."""
    shares = [one.share for one in classes]
    if not shares:
        return []
    highest = _highest(site.process)
    count = poisson(chance, _mean(site, sum(shares)) * factor * highest)
    found = []
    for one in chance.choices(classes, shares, k=count):
        at_ms = chance.randrange(site.window.from_ms, site.window.to_ms)
        if chance.random() * highest < _hazard(site, rack, one, at_ms):
            found.append((at_ms, one))
    return sorted(found, key=lambda pair: pair[0])


def _highest(process: Process) -> float:
    return process.infant_factor * (1 + process.strain) * (1 + process.evening)


def _hazard(site: Site, rack: str, one: Class, at_ms: int) -> float:
    """Return how often a class fails now beside its average: by age, load and time of day."""
    accepted_ms = site.accepted.get(rack)
    factor = 1.0
    if accepted_ms is not None:
        if at_ms < accepted_ms:
            return 0.0
        factor = infancy(site.process, at_ms - accepted_ms)
    if one.strained:
        factor *= 1 + site.process.strain * (2 * site.load(at_ms) - 1)
        factor *= 1 + site.process.evening * math.cos(2 * math.pi * (at_ms % DAY_MS - _EVENING_MS) / DAY_MS)
    return factor


def infancy(process: Process, age_ms: int) -> float:
    """Return the hazard of a young rack beside that of an old one: Weibull, capped at both ends."""
    age = max(age_ms, 1) / (process.infant_days * DAY_MS)
    return float(min(process.infant_factor, max(1.0, age ** (process.infant_shape - 1))))


def _burst(
    site: Site, rack: str, chance: Chance, weights: Sequence[float], one: tuple[int, Class], number: int
) -> Iterator[Incident]:
    at_ms, what = one
    stages = _variant(chance, what)
    unit = KINDS[stages[0].kind].unit
    tray = chance.choices(range(1, site.shape.trays + 1), weights)[0] if unit is not Unit.RACK else None
    gpu = chance.randrange(site.shape.gpus) if unit is Unit.GPU else None
    name = f"{what.name}/{rack}/{number}"
    if tray is not None and site.process.beta and chance.random() < site.process.beta:
        tray = gpu = None  # a common cause took the whole rack
    for generation in range(_GENERATIONS):
        parts = tuple(_part(chance, stage, _hit(site.shape, rack, tray, gpu, stage)) for stage in stages)
        yield (incident := Incident(at_ms, f"{name}.{generation}" if generation else name, parts))
        if tray is None or not site.process.repeats or chance.random() >= site.process.repeats:
            return
        at_ms = incident.to_ms + round(chance.expovariate(1 / site.process.repeat_ms))


def _hit(shape: RackShape, rack: str, tray: int | None, gpu: int | None, stage: Stage) -> tuple[Place, ...]:
    """Return what a stage takes: a tray that is swapped goes as a whole, whatever began it."""
    return shape.places(rack, tray=tray, gpu=gpu if KINDS[stage.kind].unit is Unit.GPU else None)


def _applications(site: Site, rack: str, chance: Chance) -> Iterator[Incident]:
    mean = site.gpu_days * site.profile.application_per_gpu_day * site.rate
    for number in range(poisson(chance, mean) if mean else 0):
        at_ms = chance.randrange(site.window.from_ms, site.window.to_ms)
        tray, gpu = chance.randrange(1, site.shape.trays + 1), chance.randrange(site.shape.gpus)
        if at_ms >= site.accepted.get(rack, at_ms):
            places = site.shape.places(rack, tray=tray, gpu=gpu)
            part = _part(chance, chance.choice(site.profile.application), places)
            yield Incident(at_ms, f"application/{rack}/{number}", (part,))


# A group of racks


def _of_group(site: Site, scope: Scope, number: int, members: Sequence[str], size: int) -> Iterator[Incident]:
    for what in site.profile.classes:
        if what.scope is scope:
            chance = stream(site.seed, scope.value, str(number), what.name)
            for count, (at_ms, _) in enumerate(_arrivals(site, "", chance, [what], size)):
                name = f"{what.name}/{scope.value}{number}/{count}"
                yield from _spread(site, chance, what, members, size, at_ms, name)


def _spread(
    site: Site, chance: Chance, what: Class, members: Sequence[str], size: int, at_ms: int, name: str
) -> Iterator[Incident]:
    count = size if what.spread is None else chance.randint(*what.spread)
    positions = chance.sample(range(size), min(count, size)) if what.spread else list(range(size))
    stages = _variant(chance, what)
    lengths = [_part(chance, stage, ()).length_ms for stage in stages]
    for order, position in enumerate(positions):
        start_ms = at_ms + order * what.stagger_ms
        if position < len(members) and start_ms >= site.accepted.get(members[position], start_ms):
            yield Incident(start_ms, name, _parts(site, stages, lengths, [members[position]]))
    beside = [rack for position, rack in enumerate(members) if position not in positions]
    wide = [stage for stage in stages if stage.wide]
    if beside and wide:
        yield Incident(at_ms, name, _parts(site, wide, lengths, beside))


def _parts(site: Site, stages: Sequence[Stage], lengths: Sequence[int], racks: Sequence[str]) -> tuple[Part, ...]:
    places = tuple(place for rack in racks for place in site.shape.places(rack))
    return tuple(Part(stage, places, length) for stage, length in zip(stages, lengths, strict=False))


# One incident


def _unit(what: Class) -> Unit:
    return KINDS[what.stages[0][1][0].kind].unit


def _variant(chance: Chance, what: Class) -> tuple[Stage, ...]:
    if len(what.stages) == 1:
        return what.stages[0][1]
    weights = [weight for weight, _ in what.stages]
    return chance.choices([stages for _, stages in what.stages], weights)[0]


def _part(chance: Chance, stage: Stage, places: tuple[Place, ...]) -> Part:
    least_ms = MINUTE_MS if stage.median_ms >= MINUTE_MS else 5 * SECOND_MS
    return Part(stage, places, max(least_ms, lognormal_ms(chance, stage.median_ms, stage.sigma)))
