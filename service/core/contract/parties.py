"""Who leases what, from when to when, for which fee."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.core.contract.places import check_selectors
from service.core.contract.values import Amount, Listed, Model, Name, Text, TimeMs
from service.core.model import Span

Selectors = Annotated[tuple[str, ...], Listed, Field(min_length=1), AfterValidator(check_selectors)]


class _Spanned(Model):
    """Something that holds over `[from, to)`."""

    from_ms: TimeMs = Field(alias="from")
    to_ms: TimeMs = Field(alias="to")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.from_ms >= self.to_ms:
            msg = f"a {type(self).__name__.lower()} must end after it begins"
            raise ValueError(msg)
        return self

    @property
    def span(self) -> Span:
        """The term in ms UTC."""
        return Span(self.from_ms, self.to_ms)


class Term(_Spanned):
    """How long the agreement with a tenant runs; no lease and no fee outside it."""


class Lease(_Spanned):
    """Places that a tenant may use over `[from, to)`.

    Places are selected as `r0001` (the whole rack), `r0001/t07`, `r0001/t07/g2` or
    `r0001..r0972`.
    """

    places: Selectors


class Fee(Model):
    """What the tenant pays, in the contract's currency.

    `monthly_amount` is for each of what `basis` names, or for everything (`pool`, `flat`). With
    `proration: none` a month costs the same however short the lease; otherwise the fee of a unit
    follows its accepted time, or the zone's days on which it was accepted.
    """

    monthly_amount: Amount
    basis: Literal["per_gpu", "per_tray", "per_rack", "pool", "flat"] = "flat"
    proration: Literal["by_time", "by_day", "none"] = "none"
    one_time_excluded: bool = True


class Item(Model):
    """A part of the inventory: contracted and since when accepted, or a spare."""

    unit_id: Annotated[str, AfterValidator(lambda text: check_selectors((text,))[0])]
    rack: Name | None = None
    tray_slot: Annotated[int, Field(ge=1, le=255)] | None = None
    gpu_index: Annotated[int, Field(ge=0, le=63)] | None = None
    serial: Text | None = None
    role: Literal["contracted", "hot_spare", "cold_spare"] = "contracted"
    accepted: TimeMs | None = None
    removed: TimeMs | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.accepted is not None and self.removed is not None and self.accepted >= self.removed:
            msg = "removed must come after accepted"
            raise ValueError(msg)
        return self


class Reporting(Model):
    """When statements come out, how long they may be disputed and who sees what.

    A draft becomes final after `dispute_days` by itself, or once a person has decided so as well.
    """

    statement_by_business_day: Annotated[int, Field(ge=1, le=31)] | None = None
    dispute_days: Annotated[int, Field(ge=0, le=366)] = 14
    finalise: Literal["automatic", "decided"] = "automatic"
    retain_months: Annotated[int, Field(ge=1, le=240)] | None = None
    tenant_visible_fields: Annotated[tuple[Name, ...], Listed] = ()
    hash_chain: Literal[True] = True
