"""What the engine is given, as plain values: leases, timelines, and what people said.

Places without a timeline were up throughout. A timeline reaches as far beyond the period as a rule
needs to see an outage whole: minimum outages and joined gaps look across the period's ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.core.contract.places import Places
from service.core.model import Place, Span
from service.core.said import ExclusionKind, Instant, StopReason
from service.core.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Held:
    """Places that the tenant leased over a span."""

    places: Places
    span: Span


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Places passed acceptance at an instant, or left the contract at it."""

    places: Places
    at_ms: int
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Swap:
    """A spare served for failed places over a span; both name as many places, in the same order."""

    failed: Places
    spare: Places
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Time that somebody wants excluded."""

    id: str
    kind: ExclusionKind
    places: Places
    span: Span
    by: str
    announced_ms: int | None = None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Somebody approved or refused a claim."""

    claim: str
    approved: bool
    by: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The tenant held a repair up over a span."""

    reason: StopReason
    places: Places
    span: Span
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant of an outage that a contract may count from or to."""

    instant: Instant
    places: Places
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Everything about one tenant's places; the same for every objective of the tenant."""

    held: tuple[Held, ...]
    timelines: Mapping[Place, Timeline] = field(default_factory=dict)
    acceptances: tuple[Acceptance, ...] = ()
    swaps: tuple[Swap, ...] = ()
    claims: tuple[Claim, ...] = ()
    decisions: tuple[Decision, ...] = ()
    stops: tuple[Stop, ...] = ()
    marks: tuple[Mark, ...] = ()
