"""The node's `/metrics`: per-GPU values and health, from the newest of everything the agent saw.

`gpu` is the position on the tray; `threenines_gpu_info` joins it to the UUID. A value that
could not be read has no series; why stands in `threenines_gpu_value_missing`. What a GPU said
before it hung, or before the driver went, is not live: its values vanish and its age grows.

A round is written again only when a GPU was surveyed again, so a scrape costs what changed.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from collectors.catalogue import METRICS, Key, Part, Quantity, Round, quantity_of
from collectors.dcgm_names import DcgmNames
from collectors.device import Access, FabricState, GpuIdentity, Inventory, Missing, Reading
from collectors.exposition import Exposition, Family, Plan, Sample, Series
from collectors.shown import Collected, Shown
from collectors.witnesses import FaultsShown
from service.core import limits
from service.core.escalation import Reason
from service.core.health import State
from service.core.xid import CLASS_OF, XidClass, classify

PREFIX = "threenines_"
_GPU = ("gpu",)
# Labels in the order of their names, as the library writes them.
_INFO = ("board", "clique", "cluster", "gpu", "module", "name", "pci_bus_id", "uuid", "vbios")
_NODE = ("chassis_serial", "cuda", "driver", "nvml", "slot", "tray")

# Families beside the catalogue's; a small family more is a line here and a sample in `_states`.
_OWN: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("agent_driver_up", "1 while the driver answers.", ()),
    ("agent_driver_opened_total", "Times the driver was opened again after it had gone.", ()),
    ("agent_facts_total", "Facts written to the spool.", ()),
    ("agent_facts_lost_total", "Facts that the spool could not take; told to the service as a gap.", ()),
    ("agent_xid_source_up", "1 while this witness of XIDs can be heard; with none, no XID is no news.", ("source",)),
    ("agent_evidence_quarantined_total", "Lines and events that were not believed.", ("reason",)),
    ("agent_xids_untold_total", "XIDs beyond what is told one by one; they are counted all the same.", ()),
    ("agent_kernel_lines_lost_total", "Records of the kernel log that were overwritten unread.", ()),
    ("agent_fabric_incidents_total", "Faults of the NVLink fabric that hit several GPUs of this tray at once.", ()),
    ("agent_collector_restarts_total", "Times the collector process had to be replaced.", ()),
    ("agent_gpus_refused", "GPUs that the driver shows and that cannot be believed, by reason.", ("reason",)),
    (
        "gpu_present",
        "1 for a GPU that the driver shows, 0 for one that it showed here before.",
        _GPU,
    ),
    ("gpu_health", "1 for the health that the agent decided, 0 for the others.", ("gpu", "state")),
    ("gpu_access", "1 for how the GPU answered its newest reading, 0 for the others.", ("gpu", "state")),
    ("gpu_fabric", "1 for what the GPU says of its NVLink domain, 0 for the others.", ("gpu", "state")),
    ("gpu_recovery_action", "What the driver asks for (field 230); 0 is nothing.", _GPU),
    ("gpu_call_overdue", "1 while a driver call hangs beyond its deadline.", _GPU),
    ("gpu_frozen", "1 while every value of many readings is identical: a collector that froze.", _GPU),
    ("gpu_incidents_total", "Incidents: all that a GPU raised until three minutes of silence is one.", _GPU),
    (
        "gpu_incidents_open",
        "Open incidents by class; a suspicious one is unknown and needs a look.",
        ("class", "gpu"),
    ),
    ("gpu_replacement_candidate", "1 for a reason to replace the GPU or to review it.", ("gpu", "reason")),
    ("gpu_memory_missing_bytes", "Memory that the GPU had once and has no more.", _GPU),
    ("gpu_reading_age_seconds", "Age of the newest reading.", _GPU),
    ("gpu_read_duration_seconds", "Duration of the newest reading.", _GPU),
    ("gpu_survey_age_seconds", "Age of the newest values of a round beyond the reading.", ("gpu", "round")),
    ("node_info", "Driver of the node and its place; always 1.", _NODE),
    ("gpu_info", "Which GPU sits at a position; always 1.", _INFO),
    ("gpu_xid_events_total", "XIDs raised by the driver, by code and our class.", ("class", "gpu", "xid")),
    ("gpu_xid_records_total", "What all witnesses said of a code, before two of them were one XID.", ("gpu", "xid")),
    ("gpu_xid_lines_folded_total", "Equal lines of the kernel log that were folded.", ("gpu", "xid")),
    ("gpu_xid_injected_total", "XIDs that somebody raised as a test.", ("gpu", "xid")),
    ("gpu_xid_last_seen_timestamp_seconds", "When a code was raised last; absent if never.", ("gpu", "xid")),
)
_MISSING = Family(
    f"{PREFIX}gpu_value_missing",
    "1 for a value that could not be read. Without a part: all parts, or those that this GPU has not.",
    ("gpu", "part", "reason", "value"),
)
_NAME = {quantity: f"{PREFIX}gpu_{quantity.value}" for quantity in Quantity}


def _own(name: str, text: str, labels: tuple[str, ...]) -> Family:
    return Family(PREFIX + name, text, labels, counter=name.endswith("_total"))


def _of_quantity(quantity: Quantity) -> Family:
    metric = METRICS[quantity]
    labels = _GPU if metric.part is None else tuple(sorted(("gpu", metric.part)))
    return Family(_NAME[quantity], metric.text, labels, counter=quantity.value.endswith("_total"))


CATALOGUE: tuple[Family, ...] = (*(_own(*row) for row in _OWN), *map(_of_quantity, METRICS), _MISSING)
_PART_FIRST = {quantity: metric.part is not None and metric.part < "gpu" for quantity, metric in METRICS.items()}
_STATES, _ACCESSES, _FABRICS = (tuple(one.value for one in kind) for kind in (State, Access, FabricState))


class Exporter:
    """Renders what an agent shows; safe to call from several threads."""

    def __init__(
        self, shown: Shown, *, interval_ms: int = limits.POLL_INTERVAL_MS, dcgm: DcgmNames | None = None
    ) -> None:
        """Show what an agent shows that polls every `interval_ms`; with `dcgm`, under its names too."""
        self._shown, self._interval_ms, self._dcgm = shown, interval_ms, dcgm
        self._text = Exposition(CATALOGUE if dcgm is None else (*CATALOGUE, *dcgm.families))
        self._blocks: dict[str, tuple[tuple[object, ...], bytes]] = {}
        self._plans: dict[Round, tuple[list[tuple[int, list[Key]]], Plan]] = {}
        self._lock = threading.Lock()

    def render(self, mono_ms: int) -> bytes:
        """Return the whole exposition at a monotonic instant; equal input gives equal bytes."""
        with self._lock:
            return b"".join(self._all(mono_ms))

    def live(self, mono_ms: int) -> tuple[int, int]:
        """Return how many GPUs have a live reading, and how many sit or sat here."""
        gpus = () if self._shown.inventory is None else self._shown.inventory.gpus
        live = sum(bool(self._live_of(gpu.uuid, mono_ms)) for gpu in gpus)
        return live, len(gpus) + len(self._shown.absent)

    def _all(self, mono_ms: int) -> Iterator[bytes]:
        shown, inventory = self._shown, self._shown.inventory
        yield self._text.write(_ages(shown, mono_ms))
        gpus = () if inventory is None else inventory.gpus
        live = [(gpu, self._live_of(gpu.uuid, mono_ms)) for gpu in gpus]
        yield self._states(live)
        yield self._block("witnesses", (shown.faults,), lambda: _witnesses(shown.faults))
        if inventory is None:
            return
        xids, seen_ms = dict(shown.xids), dict(shown.xid_seen_ms)
        yield self._block("info", (inventory,), lambda: _info(inventory))
        yield self._block("xids", (inventory, xids, seen_ms), lambda: _xids(inventory, xids, seen_ms))
        yield self._block("faults", (inventory, shown.faults), lambda: _faults(inventory, shown.faults))
        for one in Round:
            yield from self._round(inventory, one, [(gpu, said[one]) for gpu, said in live if one in said])
        missing = [(_label(gpu), [one.missing for one in said.values()]) for gpu, said in live]
        yield self._block("missing", (missing,), lambda: _missing(missing))
        if self._dcgm is not None:
            yield self._block("dcgm xids", (inventory, seen_ms), partial(self._dcgm.xids, inventory, seen_ms))

    def _states(self, live: list[tuple[GpuIdentity, dict[Round, Collected]]]) -> bytes:
        shown = self._shown
        readings = [(gpu, said.get(Round.PULSE)) for gpu, said in live]
        verdicts = [
            (gpu, one.access, one.fabric, one.recovery_action) for gpu, one in readings if isinstance(one, Reading)
        ]
        inputs = (verdicts, shown.absent, dict(shown.health), shown.overdue, shown.gpu_frozen, shown.driver_up)
        return self._block("states", inputs, lambda: _states(shown, [gpu for gpu, _ in live], verdicts))

    def _round(self, inventory: Inventory, one: Round, said: list[tuple[GpuIdentity, Collected]]) -> Iterator[bytes]:
        """Yield a round: text that was planned for the same series, with the numbers of now."""
        kept = self._blocks.get(one.value)
        if kept is None or kept[0] != (said,):
            shape = [(gpu.position, list(collected.values)) for gpu, collected in said]
            planned = self._plans.get(one)
            if planned is None or planned[0] != shape:
                planned = self._plans[one] = (shape, self._text.plan(list(_series(said))))
            numbers = [number for _, collected in said for number in collected.values.values()]
            kept = self._blocks[one.value] = ((said,), planned[1].write(numbers))
        yield kept[1]
        if self._dcgm is not None:
            inputs = (inventory, one, said)
            yield self._block(f"dcgm {one.value}", inputs, partial(self._dcgm.samples, *inputs))

    def _block(self, name: str, inputs: tuple[object, ...], samples: Callable[[], Iterator[Sample]]) -> bytes:
        """Return a block as it was written for equal inputs, or write it now."""
        kept = self._blocks.get(name)
        if kept is None or kept[0] != inputs:
            kept = self._blocks[name] = (inputs, self._text.write(samples()))
        return kept[1]

    def _live_of(self, uuid: str, mono_ms: int) -> dict[Round, Collected]:
        return self._shown.live(uuid, mono_ms, self._interval_ms)


def _label(gpu: GpuIdentity) -> str:
    return str(gpu.position)


def _ages(shown: Shown, mono_ms: int) -> Iterator[Sample]:
    """Yield what differs at every scrape: ages, and the agent's own counters."""
    yield _sample("agent_driver_up", (), shown.driver_up)
    yield _sample("agent_driver_opened_total", (), shown.reopened)
    yield _sample("agent_facts_total", (), shown.facts)
    yield _sample("agent_facts_lost_total", (), shown.lost_facts)
    yield _sample("agent_collector_restarts_total", (), shown.collector_restarts)
    for reason, count in sorted(Counter(one.reason for one in shown.refused).items()):
        yield _sample("agent_gpus_refused", (reason,), count)
    for gpu in () if shown.inventory is None else shown.inventory.gpus:
        label, read_ms, took_ms = _label(gpu), shown.read_mono_ms.get(gpu.uuid), shown.took_ms.get(gpu.uuid)
        if read_ms is not None:
            yield _sample("gpu_reading_age_seconds", (label,), (mono_ms - read_ms) / 1000)
        if took_ms is not None:
            yield _sample("gpu_read_duration_seconds", (label,), took_ms / 1000)
        for one, at_ms in list(shown.surveyed_mono_ms.get(gpu.uuid, {}).items()):
            yield _sample("gpu_survey_age_seconds", (label, one.value), (mono_ms - at_ms) / 1000)


