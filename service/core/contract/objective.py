"""A target for an availability unit, with every rule that turns facts into its number."""

import itertools
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.core.contract.credits import Credits, Tier
from service.core.contract.measure import ClockStop, Degraded, HourlyRule, Measure, MonitoringGap, Period
from service.core.contract.obligations import PerformanceFloor
from service.core.contract.uprule import Requirement, RequirementsComputed, Unit, UpRule
from service.core.contract.values import Listed, Model, Name, NotComputed, Ratio

Settle = Literal["lo", "hi", "midpoint", "dispute"]
_ALWAYS: tuple[Requirement, ...] = ("power", "host", "gpu_healthy", "nvlink_domain")


class Objective(Model):
    """A target for an availability unit.

    `unit: gpu` tests every leased GPU by itself, `unit: pool` their sum. `settle` says which
    bound counts when unknown time leaves the result open (`monitoring_gap` may say it instead);
    `gap_after_down` how silence right after down counts. `requires` names what must work for a
    GPU to serve; what is not named never takes it down.
    """

    name: Name
    unit: Unit
    target: Ratio
    inclusive: Literal[True] = True
    up_rule: UpRule = UpRule()
    requires: Annotated[tuple[Requirement, ...], Listed, RequirementsComputed, Field(min_length=1)] = _ALWAYS
    degraded_weight: Ratio = Decimal(0)
    degraded: Annotated[tuple[Degraded, ...], Listed] = ()
    performance_floor: Annotated[PerformanceFloor, NotComputed] | None = None
    period: Period = Period()
    measure: Measure = Measure()
    clock_start: Literal["fault_onset", "detection", "notice_received", "ticket_ack"] = "fault_onset"
    clock_stop: ClockStop = ClockStop()
    clock_end: Literal["service_restored", "tenant_confirms", "handover_test_passed"] = "service_restored"
    denominator: Literal["total_period", "period_minus_excluded", "accepted_time"] = "total_period"
    hourly_rule: HourlyRule | None = None
    settle: Settle = "lo"
    gap_after_down: Literal["down", "unknown"] = "down"
    monitoring_gap: MonitoringGap = MonitoringGap()
    tiers: Annotated[tuple[Tier, ...], Listed] = ()
    credits: Credits = Credits()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not 0 < self.target < 1:
            msg = "target must lie between 0 and 1, both excluded: at 1 there is no error budget"
            raise ValueError(msg)
        self.up_rule.check(self.unit)
        self._check_tiers()
        self._check_pool()
        if len({rule.state for rule in self.degraded}) != len(self.degraded):
            msg = "two rules for one degraded state"
            raise ValueError(msg)
        if self.credits.form.kind == "hours_not_charged" and self.hourly_rule is None:
            msg = "hours_not_charged needs an hourly_rule that frees hours"
            raise ValueError(msg)
        return self

    def _check_pool(self) -> None:
        """Refuse rules that have no meaning for a sum of many units."""
        pooled = self.unit in {"pool", "site"} and self.up_rule.kind_of(self.unit) == "weighted"
        if pooled and (self.hourly_rule is not None or self.measure.deductible_ms):
            raise PydanticCustomError(
                "not_computed",
                "not computed by this version: an hourly rule, a deductible or a buffer of a weighted pool",
            )
        if self.period.kind == "rolling" and self.measure.quantise != "none":
            raise PydanticCustomError("not_computed", "not computed by this version: a grain of a rolling period")

    def _check_tiers(self) -> None:
        edges = sorted(self.tiers, key=lambda tier: tier.at_least)
        for lower, upper in itertools.pairwise(edges):
            if lower.below > upper.at_least:
                msg = f"tiers overlap between {upper.at_least} and {lower.below}"
                raise ValueError(msg)
            if lower.pct < upper.pct:
                msg = f"tiers contradict: {lower.pct} % under {lower.below}, but {upper.pct} % under {upper.below}"
                raise ValueError(msg)
        if any(tier.below > self.target for tier in self.tiers):
            msg = "a tier above the target would credit a month that met it"
            raise ValueError(msg)
        if self.tiers and self.credits.form.kind != "tier_of_fee":
            msg = f"tiers have no meaning with the form {self.credits.form.kind}"
            raise ValueError(msg)

    @property
    def settles(self) -> Settle:
        """The bound that counts when unknown time leaves the result open."""
        return self.monitoring_gap.settle or self.settle
