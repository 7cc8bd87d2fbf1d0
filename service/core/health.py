"""Health words, their order, and the one table from cause to health.

`None` as health means: the agent lives but cannot tell how the GPU is. That is coverage of
the agent, not of the GPU, and counts as unknown. Silence is not in this table: what nobody
observed has no cause.
"""

from collections.abc import Iterable
from enum import Enum


class Health(Enum):
    """How a GPU served, as somebody saw it."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


class State(Enum):
    """How a stretch of time counts: a health that was seen, or unknown."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


_RANK = {State.UNKNOWN: 0, State.UP: 1, State.DEGRADED: 2, State.DOWN: 3}

_STATE_OF = {
    None: State.UNKNOWN,
    Health.UP: State.UP,
    Health.DEGRADED: State.DEGRADED,
    Health.DOWN: State.DOWN,
}


def state_of(health: Health | None) -> State:
    """Return the state that evidence of this health proves."""
    return _STATE_OF[health]


def worst(states: Iterable[State]) -> State:
    """Return the worst state that anybody saw; unknown only when nobody saw anything.

    Evidence beats ignorance: `up` seen by one witness and nothing by another is `up`.
    """
    return max(states, key=_RANK.__getitem__, default=State.UNKNOWN)


# Every cause word but the XIDs, which `service.core.xid` classifies. Words before the colon
# name who is concerned. A new cause must find its line here before anything may emit it.
CAUSES: dict[str, Health | None] = {
    # The GPU itself
    "gpu:lost": Health.DOWN,  # NVML error 15
    "gpu:reset_required": Health.DOWN,  # NVML error 16
    "gpu:missing": Health.DOWN,  # in the inventory, gone from the driver's list
    "gpu:unavailable": Health.DOWN,  # driver event 0x4000
    "gpu:poison": Health.DOWN,  # driver event 0x2000, fatal poison
    "gpu:dead": Health.DOWN,  # a person or an import says so, no code known
    "gpu:silent_corruption": Health.DEGRADED,  # wrong results, every value healthy: found by tests only
    "gpu:slow": Health.DEGRADED,  # slower than its neighbours, nothing said why
    # What the driver asks for (field 230)
    "recovery:reset_gpu": Health.DOWN,
    "recovery:reboot_node": Health.DOWN,
    "recovery:drain_p2p": Health.DEGRADED,
    "recovery:drain_and_reset": Health.DOWN,
    "recovery:imex_domain": Health.DEGRADED,
    "recovery:unknown_action": Health.DOWN,
    # NVLink fabric
    "fabric:not_ready": Health.DOWN,  # a GPU outside its NVLink domain cannot run CUDA on NVL72
    "fabric:unhealthy": Health.DOWN,
    "fabric:degraded": Health.DEGRADED,
    # Performance imposed by the site
    "slowdown:thermal": Health.DEGRADED,
    "slowdown:power_brake": Health.DEGRADED,
    # Links and memory
    "nvlink:link_down": Health.DEGRADED,
    "memory:remap_pending": Health.DEGRADED,
    "memory:remap_failed": Health.DOWN,
    "smoothing:disengaged": Health.DEGRADED,  # XID 163: until 162, or a reset
    # The host and its surroundings
    "host:reboot": Health.DOWN,
    "host:dead": Health.DOWN,
    "host:maintenance": Health.DOWN,
    "driver:not_loaded": Health.DOWN,  # NVML error 9: nothing can use the GPUs
    "rack:switch_tray": Health.DOWN,
    "rack:power": Health.DOWN,
    "rack:cooling": Health.DOWN,
    "hall:power": Health.DOWN,
    "software:push": Health.DOWN,
    "network:scale_out": Health.DEGRADED,
    "silence:after_down": Health.DOWN,  # the contract's rule, not anybody's observation
    # The agent lives but cannot tell
    "agent:hung_call": None,
    "agent:unreadable": None,
    "agent:edge": None,  # between the last good and the first bad reading, or back
    "agent:suspect": None,  # a suspicion that was not confirmed
    "agent:collector_lost": None,  # the process that holds the driver died or was replaced
    "driver:hung": None,  # no GPU of the tray answers: the driver's global lock, jobs may be running well
    "driver:reloaded": None,
    "driver:version_mismatch": None,  # NVML error 18: jobs may be running well
    "driver:library_missing": None,
    "clock:unbelievable": None,
}


def health_of(cause: str) -> Health | None:
    """Return the health that a cause word stands for.

    Raises:
        KeyError: If the word is in no table; a cause that nobody judged must not be emitted.
    """
    return CAUSES[cause]
