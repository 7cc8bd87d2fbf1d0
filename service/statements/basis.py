"""What statements are drawn from: a ledger, and the versions of a contract."""

from dataclasses import dataclass

from service.core.contract import Agreement, Contract, Tenant
from service.core.model import Span
from service.core.periods import month_span
from service.core.ports import Ledger
from service.core.statements.canonical import canonical, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """One ledger under one agreement."""

    agreement: Agreement
    ledger: Ledger

    def tenant(self, tenant_id: str, month: str) -> Tenant:
        """Return a tenant as the version has it under which a month begins, or the newest that knows it.

        Raises:
            ValueError: If no version does.
        """
        for version in (self.in_force(month), *reversed(self.agreement.versions)):
            for tenant in version.tenants:
                if tenant.id == tenant_id:
                    return tenant
        known = ", ".join(one.id for one in self.agreement.newest.tenants)
        msg = f"the contract has no tenant {tenant_id}; there are {known}"
        raise ValueError(msg)

    def in_force(self, month: str) -> Contract:
        """Return the version under which a month begins, or the newest."""
        for version in self.agreement.versions:
            if self.agreement.at(month_span(month, version.zone_info).from_ms) is version:
                return version
        return self.agreement.newest

    def period(self, month: str) -> Span:
        """Return the calendar month in the zone of the version under which it begins."""
        return month_span(month, self.in_force(month).zone_info)

    def contract_hash(self, period: Span) -> str:
        """Return the SHA-256 of the versions in force in a period, hex.

        Later versions do not change it, nor do terms that a later release learns.
        """
        found = [
            one.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for _, one in self.agreement.in_force(period)
        ]
        return digest(canonical(found))
