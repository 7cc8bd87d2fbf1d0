"""A simulated tray behind the device port; time passes only through its clock."""

from collectors.catalogue import Key, Quantity, Round, of_round
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
from service.core.errors import DriverUnavailable
from service.core.ports import Clock

_HANG_SECONDS = 60.0
_STEP_SECONDS = 0.02


class MockDevice:
    """One node of a simulated world; see `collectors.device.Device`."""

    def __init__(self, world: World, node: str, clock: Clock) -> None:
        """Stand for a node; nothing is opened yet."""
        self._world, self._node, self._clock = world, world.nodes[node], clock
        self._heard_ms = 0

    def open(self) -> Inventory:
        """Return the tray's inventory; events are told from now on."""
        self._heard_ms = self._clock.now_ms()
        if not self._world.host_up(self._node.name, self._heard_ms):
            msg = f"{self._node.name} is dark"
            raise DriverUnavailable("driver:not_loaded", msg)
        return Inventory(
            gpus=tuple(
                GpuIdentity(
                    uuid=uuid,
                    position=position,
                    index=position,
                    module=f"{self._node.name}-m{position // 2}",
                    module_id=(2, 1, 4, 3)[position % 4],
                    name="NVIDIA GB300 (simulated)",
                    pci_bus_id=f"{8 + position % 2 + position // 2 * 16:08X}:06:00.0",
                    minor=position,
                )
                for position, uuid in enumerate(self._node.gpus)
            ),
            driver_version="580.173.02",
            nvml_version="13.580.173.02",
            cuda_version=13_000,
            chassis_serial=f"simulated-{self._node.rack}",
            slot=self._node.slot,
            tray=self._node.tray,
            event_types=dict.fromkeys(self._node.gpus, 0xFE0A),
        )

    def read(self, gpu: str) -> Reading:
        """Return what the simulated driver shows of a GPU now."""
        if gpu not in self._node.gpus:
            raise KeyError(gpu)
        self._world.wait_hang(gpu, _HANG_SECONDS)
        at_ms = self._clock.now_ms()
        state = self._world.state(gpu, at_ms)
        if state.access is not Access.OK:
            return Reading(
                gpu=gpu,
                access=state.access,
                values={},
                missing=dict.fromkeys(of_round(Round.PULSE), Missing.FAILED),
                fabric=FabricState.UNKNOWN,
                error=f"simulated: {state.access.value}",
            )
        values = self._values(gpu, at_ms)
        return Reading(
            gpu=gpu,
            access=Access.OK,
            values=values,
            missing=dict.fromkeys(of_round(Round.PULSE) - values.keys(), Missing.UNSUPPORTED),
            recovery_action=state.recovery_action,
            fabric=state.fabric,
        )

    def survey(self, gpu: str, one: Round) -> Survey:
        """Return another round of a GPU."""
        missing: dict[Key, Missing] = dict.fromkeys(of_round(one), Missing.UNSUPPORTED)
        return Survey(gpu=gpu, round=one, values={}, missing=missing)

    def _values(self, gpu: str, at_ms: int) -> dict[Key, float]:
        world = self._world
        power, load = world.power_watts(gpu, at_ms), world.utilisation(at_ms)
        return {
            Quantity.POWER_WATTS: power,
            Quantity.POWER_AVERAGE_WATTS: power,
            Quantity.MODULE_POWER_WATTS: world.module_watts(gpu, at_ms),
            Quantity.MEMORY_POWER_WATTS: 35.0 + 120.0 * load,
            Quantity.POWER_LIMIT_WATTS: 1_400.0,
            Quantity.ENERGY_JOULES_TOTAL: world.energy_joules(gpu, at_ms),
            Quantity.TEMPERATURE_CELSIUS: 30.0 + power / 36,
            Quantity.MEMORY_TEMPERATURE_CELSIUS: 31.0 + power / 40,
            Quantity.UTILISATION_RATIO: load,
            Quantity.MEMORY_UTILISATION_RATIO: load * 0.7,
        }

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Return the XIDs raised since the last call, waiting by the clock's own sleep."""
        deadline_ms = self._clock.monotonic_ms() + timeout_ms
        while True:
            now_ms = self._clock.now_ms()
            raised = self._world.xids(self._node.name, self._heard_ms, now_ms)
            self._heard_ms = max(self._heard_ms, now_ms)
            if raised or self._clock.monotonic_ms() >= deadline_ms:
                return tuple(
                    DeviceEvent(kind=DeviceEventKind.XID, gpu=gpu, event_type=8, data=code) for _, gpu, code in raised
                )
            self._clock.sleep(_STEP_SECONDS)

    def close(self) -> None:
        """Do nothing: a simulated tray holds nothing."""
