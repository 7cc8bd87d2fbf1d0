"""Versions that were issued, as the ledger keeps them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.core.cut import Cut
from service.core.facts import Fact, FactKind
from service.core.ports import Ledger
from service.core.statements.canonical import digest
from service.core.statements.lifecycle import SETTLED, Status, named_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One version: its body is what was issued, byte for byte."""

    tenant: str
    month: str
    version: int
    key: str
    body: str
    recorded_ms: int

    @property
    def document(self) -> dict[str, Any]:
        """The statement itself."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def hash(self) -> str:
        """The SHA-256 of what was issued, hex."""
        return digest(self.body)

    @property
    def status(self) -> str:
        """What the version is; those of the first release are drafts."""
        return str(self.document.get("status", Status.DRAFT.value))

    @property
    def settled(self) -> bool:
        """Whether money followed from it."""
        return self.status in SETTLED


def issued_of(fact: Fact) -> Issued:
    """Return the version that a row keeps.

    Raises:
        ValueError: If the row is no statement.
    """
    tenant, month, number = named_in(fact.key)
    recorded_ms = fact.recorded_ms if fact.recorded_ms is not None else fact.from_ms
    return Issued(tenant=tenant, month=month, version=number, key=fact.key, body=fact.body, recorded_ms=recorded_ms)


def every(ledger: Ledger, up_to: Cut | None = None) -> Iterator[Issued]:
    """Yield every version that was issued, in order of recording."""
    for fact in ledger.facts(kinds=[FactKind.STATEMENT.value], up_to=up_to, replaced=True):
        yield issued_of(fact)


def versions(ledger: Ledger, tenant: str, month: str, up_to: Cut | None = None) -> tuple[Issued, ...]:
    """Return the versions of a tenant's month, the first first."""
    found = [one for one in every(ledger, up_to) if (one.tenant, one.month) == (tenant, month)]
    return tuple(sorted(found, key=lambda one: one.version))