def _sample(name: str, labels: tuple[str, ...], value: float) -> Sample:
    return (PREFIX + name, labels, value)


Verdict = tuple[GpuIdentity, Access, FabricState, int | None]


def _states(shown: Shown, gpus: list[GpuIdentity], verdicts: list[Verdict]) -> Iterator[Sample]:
    """Yield what GPUs are, by word: here, healthy, reachable, in their fabric."""
    for one in shown.absent:
        yield _sample("gpu_present", (str(one.position),), 0)
        yield from _health(shown, str(one.position), one.gpu)
    for gpu in gpus:
        yield from _health(shown, _label(gpu), gpu.uuid)
        if shown.driver_up:
            yield _sample("gpu_present", (_label(gpu),), 1)
            yield _sample("gpu_call_overdue", (_label(gpu),), gpu.uuid in shown.overdue)
            yield _sample("gpu_frozen", (_label(gpu),), gpu.uuid in shown.gpu_frozen)
    for gpu, access, fabric, action in verdicts:
        yield from _set("gpu_access", _label(gpu), _ACCESSES, access.value)
        yield from _set("gpu_fabric", _label(gpu), _FABRICS, fabric.value)
        if action is not None:
            yield _sample("gpu_recovery_action", (_label(gpu),), action)


def _health(shown: Shown, label: str, uuid: str) -> Iterator[Sample]:
    return _set("gpu_health", label, _STATES, shown.health.get(uuid, State.UNKNOWN.value))


