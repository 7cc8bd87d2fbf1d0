"""Promises beside uptime: delivery, repair times, chronic failure. In the schema, not yet in the engine."""

from typing import Annotated, Literal

from pydantic import Field

from service.core.contract.parties import Selectors
from service.core.contract.values import Amount, DurationMs, Listed, Model, Name, Percent, Ratio, Text, TimeMs

Days = Annotated[int, Field(ge=0, le=3_660)]


class Acceptance(Model):
    """What must pass before a unit counts, and when silence is consent."""

    tests: Annotated[tuple[Text, ...], Listed] = ()
    burn_in_hours: Annotated[int, Field(ge=0, le=8_784)] = 0
    deemed_after_days: Days | None = None


class Tranche(Model):
    """Units promised for a date."""

    id: Name
    units: Selectors
    committed_date: TimeMs
    longstop_date: TimeMs | None = None
    acceptance: Acceptance = Acceptance()
    prepayment_pct: Percent | None = None
    prepay_credit_from_month: Annotated[int, Field(ge=1, le=240)] | None = None


class DelayStep(Model):
    """A credit that begins so many days after the committed date."""

    after_days: Days
    pct: Percent


class DelayCredit(Model):
    """Money for late delivery; delay is not downtime."""

    grace_days: Days = 0
    per_day_pct: Percent | None = None
    steps: Annotated[tuple[DelayStep, ...], Listed] = ()
    cap_pct: Percent | None = None
    excluded_causes: Annotated[tuple[Text, ...], Listed] = ()
    stop_on: Literal["acceptance"] = "acceptance"


class TerminateRight(Model):
    """When a late delivery lets the tenant go."""

    after_days_late: Days
    scope: Literal["tranche", "contract"]
    cure_days: Days = 0


class Delivery(Model):
    """Tranches against the calendar."""

    tranches: Annotated[tuple[Tranche, ...], Listed, Field(min_length=1)]
    delay_credit: DelayCredit | None = None
    terminate_right: TerminateRight | None = None


class Repair(Model):
    """How fast a class of failures is answered and replaced, and what each step late costs."""

    failure_class: Name
    respond_ms: DurationMs | None = None
    replace_ms: DurationMs | None = None
    clock: Literal["identification", "ticket"]
    step_ms: DurationMs | None = None
    mode: Literal["full", "started"] = "full"
    credit_per_step: Percent | None = None
    cap: Percent | None = None


class Chronic(Model):
    """A right that repeated misses give: `n` of `m` periods below a ratio, or `n` failures in some days."""

    n: Annotated[int, Field(ge=1)]
    of_periods: Annotated[int, Field(ge=1)] | None = None
    below: Ratio | None = None
    in_days: Days | None = None
    right: Literal["replace_unit", "terminate_unit", "terminate_contract"]


class PerformanceFloor(Model):
    """A reading that must not fall short: not availability, and not computed yet."""

    metric: Name
    threshold: Amount
    percentile: Percent
    source: Name
