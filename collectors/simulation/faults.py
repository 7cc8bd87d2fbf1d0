"""Kinds of faults of simulated racks: what each hits, what is true of it, and how it shows.

How often they happen and how long a repair takes are numbers of a seed profile: see
`collectors.simulation.profiles`.
"""

from dataclasses import dataclass
from enum import Enum

from collectors.device import Access, FabricState
from collectors.simulation.layout import LINKS, links_of_switch_tray
from service.core.health import Health, health_of
from service.core.model import Place
from service.core.xid import XidClass, classify

DOWN_CLASSES = frozenset({XidClass.GPU_RESET, XidClass.NODE_REBOOT, XidClass.HARDWARE})


class Unit(Enum):
    """What a fault hits as one."""

    GPU = "gpu"
    TRAY = "tray"
    RACK = "rack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A class of faults.

    `cause` is why the GPU does not serve, as one who knows everything would write it; None for
    what is no fault of the GPU. `words` are the causes that an honest agent on the tray may
    write for it: none for what the driver never shows. `xids` are (ms after the start, code).
    """

    unit: Unit
    cause: str | None
    words: frozenset[str] = frozenset()
    xids: tuple[tuple[int, int], ...] = ()
    recovery_action: int = 0
    access: Access = Access.OK
    fabric: FabricState = FabricState.HEALTHY
    dark: bool = False  # the host is down with it: no agent, and a new boot afterwards
    links_down: tuple[int, ...] = ()
    noisy_links: tuple[int, ...] = ()  # links that err and recover
    remap_pending: bool = False
    remap_failed: bool = False
    uncorrectable: int = 0  # ECC errors that it adds
    clock_ratio: float = 1.0  # what is left of the clocks
    power_brake: bool = False
    coolant_rise: float = 0.0  # degrees by which the supply warms, at `COOLANT_CELSIUS_PER_MINUTE`

    @property
    def health(self) -> Health:
        """The health while the fault lasts; a fault named by its XID takes the GPU down."""
        if self.cause is None:
            return Health.UP
        return Health.DOWN if self.cause.startswith("xid:") else health_of(self.cause) or Health.UP

    @property
    def event_after_ms(self) -> int | None:
        """When, after the start, an XID proves the GPU down; None when only polling can tell."""
        return next((after for after, code in self.xids if classify(code) in DOWN_CLASSES), None)


def _reset(code: int, *, after: tuple[int, ...] = (), **shown: bool | int) -> Kind:
    chain = ((0, code), *((40 * number, later) for number, later in enumerate(after, start=1)))
    words = frozenset({f"xid:{code}", "recovery:reset_gpu", "memory:remap_failed", "memory:remap_pending"})
    return Kind(
        unit=Unit.GPU,
        cause=f"xid:{code}",
        words=words,
        xids=chain,
        recovery_action=1,
        remap_pending=bool(shown.get("remap_pending")),
        remap_failed=bool(shown.get("remap_failed")),
        uncorrectable=int(shown.get("uncorrectable", 0)),
    )


def _off(code: int, access: Access, word: str) -> Kind:
    words = frozenset({f"xid:{code}", word, "recovery:reset_gpu"})
    return Kind(unit=Unit.TRAY, cause=f"xid:{code}", words=words, xids=((0, code),), access=access, recovery_action=1)


def _dark(unit: Unit, cause: str) -> Kind:
    return Kind(unit=unit, cause=cause, words=frozenset({"host:reboot"}), dark=True)


def _fabric(unit: Unit, cause: str, state: FabricState, down: tuple[int, ...], *, xid: int | None = None) -> Kind:
    return Kind(
        unit=unit,
        cause=cause,
        words=frozenset({f"fabric:{state.value}", "nvlink:link_down"}),
        xids=((0, xid),) if xid else (),
        fabric=state,
        links_down=down,
    )


KINDS: dict[str, Kind] = {
    # One GPU, mended by a reset
    "gpu_reset": _reset(46),
    "gpu_hung": _reset(109),
    "ecc_remap": _reset(48, after=(63, 94), remap_pending=True, uncorrectable=1),
    "ecc_failed": _reset(64, remap_failed=True, uncorrectable=3),
    "row_remap": Kind(  # a row waits for the next reset; nothing asks for it at once
        unit=Unit.GPU,
        cause="memory:remap_pending",
        words=frozenset({"memory:remap_pending"}),
        xids=((0, 63),),
        remap_pending=True,
    ),
    # GPUs that left, and the tray with them
    "gpu_lost": _off(79, Access.LOST, "gpu:lost"),
    "gsp": _off(119, Access.RESET_REQUIRED, "gpu:reset_required"),
    "gsp_failed": _off(120, Access.RESET_REQUIRED, "gpu:reset_required"),
    "tray_swap": _dark(Unit.TRAY, "host:maintenance"),
    # NVLink
    "nvlink_port": _fabric(Unit.GPU, "nvlink:link_down", FabricState.DEGRADED, (7,), xid=149),
    "nvlink_storm": Kind(
        unit=Unit.GPU,
        cause="fabric:degraded",
        words=frozenset({"fabric:degraded", "nvlink:link_down"}),
        xids=tuple((250 * number, (145, 149, 145, 150)[number % 4]) for number in range(40)),
        fabric=FabricState.DEGRADED,
        noisy_links=(2, 3, 11),
    ),
    "cartridge": _fabric(Unit.RACK, "fabric:degraded", FabricState.DEGRADED, (16, 17), xid=149),
    "switch_tray": _fabric(Unit.RACK, "rack:switch_tray", FabricState.NOT_READY, links_of_switch_tray(4)),
    "switch_tray_spare": _fabric(Unit.RACK, "fabric:degraded", FabricState.DEGRADED, links_of_switch_tray(4)),
    # The host and what is around it
    "host": _dark(Unit.TRAY, "host:dead"),
    "software": _dark(Unit.TRAY, "host:reboot"),
    "push": _dark(Unit.RACK, "software:push"),
    "power_shelf": _dark(Unit.RACK, "rack:power"),
    "hall_power": _dark(Unit.RACK, "hall:power"),
    "leak": _dark(Unit.RACK, "rack:cooling"),
    "coolant_loss": Kind(unit=Unit.RACK, cause=None, coolant_rise=36.0),  # the heat model says what follows
    "power_brake": Kind(
        unit=Unit.RACK,
        cause="slowdown:power_brake",
        words=frozenset({"slowdown:power_brake"}),
        clock_ratio=0.5,
        power_brake=True,
    ),
    # What the driver never shows
    "scale_out": Kind(unit=Unit.TRAY, cause="network:scale_out"),
    "scale_out_flap": Kind(unit=Unit.TRAY, cause="network:scale_out"),
    "leaf_switch": Kind(unit=Unit.RACK, cause="network:scale_out"),
    "silent_corruption": Kind(unit=Unit.GPU, cause="gpu:silent_corruption"),
    "slow_gpu": Kind(unit=Unit.GPU, cause="gpu:slow", clock_ratio=0.6),
    # Not there yet
    "undelivered": Kind(unit=Unit.RACK, cause=None, dark=True),
    # The tenant's own
    "application": Kind(unit=Unit.GPU, cause=None, xids=((0, 13),)),
    "application_stopped": Kind(unit=Unit.GPU, cause=None, xids=((0, 43), (20, 45))),
}
assert all(0 <= link < LINKS for kind in KINDS.values() for link in kind.links_down)  # noqa: S101


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault: its kind by name, the places it hits, from when to when.

    Faults of one `incident` have one cause in the world: the stages of a leak, the racks of a
    bad push, the repeats of a burst.
    """

    from_ms: int
    to_ms: int
    kind: str
    places: tuple[Place, ...]
    incident: str = ""

    @property
    def shape(self) -> Kind:
        """What faults of this kind do."""
        return KINDS[self.kind]
