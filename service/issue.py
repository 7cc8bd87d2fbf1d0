"""Statements as they are issued: drawn from a cut, so that anybody can draw the same again."""

import json
from collections.abc import Callable

from service import statement
from service.core.contract import Contract, Tenant
from service.core.cut import Cut, cut_json, cut_of
from service.core.facts import Fact
from service.core.ports import Ledger
from service.projection import history_of

Recompute = Callable[[Fact], str]  # a statement's row to the body that it must have


def issued(contract: Contract, ledger: Ledger, tenant: Tenant, month: str, cut: Cut) -> str:
    """Return the body of a statement's row: the statement with the cut that it stands on."""
    drawn = statement.draw(contract, history_of(ledger, cut), tenant, month)
    return json.dumps(drawn | {"cut": cut_json(cut)}, sort_keys=True)


def recompute(contract: Contract, ledger: Ledger) -> Recompute:
    """Return the function that draws a statement again from the cut that its row names.

    It raises ValueError for a row that names no cut, no tenant of the contract or no month, and
    LedgerError when the ledger does not have the cut.
    """

    def again(fact: Fact) -> str:
        body = json.loads(fact.body)
        if not isinstance(body, dict) or "cut" not in body:
            msg = "it names no cut: it was issued by the first release"
            raise ValueError(msg)
        _, tenant_id, month, *_ = fact.key.split("/")
        try:
            tenant = contract.tenant(tenant_id)
        except KeyError as error:
            msg = f"the contract has no tenant {tenant_id}"
            raise ValueError(msg) from error
        return issued(contract, ledger, tenant, month, cut_of(body["cut"]))

    return again