def _set(name: str, label: str, states: tuple[str, ...], now: str) -> Iterator[Sample]:
    for state in states:
        yield _sample(name, (label, state), state == now)


def _info(inventory: Inventory) -> Iterator[Sample]:
    it = inventory
    cuda = f"{it.cuda_version // 1000}.{it.cuda_version % 1000 // 10}"
    node = (it.chassis_serial, cuda, it.driver_version, it.nvml_version, it.slot, it.tray)
    if it.driver_version:  # else no driver has answered so far: nothing is known but who sat here
        yield _sample("node_info", _texts(*node), 1)
    for gpu in inventory.gpus:
        board, vbios = gpu.board_part_number, gpu.vbios_version
        place = (gpu.module, gpu.name, gpu.pci_bus_id, gpu.uuid)
        yield _sample("gpu_info", _texts(board, gpu.clique, gpu.cluster, gpu.position, *place, vbios), 1)


def _texts(*values: object) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in values)


def _witnesses(faults: FaultsShown) -> Iterator[Sample]:
    """Yield who can be heard, and what was not believed, not read or not told."""
    yield _sample("agent_xids_untold_total", (), faults.untold)
    yield _sample("agent_kernel_lines_lost_total", (), faults.lines_lost)
    yield _sample("agent_fabric_incidents_total", (), faults.fabric_incidents)
    for source, up in faults.sources.items():
        yield _sample("agent_xid_source_up", (source,), up)
    for reason, count in faults.quarantined.items():
        yield _sample("agent_evidence_quarantined_total", (reason,), count)


