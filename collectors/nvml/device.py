"""All GPUs that the driver of this host shows; see `collectors.device.Device`.

The tables of fields and calls say what is asked; here it is asked, one GPU a thread, and sorted
into values and reasons. Vendor units, struct versions and error codes end in this package.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from collectors.catalogue import Key, Part, Quantity, Round, of_round, quantity_of
from collectors.clock import SystemClock
from collectors.device import Access, DeviceEvent, FabricState, Inventory, Missing, Reading, Survey
from collectors.nvml.batches import batches
from collectors.nvml.calls import CALLS, Prepared
from collectors.nvml.codes import (
    BAD_VERSION,
    DRIVER_NOT_LOADED,
    GPU_IS_LOST,
    GPU_NOT_FOUND,
    LIBRARY_NOT_FOUND,
    NO_PERMISSION,
    NOT_FOUND,
    NOT_SUPPORTED,
    RESET_REQUIRED,
    SUCCESS,
    TIMEOUT,
    UNINITIALIZED,
    VERSION_MISMATCH,
    missing_field_for,
    missing_for,
    telling,
    words,
)
from collectors.nvml.events import EventSet
from collectors.nvml.fabric import judge, unpack
from collectors.nvml.fields import FieldBatch, sift
from collectors.nvml.gpm import Gpm
from collectors.nvml.identity import Found, NotAnswered, fabric_info, found, handle_by_uuid, need, number, text
from collectors.nvml.library import Buffer, DriverLibrary, Library
from collectors.nvml.lock import FieldLock
from service.core.errors import DeviceGone, DriverUnavailable
from service.core.ports import Clock

_FIND_AGAIN_READS = 5  # how often a lost GPU is looked for by its UUID
_CAUSES = {
    UNINITIALIZED: ("driver:reloaded", "the driver is being reloaded: wait, it is tried again"),
    NO_PERMISSION: ("agent:unreadable", "give the agent read access to /dev/nvidiactl and /dev/nvidia*"),
    DRIVER_NOT_LOADED: ("driver:not_loaded", "load the NVIDIA kernel module (modprobe nvidia)"),
    LIBRARY_NOT_FOUND: ("driver:library_missing", "install the driver's user space (libnvidia-ml.so.1)"),
    GPU_NOT_FOUND: ("gpu:missing", "no GPU answers: see lspci and the kernel log"),
    VERSION_MISMATCH: ("driver:version_mismatch", "library and kernel module differ: reload the module or reboot"),
}
_OTHER_CAUSE = ("agent:unreadable", "see the kernel log (dmesg) for what the driver says")
_ACCESS = {GPU_IS_LOST: Access.LOST, RESET_REQUIRED: Access.RESET_REQUIRED}
_FINAL = frozenset({SUCCESS, UNINITIALIZED, TIMEOUT, *_ACCESS})  # asking field by field would tell no more

_Values = dict[Key, float]
_Absent = dict[Key, Missing]


@dataclass(slots=True)
class _Plan:
    """What a GPU is still asked for in a round, and what it refused for good."""

    batches: list[FieldBatch]
    calls: list[Prepared]
    refused: _Absent = field(default_factory=dict)


@dataclass(slots=True)
class _Gpu:
    """What is kept of a GPU between collections; used by its own thread alone."""

    found: Found
    handle: int
    plans: dict[Round, _Plan]
    gpm: Gpm = field(default_factory=Gpm)
    access: Access = Access.OK
    failed_reads: int = 0  # since it last answered
    fabric_version: int = 3
    fabric_raw: bytes = b""  # the last answer, and what was made of it
    fabric_state: FabricState = FabricState.UNKNOWN


class NvmlDevice:
    """The driver's GPUs behind the device port."""

    def __init__(self, clock: Clock | None = None, library: Library | None = None) -> None:
        """Touch nothing before `open`."""
        self._clock = clock or SystemClock()
        self._library = library or DriverLibrary()
        self._gpus: dict[str, _Gpu] = {}
        self._events = EventSet(self._library)
        self._is_open = False
        self._opening = threading.Lock()
        self.field_lock = FieldLock(self._clock)

    def open(self) -> Inventory:
        """Initialise NVML, take the inventory, subscribe to events."""
        self.close()
        try:
            need(self._library.init())
            self._is_open = True
            return self._take_in()
        except DriverUnavailable:
            self.close()
            raise
        except NotAnswered as error:
            self.close()
            cause, mend = _CAUSES.get(error.code, _OTHER_CAUSE)
            raise DriverUnavailable(cause, f"NVML: {words(error.code)}: {mend}") from error

    def _take_in(self) -> Inventory:
        self.field_lock = FieldLock(self._clock)  # a call that hangs from before keeps the old one
        gpus, unanswered = found(self._library, self.field_lock.call, self._clock)
        if unanswered and not gpus:
            raise DriverUnavailable("driver:hung", f"NVML: none of {unanswered} GPUs says in time who it is")
        self._gpus = {gpu.identity.uuid: _Gpu(gpu, gpu.handle, _plans(gpu)) for gpu in gpus}
        self._events = EventSet(self._library)
        need(self._events.open({gpu.identity.uuid: gpu.handle for gpu in gpus}))
        return _inventory(self._library, gpus, self._events.masks, unanswered)

    def close(self) -> None:
        """Let go of events and library; idempotent."""
        with self._opening:
            was_open, self._is_open = self._is_open, False
        if was_open:
            self._events.close()
            self._library.shutdown()

    # Reading

    def read(self, gpu: str) -> Reading:
        """Collect the pulse of one GPU."""
        known = self._gpus[gpu]
        code = self._find_again(known)
        plan, action = known.plans[Round.PULSE], None
        values: _Values = {}
        missing: _Absent = {}
        if code == SUCCESS:
            action, code = self._evidence(known, plan, values, missing)
        if code != SUCCESS:
            return self._failed(known, code, action)
        self._welcome(known)
        self._ask_rest(known, plan, values, missing, first_batch=1)
        return Reading(
            gpu=gpu,
            access=Access.OK,
            values=values,
            missing=_complete(Round.PULSE, values, missing),
            recovery_action=action,
            fabric=self._fabric(known),
        )

    def survey(self, gpu: str, one: Round) -> Survey:
        """Collect another round of one GPU; nothing is asked of a GPU that just failed to answer."""
        if one is Round.PULSE:
            msg = "the pulse is read, not surveyed"
            raise ValueError(msg)
        known = self._gpus[gpu]
        values: _Values = {}
        missing: _Absent = {}
        if known.access is Access.OK:
            self._ask_rest(known, known.plans[one], values, missing)
            if one is Round.STATUS:
                self._engines(known, values, missing)
            missing = _complete(one, values, missing)
        else:
            missing = dict.fromkeys(of_round(one), Missing.FAILED)
        return Survey(gpu=gpu, round=one, values=values, missing=missing)

    def _evidence(self, known: _Gpu, plan: _Plan, values: _Values, missing: _Absent) -> tuple[int | None, int]:
        """Ask the first batch; return the recovery action and the code that decides about the GPU."""
        code = self._ask_batch(known, plan, 0)
        if code != SUCCESS:
            return None, code
        answers = plan.batches[0].answers()
        action = sift(answers, values, missing)
        if not values and Missing.FAILED in missing.values():
            return action, telling({answer.code for answer in answers})  # one that needs a reset still says so
        return action, SUCCESS

    def _ask_rest(self, known: _Gpu, plan: _Plan, values: _Values, missing: _Absent, first_batch: int = 0) -> None:
        for number_of_batch in range(first_batch, len(plan.batches)):
            code = self._ask_batch(known, plan, number_of_batch)
            _check_reload(code)
            if code == SUCCESS:
                sift(plan.batches[number_of_batch].answers(), values, missing)
            else:
                why = missing_for(code)
                missing.update((one.key, why) for one in plan.batches[number_of_batch].fields if one.key is not None)
        for call in tuple(plan.calls):
            code = call.ask(self._library, known.handle, values, missing)
            _check_reload(code)
            if code != SUCCESS and missing_for(code) is not Missing.FAILED:
                plan.calls.remove(call)
                plan.refused.update((key, missing_for(code)) for key in call.call.keys)
        missing.update(plan.refused)

    def _ask_batch(self, known: _Gpu, plan: _Plan, at: int) -> int:
        """Fill a batch; one that fails as a whole is asked field by field once, then without the culprits."""
        batch = plan.batches[at]

        def call(count: int, entries: Buffer) -> int:
            return self._locked(known, "nvmlDeviceGetFieldValues", count, entries)

        code = batch.ask(call)
        if code == SUCCESS:
            batch.is_split = False
            if not batch.is_settled:
                self._settle(plan, at, [answer.code for answer in batch.answers()])
            return code
        if code in _FINAL or batch.is_split:
            return code
        codes = batch.ask_singly(call)
        batch.is_split = SUCCESS not in codes
        if batch.is_split or UNINITIALIZED in codes:
            return telling(codes)
        self._settle(plan, at, codes)
        return SUCCESS

    @staticmethod
    def _settle(plan: _Plan, at: int, codes: list[int]) -> None:
        """Leave out of later batches what this GPU refused for good; a failure is asked again."""
        batch = plan.batches[at]
        refused = {
            one: missing_field_for(code)
            for one, code in zip(batch.fields, codes, strict=True)
            if code != SUCCESS and missing_field_for(code) is not Missing.FAILED
        }
        if refused:
            plan.refused.update((one.key, why) for one, why in refused.items() if one.key is not None)
            plan.batches[at] = batch.without(refused)
        plan.batches[at].is_settled = True

    def _locked(self, known: _Gpu, function: str, *arguments: int | Buffer) -> int:
        return self.field_lock.call(
            known.found.identity.uuid, lambda: self._library.call(function, known.handle, *arguments)
        )

    def _engines(self, known: _Gpu, values: _Values, missing: _Absent) -> None:
        code = self.field_lock.call(
            known.found.identity.uuid, lambda: known.gpm.ask(self._library, known.handle, values, missing)
        )
        _check_reload(code)
        if code == TIMEOUT:
            missing[Quantity.ENGINE_ACTIVE_RATIO] = Missing.FAILED

    def _fabric(self, known: _Gpu) -> FabricState:
        code, raw = fabric_info(self._library, known.handle, known.fabric_version)
        if code == BAD_VERSION and known.fabric_version > 2:  # noqa: PLR2004 -- the oldest that counts
            known.fabric_version = 2
            code, raw = fabric_info(self._library, known.handle, known.fabric_version)
        _check_reload(code)
        if code != SUCCESS:
            return FabricState.UNSUPPORTED if code == NOT_SUPPORTED else FabricState.UNKNOWN
        if raw != known.fabric_raw:  # it hardly ever changes
            is_multi_node = known.found.place is not None
            known.fabric_raw, known.fabric_state = raw, judge(unpack(raw, is_multi_node=is_multi_node))
        return known.fabric_state

    # Lost and found

    def _failed(self, known: _Gpu, code: int, action: int | None) -> Reading:
        _check_reload(code)
        known.access = _ACCESS.get(code, Access.FAILED)
        known.failed_reads += 1
        if known.access is Access.LOST:
            self._events.lost(known.found.identity.uuid)
        return Reading(
            gpu=known.found.identity.uuid,
            access=known.access,
            values={},
            missing=dict.fromkeys(of_round(Round.PULSE), Missing.FAILED),
            recovery_action=action,
            error=f"NVML: {words(code)}",
        )

    def _find_again(self, known: _Gpu) -> int:
        """Look now and then for a lost GPU by its UUID; it may come back under another handle."""
        if known.access is not Access.LOST or known.failed_reads % _FIND_AGAIN_READS:
            return SUCCESS
        try:
            known.handle = handle_by_uuid(self._library, known.found.identity.uuid)
        except NotAnswered as error:
            return GPU_IS_LOST if error.code == NOT_FOUND else error.code
        return SUCCESS

    def _welcome(self, known: _Gpu) -> None:
        """Take back a GPU that did not answer; what it refused before its reset is asked again."""
        if known.access is Access.LOST:
            self._events.returned(known.found.identity.uuid, known.handle)
            known.gpm.free(self._library)
            known.gpm = Gpm()
        if known.access in {Access.LOST, Access.RESET_REQUIRED}:
            pulse = known.plans[Round.PULSE]  # just answered; asked again in full from the next pulse on
            known.plans = _plans(known.found)
            known.plans[Round.PULSE].batches[0] = pulse.batches[0]
        known.access, known.failed_reads = Access.OK, 0

    # Events

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Wait for the first event, then take what else is there."""
        code, events = self._events.wait(timeout_ms)
        if not events:
            _check_reload(code)
        return events


def _plans(gpu: Found) -> dict[Round, _Plan]:
    return {
        one: _Plan(
            [FieldBatch(fields) for fields in batches(one, gpu.links, gpu.c2c_links)],
            [Prepared(call) for call in CALLS[one]],
        )
        for one in Round
    }


def _complete(one: Round, values: _Values, missing: _Absent) -> _Absent:
    """Return the reasons for everything of a round that has no value.

    A quantity of which no part answered is missing as a whole; one that nobody asked for,
    because this GPU has no such part, is unsupported.
    """
    answered = {quantity_of(key) for key in values}
    told = {key: why for key, why in missing.items() if not isinstance(key, Part) or key.quantity in answered}
    reasons: dict[Quantity, set[Missing]] = {}
    for key, why in missing.items():
        if isinstance(key, Part) and key.quantity not in answered:
            reasons.setdefault(key.quantity, set()).add(why)
    told.update((quantity, _gravest(why)) for quantity, why in reasons.items())
    silent = of_round(one) - answered - {quantity_of(key) for key in told}
    return told | dict.fromkeys(silent, Missing.UNSUPPORTED)


def _gravest(reasons: Iterable[Missing]) -> Missing:
    return max(reasons, key=(Missing.UNSUPPORTED, Missing.FORBIDDEN, Missing.FAILED).index)


def _check_reload(code: int) -> None:
    if code == UNINITIALIZED:
        raise DeviceGone("the driver was reloaded under us: open again")


def _inventory(library: Library, gpus: list[Found], masks: dict[str, int], unanswered: int) -> Inventory:
    place = next((gpu.place for gpu in gpus if gpu.place is not None), None)
    return Inventory(
        gpus=tuple(gpu.identity for gpu in gpus),
        driver_version=text(library, "nvmlSystemGetDriverVersion", None),
        nvml_version=text(library, "nvmlSystemGetNVMLVersion", None),
        cuda_version=number(library, "nvmlSystemGetCudaDriverVersion_v2", None),
        chassis_serial=place.chassis_serial if place else None,
        slot=place.slot if place else None,
        tray=place.tray if place else None,
        event_types=dict(masks),
        unanswered=unanswered,
    )
