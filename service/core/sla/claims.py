"""Claims under review: which time a contract lets go, and why it does not let go of the rest."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from service.core import limits
from service.core.contract.exclusions import Exclusions, Review, Rule
from service.core.model import Span
from service.core.periods import local_days, local_ms
from service.core.sla.given import Claim, Decision
from service.core.sla.spans import Spans, first, intersect, length, subtract, union

_AFTER_DOWN = "silence:after_down"  # no cause of its own: it goes with the down time before it


@dataclass(frozen=True, slots=True)
class Approved:
    """A claim that holds, over the time for which it holds; `explains` is None unless but-for is asked."""

    claim: Claim
    spans: Spans
    explains: tuple[str, ...] | None

    def covers(self, causes: frozenset[str]) -> bool:
        """Return whether the claim would explain down time with these causes by itself."""
        if self.explains is None:
            return True
        return all(cause == _AFTER_DOWN or cause.startswith(self.explains) for cause in causes)


@dataclass(frozen=True, slots=True)
class Refused:
    """A claim, or part of it, that does not hold."""

    claim: Claim
    reason: str
    spans: Spans


@dataclass(frozen=True, slots=True)
class Reviewed:
    """All claims after review; the approved ones in order of precedence."""

    approved: tuple[Approved, ...]
    refused: tuple[Refused, ...]


def review(
    claims: Sequence[Claim], decisions: Sequence[Decision], terms: Exclusions, period: Span, zone: ZoneInfo
) -> Reviewed:
    """Return what a contract makes of claims and decisions.

    Args:
        claims: In any order; a quota goes to the earliest first.
        decisions: In any order.
        terms: The contract's exclusions.
        period: What `max_per_period_ms` is counted in.
        zone: The governing zone, for daily hours that name none.
    """
    approved: list[Approved] = []
    refused: list[Refused] = []
    used_ms: dict[str, int] = defaultdict(int)
    once = {claim.id: claim for claim in claims}  # the same claim told twice is one
    for claim in sorted(once.values(), key=lambda claim: (claim.span, claim.id)):
        rule = terms.rule(claim.kind)
        reason = _objection(claim, decisions, terms.review, rule)
        if rule is None or reason is not None:
            refused.append(Refused(claim, reason or "", (claim.span,)))
            continue
        spans, cut = _allowed(claim, rule, period, zone, used_ms)
        refused += [Refused(claim, why, lost) for why, lost in cut if lost]
        if spans:
            approved.append(Approved(claim, spans, rule.explains if terms.but_for else None))
    rank = {kind: number for number, kind in enumerate(terms.order)}
    approved.sort(key=lambda one: (rank[one.claim.kind], one.claim.span, one.claim.id))
    return Reviewed(tuple(approved), tuple(refused))


def _objection(claim: Claim, decisions: Sequence[Decision], terms: Review, rule: Rule | None) -> str | None:
    if rule is None:
        return "the contract names no exclusion of this kind"
    return _undecided(claim, decisions, terms) or _unannounced(claim, rule)


def _undecided(claim: Claim, decisions: Sequence[Decision], terms: Review) -> str | None:
    mine = [one for one in decisions if one.claim == claim.id]
    valid = [one for one in mine if not (terms.four_eyes and one.approved and one.by == claim.by)]
    if not valid:
        return "approved by its proposer: a second person must" if mine else "not decided yet"
    # Of two at the same instant the refusal holds: who approves has to say so last.
    newest = max(valid, key=lambda one: (one.at_ms, not one.approved))
    if not newest.approved:
        return f"refused by {newest.by}"
    if terms.deadline_days is not None and newest.at_ms > claim.span.to_ms + terms.deadline_days * limits.DAY_MS:
        return f"approved later than {terms.deadline_days} days after its end"
    if terms.evidence and not claim.evidence:
        return f"without evidence: {', '.join(terms.evidence)}"
    return None


def _unannounced(claim: Claim, rule: Rule) -> str | None:
    if rule.notice_min_ms is not None:
        if claim.announced_ms is None or claim.span.from_ms - claim.announced_ms < rule.notice_min_ms:
            return f"notice shorter than {rule.notice_min_ms} ms"
    elif rule.notice_within_ms is not None and (
        claim.announced_ms is None or claim.announced_ms - claim.span.from_ms > rule.notice_within_ms
    ):
        return f"notice later than {rule.notice_within_ms} ms"
    return None


def _allowed(
    claim: Claim, rule: Rule, period: Span, zone: ZoneInfo, used_ms: dict[str, int]
) -> tuple[Spans, list[tuple[str, Spans]]]:
    whole: Spans = (claim.span,)
    hours = whole
    if rule.allowed_hours:
        hours = intersect(whole, _hours(claim.span, rule, rule.hours_zone(zone)))
    event = hours if rule.max_per_event_ms is None else first(hours, rule.max_per_event_ms)
    granted = event
    if rule.max_per_period_ms is not None:
        inside = intersect(event, (period,))
        granted_inside = first(inside, rule.max_per_period_ms - used_ms[rule.kind])
        used_ms[rule.kind] += length(granted_inside)
        granted = union((*subtract(event, (period,)), *granted_inside))
    return granted, [
        ("outside the allowed hours", subtract(whole, hours)),
        ("longer than an event may be", subtract(hours, event)),
        ("the period's quota is used up", subtract(event, granted)),
    ]


def _hours(span: Span, rule: Rule, zone: ZoneInfo) -> Spans:
    windows = []
    for date in local_days(span, zone):
        for hours in rule.allowed_hours:
            from_ms, to_ms = local_ms(date, hours.from_, zone), local_ms(date, hours.to, zone)
            if from_ms < to_ms:
                windows.append(Span(from_ms, to_ms))
    return union(windows)
