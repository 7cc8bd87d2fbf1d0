"""A simulated tray behind the device port; time passes only through its clock."""

import uuid

from collectors.catalogue import Key, Round, of_round, quantity_of
from collectors.device import (
    Access,
    DeviceEvent,
    DeviceEventKind,
    FabricState,
    GpuIdentity,
    Inventory,
    Missing,
    Reading,
    Survey,
)
from collectors.racks import World
from collectors.simulation.rounds import Values
from collectors.simulation.values import Gauges
from service.core.errors import DeviceGone, DriverUnavailable
from service.core.ports import Clock

_HANG_SECONDS = 60.0
_STEP_SECONDS = 0.02
_CLIQUE = 32_766
_NOTHING: dict[Key, Missing] = {}


class MockDevice:
    """One node of a simulated world; see `collectors.device.Device`."""

    def __init__(self, world: World, node: str, clock: Clock) -> None:
        """Stand for a node; nothing is opened yet."""
        self._world, self._node, self._clock = world, world.nodes[node], clock
        self._heard_ms = 0
        self._boot_ms: int | None = None
        self._gauges: dict[str, Gauges] = {}

    def open(self) -> Inventory:
        """Return the tray's inventory; events are told from now on."""
        self._heard_ms = self._clock.now_ms()
        if not self._world.host_up(self._node.name, self._heard_ms):
            msg = f"{self._node.name} is dark"
            raise DriverUnavailable("driver:not_loaded", msg)
        self._boot_ms = self._world.tray(self._node.name).boot_ms(self._heard_ms)
        return Inventory(
            gpus=tuple(self._identity(position, gpu) for position, gpu in enumerate(self._node.gpus)),
            driver_version="580.173.02",
            nvml_version="13.580.173.02",
            cuda_version=13_000,
            chassis_serial=f"simulated-{self._node.rack}",
            slot=self._node.slot,
            tray=self._node.tray,
            event_types=dict.fromkeys(self._node.gpus, 0xFE0A),
        )

    def _identity(self, position: int, gpu: str) -> GpuIdentity:
        return GpuIdentity(
            uuid=gpu,
            position=position,
            index=position,
            module=f"{self._node.name}-m{position // 2}",
            module_id=(2, 1, 4, 3)[position % 4],
            name="NVIDIA GB300 (simulated)",
            pci_bus_id=f"{8 + position % 2 + position // 2 * 16:08X}:06:00.0",
            minor=position,
            board_part_number="900-2G548-0081-000",
            vbios_version="97.10.4A.00.1A",
            numa_node=2 + position * 8,
            cluster=str(uuid.uuid5(uuid.NAMESPACE_OID, f"simulated {self._node.rack}")),
            clique=_CLIQUE,
        )

    def read(self, gpu: str) -> Reading:
        """Return what the simulated driver shows of a GPU now."""
        at_ms = self._asked(gpu)
        state = self._world.state(gpu, at_ms)
        if state.access is not Access.OK:
            return Reading(
                gpu=gpu,
                access=state.access,
                values={},
                missing=dict.fromkeys(of_round(Round.PULSE), Missing.FAILED),
                recovery_action=state.recovery_action if state.access is Access.RESET_REQUIRED else None,
                fabric=FabricState.UNKNOWN,
                error=f"simulated: {state.access.value}",
            )
        return Reading(
            gpu=gpu,
            access=Access.OK,
            values=self._values(gpu, Round.PULSE, at_ms),
            missing=_NOTHING,  # a GB300 has every quantity of the pulse
            recovery_action=state.recovery_action,
            fabric=state.fabric,
        )

    def survey(self, gpu: str, one: Round) -> Survey:
        """Return another round of a GPU."""
        if one is Round.PULSE:
            msg = "the pulse is what read collects"
            raise ValueError(msg)
        at_ms = self._asked(gpu)
        if self._world.state(gpu, at_ms).access is not Access.OK:
            return Survey(gpu=gpu, round=one, values={}, missing=dict.fromkeys(of_round(one), Missing.FAILED))
        values = self._values(gpu, one, at_ms)
        absent = of_round(one) - set(map(quantity_of, values))
        missing: dict[Key, Missing] = dict.fromkeys(absent, Missing.UNSUPPORTED)
        return Survey(gpu=gpu, round=one, values=values, missing=missing)

    def _asked(self, gpu: str) -> int:
        """Return the instant of a call, after whatever hangs; a host that went down took the driver along."""
        if gpu not in self._node.gpus:
            raise KeyError(gpu)
        self._world.wait_hang(gpu, _HANG_SECONDS)
        at_ms = self._clock.now_ms()
        self._check(at_ms)
        return at_ms

    def _check(self, at_ms: int) -> None:
        tray = self._world.tray(self._node.name)
        if not tray.up.at(at_ms) or (self._boot_ms is not None and tray.boot_ms(at_ms) != self._boot_ms):
            msg = f"{self._node.name} went down"
            raise DeviceGone(msg)

    def _values(self, gpu: str, one: Round, at_ms: int) -> Values:
        view = self._world.view(gpu)
        gauges = self._gauges.get(gpu)
        if gauges is None or not gauges.is_of(view):
            gauges = self._gauges[gpu] = Gauges(view)
        return gauges.read(one, at_ms)

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Return the XIDs raised since the last call, waiting by the clock's own sleep."""
        deadline_ms = self._clock.monotonic_ms() + timeout_ms
        while True:
            now_ms = self._clock.now_ms()
            raised = self._world.xids(self._node.name, self._heard_ms, now_ms)
            self._heard_ms = max(self._heard_ms, now_ms)
            if not raised:
                self._check(now_ms)
            if raised or self._clock.monotonic_ms() >= deadline_ms:
                return tuple(
                    DeviceEvent(kind=DeviceEventKind.XID, gpu=gpu, event_type=8, data=code) for _, gpu, code in raised
                )
            self._clock.sleep(_STEP_SECONDS)

    def close(self) -> None:
        """Do nothing: a simulated tray holds nothing."""
