"""The scenario file of simulated racks: what stands there, and what will happen to it."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from collectors.faults import KINDS, Fault, RackShape, Unit, draw
from service.core.errors import ConfigurationError
from service.core.model import NAME, NAME_PATTERN, Span

_DURATION = re.compile(r"^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")
_TARGET = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_-]*)(?:/t(\d{1,3}))?(?:/g(\d{1,2}))?$")
SHIPPED = Path(__file__).with_name("scenarios")


def _duration(value: Any) -> Any:  # noqa: ANN401 -- what YAML held
    match = _DURATION.match(value) if isinstance(value, str) and value else None
    if match is None:
        msg = "write a duration like 2d6h30m or 45s"
        raise ValueError(msg)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000


DurationMs = Annotated[int, BeforeValidator(_duration)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Scripted(_Model):
    """A fault that happens whatever the dice say: at an offset, to a target, for a time."""

    at: DurationMs
    kind: str
    target: str
    lasts: DurationMs

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in KINDS:
            msg = f"unknown kind; allowed: {', '.join(KINDS)}"
            raise ValueError(msg)
        return value

    @field_validator("target")
    @classmethod
    def _spelt(cls, value: str) -> str:
        if not _TARGET.match(value):
            msg = "write r0001, r0001/t07 or r0001/t07/g2"
            raise ValueError(msg)
        return value


class Phase(_Model):
    """From an offset on the load is this: 0 idle, 1 full."""

    at: DurationMs
    utilisation: float = Field(ge=0, le=1)


class Scenario(_Model):
    """Racks, their load, and their faults: scripted ones and a seeded profile."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    summary: str = ""
    site: Annotated[str, Field(pattern=NAME_PATTERN)] = "mem2"
    seed: int = 1
    racks: list[Annotated[str, Field(pattern=NAME_PATTERN)]] = Field(min_length=1, max_length=10_000)
    trays_per_rack: int = Field(default=18, ge=1, le=255)
    gpus_per_tray: int = Field(default=4, ge=1, le=16)
    profile: Literal["none", "gb300", "llama3"] = "none"
    rate: float = Field(default=1.0, ge=0, le=1000)
    load: list[Phase] = Field(default_factory=list)
    faults: list[Scripted] = Field(default_factory=list)

    @property
    def shape(self) -> RackShape:
        """How many trays and GPUs a rack holds."""
        return RackShape(self.trays_per_rack, self.gpus_per_tray)

    def all_faults(self, window: Span) -> tuple[Fault, ...]:
        """Return scripted and drawn faults of a window that begins at offset 0."""
        drawn = draw(self.profile, self.racks, self.shape, window, self.seed, self.rate)
        return tuple(sorted((*drawn, *(self._scripted(one, window) for one in self.faults))))

    def _scripted(self, one: Scripted, window: Span) -> Fault:
        match = _TARGET.match(one.target)
        rack, tray, gpu = match.groups() if match else (one.target, None, None)
        unit = KINDS[one.kind].unit
        places = self.shape.places(
            rack,
            tray=int(tray) if tray and unit is not Unit.RACK else None,
            gpu=int(gpu) if gpu and unit is Unit.GPU else None,
        )
        from_ms = window.from_ms + one.at
        return Fault(from_ms, from_ms + max(one.lasts, 1), one.kind, places)


def parse(text: str, source: str) -> Scenario:
    """Return the scenario that YAML text spells.

    Raises:
        ConfigurationError: With every error, a line each, naming source and key.
    """
    try:
        return Scenario.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{source}: no YAML: {error}") from error
    except ValidationError as error:
        lines = [f"{source}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ConfigurationError("\n".join(lines)) from error


def load(name: str) -> Scenario:
    """Return a shipped scenario by name, or one from a file.

    Raises:
        ConfigurationError: If there is no such scenario or it is wrong.
    """
    path = SHIPPED / f"{name}.yaml" if re.fullmatch(NAME, name) else Path(name)
    try:
        return parse(path.read_text(), str(path.name))
    except OSError as error:
        msg = f"no scenario {name!r}: name a file or one of {', '.join(shipped())}"
        raise ConfigurationError(msg) from error


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios that come with threenines."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
