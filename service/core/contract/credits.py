"""What a missed target costs: tiers, other forms, their base, caps and how money is claimed."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.core.contract.measure import Positive
from service.core.contract.values import Amount, DurationMs, Factor, Model, Percent, Ratio


class Tier(Model):
    """A credit in percent of the fee while `at_least <= availability < below`."""

    below: Ratio
    at_least: Ratio = Decimal(0)
    pct: Percent

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.at_least >= self.below:
            msg = f"at_least {self.at_least} must be under below {self.below}"
            raise ValueError(msg)
        return self


class TierOfFee(Model):
    """The percentage of the tier that the availability falls into."""

    kind: Literal["tier_of_fee"] = "tier_of_fee"


class ProRata(Model):
    """The fee of the down time: all of it once the target is missed, or what exceeds the budget."""

    kind: Literal["pro_rata_minutes"]
    base: Literal["all", "excess"] = "all"


class PerStep(Model):
    """A percentage for every step of counted time, full or started; the deductible is off before."""

    kind: Literal["per_step"]
    step_ms: Positive
    pct: Percent
    mode: Literal["full", "started"] = "full"


class Multiplier(Model):
    """The counted time, times a factor, rounded up, at the hourly price, at most `cap_ms` of it."""

    kind: Literal["multiplier"]
    factor: Factor
    round_up_ms: Positive
    cap_ms: DurationMs | None = None


class HoursNotCharged(Model):
    """The clock hours that the hourly rule frees, at the hourly price."""

    kind: Literal["hours_not_charged"]


Form = Annotated[TierOfFee | ProRata | PerStep | Multiplier | HoursNotCharged, Field(discriminator="kind")]


class Caps(Model):
    """Upper limits: of a unit's fee, of the month's fee, of a year's fees, and in money a year."""

    per_unit_pct: Percent | None = None
    per_month_pct: Percent | None = None
    per_year_pct: Percent | None = None
    annual_money: Amount | None = None


class Rounding(Model):
    """How what is shown is rounded; nothing is rounded before it is compared."""

    money: Literal["half_even_cent"] = "half_even_cent"
    percent_display: Literal["floor_3dp"] = "floor_3dp"


class Claim(Model):
    """Until when the tenant must ask for a credit, and with what."""

    deadline: Literal["P10D", "P14D", "P30D", "P60D", "end_of_2nd_billing_cycle"]
    evidence: bool = False


class Issue(Model):
    """Whether a credit comes by itself or has to be claimed."""

    kind: Literal["automatic", "on_claim"] = "automatic"
    claim: Claim | None = None
    apply_within_days: Annotated[int, Field(ge=0, le=366)] | None = None
    carry: bool = True
    sole_remedy: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.kind == "on_claim") != (self.claim is not None):
            msg = "claim{deadline} belongs to on_claim, and it needs it"
            raise ValueError(msg)
        return self


class Credits(Model):
    """From a result to money.

    `base` is what a percentage is of: the fee of the unit that missed, of everything that the
    objective tests, or the whole invoice. `stack` says what several objectives of a tenant owe
    together.
    """

    form: Form = TierOfFee()
    base: Literal["affected_unit_fee", "affected_pool_fee", "whole_invoice"] | None = None
    stack: Literal["max", "sum", "separate_per_objective"] = "separate_per_objective"
    caps: Caps = Caps()
    rounding: Rounding = Rounding()
    issue: Issue = Issue()
