"""All terms of a site: who leases what, when, and what was promised."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from service.core import limits
from service.core.contract.exclusions import Exclusions
from service.core.contract.objective import Objective
from service.core.contract.obligations import Chronic, Delivery, Repair
from service.core.contract.parties import Fee, Item, Lease, Reporting, Term
from service.core.contract.places import Places, Slot, Topology
from service.core.contract.uprule import SMALL, Level
from service.core.contract.values import Listed, Model, Name, NotComputed, TimeMs
from service.core.model import Place, Span
from service.core.periods import zone_of


class Tenant(Model):
    """A party that leases places; the landlord leases from itself, without objectives."""

    id: Name
    kind: Literal["tenant", "landlord"] = "tenant"
    term: Term | None = None
    fee: Fee | None = None
    objectives: Annotated[tuple[Objective, ...], Listed] = ()
    leases: Annotated[tuple[Lease, ...], Listed, Field(min_length=1)]
    inventory: Annotated[tuple[Item, ...], Listed] = ()
    exclusions: Exclusions = Exclusions()
    delivery: Annotated[Delivery, NotComputed] | None = None
    repair: Annotated[tuple[Repair, ...], Listed, NotComputed] = ()
    chronic: Annotated[tuple[Chronic, ...], Listed, NotComputed] = ()
    reporting: Reporting = Reporting()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [objective.name for objective in self.objectives]
        if len(set(names)) != len(names):
            msg = "two objectives of one tenant share a name"
            raise ValueError(msg)
        if self.kind == "tenant" and not self.objectives:
            msg = "a tenant needs an objective; only the landlord goes without"
            raise ValueError(msg)
        if len({objective.credits.stack for objective in self.objectives}) > 1:
            msg = "objectives of one tenant must name the same stack"
            raise ValueError(msg)
        self._check_denominators()
        self._check_term()
        return self

    def _check_denominators(self) -> None:
        for objective in self.objectives:
            shrinks = self.exclusions.mode == "from_denominator"
            if objective.denominator != "accepted_time" and (
                shrinks != (objective.denominator == "period_minus_excluded")
            ):
                msg = (
                    f"the denominator {objective.denominator} of {objective.name} contradicts exclusions.mode "
                    f"{self.exclusions.mode}: total_period goes with as_up, period_minus_excluded with from_denominator"
                )
                raise ValueError(msg)

    def _check_term(self) -> None:
        for lease in self.leases:
            if self.term is not None and lease.span.clip(self.term.span) != lease.span:
                msg = "a lease reaches beyond the term"
                raise ValueError(msg)


class Contract(Model):
    """One version of all terms of a site, in force over `[effective_from, effective_to)`."""

    id: Name
    version: int = Field(ge=1)
    supersedes: Annotated[int, Field(ge=1)] | None = None
    effective_from: TimeMs | None = None
    effective_to: TimeMs | None = None
    site: Name
    landlord: str = Field(min_length=1, max_length=limits.NAME_LENGTH)
    zone: str = "UTC"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    topology: Topology = Topology()
    tenants: Annotated[tuple[Tenant, ...], Listed, Field(min_length=1)]

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        zone_of(value)
        return value

    @model_validator(mode="after")
    def _sound(self) -> Self:
        ids = [tenant.id for tenant in self.tenants]
        if len(set(ids)) != len(ids):
            msg = "two tenants share an id"
            raise ValueError(msg)
        if self.effective_from is not None and self.effective_to is not None:
            Span(self.effective_from, self.effective_to)
        if self.supersedes is not None and self.supersedes >= self.version:
            msg = f"version {self.version} cannot supersede version {self.supersedes}"
            raise ValueError(msg)
        self._check_leases()
        for tenant in self.tenants:
            for objective in tenant.objectives:
                self._check_members(tenant, objective)
        return self

    def _check_members(self, tenant: Tenant, objective: Objective) -> None:
        """Refuse a threshold that the leased members of a unit can never reach."""
        rule, unit = objective.up_rule, objective.unit
        if rule.k is None:
            return
        level: Level = "tray" if rule.below_k == "rack_down" and unit in SMALL else rule.level_of(unit)
        for rack, slots in self._held(tenant).items():
            groups = {slot[0] for slot in slots} if unit in {"tray", "node"} and level == "gpu" else {0}
            for group in groups:
                inside = {slot for slot in slots if group in {0, slot[0]}}
                members = len(inside) if level == "gpu" else len({slot[0] for slot in inside})
                if unit not in {"pool", "site"} and rule.k > members:
                    msg = f"{objective.name}: k {rule.k} of {members} leased {level}s of {rack} can never be up"
                    raise ValueError(msg)

    def _held(self, tenant: Tenant) -> dict[str, set[Slot]]:
        held: dict[str, set[Slot]] = defaultdict(set)
        for lease in tenant.leases:
            places = self.places(lease)
            for rack in places.racks:
                held[rack].update(places.slots(rack))
        return held

    def _check_leases(self) -> None:
        by_rack: dict[str, list[tuple[Span, str, Places]]] = defaultdict(list)
        total = 0
        for tenant in self.tenants:
            for lease in tenant.leases:
                places = self.places(lease)
                total += len(places)
                if total > limits.CONTRACT_PLACES:
                    msg = f"more than {limits.CONTRACT_PLACES} places in one contract"
                    raise ValueError(msg)
                for rack in places.racks:
                    by_rack[rack].append((lease.span, tenant.id, places))
        for rack, held in by_rack.items():
            _check_rack(rack, held)

    @property
    def zone_info(self) -> ZoneInfo:
        """The zone that cuts periods."""
        return ZoneInfo(self.zone)

    def tenant(self, tenant_id: str) -> Tenant:
        """Return a tenant by id.

        Raises:
            KeyError: If there is none.
        """
        for tenant in self.tenants:
            if tenant.id == tenant_id:
                return tenant
        raise KeyError(tenant_id)

    def places(self, lease: Lease) -> Places:
        """Return the places of a lease without listing them."""
        return Places.of(lease.places, self.topology)

    def expand(self, lease: Lease) -> Iterator[Place]:
        """Yield every place of a lease once."""
        yield from self.places(lease)


def _check_rack(rack: str, held: list[tuple[Span, str, Places]]) -> None:
    if len(held) == 1:
        return
    taken: dict[Slot, list[tuple[Span, str]]] = defaultdict(list)
    for span, tenant, places in held:
        for slot in places.slots(rack):
            for other, owner in taken[slot]:
                if other.clip(span):
                    msg = f"{Place(rack, *slot)} is leased twice at once: to {owner} and to {tenant}"
                    raise ValueError(msg)
            taken[slot].append((span, tenant))
