"""What a contract says and what people said, as what the engine is given."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from service.core.contract import Contract, Places, Tenant
from service.core.contract.parties import Item
from service.core.heard import Heard
from service.core.model import Place
from service.core.said import Accepted, Claimed, Decided, Leased, Marked, Stopped, Swapped
from service.core.sla.given import Acceptance, Claim, Decision, Given, Held, Mark, Stop, Swap
from service.core.timeline import Timeline


def given_of(contract: Contract, tenant: Tenant, heard: Iterable[Heard], timelines: Mapping[Place, Timeline]) -> Given:
    """Return everything that concerns one tenant, under one version of the contract."""
    by_kind: dict[type, list[Heard]] = defaultdict(list)
    for one in heard:
        by_kind[type(one.said)].append(one)
    places = _Reader(contract)
    return Given(
        held=(
            *(Held(contract.places(lease), lease.span) for lease in tenant.leases),
            *places.leases(by_kind[Leased], tenant.id),
        ),
        timelines=timelines,
        acceptances=(*places.accepted(tenant.inventory), *places.acceptances(by_kind[Accepted])),
        swaps=tuple(places.swaps(by_kind[Swapped])),
        claims=tuple(places.claims(by_kind[Claimed])),
        decisions=tuple(
            Decision(claim=one.said.claim, approved=one.said.approved, by=one.said.by, at_ms=one.from_ms)
            for one in by_kind[Decided]
            if isinstance(one.said, Decided)
        ),
        stops=tuple(places.stops(by_kind[Stopped])),
        marks=tuple(places.marks(by_kind[Marked])),
    )


class _Reader:
    """Reads selectors in the sizes of a contract."""

    def __init__(self, contract: Contract) -> None:
        self._topology = contract.topology

    def _places(self, selectors: Iterable[str]) -> Places:
        return Places.of(selectors, self._topology)

    def leases(self, heard: Iterable[Heard], tenant: str) -> Iterable[Held]:
        for one in heard:
            if isinstance(one.said, Leased) and one.said.tenant == tenant:
                yield Held(self._places(one.said.places), one.span)

    def accepted(self, inventory: Iterable[Item]) -> Iterable[Acceptance]:
        for item in inventory:
            places = self._places((item.unit_id,))
            if item.accepted is not None:
                yield Acceptance(places, item.accepted)
            if item.removed is not None:
                yield Acceptance(places, item.removed, removed=True)

    def acceptances(self, heard: Iterable[Heard]) -> Iterable[Acceptance]:
        for one in heard:
            if isinstance(one.said, Accepted):
                yield Acceptance(self._places(one.said.places), one.from_ms, removed=one.said.removed)

    def swaps(self, heard: Iterable[Heard]) -> Iterable[Swap]:
        for one in heard:
            if isinstance(one.said, Swapped):
                yield Swap(self._places((one.said.failed,)), self._places((one.said.spare,)), one.span)

    def claims(self, heard: Iterable[Heard]) -> Iterable[Claim]:
        for one in heard:
            if isinstance(one.said, Claimed):
                yield Claim(
                    id=one.said.claim,
                    kind=one.said.kind,
                    places=self._places(one.said.places),
                    span=one.span,
                    by=one.said.by,
                    announced_ms=one.said.announced_ms,
                    evidence=one.said.evidence,
                )

    def stops(self, heard: Iterable[Heard]) -> Iterable[Stop]:
        for one in heard:
            if isinstance(one.said, Stopped):
                yield Stop(one.said.reason, self._places(one.said.places), one.span, one.said.evidence)

    def marks(self, heard: Iterable[Heard]) -> Iterable[Mark]:
        for one in heard:
            if isinstance(one.said, Marked):
                yield Mark(one.said.instant, self._places(one.said.places), one.from_ms)
