"""What a reading says of a GPU's health: a list of rules; the worst that fits decides, the first among equals."""

from collections.abc import Iterator

from collectors.catalogue import Part, Quantity
from collectors.device import Access, FabricState, Reading
from collectors.edges import UP, Look
from service.core.health import Health, health_of

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
    causes = [cause for cause in _causes(reading, cuda_version) if cause is not None]
    if not causes:
        return UP
    down = (cause for cause in causes if health_of(cause) is Health.DOWN)
    cause = causes[0] if reading.access is Access.FAILED else next(down, causes[0])
    return Look(health_of(cause), cause)


def _causes(reading: Reading, cuda_version: int) -> Iterator[str | None]:
    """Yield what a reading shows, the more telling first."""
    yield _ACCESS[reading.access]
    yield action_cause(reading.recovery_action, cuda_version)
    yield "memory:remap_failed" if reading.values.get(Quantity.REMAP_FAILED) == 1 else None
    yield _FABRIC[reading.fabric]
    yield "nvlink:link_down" if _link_down(reading) else None
    yield "memory:remap_pending" if reading.values.get(Quantity.REMAP_PENDING) == 1 else None
    for reason, cause in _SLOWDOWNS:
        yield cause if reading.values.get(reason) == 1 else None


_SLOWDOWNS = (
    (Part(Quantity.CLOCK_EVENT, "hw_power_brake"), "slowdown:power_brake"),
    (Part(Quantity.CLOCK_EVENT, "hw_thermal"), "slowdown:thermal"),
    (Part(Quantity.CLOCK_EVENT, "sw_thermal"), "slowdown:thermal"),
)
_LINKS = tuple(Part(Quantity.NVLINK_STATE, str(link)) for link in range(18))
_LINK_DOWN = frozenset({0, 3})  # inactive, or active without traffic; 2 is asleep and wakes by itself


def _link_down(reading: Reading) -> bool:
    """Return whether a link is down; a GPU without a fabric has links that lead nowhere."""
    if reading.fabric is FabricState.UNSUPPORTED:
        return False
    return any(reading.values.get(link) in _LINK_DOWN for link in _LINKS)
