"""Time that shall not count: claims of a kind that the contract names, approved by a second person."""

import re
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from service.core.contract.values import DurationMs, Listed, Model, NotComputed, Text, only
from service.core.periods import zone_of
from service.core.said import ExclusionKind

KINDS: tuple[ExclusionKind, ...] = get_args(ExclusionKind)

# What a claim of a kind explains, by cause word or its beginning; but_for asks for anything else.
_EXPLAINED: dict[str, tuple[str, ...]] = {
    "scheduled_maintenance": ("host:maintenance", "host:reboot", "software:push", "driver:", "recovery:"),
    "emergency_maintenance": ("host:maintenance", "host:reboot", "software:push", "driver:", "recovery:"),
    "force_majeure": ("hall:power",),
    "third_party_network": ("network:",),
}
_HOUR = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


def _hour(text: str) -> str:
    if _HOUR.fullmatch(text) is None:
        msg = f"{text!r} is no time of day spelt HH:MM"
        raise ValueError(msg)
    return text


class Hours(Model):
    """A daily window in the rule's zone, `[from, to)` within one day."""

    from_: Annotated[str, AfterValidator(_hour)] = Field(alias="from")
    to: Annotated[str, AfterValidator(_hour)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.from_ >= self.to:
            msg = "hours must end after they begin; write two windows across midnight"
            raise ValueError(msg)
        return self


class Rule(Model):
    """A kind of exclusion that the contract knows: its notice, its quota and what it explains.

    `causes` are the cause words (or their beginnings) that such a claim explains; under `but_for`
    any other cause at the same time voids the claim for that time.
    """

    kind: ExclusionKind
    causes: Annotated[tuple[Text, ...], Listed] | None = None
    notice_min_ms: DurationMs | None = None
    notice_within_ms: DurationMs | None = None
    notice_channel: Text | None = None
    max_per_event_ms: DurationMs | None = None
    max_per_period_ms: DurationMs | None = None
    allowed_hours: Annotated[tuple[Hours, ...], Listed] = ()
    zone: str | None = None
    overrun: Literal["counts"] = "counts"
    needs_tenant_consent: Annotated[bool, AfterValidator(only(False))] = False
    only_for: Annotated[tuple[Literal["security", "safety"], ...], Listed, NotComputed] = ()
    enumerated: Annotated[tuple[Text, ...], Listed] = ()
    mitigation_duty: bool = False
    utility_power: Literal["excluded", "counted"] | None = None
    max_days_then_terminate: Annotated[int, Field(ge=1), NotComputed] | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.zone is not None:
            zone_of(self.zone)
        if self.notice_min_ms is not None and self.notice_within_ms is not None:
            msg = "notice is given before (notice_min_ms) or after the fact (notice_within_ms), not both"
            raise ValueError(msg)
        if self.utility_power is not None and self.kind != "force_majeure":
            msg = "utility_power belongs to force_majeure"
            raise ValueError(msg)
        return self

    @property
    def explains(self) -> tuple[str, ...]:
        """Cause words, or their beginnings, that a claim of this kind explains."""
        words = self.causes if self.causes is not None else _EXPLAINED.get(self.kind, ())
        return tuple(word for word in words if self.utility_power != "counted" or not word.startswith("hall:power"))

    def hours_zone(self, governing: ZoneInfo) -> ZoneInfo:
        """Return the zone in which `allowed_hours` are meant."""
        return ZoneInfo(self.zone) if self.zone else governing


class Review(Model):
    """Who may approve a claim, until when, on what evidence."""

    four_eyes: bool = True
    deadline_days: Annotated[int, Field(ge=0, le=3_660)] | None = None
    evidence: Annotated[tuple[Text, ...], Listed] = ()


class Exclusions(Model):
    """What may be excluded, and how it changes the number.

    `as_up` leaves the denominator alone; `from_denominator` takes the excluded time out of it:
    the down time that was excluded (`extent: downtime`) or the whole claim (`window`).
    """

    kinds: Annotated[tuple[Rule, ...], Listed] = ()
    precedence: Annotated[tuple[ExclusionKind, ...], Listed] = ()
    but_for: bool = False
    mode: Literal["from_denominator", "as_up"] = "as_up"
    extent: Annotated[Literal["downtime", "work", "window"], AfterValidator(only("downtime", "window"))] = "downtime"
    review: Review = Review()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        named = [rule.kind for rule in self.kinds]
        if len(set(named)) != len(named) or len(set(self.precedence)) != len(self.precedence):
            msg = "a kind of exclusion is named twice"
            raise ValueError(msg)
        if self.precedence and set(self.precedence) != set(named):
            msg = "precedence must order exactly the kinds that the contract names"
            raise ValueError(msg)
        return self

    @property
    def order(self) -> tuple[ExclusionKind, ...]:
        """The kinds, the one that takes concurrent time first."""
        return self.precedence or tuple(rule.kind for rule in self.kinds)

    def rule(self, kind: ExclusionKind) -> Rule | None:
        """Return the rule of a kind, or None when the contract does not know it."""
        return next((rule for rule in self.kinds if rule.kind == kind), None)
