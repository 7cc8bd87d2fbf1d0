"""The word for an NVLink fabric: each of the four questions alone turns healthy into something else."""

import struct
from dataclasses import replace

import pytest

from collectors.device import FabricState
from collectors.nvml.fabric import FabricInfo, judge, unpack

CAPTURED_MASK = 0x1AA  # a healthy GB300 tray
HEALTHY = FabricInfo(state=3, status=0, clique=32766, cluster=b"\x42" * 16, mask=CAPTURED_MASK, summary=1)


@pytest.mark.parametrize("mask", [0x1AA, 0x11AA, 0x51AA, 0x2, 0x8, 0x20, 0x80, 0x100, 0x1000, 0x4000])
def test_masks_without_a_bad_field_are_healthy(mask: int) -> None:
    """Fields that say "no fault", and fields that say nothing, do not hurt; old structs have no summary."""
    assert judge(replace(HEALTHY, mask=mask)) is FabricState.HEALTHY
    assert judge(replace(HEALTHY, mask=mask, summary=None)) is FabricState.HEALTHY
    assert judge(replace(HEALTHY, mask=mask, summary=0)) is FabricState.HEALTHY


@pytest.mark.parametrize("shift", [0, 2, 6])
@pytest.mark.parametrize("value", [1, 3])
def test_lost_bandwidth_and_running_recoveries_degrade(shift: int, value: int) -> None:
    """Degraded bandwidth, route recovery and access-timeout recovery degrade; so does an undefined value there."""
    mask = CAPTURED_MASK & ~(0x3 << shift) | value << shift

    assert judge(replace(HEALTHY, mask=mask)) is FabricState.DEGRADED


@pytest.mark.parametrize(("shift", "value"), [(4, 1), (4, 3), *((8, bad) for bad in range(2, 16)), (12, 2), (14, 2)])
def test_broken_routes_and_wrong_configurations_are_unhealthy(shift: int, value: int) -> None:
    """A route that is unhealthy, any incorrect configuration, no partition, no manager: each alone suffices."""
    width = 0xF if shift == 8 else 0x3
    mask = CAPTURED_MASK & ~(width << shift) | value << shift

    assert judge(replace(HEALTHY, mask=mask)) is FabricState.UNHEALTHY


@pytest.mark.parametrize(
    ("summary", "word"),
    [
        (1, FabricState.HEALTHY),
        (2, FabricState.UNHEALTHY),
        (3, FabricState.DEGRADED),
        (4, FabricState.UNKNOWN),
        (255, FabricState.UNKNOWN),
    ],
)
def test_the_summary_has_a_say(summary: int, word: FabricState) -> None:
    """A bad summary beats a good mask, and one that nobody has defined proves no health."""
    assert judge(replace(HEALTHY, summary=summary)) is word


def test_the_worse_of_mask_and_summary_counts() -> None:
    """Unhealthy beats degraded, wherever each comes from."""
    assert judge(replace(HEALTHY, mask=0x1A9, summary=2)) is FabricState.UNHEALTHY
    assert judge(replace(HEALTHY, mask=0x19A, summary=3)) is FabricState.UNHEALTHY


@pytest.mark.parametrize(("mask", "summary"), [(0, 0), (0, None), (None, None), (0xFFFF0000, 0)])
def test_no_verdict_is_not_healthy(mask: int | None, summary: int | None) -> None:
    """A registered GPU whose known fields all say nothing is unknown: neither healthy nor at fault."""
    assert judge(replace(HEALTHY, mask=mask, summary=summary)) is FabricState.UNKNOWN


@pytest.mark.parametrize("state", [1, 2])
@pytest.mark.parametrize("status", [0, 3, 23])
def test_unfinished_registration_is_not_ready(state: int, status: int) -> None:
    """Not started and in progress are not ready, whatever else the struct holds."""
    assert judge(replace(HEALTHY, state=state, status=status)) is FabricState.NOT_READY


def test_refused_registration_is_not_ready() -> None:
    """Completed with an error (insufficient resources) passed weaker checks."""
    assert judge(replace(HEALTHY, status=23)) is FabricState.NOT_READY
    assert judge(replace(HEALTHY, status=23, is_multi_node=False)) is FabricState.NOT_READY


@pytest.mark.parametrize("change", [{"clique": 0}, {"cluster": bytes(16)}, {"clique": 0, "cluster": bytes(16)}])
def test_a_gpu_outside_clique_or_cluster_is_not_ready(change: dict[str, object]) -> None:
    """Completed and successful, but in no clique or no cluster: not a member of its domain."""
    assert judge(replace(HEALTHY, **change)) is FabricState.NOT_READY  # type: ignore[arg-type]


def test_a_gpu_whose_nvlink_ends_at_its_host_needs_no_cluster() -> None:
    """HGX boards complete with clique 0 and a zero cluster: no fault; their health mask still counts."""
    hopper = replace(HEALTHY, clique=0, cluster=bytes(16), mask=0, summary=0, is_multi_node=False)

    assert judge(hopper) is FabricState.UNKNOWN
    assert judge(replace(hopper, mask=0x22)) is FabricState.HEALTHY
    assert judge(replace(hopper, mask=0x12)) is FabricState.UNHEALTHY


def test_no_fabric_is_not_a_fault() -> None:
    """State 0 is unsupported even beside leftovers, and a state nobody has defined is unknown."""
    assert judge(replace(HEALTHY, state=0, status=3, clique=0, cluster=bytes(16))) is FabricState.UNSUPPORTED
    assert judge(replace(HEALTHY, state=4, status=23)) is FabricState.UNKNOWN


def test_the_struct_is_read_byte_by_byte() -> None:
    """Junk in the padding after the one-byte state changes nothing; version 2 has no summary."""
    v3 = struct.pack("<I16sIIB3sIB3s", 0x3000028, b"\x42" * 16, 0, 7, 3, b"\xff\xff\xff", 0x1AA, 1, b"\xff\xff\xff")

    assert unpack(v3, is_multi_node=True) == replace(HEALTHY, clique=7)
    assert unpack(v3[:36], is_multi_node=False) == replace(HEALTHY, clique=7, summary=None, is_multi_node=False)
