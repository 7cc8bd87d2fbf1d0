"""The contract as data: tenants, leases of places over time, targets and their money.

pydantic at the door: unknown keys, wrong types and contradictions are refused with the key
that carries them. The engine works on what these models expand to.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from service.core import limits
from service.core.model import NAME_PATTERN, Place, Span
from service.core.periods import parse_utc

_SELECTOR = re.compile(r"^(?P<rack>[A-Za-z0-9][A-Za-z0-9_-]{0,63})(/t(?P<tray>\d{1,3})(/g(?P<gpu>\d{1,2}))?)?$")
_RANGE = re.compile(r"^([A-Za-z_-]+)(\d+)\.\.([A-Za-z_-]+)(\d+)$")

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def _time(value: Any) -> Any:  # noqa: ANN401 -- what YAML held; pydantic judges the rest
    return parse_utc(value) if isinstance(value, str) else value


def _decimal(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        msg = "write it in quotes: a float is not exact"
        raise ValueError(msg)  # noqa: TRY004 -- pydantic wants ValueError
    return Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else value


TimeMs = Annotated[int, BeforeValidator(_time)]
Amount = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, max_digits=18)]
Ratio = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, le=1, max_digits=12)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Topology(_Model):
    """How many GPUs a rack holds; the unit of a lease that names a whole rack."""

    trays_per_rack: int = Field(default=18, ge=1, le=255)
    gpus_per_tray: int = Field(default=4, ge=1, le=limits.GPUS_PER_NODE)


class Tier(_Model):
    """A credit in percent of the fee while `at_least <= availability < below`."""

    below: Ratio
    at_least: Ratio = Decimal(0)
    pct: Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, le=100)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.at_least >= self.below:
            msg = f"at_least {self.at_least} must be under below {self.below}"
            raise ValueError(msg)
        return self


class Objective(_Model):
    """A target for an availability unit, with the rules that turn facts into its number.

    `unit: gpu` tests every leased GPU by itself, `unit: pool` their sum. `settle` says which
    bound counts when unknown time leaves the result open; `gap_after_down` how silence right
    after down counts.
    """

    name: Name
    unit: Literal["gpu", "pool"]
    target: Ratio
    degraded_weight: Ratio = Decimal(0)
    settle: Literal["lo", "hi"] = "lo"
    gap_after_down: Literal["down", "unknown"] = "down"
    tiers: tuple[Tier, ...] = ()

    @field_validator("tiers", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:  # noqa: ANN401
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not 0 < self.target < 1:
            msg = "target must lie between 0 and 1, both excluded: at 1 there is no error budget"
            raise ValueError(msg)
        edges = sorted(self.tiers, key=lambda tier: tier.at_least)
        for lower, upper in itertools.pairwise(edges):
            if lower.below > upper.at_least:
                msg = f"tiers overlap between {upper.at_least} and {lower.below}"
                raise ValueError(msg)
        if any(tier.below > self.target for tier in self.tiers):
            msg = "a tier above the target would credit a month that met it"
            raise ValueError(msg)
        return self


class Lease(_Model):
    """Places that a tenant may use over `[from, to)`.

    Places are selected as `r0001` (the whole rack), `r0001/t07`, `r0001/t07/g2` or
    `r0001..r0972`.
    """

    places: tuple[str, ...] = Field(min_length=1)
    from_ms: TimeMs = Field(alias="from")
    to_ms: TimeMs = Field(alias="to")

    @field_validator("places", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:  # noqa: ANN401
        return tuple(value) if isinstance(value, list) else value

    @field_validator("places")
    @classmethod
    def _selectors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            for rack in _racks(text):
                if _SELECTOR.fullmatch(rack) is None:
                    msg = f"{text!r} selects nothing: write r0001, r0001/t07, r0001/t07/g2 or r0001..r0009"
                    raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.from_ms >= self.to_ms:
            msg = "a lease must end after it begins"
            raise ValueError(msg)
        return self

    @property
    def span(self) -> Span:
        """The lease's term in ms UTC."""
        return Span(self.from_ms, self.to_ms)


