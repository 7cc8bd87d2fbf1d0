"""What the GPUs of a tray measure: power, energy, temperature, load, clocks, memory, processes."""

from collections.abc import Iterable
from typing import Final

from tests.fakedriver.codes import Scope
from tests.fakedriver.control import TRAY
from tests.fakedriver.defaults import GPUS_PER_MODULE
from tests.fakedriver.tray import Tray

_PROCESSES_MAX: Final = 16


class Readings(Tray):
    """Settable readings; a change shows in the next call of every process."""

    def set_power(self, gpu: int, watts: float, *, instant: float | None = None) -> None:
        """Set the power of a GPU; energy accumulates at the instant power from now on."""
        self._state.set(gpu, "power_average_mw", _milli(watts))
        self._state.set(gpu, "power_instant_mw", _milli(watts if instant is None else instant))
        self._state.power_changed(gpu)

    def set_module_power(self, gpu: int, watts: float, *, instant: float | None = None) -> None:
        """Set the power of a GPU's module, which both of its GPUs report."""
        for member in self._module(gpu):
            self._state.set(member, "module_average_mw", _milli(watts))
            now = watts if instant is None else instant
            self._state.set(member, "module_instant_mw", _milli(now))
            self._state.power_changed(member)

    def set_memory_power(self, gpu: int, watts: float) -> None:
        """Set the average power of the GPU's memory; there is no instant reading."""
        self._state.set(gpu, "memory_average_mw", _milli(watts))

    def set_power_limits(
        self,
        gpu: int,
        *,
        scope: Scope = Scope.GPU,
        minimum: float | None = None,
        maximum: float | None = None,
        default: float | None = None,
        current: float | None = None,
        requested: float | None = None,
    ) -> None:
        """Set limits in watts; `current` below `requested` means someone else caps the GPU."""
        limits = {
            "limit_min_mw": minimum,
            "limit_max_mw": maximum,
            "limit_default_mw": default,
            "limit_current_mw": current,
            "limit_requested_mw": requested,
        }
        for name, watts in limits.items():
            if watts is not None:
                self._state.set(gpu, name, _milli(watts), scope)

    def energy(self, gpu: int) -> float:
        """Return the joules that the driver would report now."""
        return self._state.energy(gpu) / 1000

    def set_energy(self, gpu: int, joules: float) -> None:
        """Set the energy counter; it goes on from there."""
        self._state.set_energy(gpu, _milli(joules))

    def set_energy_step(self, milliseconds: int) -> None:
        """Let energy counters advance in steps, as on some boards; 0 is continuous."""
        self._state.set(TRAY, "energy_step_ms", milliseconds)

    def set_temperature(self, gpu: int, celsius: int, *, margin: int | None = None) -> None:
        """Set the GPU temperature; unless told, the margin keeps the limit where it is."""
        limit = self._state.get(gpu, "temperature_c") + self._state.get(gpu, "margin_c")
        self._state.set(gpu, "temperature_c", celsius)
        self._state.set(gpu, "margin_c", limit - celsius if margin is None else margin)

    def set_memory_temperature(self, gpu: int, celsius: int) -> None:
        """Set the memory temperature."""
        self._state.set(gpu, "memory_temperature_c", celsius)

    def set_utilisation(self, gpu: int, percent: int, *, memory: int = 0) -> None:
        """Set how busy the GPU and its memory are, 0 to 100."""
        self._state.set(gpu, "gpu_utilisation", percent)
        self._state.set(gpu, "memory_utilisation", memory)

    def set_engine_activity(
        self,
        gpu: int,
        *,
        graphics: float | None = None,
        sm: float | None = None,
        occupancy: float | None = None,
        tensor: float | None = None,
        dram: float | None = None,
    ) -> None:
        """Set how busy engines are from now on, in percent, as two GPM samples will show."""
        for metric, percent in ((1, graphics), (2, sm), (3, occupancy), (5, tensor), (10, dram)):
            if percent is not None:
                self._state.set_activity(gpu, metric, percent)

    def set_gpm(self, gpu: int, metric: int, value: float) -> None:
        """Set any GPM metric that is not traffic: 1 to 13 in percent, 100 to 103 (C2C) in MiB/s."""
        self._state.set_activity(gpu, metric, value)

    def set_gpm_error(self, gpu: int, metric: int, code: int) -> None:
        """Make one GPM metric answer an error of its own; 0 is none."""
        self._state.set(gpu, "gpm_error", code, metric)

    def set_gpm_support(self, gpu: int, *, supported: bool) -> None:
        """Say whether the GPU takes GPM samples at all."""
        self._state.set(gpu, "gpm_unsupported", not supported)

    def set_clocks(
        self,
        gpu: int,
        *,
        sm: int | None = None,
        memory: int | None = None,
        video: int | None = None,
    ) -> None:
        """Set clocks in MHz; the graphics clock is the SM clock."""
        for domain, mhz in ((0, sm), (1, sm), (2, memory), (3, video)):
            if mhz is not None:
                self._state.set(gpu, "clock_mhz", mhz, domain)

    def set_performance_state(self, gpu: int, state: int) -> None:
        """Set the performance state, 0 (fastest) to 15."""
        self._state.set(gpu, "performance_state", state)

    def set_memory_used(self, gpu: int, used_bytes: int) -> None:
        """Set the used memory; what remains beside the reserved part is free."""
        total = self._state.get(gpu, "memory_total")
        reserved = self._state.get(gpu, "memory_reserved")
        self._state.set(gpu, "memory_used", used_bytes)
        self._state.set(gpu, "memory_free", max(0, total - reserved - used_bytes))

    def set_clock_events(self, gpu: int, reasons: int) -> None:
        """Set why clocks are held down; the counters of those reasons advance meanwhile."""
        self._state.set_clock_events(gpu, reasons)

    def set_pcie_throughput(self, gpu: int, *, sent_kib: int, received_kib: int) -> None:
        """Set what the slow PCIe call measures, KiB/s."""
        self._state.set(gpu, "pcie_tx_kib", sent_kib)
        self._state.set(gpu, "pcie_rx_kib", received_kib)

    def set_processes(self, gpu: int, processes: Iterable[tuple[int, int]]) -> None:
        """Set the compute processes as (pid, used bytes); at most 16."""
        listed = list(processes)
        if len(listed) > _PROCESSES_MAX:
            message = f"{len(listed)} processes, the state holds {_PROCESSES_MAX}"
            raise ValueError(message)
        for index, (pid, used_bytes) in enumerate(listed):
            self._state.set_process(gpu, index, pid, used_bytes)
        self._state.set(gpu, "process_count", len(listed))

    @staticmethod
    def _module(gpu: int) -> range:
        first = gpu - gpu % GPUS_PER_MODULE
        return range(first, first + GPUS_PER_MODULE)


def _milli(value: float) -> int:
    return round(value * 1000)
