"""The scenario file of simulated racks: what stands there, and what will happen to it."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from collectors.simulation.chance import lognormal_ms, stream
from collectors.simulation.faults import KINDS, Fault, Unit
from collectors.simulation.layout import RackShape
from collectors.simulation.power import LIMIT_MIN_WATTS, LIMIT_WATTS
from collectors.simulation.process import Site, draw
from collectors.simulation.profiles import PROCESSES, PROFILES
from collectors.simulation.steps import steps
from collectors.simulation.telemetry import TelemetryFault, TelemetryKind, draw_telemetry
from service.core.errors import ConfigurationError
from service.core.limits import DAY_MS
from service.core.model import NAME, NAME_PATTERN, Span

_DURATION = re.compile(r"^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")
_TARGET = re.compile(r"^(\*|[A-Za-z0-9][A-Za-z0-9_-]*)(?:/t(\d{1,3}))?(?:/g(\d{1,2}))?$")
SHIPPED = Path(__file__).with_name("scenarios")
_LATE_MEDIAN_MS, _LATE_SIGMA = 10 * DAY_MS, 0.8  # of a tranche; assumed


def _duration(value: Any) -> Any:  # noqa: ANN401 -- what YAML held
    match = _DURATION.match(value) if isinstance(value, str) and value else None
    if match is None:
        msg = "write a duration like 2d6h30m or 45s"
        raise ValueError(msg)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000


def _racks(value: Any) -> Any:  # noqa: ANN401
    return [f"r{number:04d}" for number in range(1, value + 1)] if isinstance(value, int) else value


DurationMs = Annotated[int, BeforeValidator(_duration)]
Rack = Annotated[str, Field(pattern=NAME_PATTERN)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Aimed(_Model):
    """Something that happens at an offset, to a target, for a time."""

    at: DurationMs
    kind: str
    target: str
    lasts: DurationMs

    @field_validator("target")
    @classmethod
    def _spelt(cls, value: str) -> str:
        if not _TARGET.match(value):
            msg = "write r0001, r0001/t07, r0001/t07/g2, or * for every rack"
            raise ValueError(msg)
        return value

    def aim(self, racks: Iterable[str]) -> tuple[tuple[str, ...], int | None, int | None]:
        """Return the racks, tray and GPU that are meant."""
        rack, tray, gpu = match.groups() if (match := _TARGET.match(self.target)) else (self.target, None, None)
        return tuple(racks) if rack == "*" else (rack,), int(tray) if tray else None, int(gpu) if gpu else None


class Scripted(_Aimed):
    """A fault that happens whatever the dice say."""

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in KINDS:
            msg = f"unknown kind; allowed: {', '.join(KINDS)}"
            raise ValueError(msg)
        return value


class Telemetry(_Aimed):
    """A fault of the telling: the hardware does not know of it. `amount` is how far a clock is off."""

    amount: DurationMs = 0
    backwards: bool = False

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        allowed = [kind.value for kind in TelemetryKind]
        if value not in allowed:
            msg = f"unknown kind; allowed: {', '.join(allowed)}"
            raise ValueError(msg)
        return value


class _Phase(_Model):
    """From an offset on something is so, on some racks or on all."""

    at: DurationMs
    racks: list[Rack] | None = None

    @property
    def value(self) -> float:
        """What is so."""
        raise NotImplementedError


class Load(_Phase):
    """The load: 0 idle, 1 full."""

    utilisation: float = Field(ge=0, le=1)

    @property
    def value(self) -> float:
        """Utilisation."""
        return self.utilisation


class Cap(_Phase):
    """Curtailment: the limit of each GPU as somebody outside sets it; `none` lifts it."""

    cap_watts: float | Literal["none"]

    @field_validator("cap_watts")
    @classmethod
    def _possible(cls, value: float | str) -> float | str:
        if isinstance(value, float | int) and not LIMIT_MIN_WATTS <= value <= LIMIT_WATTS:
            msg = f"a GB300 takes {LIMIT_MIN_WATTS:.0f} to {LIMIT_WATTS:.0f} W, or none"
            raise ValueError(msg)
        return value

    @property
    def value(self) -> float:
        """Watts."""
        return LIMIT_WATTS if isinstance(self.cap_watts, str) else self.cap_watts


class Coolant(_Phase):
    """The temperature of the coolant supply."""

    celsius: float = Field(ge=5, le=75)

    @property
    def value(self) -> float:
        """Degrees Celsius."""
        return self.celsius


class Tranche(_Model):
    """Racks that are delivered during the scenario: promised, late (drawn if absent), then burnt in."""

    racks: list[Rack] = Field(min_length=1)
    promised: DurationMs
    late: DurationMs | None = None
    burn_in: DurationMs = 2 * DAY_MS


class Scenario(_Model):
    """Racks, their load, and their faults: scripted ones and a seeded profile."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    summary: str = ""
    site: Annotated[str, Field(pattern=NAME_PATTERN)] = "mem2"
    seed: int = 1
    length: Annotated[DurationMs, Field(ge=60_000, le=366 * DAY_MS)] = 31 * DAY_MS
    racks: Annotated[list[Rack], BeforeValidator(_racks), Field(min_length=1, max_length=10_000)]
    trays_per_rack: int = Field(default=18, ge=1, le=255)
    gpus_per_tray: int = Field(default=4, ge=1, le=16)
    profile: str = "none"
    process: str = "flat"
    rate: float = Field(default=1.0, ge=0, le=1000)
    smoothing: bool = False
    load: list[Load] = Field(default_factory=list)
    caps: list[Cap] = Field(default_factory=list)
    coolant: list[Coolant] = Field(default_factory=list)
    tranches: list[Tranche] = Field(default_factory=list)
    faults: list[Scripted] = Field(default_factory=list)
    telemetry: list[Telemetry] = Field(default_factory=list)
    telemetry_rate: float = Field(default=0.0, ge=0, le=1000, description="drawn telemetry faults a node-day")

    @field_validator("profile")
    @classmethod
    def _profile(cls, value: str) -> str:
        return _one_of(value, PROFILES)

    @field_validator("process")
    @classmethod
    def _process(cls, value: str) -> str:
        return _one_of(value, PROCESSES)

    @model_validator(mode="after")
    def _targets_exist(self) -> Self:
        for one in (*self.faults, *self.telemetry):
            racks, tray, gpu = one.aim(self.racks)
            absent = [rack for rack in racks if rack not in self.racks]
            if absent or (tray or 1) > self.trays_per_rack or tray == 0 or (gpu or 0) >= self.gpus_per_tray:
                msg = f"{one.kind} at {one.target}: there is no such rack, tray (t01 on) or GPU (g0 on)"
                raise ValueError(msg)
        phases: tuple[_Phase | Tranche, ...] = (*self.load, *self.caps, *self.coolant, *self.tranches)
        named = {rack for one in phases for rack in one.racks or ()}
        if absent := sorted(named - set(self.racks)):
            msg = f"there is no rack {', '.join(absent)}"
            raise ValueError(msg)
        return self

    @property
    def shape(self) -> RackShape:
        """How many trays and GPUs a rack holds."""
        return RackShape(self.trays_per_rack, self.gpus_per_tray)

    def phases(self, phases: Iterable[_Phase], window: Span, rack: str | None) -> list[tuple[int, float]]:
        """Return (instant, value) of the phases that hold for a rack, or for all of them."""
        return [
            (window.from_ms + phase.at, phase.value)
            for phase in phases
            if phase.racks is None or (rack is not None and rack in phase.racks)
        ]

    def accepted(self, window: Span) -> dict[str, int]:
        """Return since when each rack of a tranche serves."""
        found: dict[str, int] = {}
        for number, one in enumerate(self.tranches):
            chance = stream(self.seed, "tranche", str(number))
            late_ms = lognormal_ms(chance, _LATE_MEDIAN_MS, _LATE_SIGMA) if one.late is None else one.late
            found |= dict.fromkeys(one.racks, window.from_ms + one.promised + late_ms + one.burn_in)
        return found

    def all_faults(self, window: Span) -> tuple[Fault, ...]:
        """Return scripted and drawn faults of a window that begins at offset 0."""
        accepted = self.accepted(window)
        load = steps([(window.from_ms, 0.0), *self.phases(self.load, window, None)])
        site = Site(
            racks=self.racks,
            window=window,
            seed=self.seed,
            profile=PROFILES[self.profile],
            process=PROCESSES[self.process],
            shape=self.shape,
            rate=self.rate,
            load=load.at,
            accepted=accepted,
        )
        scripted = [fault for one in self.faults for fault in self._scripted(one, window)]
        return tuple(sorted((*draw(site), *scripted, *self._undelivered(accepted, window))))

    def _undelivered(self, accepted: Mapping[str, int], window: Span) -> list[Fault]:
        return [
            Fault(window.from_ms, at_ms, "undelivered", self.shape.places(rack)) for rack, at_ms in accepted.items()
        ]

    def _scripted(self, one: Scripted, window: Span) -> list[Fault]:
        racks, tray, gpu = one.aim(self.racks)
        unit = KINDS[one.kind].unit
        from_ms = window.from_ms + one.at
        tray, gpu = tray if unit is not Unit.RACK else None, gpu if unit is Unit.GPU else None
        places = tuple(place for rack in racks for place in self.shape.places(rack, tray=tray, gpu=gpu))
        return [Fault(from_ms, from_ms + max(one.lasts, 1), one.kind, places)]

    def all_telemetry(self, window: Span) -> tuple[TelemetryFault, ...]:
        """Return scripted and drawn faults of the telling, by node."""
        nodes = {rack: [f"{rack}-t{tray:02d}" for tray in range(1, self.trays_per_rack + 1)] for rack in self.racks}
        found: list[TelemetryFault] = []
        for one in self.telemetry:
            racks, tray, gpu = one.aim(self.racks)
            hit = [node for rack in racks for node in ([f"{rack}-t{tray:02d}"] if tray else nodes[rack])]
            from_ms, amount = window.from_ms + one.at, -one.amount if one.backwards else one.amount
            kind, to_ms = TelemetryKind(one.kind), from_ms + max(one.lasts, 1)
            found += [TelemetryFault(from_ms, to_ms, kind, node, gpu, amount) for node in hit]
        every = [node for rack in self.racks for node in nodes[rack]]
        return (*found, *draw_telemetry(every, window, self.seed, self.telemetry_rate, self.gpus_per_tray))


