"""What a reading proves of a GPU's health, and which of several causes names it."""

import pytest

from collectors.catalogue import Key, Part, Quantity
from collectors.device import Access, FabricState, Reading
from collectors.edges import Look
from collectors.judgement import look
from service.core.health import Health

LINK_DOWN: dict[Key, float] = {Part(Quantity.NVLINK_STATE, "7"): 0}
BRAKE: dict[Key, float] = {Part(Quantity.CLOCK_EVENT, "hw_power_brake"): 1}
HOT: dict[Key, float] = {Part(Quantity.CLOCK_EVENT, "hw_thermal"): 1}
WARM: dict[Key, float] = {Part(Quantity.CLOCK_EVENT, "sw_thermal"): 1}
PENDING: dict[Key, float] = {Quantity.REMAP_PENDING: 1}
FAILED: dict[Key, float] = {Quantity.REMAP_FAILED: 1}
GOOD: dict[Key, float] = {
    Quantity.REMAP_PENDING: 0,
    Quantity.REMAP_FAILED: 0,
    Part(Quantity.NVLINK_STATE, "0"): 1,
    Part(Quantity.NVLINK_STATE, "1"): 2,
    Part(Quantity.CLOCK_EVENT, "sw_power_cap"): 1,
    Part(Quantity.CLOCK_EVENT, "gpu_idle"): 1,
}


def reading(
    values: dict[Key, float],
    *,
    action: int | None = 0,
    fabric: FabricState = FabricState.HEALTHY,
    access: Access = Access.OK,
) -> Reading:
    """Return a reading with these values."""
    return Reading(gpu="GPU-1", access=access, values=values, missing={}, recovery_action=action, fabric=fabric)


@pytest.mark.parametrize("values", [{}, GOOD])
def test_a_gpu_of_which_nothing_bad_is_seen_is_up(values: dict[Key, float]) -> None:
    """Sleeping links, power caps and idling are no faults, and what is missing accuses nobody."""
    assert look(reading(values), 13_000) == Look(Health.UP)


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        (FAILED, "memory:remap_failed"),
        (PENDING, "memory:remap_pending"),
        (LINK_DOWN, "nvlink:link_down"),
        ({Part(Quantity.NVLINK_STATE, "17"): 3}, "nvlink:link_down"),
        (HOT, "slowdown:thermal"),
        (WARM, "slowdown:thermal"),
        (BRAKE, "slowdown:power_brake"),
        (BRAKE | HOT, "slowdown:power_brake"),
        (PENDING | HOT | LINK_DOWN, "nvlink:link_down"),
        (PENDING | FAILED | LINK_DOWN, "memory:remap_failed"),
    ],
)
def test_the_pulse_shows_what_is_wrong(values: dict[Key, float], cause: str) -> None:
    """The worst decides, and among equals the more telling."""
    assert look(reading(GOOD | values), 13_000).cause == cause


def test_the_worst_of_action_fabric_and_values_decides() -> None:
    """Something that takes a GPU down outweighs what only slows it."""
    drain = reading(FAILED, action=3)
    outside = reading(PENDING, action=3, fabric=FabricState.NOT_READY)
    lost = reading(FAILED, access=Access.LOST, action=1)

    assert look(drain, 13_000).cause == "memory:remap_failed"
    assert look(outside, 13_000).cause == "fabric:not_ready"
    assert look(lost, 13_000).cause == "gpu:lost"


def test_a_gpu_that_cannot_be_read_is_judged_by_nothing_else() -> None:
    """Values beside a failed access are not evidence."""
    assert look(reading(FAILED, access=Access.FAILED), 13_000) == Look(None, "agent:unreadable")


def test_links_of_a_gpu_without_a_fabric_lead_nowhere() -> None:
    """A card outside any NVLink domain has inactive links and is well."""
    assert look(reading(LINK_DOWN, fabric=FabricState.UNSUPPORTED), 13_000) == Look(Health.UP)
