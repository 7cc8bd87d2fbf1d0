"""Issues statements when they are due: drafts, finals and restatements, each once.

Every turn may be repeated, and interrupted at any instant: a version is one row with a key of its
own, drawn from a cut that it names.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from service.core import limits
from service.core.contract import Agreement, Tenant
from service.core.cut import Cut, cut_of
from service.core.facts import Fact, FactKind, changed
from service.core.heard import standing
from service.core.periods import following_month, month_of, previous_month
from service.core.ports import Clock, Ledger
from service.core.said import OPERATOR_PARTITION, Leased
from service.core.statements.canonical import canonical, digest
from service.core.statements.lifecycle import (
    Status,
    concerns,
    decision_key,
    ends_ms,
    final_due_ms,
    key_of,
    numbers,
)
from service.statements.basis import Basis
from service.statements.document import Stamp, draw
from service.statements.environment import engine_version, tzdata_version
from service.statements.issued import Issued, every, issued_of

_Month = tuple[str, str]  # tenant, month


@dataclass(frozen=True, slots=True)
class _Head:
    """What is remembered of the newest version of a month."""

    settled: bool
    recorded_ms: int
    cut: Cut  # up to where nothing changed its numbers
    numbers: str


def _head(one: Issued) -> _Head:
    document = one.document
    return _Head(one.settled, one.recorded_ms, cut_of(document.get("cut", {})), _digest(document))


def _digest(document: dict[str, Any]) -> str:
    return digest(canonical(numbers(document)))


@dataclass(slots=True, kw_only=True)
class Keeper:
    """Keeps a ledger's statements.

    Args:
        agreement: The terms.
        ledger: What statements are drawn from.
        clock: Says what is due.
        cut: Writes down what is open, and returns the cut that has it all.
        book: Commits one row as recorded at an instant.
    """

    agreement: Agreement
    ledger: Ledger
    clock: Clock
    cut: Callable[[], Cut]
    book: Callable[[Fact, int], None]
    _heads: dict[_Month, _Head] | None = None

    def _knows(self, tenant_id: str) -> bool:
        """Return whether the contract still names a tenant; else its statements stay as they are."""
        return any(one.id == tenant_id for version in self.agreement.versions for one in version.tenants)

    def turn(self) -> tuple[Fact, ...]:
        """Issue whatever is due now; return the rows."""
        if self._heads is None:
            self._heads = {(one.tenant, one.month): _head(one) for one in every(self.ledger)}
        first = [*self._drafts(), *self._finals(self._heads)]
        cut = self.cut() if first else {}
        made = [self._issue(month, status, cut, self._heads) for month, status in first]
        # What was recorded since is in rows already: a note of what is open would only make more of them.
        now = self.ledger.cut()
        changed_months = list(self._changed(self._heads, now))
        made += [self._issue(month, Status.RESTATED, now, self._heads) for month in changed_months]
        return tuple(fact for fact in made if fact is not None)

    def _drafts(self) -> Iterator[tuple[_Month, Status]]:
        zone, now_ms = self.agreement.newest.zone_info, self.clock.now_ms()
        last = previous_month(month_of(now_ms, zone))
        for tenant in self.agreement.newest.tenants:
            known = (month for who, month in self._heads or {} if who == tenant.id)
            month = following_month(max(known, default=previous_month(last)))
            for _ in range(limits.STATEMENT_MONTHS if tenant.objectives else 0):
                if month > last or now_ms < ends_ms(tenant, month, zone):
                    break
                if self._leased(tenant, month):
                    yield (tenant.id, month), Status.DRAFT
                month = following_month(month)

    def _leased(self, tenant: Tenant, month: str) -> bool:
        """Return whether a tenant leases anything in a month, by contract or as a person said."""
        period = self._basis.period(month)
        if any(lease.span.clip(period) for lease in tenant.leases):
            return True
        heard = standing(self.ledger.facts(kinds=[FactKind.OPERATOR.value]))
        told = (one for one in heard if isinstance(one.said, Leased) and one.said.tenant == tenant.id)
        return any(one.span.clip(period) for one in told)

    def _finals(self, heads: dict[_Month, _Head]) -> Iterator[tuple[_Month, Status]]:
        drafts = [(month, head) for month, head in heads.items() if not head.settled and self._knows(month[0])]
        told = {fact.key for fact in self.ledger.facts(kinds=["operator"])} if drafts else set()
        for month, head in drafts:
            tenant, zone = self._basis.tenant(*month), self._basis.in_force(month[1]).zone_info
            decided = tenant.reporting.finalise == "automatic" or decision_key(*month) in told
            due_ms = final_due_ms(ends_ms(tenant, month[1], zone), head.recorded_ms, tenant.reporting, zone)
            if decided and self.clock.now_ms() >= due_ms:
                yield month, Status.FINAL

    def _changed(self, heads: dict[_Month, _Head], now: Cut) -> Iterator[_Month]:
        """Yield settled months of which rows were recorded since that may change their numbers."""
        for month, head in sorted(heads.items(), key=lambda item: item[0][1], reverse=True):
            if not head.settled or head.cut == now or not self._knows(month[0]):
                continue
            zone = self._basis.in_force(month[1]).zone_info
            since_ms = self._basis.period(month[1]).from_ms - limits.DAY_MS
            to_ms = ends_ms(self._basis.tenant(*month), month[1], zone)
            if any(concerns(fact, to_ms) for fact in self.ledger.facts(since_ms=since_ms, after=head.cut, up_to=now)):
                yield month
            else:
                heads[month] = _Head(True, head.recorded_ms, now, head.numbers)

    def _issue(self, month: _Month, status: Status, cut: Cut, heads: dict[_Month, _Head]) -> Fact | None:
        now_ms = self.clock.now_ms()
        stamp = Stamp(status=status, engine=engine_version(), tzdata=tzdata_version(), issued_ms=now_ms)
        document = draw(self._basis, *month, cut, stamp)
        head = heads.get(month)
        if status is Status.RESTATED and head is not None and head.numbers == _digest(document):
            heads[month] = _Head(True, head.recorded_ms, cut, head.numbers)
            return None
        period = self._basis.period(month[1])
        fact = Fact(
            kind=FactKind.STATEMENT,
            key=key_of(*month, document["version"]),
            partition=OPERATOR_PARTITION,
            from_ms=period.from_ms,
            to_ms=period.to_ms,
            body=canonical(document),
        )
        self.book(fact, now_ms)
        heads[month] = _head(issued_of(changed(fact, recorded_ms=now_ms)))
        return fact

    @property
    def _basis(self) -> Basis:
        return Basis(agreement=self.agreement, ledger=self.ledger)
