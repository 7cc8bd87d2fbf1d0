"""What a tray counts and repairs: fields, NVLinks, ECC, row remapping, fabric, recovery."""

from typing import Final
from uuid import UUID

from tests.fakedriver.codes import LINKS, EccLocation, LinkCounter, LinkState, SramCounter, ValueType
from tests.fakedriver.control import TRAY
from tests.fakedriver.tray import EVERY_GPU, Tray

_LINK_SPEED, _LINK_STATE = 164, 165
_PCIE_SENT, _PCIE_RECEIVED = 197, 198
_ECC_TOTAL, _ECC_VOLATILE, _ECC_AGGREGATE = 3, 7, 18
_REMAPPED: Final = {"corrected": 142, "uncorrected": 143, "pending": 144, "failure": 145}


class Counters(Tray):
    """Settable counters and health; a change shows in the next call of every process."""

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

    def count_field(self, gpu: int, field: int, more: int = 0, *, scope: int = 0, per_second: float = 0.0) -> None:
        """Add to a counter field and set how fast it goes on; what was counted stays."""
        self._state.count_field(gpu, field, scope, more, per_second)

    # Place

    def set_module_id(self, gpu: int, module_id: int) -> None:
        """Set where in its tray a GPU says it is."""
        self._state.set(gpu, "module_id", module_id)

    def set_location(self, *, slot: int | None = None, tray: int | None = None, host: int | None = None) -> None:
        """Set where in its rack the tray says it is; 0 to 255 each."""
        for name, value in (("slot_number", slot), ("tray_index", tray), ("host_id", host)):
            for gpu in EVERY_GPU if value is not None else ():
                self._state.set(gpu, name, value or 0)

    # NVLink and PCIe

    def set_link(
        self,
        gpu: int,
        link: int,
        *,
        state: LinkState | None = None,
        speed: int | None = None,
        sent: float | None = None,
        received: float | None = None,
    ) -> None:
        """Set one NVLink: its state, its speed in MB/s, its traffic in bytes/s from now on."""
        if state is not None:
            self.set_field(gpu, _LINK_STATE, int(state), scope=link)
        if speed is not None:
            self.set_field(gpu, _LINK_SPEED, speed, scope=link)
        if sent is not None:
            self.count_link(gpu, link, LinkCounter.SENT_BYTES, per_second=sent)
        if received is not None:
            self.count_link(gpu, link, LinkCounter.RECEIVED_BYTES, per_second=received)

    def set_link_traffic(self, gpu: int, *, sent: float, received: float) -> None:
        """Spread traffic in bytes/s evenly over all links of a GPU."""
        for link in LINKS:
            self.set_link(gpu, link, sent=sent / len(LINKS), received=received / len(LINKS))

    def count_link(self, gpu: int, link: int, counter: LinkCounter, more: int = 0, *, per_second: float = 0.0) -> None:
        """Add to a counter of one NVLink and set how fast it goes on."""
        self.count_field(gpu, counter, more, scope=link, per_second=per_second)

    def set_pcie_traffic(self, gpu: int, *, sent: float, received: float) -> None:
        """Let the PCIe byte counters advance, bytes/s from now on."""
        self.count_field(gpu, _PCIE_SENT, per_second=sent)
        self.count_field(gpu, _PCIE_RECEIVED, per_second=received)

    # Memory errors and repair

    def set_ecc(
        self,
        gpu: int,
        *,
        corrected: int = 0,
        uncorrected: int = 0,
        location: EccLocation = EccLocation.DEVICE,
        corrected_per_second: float = 0.0,
    ) -> None:
        """Count memory errors at a location: there and in the totals, volatile and aggregate.

        Args:
            gpu: Whose memory.
            corrected: How many more; the CBU counts none of these.
            uncorrected: How many more.
            location: Where.
            corrected_per_second: A storm of corrected errors, until set again.
        """
        for offset, more, rate in ((0, corrected, corrected_per_second), (1, uncorrected, 0.0)):
            if location is EccLocation.CBU and offset == 0:
                continue
            of_location = 2 * location + (0 if location is EccLocation.CBU else offset)
            for field in (_ECC_TOTAL, _ECC_TOTAL + 2):
                self.count_field(gpu, field + offset, more, per_second=rate)
            for field in (_ECC_VOLATILE, _ECC_AGGREGATE):
                self.count_field(gpu, field + of_location, more, per_second=rate)

    def set_sram_errors(self, gpu: int, counter: SramCounter, count: int) -> None:
        """Set one counter of SRAM errors; only root reads them."""
        self._state.set(gpu, "sram_errors", count, counter)

    def set_sram_threshold(self, gpu: int, *, exceeded: bool) -> None:
        """Say whether SRAM errors ask for field diagnosis."""
        self._state.set(gpu, "sram_threshold_exceeded", exceeded)

    def set_remap(
        self,
        gpu: int,
        *,
        corrected: int | None = None,
        uncorrected: int | None = None,
        pending: bool | None = None,
        failure: bool | None = None,
    ) -> None:
        """Set the rows remapped for either kind of error, and the two flags."""
        values = {"corrected": corrected, "uncorrected": uncorrected, "pending": pending, "failure": failure}
        for name, value in values.items():
            if value is not None:
                self.set_field(gpu, _REMAPPED[name], int(value))

    def set_remap_spares(self, gpu: int, banks: tuple[int, int, int, int, int]) -> None:
        """Set how many banks have max, high, partial, low and no spare rows left."""
        for level, count in enumerate(banks):
            self._state.set(gpu, "bank_remaps", count, level)

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

    def set_profiles(self, gpu: int, *, supported: int, requested: int = 0, enforced: int = 0) -> None:
        """Set the masks of workload power profiles 0 to 31; none supported is not supported."""
        self._state.set(gpu, "profiles_supported", supported)
        self._state.set(gpu, "profiles_requested", requested)
        self._state.set(gpu, "profiles_enforced", enforced)

    def set_privileged(self, *, privileged: bool) -> None:
        """Answer what only root may read: power smoothing, SRAM errors."""
        self._state.set(TRAY, "privileged", privileged)