def _racks(text: str) -> list[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return [text]
    if match[1] != match[3] or not 0 <= int(match[4]) - int(match[2]) < limits.NODES_MAX:
        return [""]
    width = len(match[2])
    return [f"{match[1]}{number:0{width}d}" for number in range(int(match[2]), int(match[4]) + 1)]


class Fee(_Model):
    """What the tenant pays for a calendar month, in the contract's currency."""

    monthly_amount: Amount


class Tenant(_Model):
    """A party that leases places; the landlord leases from itself, without objectives."""

    id: Name
    kind: Literal["tenant", "landlord"] = "tenant"
    fee: Fee | None = None
    objectives: tuple[Objective, ...] = ()
    leases: tuple[Lease, ...] = Field(min_length=1)

    @field_validator("objectives", "leases", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:  # noqa: ANN401
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [objective.name for objective in self.objectives]
        if len(set(names)) != len(names):
            msg = "two objectives of one tenant share a name"
            raise ValueError(msg)
        if self.kind == "tenant" and not self.objectives:
            msg = "a tenant needs an objective; only the landlord goes without"
            raise ValueError(msg)
        return self


class Contract(_Model):
    """All terms of a site: who leases what, when, and what was promised."""

    id: Name
    version: int = Field(ge=1)
    site: Name
    landlord: str = Field(min_length=1, max_length=limits.NAME_LENGTH)
    zone: str = "UTC"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    topology: Topology = Topology()
    tenants: tuple[Tenant, ...] = Field(min_length=1)

    @field_validator("tenants", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:  # noqa: ANN401
        return tuple(value) if isinstance(value, list) else value

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            msg = f"{value!r} is no IANA zone, for example America/Chicago"
            raise ValueError(msg) from error
        return value

    @model_validator(mode="after")
    def _sound(self) -> Self:
        ids = [tenant.id for tenant in self.tenants]
        if len(set(ids)) != len(ids):
            msg = "two tenants share an id"
            raise ValueError(msg)
        self._check_leases()
        return self

    def _check_leases(self) -> None:
        taken: dict[Place, list[tuple[Span, str]]] = defaultdict(list)
        for tenant in self.tenants:
            for lease in tenant.leases:
                for place in self.expand(lease):
                    for span, owner in taken[place]:
                        if span.clip(lease.span):
                            msg = f"{place} is leased twice at once: to {owner} and to {tenant.id}"
                            raise ValueError(msg)
                    taken[place].append((lease.span, tenant.id))
                    if len(taken) > limits.CONTRACT_PLACES:
                        msg = f"more than {limits.CONTRACT_PLACES} places in one contract"
                        raise ValueError(msg)

    @property
    def zone_info(self) -> ZoneInfo:
        """The zone that cuts periods."""
        return ZoneInfo(self.zone)

    def tenant(self, tenant_id: str) -> Tenant:
        """Return a tenant by id.

        Raises:
            KeyError: If there is none.
        """
        for tenant in self.tenants:
            if tenant.id == tenant_id:
                return tenant
        raise KeyError(tenant_id)

    def expand(self, lease: Lease) -> Iterator[Place]:
        """Yield every place of a lease once."""
        seen: set[Place] = set()
        for selector in lease.places:
            for text in _racks(selector):
                for place in self._expand_one(text):
                    if place not in seen:
                        seen.add(place)
                        yield place

    def _expand_one(self, text: str) -> Iterator[Place]:
        match = _SELECTOR.fullmatch(text)
        if match is None:
            msg = f"{text!r} selects nothing"
            raise ValueError(msg)
        tray, gpu = match["tray"], match["gpu"]
        trays = [int(tray)] if tray else range(1, self.topology.trays_per_rack + 1)
        for number in trays:
            positions = [int(gpu)] if gpu else range(self.topology.gpus_per_tray)
            for position in positions:
                yield Place(match["rack"], number, position)


def exact(value: Decimal) -> Fraction:
    """Return a decimal as the fraction it spells: 0.999 is 999/1000."""
    return Fraction(value)
