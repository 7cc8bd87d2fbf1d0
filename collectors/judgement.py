"""What a reading says of a GPU's health: one ordered list of rules, the first that fits decides."""

from collectors.device import Access, FabricState, Reading
from collectors.edges import UP, Look
from service.core.health import health_of

# Field 230. 5 is read as the IMEX domain only from CUDA 13.3 on; before, it asks for some reset.
_ACTIONS = {
    0: None,
    1: "recovery:reset_gpu",
    2: "recovery:reboot_node",
    3: "recovery:drain_p2p",
    4: "recovery:drain_and_reset",
    6: "recovery:reset_gpu",
    7: "recovery:reboot_node",
}
_IMEX_SINCE_CUDA = 13030

_ACCESS = {
    Access.OK: None,
    Access.LOST: "gpu:lost",
    Access.RESET_REQUIRED: "gpu:reset_required",
    Access.FAILED: "agent:unreadable",
}

_FABRIC = {
    FabricState.HEALTHY: None,
    FabricState.UNSUPPORTED: None,
    FabricState.UNKNOWN: None,
    FabricState.DEGRADED: "fabric:degraded",
    FabricState.UNHEALTHY: "fabric:unhealthy",
    FabricState.NOT_READY: "fabric:not_ready",
}


def action_cause(action: int | None, cuda_version: int) -> str | None:
    """Return the cause word for a recovery action, or None when nothing is asked for.

    Args:
        action: Raw value of field 230; None when it could not be read.
        cuda_version: The driver's CUDA version as NVML gives it, 13000 for 13.0.
    """
    if action is None:
        return None
    if action == 5:  # noqa: PLR2004 -- the one number whose meaning changed
        return "recovery:imex_domain" if cuda_version >= _IMEX_SINCE_CUDA else "recovery:reset_gpu"
    return _ACTIONS.get(action, "recovery:unknown_action")


def look(reading: Reading, cuda_version: int) -> Look:
    """Return the health that a reading proves, with its cause."""
    cause = _ACCESS[reading.access] or action_cause(reading.recovery_action, cuda_version) or _FABRIC[reading.fabric]
    return UP if cause is None else Look(health_of(cause), cause)
