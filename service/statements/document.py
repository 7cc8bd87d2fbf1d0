"""A statement as a document: numbers, and everything that they stand on, drawn from a cut."""

from dataclasses import dataclass
from typing import Any

from service import statement
from service.core.contract import Tenant
from service.core.contract.exclusions import Exclusions
from service.core.cut import Cut, cut_json
from service.core.history import History
from service.core.periods import utc_text
from service.core.statements.difference import difference
from service.core.statements.lifecycle import Status, numbers
from service.projection import history_of
from service.statements.basis import Basis
from service.statements.claims import claims_json
from service.statements.evidence import evidence_json, unknown_json
from service.statements.issued import Issued, versions
from service.statements.settlement import settlement

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a document cannot be recomputed from: when and as what it was issued, and by which release."""

    status: Status
    engine: str
    tzdata: str
    issued_ms: int | None = None


def draw(
    basis: Basis, tenant_id: str, month: str, cut: Cut | None, stamp: Stamp, *, up_to_ms: int | None = None
) -> dict[str, Any]:
    """Return the document of a tenant's month.

    Args:
        basis: Ledger and contract.
        tenant_id: Whose statement.
        month: `YYYY-MM`.
        cut: The rows that count, the versions issued before among them; None for all, with what
            is open now: then nobody can draw the same again.
        stamp: Status, and who computed it.
        up_to_ms: For a month that is still running: count only up to here.

    Raises:
        ValueError: If there is no such tenant or month.
        LedgerError: If the ledger does not have the cut.
    """
    tenant = basis.tenant(tenant_id, month)
    history = history_of(basis.ledger, cut)
    drawn = statement.draw(basis.agreement, history, tenant, month, up_to_ms=up_to_ms)
    before = versions(basis.ledger, tenant_id, month, cut)
    previous = before[-1] if before else None
    document = drawn | _stood_on(basis, tenant, month, cut, history, drawn)
    document["objectives"] = [_own(one, document["claims"]) for one in drawn["objectives"]]
    document |= {
        "format": FORMAT,
        "month": month,
        "version": (previous.version if previous else 0) + 1,
        "status": stamp.status.value,
        "issued": None if stamp.issued_ms is None else utc_text(stamp.issued_ms),
        "computed_by": {"engine": stamp.engine, "tzdata": stamp.tzdata},
    }
    document["settlement"] = settlement(basis, document, before, cut)
    return document | _compared(document, previous)


def _own(objective: dict[str, Any], claims: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an objective without what was refused of other tenants' claims, or in other months."""
    mine, excluded = {one["claim"] for one in claims}, objective["excluded"]
    return objective | {"excluded": excluded | {"refused": [o for o in excluded["refused"] if o["claim"] in mine]}}


def _stood_on(
    basis: Basis, tenant: Tenant, month: str, cut: Cut | None, history: History, drawn: dict[str, Any]
) -> dict[str, Any]:
    contract, period = basis.in_force(month), basis.period(month)
    return {
        "site": contract.site,
        "landlord": contract.landlord,
        "contract": drawn["contract"] | {"hash": basis.contract_hash(period)},
        "cut": None if cut is None else cut_json(cut),
        "claims": claims_json(contract, tenant, basis.ledger, cut, drawn, period),
        "evidence": evidence_json(basis.ledger, cut, history, drawn, period),
        "unknown": unknown_json(history, drawn, contract.topology, period, down_lasts=_down_lasts(tenant)),
        "terms": [
            {"objective": one.name} | one.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for one in tenant.objectives
        ],
        "exclusion_terms": _exclusion_terms(tenant.exclusions),
    }


def _down_lasts(tenant: Tenant) -> bool:
    return all(one.gap_after_down == "down" for one in tenant.objectives)


def _exclusion_terms(terms: Exclusions) -> dict[str, Any]:
    return {"mode": terms.mode, "extent": terms.extent, "but_for": terms.but_for, "precedence": list(terms.order)}


def _compared(document: dict[str, Any], previous: Issued | None) -> dict[str, Any]:
    if previous is None:
        return {"previous": None, "difference": []}
    named = {
        "version": previous.version,
        "status": previous.status,
        "hash": previous.hash,
        "recorded": utc_text(previous.recorded_ms),
    }
    return {"previous": named, "difference": difference(numbers(previous.document), numbers(document))}
