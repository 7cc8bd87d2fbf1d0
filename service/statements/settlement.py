"""The money of a version: what it settles, what was credited before, and where the rest goes."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from service import statement
from service.core import limits
from service.core.contract import Objective
from service.core.cut import Cut, cut_json
from service.core.periods import month_of, parse_utc, utc_text
from service.core.statements.lifecycle import SETTLED, ends_ms
from service.projection import history_of
from service.statements.basis import Basis
from service.statements.issued import Issued


def settlement(basis: Basis, document: Mapping[str, Any], before: Sequence[Issued], cut: Cut | None) -> dict[str, Any]:
    """Return the money of a version, in the contract's currency.

    `amount` is what the month costs as settled, `difference` what is posted to the next open
    invoice, which is that of the month in which the version was issued. What was recorded after an
    objective's late-arrival cutoff moves no money: its credit is that of the rows before it.
    """
    late = _late(basis, document, cut)
    amount = _total(document, late)
    settled = [one for one in before if one.settled]
    credited = Decimal(settled[-1].document["settlement"]["amount"]) if settled else Decimal("0.00")
    pays = document["status"] in SETTLED and document["issued"] is not None
    zone = basis.in_force(document["month"]).zone_info
    posted = amount - credited if pays else Decimal(0)
    return {
        "amount": str(amount),
        "credited_before": str(credited),
        "difference": str(amount - credited),
        "currency": document["credit"]["currency"],
        "posts_to": month_of(parse_utc(document["issued"]), zone) if posted else None,
        "late": late,
    }


def _late(basis: Basis, document: Mapping[str, Any], cut: Cut | None) -> list[dict[str, Any]]:
    """Return the objectives of which something was recorded too late, with the credit as of the cutoff."""
    if cut is None:
        return []
    tenant_id, month = document["tenant"], document["month"]
    tenant = basis.tenant(tenant_id, month)
    period_to_ms = ends_ms(tenant, month, basis.in_force(month).zone_info)
    found = []
    for objective in tenant.objectives:
        days = _cutoff_days(objective)
        if days is None:
            continue
        at_ms = period_to_ms + days * limits.DAY_MS
        early = _within(basis.ledger.cut(at_ms), cut)
        if early != cut:
            found += _credits(basis, document, objective, early, at_ms)
    return found


def _cutoff_days(objective: Objective) -> int | None:
    return objective.monitoring_gap.witnesses.late_arrival_cutoff_days


def _within(early: Cut, cut: Cut) -> Cut:
    """Return the smaller of two cuts of one ledger, partition by partition."""
    return {partition: min(tip, cut[partition]) for partition, tip in early.items() if partition in cut}


def _credits(
    basis: Basis, document: Mapping[str, Any], objective: Objective, early: Cut, at_ms: int
) -> list[dict[str, Any]]:
    tenant = basis.tenant(document["tenant"], document["month"])
    drawn = statement.draw(basis.agreement, history_of(basis.ledger, early), tenant, document["month"])
    shown = [one["credit"]["amount"] for one in document["objectives"] if one["objective"]["name"] == objective.name]
    paid = [one["credit"]["amount"] for one in drawn["objectives"] if one["objective"]["name"] == objective.name]
    if shown == paid:
        return []
    return [
        {
            "objective": objective.name,
            "cutoff": utc_text(at_ms),
            "cut": cut_json(early),
            "shown": str(sum(map(Decimal, shown))),
            "settled": str(sum(map(Decimal, paid))),
        }
    ]


def _total(document: Mapping[str, Any], late: Sequence[Mapping[str, Any]]) -> Decimal:
    if not late:
        return Decimal(document["credit"]["amount"])
    settled = {one["objective"]: Decimal(one["settled"]) for one in late}
    amounts: dict[str, Decimal] = {}
    for one in document["objectives"]:
        name = one["objective"]["name"]
        amounts[name] = amounts.get(name, Decimal(0)) + Decimal(one["credit"]["amount"])
    amounts |= settled
    if document["credit"]["stack"] == "max":
        return max(amounts.values())
    return sum(amounts.values(), start=Decimal(0))
