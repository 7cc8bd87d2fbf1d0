"""How the driver of a tray fails: errors, hangs, reloads, upgrades, quirks and lies; and its events."""

from typing import Final

from tests.fakedriver.codes import Return, Text
from tests.fakedriver.control import TRAY
from tests.fakedriver.tray import EVERY_GPU, Tray

_XID_EVENT: Final = 0x8
_SYSTEM_UNBIND, _SYSTEM_BIND = 0x1, 0x2
_VOLATILE_ECC_FIELDS: Final = (3, 4, *range(7, 18))


class Failures(Tray):
    """Settable failures; they act from the next call on."""

    def raise_xid(self, gpu: int, code: int) -> None:
        """Deliver an XID to every event set that registered for them."""
        self.raise_event(gpu, _XID_EVENT, code)

    def raise_event(self, gpu: int, event_type: int, data: int = 0) -> None:
        """Deliver one event; only an XID keeps its data."""
        self._state.push_event(gpu, event_type, data, is_system=False)

    def set_supported_events(self, gpu: int, mask: int) -> None:
        """Set which events a GPU can register for."""
        self._state.set(gpu, "supported_events", mask)

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

    # Driver

    def reload(self, *, driver_version: str | None = None, cuda_version: int | None = None) -> None:
        """Unload and load the driver: handles die, counters since driver load start again."""
        self._unload()
        self.load(driver_version=driver_version, cuda_version=cuda_version)

    def unload(self, *, init_error: int = Return.DRIVER_NOT_LOADED) -> None:
        """Unload the driver: whoever uses it is uninitialised, and init answers a code until `load`.

        With `LIB_RM_VERSION_MISMATCH` this is an upgrade under running programs.
        """
        self.set_init_error(init_error)
        self._unload()

    def load(self, *, driver_version: str | None = None, cuda_version: int | None = None) -> None:
        """Load the driver after `unload`, perhaps of another version."""
        if driver_version is not None:
            self._set_version(driver_version)
        if cuda_version is not None:
            self._state.set(TRAY, "cuda_driver_version", cuda_version)
        for gpu in EVERY_GPU:
            self._restart_counters(gpu)
        self.set_init_error(Return.SUCCESS)
        self._state.set(TRAY, "generation", self._state.get(TRAY, "generation") // 2 * 2 + 2)
        self._tell_system(_SYSTEM_BIND)

    # Quirks

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

    def set_call_latency(self, function: str, microseconds: int) -> None:
        """Set what one library function costs on top of `set_latency`."""
        self._state.set(TRAY, "call_delay_us", microseconds, self._state.function(function))

    def set_pcie_throughput_latency(self, milliseconds: int) -> None:
        """Set how long the PCIe throughput call measures, per direction."""
        self._state.set(TRAY, "pcie_throughput_ms", milliseconds)

    def set_noise(self, parts_per_million: int) -> None:
        """Let power readings scatter around what was set, another value every 100 ms."""
        self._state.set(TRAY, "noise_ppm", parts_per_million)

    # Lies

    def set_identity(self, gpu: int, *, uuid: str | None = None, serial: str | None = None) -> None:
        """Replace a GPU by another one in the same place, as a repair does; or repeat a UUID."""
        for name, text in ((Text.UUID, uuid), (Text.SERIAL, serial)):
            if text is not None:
                self.set_text(gpu, name, text.encode())

    def set_text(self, gpu: int, text: Text, value: bytes) -> None:
        """Set a text to any bytes: empty, not UTF-8, or longer than callers have room for."""
        self._state.set_bytes(gpu, text, value)

    def set_unterminated_text(self, gpu: int, *, unterminated: bool) -> None:
        """Let the texts of a GPU fill the whole buffer of the caller, without an end mark."""
        self._state.set(gpu, "unterminated_text", unterminated)

    def set_driver_version(self, version: bytes, *, unterminated: bool = False) -> None:
        """Set the driver's name for itself to any bytes, without a reload."""
        self._state.set_bytes(TRAY, "driver_version", version)
        self._state.set(TRAY, "unterminated_text", unterminated)

    def set_count(self, count: int) -> None:
        """Let the driver tell another number of GPUs than it has handles for; 0 is the truth."""
        self._state.set(TRAY, "count_reported", count)

    def _unload(self) -> None:
        self._tell_system(_SYSTEM_UNBIND)
        # Odd: from here on nobody reads, so nobody sees counters restart without a new init.
        self._state.set(TRAY, "generation", self._state.get(TRAY, "generation") // 2 * 2 + 1)
        self._state.wake()

    def _tell_system(self, event_type: int) -> None:
        for gpu in EVERY_GPU:
            self._state.push_event(gpu, event_type, 0, is_system=True)

    def _set_version(self, version: str) -> None:
        self._state.set_bytes(TRAY, "driver_version", version.encode())
        self._state.set_bytes(TRAY, "nvml_version", f"13.{version}".encode())
        for gpu in EVERY_GPU:
            self.set_text(gpu, Text.GSP_VERSION, version.encode())

    def _restart_counters(self, gpu: int) -> None:
        self._state.set_energy(gpu, 0)
        self._state.restart_uptime(gpu)
        self._state.clear_throttle_times(gpu)
        for field in _VOLATILE_ECC_FIELDS:
            self._state.clear_field(gpu, field, 0)
