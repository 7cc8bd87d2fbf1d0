"""Statements drawn again: from the cut that each names, byte for byte as it was issued."""

import json
from collections.abc import Callable

from service.core.contract import Agreement, Contract
from service.core.cut import cut_of
from service.core.facts import Fact
from service.core.periods import parse_utc
from service.core.ports import Ledger
from service.core.statements.canonical import canonical
from service.core.statements.lifecycle import Status, named_in
from service.statements.basis import Basis
from service.statements.document import FORMAT, Stamp, draw

Recompute = Callable[[Fact], str]  # a statement's row to the body that it must have


def recompute(contract: Contract | Agreement, ledger: Ledger) -> Recompute:
    """Return the function that draws a statement again from the cut that its row names.

    What cannot follow from the ledger is taken from the row: when and as what it was issued, and
    the releases that computed it. It raises ValueError for a row that names no cut, no tenant of
    the contract or no month, and LedgerError when the ledger does not have the cut.
    """
    agreement = contract if isinstance(contract, Agreement) else Agreement.of((contract,))
    basis = Basis(agreement=agreement, ledger=ledger)

    def again(fact: Fact) -> str:
        body = json.loads(fact.body)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            msg = "it is of another format: the release that issued it draws it again"
            raise ValueError(msg)
        try:
            by, issued = body["computed_by"], body["issued"]
            stamp = Stamp(
                status=Status(body["status"]),
                engine=by["engine"],
                tzdata=by["tzdata"],
                issued_ms=None if issued is None else parse_utc(issued),
            )
            cut = cut_of(body["cut"])
        except (KeyError, TypeError) as error:
            msg = f"it lacks {error}"
            raise ValueError(msg) from error
        tenant, month, _ = named_in(fact.key)
        return canonical(draw(basis, tenant, month, cut, stamp))

    return again
