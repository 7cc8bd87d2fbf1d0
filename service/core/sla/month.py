"""A tenant's month: every objective under the version of the contract that was in force.

A period is computed under the version in force at its start; where the version changes within it,
the period is cut there, and each part has its own terms, denominator and budget.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from service.core import limits
from service.core.contract import Agreement, Contract, Objective, Tenant, exact
from service.core.health import State
from service.core.history import History
from service.core.model import Place, Span
from service.core.periods import following_month
from service.core.sla.credit import stacked
from service.core.sla.evaluate import Terms
from service.core.sla.given import Given
from service.core.sla.reading import given_of
from service.core.sla.result import Result
from service.core.sla.rolling import period_of, settle

LOOK_BACK_MS = 35 * limits.DAY_MS  # how far back an outage is followed to its beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One objective's result under one version: `period` is what it settles, `counted` how far it got."""

    contract: Contract
    tenant: Tenant
    objective: Objective
    period: Span
    counted: Span
    result: Result


def terms_of(contract: Contract, tenant: Tenant, year: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))) -> Terms:
    """Return what one version says of all objectives of a tenant; `year` is fees and credits before."""
    return Terms(
        exclusions=tenant.exclusions,
        fee=tenant.fee,
        topology=contract.topology,
        zone=contract.zone_info,
        fees_of_year=year[0],
        credited_of_year=year[1],
    )


def reach_ms(objective: Objective) -> tuple[int, int]:
    """Return how far before and after a period the rules of an objective look."""
    measure, gap = objective.measure, objective.monitoring_gap
    whole = measure.filter_ms + measure.join_gap_ms
    looks_back = (
        objective.clock_start != "fault_onset"
        or objective.clock_end != "service_restored"
        or gap.last_state_up_to_ms is not None
        or any(rule.after_ms for rule in objective.degraded)
        or objective.up_rule.spare_policy.swap_grace_ms
    )
    rolling = 2 * (objective.period.length_ms or 0)
    return whole + rolling + (LOOK_BACK_MS if looks_back else 0), whole


class Known:
    """What a history gives, looked up once for all objectives that ask for the same."""

    def __init__(self, history: History) -> None:
        """Begin with nothing looked up; valid until the history learns more."""
        self._history = history
        self._given: dict[tuple[int, str, Span, Span, str], Given] = {}

    def given(
        self, contract: Contract, tenant: Tenant, objective: Objective, period: Span, *, up_to_ms: int | None = None
    ) -> Given:
        """Return everything that an objective's evaluation over a period needs."""
        before_ms, after_ms = reach_ms(objective)
        end_ms = period.to_ms + after_ms if up_to_ms is None else min(period.to_ms + after_ms, up_to_ms)
        asked = Span(period.from_ms - before_ms, period.to_ms)
        window = Span(asked.from_ms - LOOK_BACK_MS, max(end_ms, period.to_ms))
        key = (contract.version, tenant.id, asked, window, objective.gap_after_down)
        if key not in self._given:
            heard = self._history.heard()
            places = _places(given_of(contract, tenant, heard, {}), period)
            lasts = objective.gap_after_down == "down"
            timelines = self._history.exceptions(places, asked, window, down_lasts=lasts)
            self._given[key] = given_of(contract, tenant, heard, timelines)
        return self._given[key]


def within(given: Given, objective: Objective, window: Span) -> Given:
    """Return what of a longer time a short window needs: places that were up all around it are left out."""
    before_ms, after_ms = reach_ms(objective)
    from_ms, to_ms = window.from_ms - before_ms, window.to_ms + after_ms
    timelines = {
        place: timeline
        for place, timeline in given.timelines.items()
        if any(one.state is not State.UP and one.from_ms < to_ms and one.to_ms > from_ms for one in timeline)
    }
    return replace(given, timelines=timelines)