_REASONS = tuple(sorted(one.value for one in Reason))
_INCIDENT_CLASSES = (*sorted(one.value for one in XidClass), "suspicious")


def _faults(inventory: Inventory, faults: FaultsShown) -> Iterator[Sample]:
    """Yield each GPU's incidents, and by code what they are made of."""
    label_of = {gpu.uuid: _label(gpu) for gpu in inventory.gpus}
    for uuid, label in label_of.items():
        yield _sample("gpu_incidents_total", (label,), faults.incidents.get(uuid, 0))
        for kind in _INCIDENT_CLASSES:
            yield _sample("gpu_incidents_open", (kind, label), faults.standing.get((uuid, kind), 0))
        for reason in _REASONS:
            yield _sample("gpu_replacement_candidate", (label, reason), (uuid, reason) in faults.candidates)
        if uuid in faults.memory_missing:
            yield _sample("gpu_memory_missing_bytes", (label,), faults.memory_missing[uuid])
    for name, counts in (
        ("gpu_xid_records_total", faults.records),
        ("gpu_xid_lines_folded_total", faults.folded),
        ("gpu_xid_injected_total", faults.injected),
    ):
        for (uuid, code), count in counts.items():
            if uuid in label_of:
                yield _sample(name, (label_of[uuid], str(code)), count)


def _xids(
    inventory: Inventory, xids: Mapping[tuple[str, int], int], seen_ms: Mapping[tuple[str, int], int]
) -> Iterator[Sample]:
    """Yield a counter for every code that we know or saw, from 0 on, so that rate() is right."""
    for gpu in inventory.gpus:
        label = _label(gpu)
        for code in sorted({*CLASS_OF, *(code for uuid, code in xids if uuid == gpu.uuid)}):
            labels = (classify(code).value, label, str(code))
            yield _sample("gpu_xid_events_total", labels, xids.get((gpu.uuid, code), 0))
            at_ms = seen_ms.get((gpu.uuid, code))
            if at_ms is not None:
                yield _sample("gpu_xid_last_seen_timestamp_seconds", (label, str(code)), at_ms / 1000)


def _series(said: list[tuple[GpuIdentity, Collected]]) -> Iterator[Series]:
    for gpu, collected in said:
        label = _label(gpu)
        for key in collected.values:
            yield _NAME[quantity_of(key)], _labels(label, key)


def _labels(label: str, key: Key) -> tuple[str, ...]:
    if not isinstance(key, Part):
        return (label,)
    return (key.label, label) if _PART_FIRST[key.quantity] else (label, key.label)


def _missing(missing: list[tuple[str, list[Mapping[Key, Missing]]]]) -> Iterator[Sample]:
    """Yield each reason once; a quantity that this GPU has not is one line, not one a part."""
    for label, rounds in missing:
        for labels in {_reason(label, key, why) for one in rounds for key, why in one.items()}:
            yield _MISSING.name, labels, 1


def _reason(label: str, key: Key, why: Missing) -> tuple[str, ...]:
    part = key.label if isinstance(key, Part) and why is not Missing.UNSUPPORTED else ""
    return (label, part, why.value, quantity_of(key).value)
