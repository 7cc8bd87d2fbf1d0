"""The contract as data: tenants, leases of places over time, targets and their money.

pydantic at the door: unknown keys, wrong types and contradictions are refused with the key that
carries them, and so is every term that the engine does not compute. Small contracts stay small:
every rule has a default, and the defaults are the plainest reading of an uptime promise.
"""

from service.core.contract.credits import Credits, Tier
from service.core.contract.exclusions import Exclusions
from service.core.contract.measure import MonitoringGap
from service.core.contract.objective import Objective
from service.core.contract.parties import Fee, Lease, Term
from service.core.contract.places import Places, Topology
from service.core.contract.site import Contract, Tenant
from service.core.contract.uprule import UpRule
from service.core.contract.values import exact
from service.core.contract.versions import Agreement

__all__ = [
    "Agreement",
    "Contract",
    "Credits",
    "Exclusions",
    "Fee",
    "Lease",
    "MonitoringGap",
    "Objective",
    "Places",
    "Tenant",
    "Term",
    "Tier",
    "Topology",
    "UpRule",
    "exact",
]