def _one_of(value: str, known: Mapping[str, object]) -> str:
    if value not in known:
        msg = f"unknown; allowed: {', '.join(known)}"
        raise ValueError(msg)
    return value


def parse(text: str, source: str) -> Scenario:
    """Return the scenario that YAML text spells.

    Raises:
        ConfigurationError: With every error, a line each, naming source and key.
    """
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{source}: no YAML: {error}") from error
    if not isinstance(read, dict):
        raise ConfigurationError(f"{source}: a scenario is a mapping of keys, with at least name and racks")
    try:
        return Scenario.model_validate(read)
    except ValidationError as error:
        lines = [f"{source}: {_key(one['loc'])}{one['msg']}" for one in error.errors()]
        raise ConfigurationError("\n".join(lines)) from error


def _key(path: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, path))}: " if path else ""


def load(name: str) -> Scenario:
    """Return a shipped scenario by name, or one from a file.

    Raises:
        ConfigurationError: If there is no such scenario or it is wrong.
    """
    path = SHIPPED / f"{name}.yaml" if re.fullmatch(NAME, name) else Path(name)
    try:
        return parse(path.read_text(), str(path.name))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"no scenario {name!r}: name a file or one of {', '.join(shipped())}"
        raise ConfigurationError(msg) from error


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios that come with threenines."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
