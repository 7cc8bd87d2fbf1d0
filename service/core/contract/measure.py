"""How time is measured: periods, clocks, minimum outages, joining and quantising."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.core import limits
from service.core.contract.values import DurationMs, Listed, Model, NotComputed, Ratio, only
from service.core.said import StopReason

Positive = Annotated[int, Field(gt=0, le=limits.CONTRACT_DURATION_MS)]


class Period(Model):
    """What is settled at once: a calendar month, one that begins on a day, or a window that rolls."""

    kind: Literal["calendar_month", "billing_month", "rolling"] = "calendar_month"
    length_ms: Positive | None = None
    anchor_day: Annotated[int, Field(ge=1, le=31)] | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.kind == "rolling") != (self.length_ms is not None):
            msg = "length_ms belongs to a rolling period, and it needs one"
            raise ValueError(msg)
        if (self.kind == "billing_month") != (self.anchor_day is not None):
            msg = "anchor_day belongs to a billing month, and it needs one"
            raise ValueError(msg)
        return self


class Slice(Model):
    """Time in equal slices from the period's start, each good, bad, or bad by its share."""

    ms: Positive
    bad_if: Literal["any", "majority", "ratio"]


class Measure(Model):
    """From down time to counted time.

    `min_outage_ms` is a filter on the whole incident (one that reaches it counts from its first
    ms), or a deductible from the period's sum. An up time of at most `join_gap_ms` between two
    outages counts as down. `buffer_ms` is taken off the period's sum.
    """

    granularity_ms: Annotated[int, AfterValidator(only(1))] = 1
    min_outage_ms: DurationMs = 0
    min_outage_mode: Literal["filter", "deductible", "none"] = "filter"
    filter_order: Literal["before_exclusions", "after_exclusions"] = "before_exclusions"
    join_gap_ms: DurationMs = 0
    quantise: Literal["none", "floor_minute", "ceil_minute", "slice"] = "none"
    slice: Slice | None = None
    buffer_ms: DurationMs = 0

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.quantise == "slice") != (self.slice is not None):
            msg = "slice{ms, bad_if} belongs to quantise: slice, and it needs it"
            raise ValueError(msg)
        if self.min_outage_mode == "none" and self.min_outage_ms:
            msg = "min_outage_ms has no meaning with min_outage_mode: none"
            raise ValueError(msg)
        return self

    @property
    def filter_ms(self) -> int:
        """Shortest incident that counts; 0 when there is no filter."""
        return self.min_outage_ms if self.min_outage_mode == "filter" else 0

    @property
    def deductible_ms(self) -> int:
        """What is taken off the period's sum."""
        return self.buffer_ms + (self.min_outage_ms if self.min_outage_mode == "deductible" else 0)


class ClockStop(Model):
    """What the tenant does that stops the clock of an outage."""

    on: Annotated[tuple[StopReason, ...], Listed] = ()
    evidence_required: bool = False


class HourlyRule(Model):
    """A clock hour with more than so much down time is not charged."""

    bad_over_ms: DurationMs
    effect: Literal["hour_not_charged"] = "hour_not_charged"


# Contract word: what evidence calls it, by cause word or its beginning.
DEGRADED_CAUSES: dict[str, tuple[str, ...]] = {
    "one_nvlink_lost": ("nvlink:link_down", "fabric:degraded"),
    "throttled": ("slowdown:",),
    "ecc_pending_remap": ("memory:remap_pending",),
    "slow_net": ("network:scale_out",),
}


class Degraded(Model):
    """How a kind of degraded time counts, once it has lasted `after_ms`."""

    state: Annotated[
        Literal["one_nvlink_lost", "throttled", "ecc_pending_remap", "slow_net", "reduced_k"],
        AfterValidator(only(*DEGRADED_CAUSES)),
    ]
    counts_as: Literal["up", "down", "fraction"]
    weight: Ratio | None = None
    after_ms: DurationMs = 0

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.counts_as == "fraction") != (self.weight is not None):
            msg = "weight belongs to counts_as: fraction, and it needs one"
            raise ValueError(msg)
        return self


class Witnesses(Model):
    """Who must have seen it; the engine takes evidence as merged by `worst`."""

    min: Annotated[int, Field(ge=1), NotComputed] | None = None
    kinds: Annotated[
        tuple[Literal["landlord_telemetry", "tenant_probe", "third_party", "bmc_oob"], ...], Listed, NotComputed
    ] = ()
    quorum: Annotated[Literal["any_up", "majority", "all"], NotComputed] | None = None
    heartbeat_ms: Annotated[DurationMs, NotComputed] | None = None
    late_arrival_cutoff_days: Annotated[int, Field(ge=0, le=3_660)] | None = None
    clock_skew_ms: Annotated[DurationMs, NotComputed] | None = None


class MonitoringGap(Model):
    """What time that nobody observed is worth.

    `bounded` reports both bounds and settles by `settle`; `last_state_up_to_ms` lets the state
    before the silence go on for so long and is bounded beyond. Above `max_unknown_per_period_ms`
    of a unit the unknown time counts as down.
    """

    policy: Literal["count_up", "count_down", "exclude", "last_state_up_to_ms", "bounded"] = "bounded"
    last_state_up_to_ms: Positive | None = None
    settle: Literal["lo", "hi", "midpoint", "dispute"] | None = None
    max_unknown_per_period_ms: DurationMs | None = None
    over_limit: Literal["count_down"] = "count_down"
    witnesses: Witnesses = Witnesses()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.policy == "last_state_up_to_ms") != (self.last_state_up_to_ms is not None):
            msg = "last_state_up_to_ms belongs to the policy of that name, and it needs one"
            raise ValueError(msg)
        if self.settle is not None and self.policy not in {"bounded", "last_state_up_to_ms"}:
            msg = f"{self.policy} leaves nothing open that could be settled"
            raise ValueError(msg)
        return self