def _places(given: Given, period: Span) -> Iterator[Place]:
    """Yield every place whose timeline may matter once: leased ones, and spares that served."""
    sets = [held.places for held in given.held if held.span.clip(period)]
    sets += [swap.spare for swap in given.swaps]
    if len(sets) == 1:
        yield from sets[0]
        return
    seen: set[Place] = set()
    for places in sets:
        for place in places:
            if place not in seen:
                seen.add(place)
                yield place


def settled_month(
    agreement: Agreement, history: History, tenant_id: str, month: str, *, up_to_ms: int | None = None
) -> tuple[Settled, ...]:
    """Return the results of a tenant's objectives for a month, each under the version in force.

    Args:
        agreement: All versions of the contract.
        history: The fold of the ledger.
        tenant_id: Whose month.
        month: `YYYY-MM`.
        up_to_ms: For a month that is still running: count only up to here.

    Raises:
        ValueError: If the month is misspelt, has not begun at `up_to_ms`, or an up-rule cannot hold.
    """
    known = Known(history)
    due = _due(agreement, tenant_id, month, up_to_ms)
    return tuple(_settled(agreement, history, known, one, month, up_to_ms) for one in due)


@dataclass(frozen=True, slots=True)
class _Due:
    contract: Contract
    tenant: Tenant
    objective: Objective
    whole: Span
    part: Span


def _due(agreement: Agreement, tenant_id: str, month: str, up_to_ms: int | None) -> Iterator[_Due]:
    for version in agreement.versions:
        tenant = next((one for one in version.tenants if one.id == tenant_id), None)
        for objective in tenant.objectives if tenant is not None else ():
            whole = period_of(objective, month, version.zone_info)
            counted = whole if up_to_ms is None else Span(whole.from_ms, min(whole.to_ms, up_to_ms))
            for part, in_force in agreement.in_force(counted):
                if in_force is version and tenant is not None:
                    yield _Due(version, tenant, objective, whole, part)


def _settled(
    agreement: Agreement, history: History, known: Known, due: _Due, month: str, up_to_ms: int | None
) -> Settled:
    given = known.given(due.contract, due.tenant, due.objective, due.part, up_to_ms=up_to_ms)
    terms = terms_of(due.contract, due.tenant, _year(agreement, history, due, month))
    # What a running month has cost so far is of the fee of the whole month; so is a part between versions.
    cut = due.part.to_ms < due.whole.to_ms and due.part.to_ms != up_to_ms
    whole = due.whole if cut or due.part.from_ms > due.whole.from_ms else None
    return Settled(
        contract=due.contract,
        tenant=due.tenant,
        objective=due.objective,
        period=due.whole,
        counted=due.part,
        result=settle(due.objective, terms, given, due.part, whole=whole),
    )


def _year(agreement: Agreement, history: History, due: _Due, month: str) -> tuple[Fraction, Fraction]:
    """Return the fees and credits of the calendar year before a month, where a cap needs them."""
    caps = due.objective.credits.caps
    fees, credited = Fraction(0), Fraction(0)
    if caps.per_year_pct is None and caps.annual_money is None:
        return fees, credited
    for number in range(1, int(month[5:])):
        for one in settled_month(agreement, history, due.tenant.id, f"{month[:4]}-{number:02d}"):
            if one.objective.name == due.objective.name:
                fees += exact(one.tenant.fee.monthly_amount) if one.tenant.fee else 0
                credited += Fraction(one.result.credit.amount)
    return fees, credited


def total_credit(settled: tuple[Settled, ...]) -> Decimal:
    """Return what a tenant's objectives owe together, as they stack."""
    return stacked([(one.objective, one.result.credit) for one in settled])


def claim_by_ms(one: Settled, month: str) -> int | None:
    """Return until when the tenant must claim a credit, ms UTC; None when it comes by itself."""
    claim = one.objective.credits.issue.claim
    if claim is None:
        return None
    if claim.deadline == "end_of_2nd_billing_cycle":
        zone = one.contract.zone_info
        return period_of(one.objective, following_month(following_month(month)), zone).to_ms
    return one.period.to_ms + int(claim.deadline[1:-1]) * limits.DAY_MS
