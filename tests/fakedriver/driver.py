"""Drive the simulated driver: what a test says happens to the hardware of one tray.

A `FakeDriver` owns one state file. Processes started with its `environment()` load the simulated
library in place of the vendor's and see every change on their next call. Units are watts, joules,
degrees Celsius, percent and bytes; codes and masks are the vendor's raw numbers.

    with FakeDriver() as driver:
        driver.set_power(2, 1390.0)
        driver.raise_xid(1, 79)
        subprocess.run([...], env=driver.environment())
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from tests.fakedriver import defaults
from tests.fakedriver.control import TRAY, State
from tests.fakedriver.defaults import GPUS, GPUS_PER_MODULE, Place
from tests.fakedriver.library import CACHE, build

__all__ = [
    "ALL_LINKS",
    "EVERY_GPU",
    "GPUS",
    "STATE_VARIABLE",
    "FakeDriver",
    "Place",
    "Return",
    "Scope",
    "ValueType",
    "build",
]

STATE_VARIABLE: Final = "THREENINES_FAKE_DRIVER_STATE"
ALL_LINKS: Final = 0xFFFFFFFF
"""Scope id of the sum over all NVLinks (fields 138 to 141)."""
EVERY_GPU: Final = range(GPUS)

_XID_EVENT: Final = 0x8
_SYSTEM_UNBIND, _SYSTEM_BIND = 0x1, 0x2
_VOLATILE_ECC_FIELDS: Final = (3, 4, *range(7, 18))
_PROCESSES_MAX: Final = 16


class Return(IntEnum):
    """The result codes that tests inject."""

    SUCCESS = 0
    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    INSUFFICIENT_SIZE = 7
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    LIB_RM_VERSION_MISMATCH = 18
    NO_DATA = 21
    ARGUMENT_VERSION_MISMATCH = 25
    GPU_NOT_FOUND = 28
    UNKNOWN = 999


class Scope(IntEnum):
    """What a power reading is about."""

    GPU = 0
    MODULE = 1
    MEMORY = 2


class ValueType(IntEnum):
    """The tag of a field value."""

    DOUBLE = 0
    UNSIGNED_INT = 1
    UNSIGNED_LONG = 2
    UNSIGNED_LONG_LONG = 3
    SIGNED_LONG_LONG = 4
    SIGNED_INT = 5
    UNSIGNED_SHORT = 6


class FakeDriver:
    """One simulated tray, healthy and idle until told otherwise.

    Args:
        path: Where to put the state file, which must not exist; by default a temporary place
            that `close` removes.
        attach: Drive the tray of an existing state file as it is, instead of making one.
        place: Which tray it is; trays with different numbers have different identifiers.
        cache_dir: Where built libraries are kept.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        attach: bool = False,
        place: Place | None = None,
        cache_dir: Path = CACHE,
    ) -> None:
        self.place = place or Place()
        self.libraries = build(cache_dir)
        self._scratch = Path(tempfile.mkdtemp(prefix="fakedriver-")) if path is None else None
        self.path = path or Path(self._scratch or ".") / "tray.state"
        self._state = State(self.libraries, self.path, create=not attach)
        if not attach:
            defaults.fill_tray(self._state, self.place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the state file, and remove it if this object chose its place."""
        self._state.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment in which a process finds this driver.

        Args:
            base: What to extend; by default the environment of this process.
        """
        found = dict(os.environ if base is None else base)
        inherited = found.get("LD_LIBRARY_PATH")
        search = [str(self.libraries), *([inherited] if inherited else [])]
        return found | {
            "LD_LIBRARY_PATH": os.pathsep.join(search),
            STATE_VARIABLE: str(self.path),
        }

    # Identity

    def uuid(self, gpu: int) -> str:
        """Return the UUID that a GPU reports."""
        return self._state.get_text(gpu, "uuid")

    def serial(self, gpu: int) -> str:
        """Return the serial that a GPU reports; both GPUs of a module share it."""
        return self._state.get_text(gpu, "serial")

    def set_identity(self, gpu: int, *, uuid: str | None = None, serial: str | None = None) -> None:
        """Replace a GPU by another one in the same place, as a repair does."""
        for name, text in (("uuid", uuid), ("serial", serial)):
            if text is not None:
                self._state.set_bytes(gpu, name, text.encode())

    def set_module_id(self, gpu: int, module_id: int) -> None:
        """Set where in its tray a GPU says it is."""
        self._state.set(gpu, "module_id", module_id)

    def set_location(self, *, slot: int | None = None, tray: int | None = None, host: int | None = None) -> None:
        """Set where in its rack the tray says it is; 0 to 255 each."""
        for name, value in (("slot_number", slot), ("tray_index", tray), ("host_id", host)):
            for gpu in EVERY_GPU if value is not None else ():
                self._state.set(gpu, name, value or 0)

    # Readings

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

    # Fields

    def set_field(
        self,
        gpu: int,
        field: int,
        value: float,
        *,
        scope: int = 0,
        value_type: ValueType | None = None,
        per_second: float = 0.0,
    ) -> None:
        """Make a field answer a value whatever else was set.

        Args:
            value: An int for all integer types, a float for a double.
            scope: The scope id: power scope, NVLink, C2C link, lane, profile, or `ALL_LINKS`.
            value_type: Another tag than the usual one.
            per_second: How fast the value advances by itself, for counters.
        """
        self._state.set_field(gpu, field, scope, value, value_type=value_type, per_second=per_second)

    def set_field_error(self, gpu: int, field: int, code: int, *, scope: int = 0) -> None:
        """Make a field answer an error while the rest of the batch goes on."""
        self._state.set_field_error(gpu, field, scope, code)

    def clear_field(self, gpu: int, field: int, *, scope: int = 0) -> None:
        """Undo `set_field` and `set_field_error`."""
        self._state.clear_field(gpu, field, scope)

    # Health

    def set_recovery_action(self, gpu: int, action: int) -> None:
        """Set what the driver asks for (field 230); 0 is nothing."""
        self._state.set(gpu, "recovery_action", action)

    def set_fabric(
        self,
        gpu: int,
        *,
        state: int | None = None,
        status: int | None = None,
        clique: int | None = None,
        cluster: UUID | None = None,
        health_mask: int | None = None,
        summary: int | None = None,
    ) -> None:
        """Set members of the fabric information; `UUID(int=0)` is no cluster."""
        members = {
            "fabric_state": state,
            "fabric_status": status,
            "fabric_clique": clique,
            "fabric_health_mask": health_mask,
            "fabric_summary": summary,
        }
        for name, value in members.items():
            if value is not None:
                self._state.set(gpu, name, value)
        if cluster is not None:
            self._state.set_bytes(gpu, "cluster_uuid", cluster.bytes)

    def set_repair(
        self,
        gpu: int,
        *,
        channel_pending: bool = False,
        tpc_pending: bool = False,
        unrepairable: bool = False,
    ) -> None:
        """Set the three repair flags."""
        self._state.set(gpu, "channel_repair_pending", channel_pending)
        self._state.set(gpu, "tpc_repair_pending", tpc_pending)
        self._state.set(gpu, "unrepairable_memory", unrepairable)

    # Events

    def raise_xid(self, gpu: int, code: int) -> None:
        """Deliver an XID to every event set that registered for them."""
        self.raise_event(gpu, _XID_EVENT, code)

    def raise_event(self, gpu: int, event_type: int, data: int = 0) -> None:
        """Deliver one event; only an XID keeps its data."""
        self._state.push_event(gpu, event_type, data, is_system=False)

    def set_supported_events(self, gpu: int, mask: int) -> None:
        """Set which events a GPU can register for."""
        self._state.set(gpu, "supported_events", mask)

    # Failures

    def set_gpu_error(self, gpu: int, code: int) -> None:
        """Make every call for a GPU answer a code; 0 is none.

        With 15 (lost) asking for its handle fails too; with 16 (reset required) a field batch
        still answers the recovery action.
        """
        self._state.set(gpu, "error", code)
        self._state.wake()

    def set_absent(self, gpu: int, *, absent: bool = True) -> None:
        """Take a GPU out of count and index; handles to it answer lost."""
        self._state.set(gpu, "absent", absent)

    def set_hang(self, gpu: int, milliseconds: int) -> None:
        """Make every call for a GPU block that long; 0 ends running hangs too."""
        self._state.set(gpu, "hang_ms", milliseconds)
        if milliseconds == 0:
            self._state.set(TRAY, "lock_until_ns", 0)

    def set_global_lock(self, *, held: bool) -> None:
        """Make a hanging GPU block the calls of all others, as real drivers do."""
        self._state.set(TRAY, "hang_holds_lock", held)

    def set_call_error(self, function: str, code: int, *, gpu: int | None = None) -> None:
        """Make one library function answer a code, for one GPU or for all; 0 is none."""
        position = self._state.function(function)
        self._state.set(TRAY if gpu is None else gpu, "call_error", code, position)
        self._state.wake()

    def set_init_error(self, code: int) -> None:
        """Make initialisation answer a code; 0 is none."""
        self._state.set(TRAY, "init_error", code)

    def break_layout(self) -> None:
        """Make the library and the driver disagree, as after a half-done upgrade."""
        self._state.set(TRAY, "layout", 0)

    def reload(self, *, driver_version: str | None = None, cuda_version: int | None = None) -> None:
        """Unload and load the driver: handles die, counters since driver load start again."""
        settled = self._state.get(TRAY, "generation") + 2
        for gpu in EVERY_GPU:
            self._state.push_event(gpu, _SYSTEM_UNBIND, 0, is_system=True)
        self._state.set(TRAY, "generation", settled - 1)  # from here on nobody reads
        if driver_version is not None:
            self._state.set_bytes(TRAY, "driver_version", driver_version.encode())
        if cuda_version is not None:
            self._state.set(TRAY, "cuda_driver_version", cuda_version)
        for gpu in EVERY_GPU:
            self._restart_counters(gpu)
        self._state.set(TRAY, "generation", settled)
        for gpu in EVERY_GPU:
            self._state.push_event(gpu, _SYSTEM_BIND, 0, is_system=True)

    def set_privileged(self, *, privileged: bool) -> None:
        """Answer what only root may read (power smoothing)."""
        self._state.set(TRAY, "privileged", privileged)

    # Time and quirks

    def advance(self, seconds: float) -> None:
        """Push the clock of all counters forward, instead of waiting."""
        offset = self._state.get(TRAY, "clock_offset_ns")
        self._state.set(TRAY, "clock_offset_ns", offset + int(seconds * 1e9))

    def set_latency(self, *, call_us: int = 0, field_us: int = 0) -> None:
        """Set what each call, and each field of a batch, costs."""
        self._state.set(TRAY, "call_latency_us", call_us)
        self._state.set(TRAY, "field_latency_us", field_us)

    def set_quirks(self, *, overread: bool = False, mixed_batch: bool = False, fabric_padding: bool = False) -> None:
        """Choose among the known defects of real drivers; the ones not named are off.

        Args:
            overread: A field batch touches one entry past its count.
            mixed_batch: ECC and NVLink counters in one batch make all of it unsupported.
            fabric_padding: The bytes after the one-byte fabric state hold junk.
        """
        self._state.set(TRAY, "quirk_overread", overread)
        self._state.set(TRAY, "quirk_mixed_batch", mixed_batch)
        self._state.set(TRAY, "quirk_fabric_padding", fabric_padding)

    # What the processes did

    def calls(self, function: str | None = None) -> int:
        """Return how often a function was called by all processes; all functions by default."""
        if function is None:
            return self._state.get(TRAY, "calls_total")
        return self._state.get(TRAY, "calls", self._state.function(function))

    def trace(self) -> dict[str, int]:
        """Return the functions that were called, with how often."""
        counts = {
            name: self._state.get(TRAY, "calls", position) for position, name in enumerate(self._state.function_names())
        }
        return {name: count for name, count in counts.items() if count}

    def overlapping_field_calls(self) -> int:
        """Return how many field batches began while the same process was inside another."""
        return self._state.get(TRAY, "field_calls_overlapping")

    def _restart_counters(self, gpu: int) -> None:
        self._state.set_energy(gpu, 0)
        self._state.clear_throttle_times(gpu)
        for field in _VOLATILE_ECC_FIELDS:
            self._state.clear_field(gpu, field, 0)

    @staticmethod
    def _module(gpu: int) -> range:
        first = gpu - gpu % GPUS_PER_MODULE
        return range(first, first + GPUS_PER_MODULE)


def _milli(value: float) -> int:
    return round(value * 1000)
