"""Driver events and kernel lines, merged: what is one XID, what it means, what is only counted.

One object for the life of an agent, through reloads and runs. It decides; the narrator writes
and moves coverage. Nothing here waits, reads a clock or touches a disk.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from collectors.casebook import Casebook
from collectors.device import DeviceEvent
from collectors.edges import Look
from collectors.judgement import action_cause
from collectors.kernel_lines import Notice
from service.core import limits
from service.core.health import Health, health_of
from service.core.incident import (
    GpuFaults,
    Incident,
    Named,
    Polled,
    Raised,
    Reset,
    Witness,
    fold,
    is_test,
    judge,
    raised,
    smoothing_lost_ms,
)
from service.core.nvlink_xid import Outcome, decode
from service.core.xid import (
    CONTAINED,
    DETAILS_OF_48,
    FAULT_CLASSES,
    NAMES_ACTION,
    SMOOTHING_BACK,
    SMOOTHING_LOST,
    XIDS,
    takes_down,
)

# Event types of the driver that say how the GPU is; the others are recorded only.
EVENT_CAUSES = {0x4000: "gpu:unavailable", 0x2000: "gpu:poison"}
RECOVERY_ACTION_EVENT = 0x8000
_ROUGH = Look(Health.DEGRADED, "smoothing:disengaged")
_RELEASES = {
    CONTAINED: frozenset(f"xid:{code}" for code in DETAILS_OF_48),
    SMOOTHING_BACK: frozenset({"smoothing:disengaged"}),
}
_DATA_MAX = 2**53  # what the wire carries exactly

OutcomeWord = Literal["reset", "action", "ignore", "unknown"]
_WORDS: dict[Outcome, OutcomeWord] = {
    Outcome.RESET: "reset",
    Outcome.ACTION: "action",
    Outcome.IGNORE: "ignore",
    Outcome.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What follows from one record of a witness.

    `news` is whether it is one more XID, `tell` whether a fact of it is to be written, `look`
    how the GPU is from this instant on, if the record says so by itself. `releases` are causes that
    hold no longer: an uncorrectable error that turned out to hit one process only, a smoothing
    that came back.
    """

    news: bool = False
    tell: bool = False
    look: Look | None = None
    releases: frozenset[str] = frozenset()
    outcome: OutcomeWord | None = None


NOTHING = Ruling()


@dataclass(slots=True)
class Witnesses:
    """The faults of a tray's GPUs by UUID, and what was counted on the way.

    `xids` counts each XID once whoever saw it, `records` everything that any witness said,
    `injected` the tests of somebody's, told by their lines, `quarantined` what was not believed, by reason.
    """

    xids: Counter[tuple[str, int]] = field(default_factory=Counter)
    injected: Counter[tuple[str, int]] = field(default_factory=Counter)
    records: Counter[tuple[str, int]] = field(default_factory=Counter)
    seen_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    events: Counter[tuple[str, int]] = field(default_factory=Counter)  # other event types of the driver
    quarantined: Counter[str] = field(default_factory=Counter)
    untold: int = 0  # facts beyond the bound of a window
    faults: dict[str, GpuFaults] = field(default_factory=dict)
    cases: Casebook = field(default_factory=Casebook)
    actions: dict[str, int] = field(default_factory=dict)  # what the driver asked for last, as told
    demanding: set[str] = field(default_factory=set)  # GPUs that answer only that they want a reset
    driver_version: str = ""
    cuda_version: int = 0
    _window: dict[str, tuple[int, int]] = field(default_factory=dict)

    def event(self, gpu: str, code: int, at_ms: int) -> Ruling:
        """Take in an XID that the driver announced."""
        if not self._is_believable(gpu, code):
            return NOTHING
        return self._rule(gpu, Raised(at_ms=at_ms, code=code, witness=Witness.NVML))

    def other(self, gpu: str, event: DeviceEvent, at_ms: int) -> Ruling:
        """Take in another announcement of the driver."""
        if not 0 <= event.data < _DATA_MAX or not 0 <= event.event_type < _DATA_MAX:
            self.quarantined["absurd_event"] += 1
            return NOTHING
        self.events[gpu, event.event_type] += 1
        cause = EVENT_CAUSES.get(event.event_type)
        look = None if cause is None else Look(health_of(cause), cause)
        if look is not None:
            self.cases.failed(gpu, at_ms)
        return Ruling(news=True, tell=self._room(gpu, at_ms), look=look)

    def line(self, gpu: str, notice: Notice, at_ms: int) -> Ruling:
        """Take in what a kernel line says of a GPU."""
        if notice.code is None:
            self.cases.failed(gpu, at_ms)
            look = Look(Health.DOWN, "gpu:lost")
            return Ruling(news=True, tell=self._room(gpu, at_ms), look=look)
        if not self._is_believable(gpu, notice.code):
            return NOTHING
        detail = notice.detail
        decoded = None if detail is None else decode(detail, self.driver_version)
        evidence = Raised(
            at_ms=at_ms,
            code=notice.code,
            witness=Witness.KERNEL,
            outcome=None if decoded is None else decoded.outcome,
            reason=None if decoded is None else decoded.reason,
            link=None if detail is None else detail.link,
            injected=detail is not None and detail.injected,
        )
        ruling = self._rule(gpu, evidence)
        if notice.action is not None:
            self.named(gpu, at_ms, notice.action, words=True)
        return ruling if notice.action is None else self._with_action(ruling, notice.action)

    def named(self, gpu: str, at_ms: int, action: int, *, words: bool = False) -> None:
        """Take in a recovery action that the driver names; only a poll's is a demand for good."""
        cause = None if words else action_cause(action, self.cuda_version)
        if cause is not None and health_of(cause) is Health.DOWN:
            self.cases.failed(gpu, at_ms, demanded=True)
        self._fold(gpu, Named(at_ms=at_ms, action=action, words=words))

    def healthy(self, gpu: str, at_ms: int) -> None:
        """Take in that a poll found the GPU healthy."""
        self._fold(gpu, Polled(at_ms=at_ms, memory_missing=self._lacks_memory(gpu)))

    def served(self, gpu: str, at_ms: int) -> None:
        """Take in that a poll found the GPU serving, and that the driver asks for nothing."""
        incidents = self.faults.get(gpu, GpuFaults()).open
        self.cases.served(gpu, at_ms, is_open=any(judge(one).kind in FAULT_CLASSES for one in incidents))

    def standing_look(self, gpu: str) -> Look | None:
        """Return how a GPU is that reads well: what an XID said of it and no reading can deny."""
        return None if smoothing_lost_ms(self.faults.get(gpu, GpuFaults())) is None else _ROUGH

    def smoothing_lost_ms(self) -> dict[str, int]:
        """Return by GPU since when power smoothing is off."""
        found = {gpu: smoothing_lost_ms(faults) for gpu, faults in self.faults.items()}
        return {gpu: at_ms for gpu, at_ms in found.items() if at_ms is not None}

    def reset(self, gpu: str, at_ms: int) -> None:
        """Take in that the GPU was reset."""
        self._fold(gpu, Reset(at_ms=at_ms))

    def incidents(self) -> dict[str, int]:
        """Return how many incidents each GPU has had."""
        return {gpu: faults.opened for gpu, faults in self.faults.items()}

    def standing(self) -> Counter[tuple[str, str]]:
        """Return how many incidents of each GPU are open, by class; `suspicious` ones apart."""
        verdicts = [(gpu, judge(one, memory_missing=self._lacks_memory(gpu))) for gpu, one in self.open()]
        return Counter((gpu, "suspicious" if it.suspicious else it.kind.value) for gpu, it in verdicts)

    def open(self) -> tuple[tuple[str, Incident], ...]:
        """Return every open incident with its GPU."""
        return tuple((gpu, incident) for gpu, faults in self.faults.items() for incident in faults.open)

    def _lacks_memory(self, gpu: str) -> bool:
        return self.cases.memory_missing().get(gpu, 0) > 0

    def _rule(self, gpu: str, evidence: Raised) -> Ruling:
        code, at_ms = evidence.code, evidence.at_ms
        before = self.faults.get(gpu, GpuFaults())
        self.faults[gpu], news = raised(before, evidence)
        self.records[gpu, code] += 1
        self.seen_ms[gpu, code] = max(at_ms, self.seen_ms.get((gpu, code), 0))
        if evidence.injected:  # a counter never falls: an event that came before its line counts in both
            self.injected[gpu, code] += not is_test(before, code, at_ms)
        elif news:
            self.xids[gpu, code] += 1
        contained = code in DETAILS_OF_48 and _just_now(before, CONTAINED, at_ms)
        down = not evidence.injected and not contained and _takes_down(evidence)
        look = self.standing_look(gpu) if code == SMOOTHING_LOST else None
        if down:
            self.cases.failed(gpu, at_ms, code=code)
        return Ruling(
            news=news,
            tell=(news or evidence.outcome is not None) and self._room(gpu, at_ms),
            look=Look(Health.DOWN, f"xid:{code}") if down else look,
            releases=_RELEASES.get(code, frozenset()),
            outcome=None if evidence.outcome is None else _WORDS[evidence.outcome],
        )

    def _with_action(self, ruling: Ruling, action: int) -> Ruling:
        cause = action_cause(action, self.cuda_version)
        look = None if cause is None else Look(health_of(cause), cause)
        return Ruling(news=ruling.news, tell=ruling.tell, look=look)

    def _fold(self, gpu: str, evidence: Named | Polled | Reset) -> None:
        faults = self.faults.get(gpu)
        if faults is not None and faults.open:
            self.faults[gpu] = fold(faults, evidence)

    def _is_believable(self, gpu: str, code: int) -> bool:
        if not 0 < code <= limits.XID_MAX:
            self.quarantined["absurd_code"] += 1
            return False
        if code not in XIDS and (gpu, code) not in self.seen_ms:
            strange = sum(one == gpu and known not in XIDS for one, known in self.seen_ms)
            if strange >= limits.XID_CODES:
                self.quarantined["too_many_codes"] += 1
                return False
        return True

    def _room(self, gpu: str, at_ms: int) -> bool:
        """Return whether this window still has room for a fact of this GPU; what has none is counted."""
        from_ms, told = self._window.get(gpu, (at_ms, 0))
        if not from_ms <= at_ms < from_ms + limits.XID_WITNESS_MS:
            from_ms, told = at_ms, 0
        if told >= limits.XID_FACTS_PER_WINDOW:
            self.untold += 1
            return False
        self._window[gpu] = (from_ms, told + 1)
        return True


def _just_now(faults: GpuFaults, code: int, at_ms: int) -> bool:
    counted = faults.counted.get(code)
    return counted is not None and abs(at_ms - counted[0]) <= limits.XID_WITNESS_MS


def _takes_down(evidence: Raised) -> bool:
    if evidence.outcome is not None:
        return evidence.outcome is Outcome.RESET
    return takes_down(evidence.code)


def asks_for_a_reading(evidence: DeviceEvent | Notice) -> bool:
    """Return whether the driver is about to name a recovery action, so that it is worth asking at once."""
    if isinstance(evidence, Notice):
        return evidence.code is None or evidence.code in NAMES_ACTION
    return evidence.event_type == RECOVERY_ACTION_EVENT or evidence.data in NAMES_ACTION


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultsShown:
    """What `/metrics` may show of the witnesses: a copy, so that a scrape never meets a change.

    By GPU and code: `records` of all witnesses, the lines `folded` before they became one, and
    `injected` XIDs. By GPU: `incidents` ever opened, and by class those that are `standing`; an
    unknown code with a bad name is `suspicious`, for a person to look at. `candidates` for replacement
    come with the reason. `fabric_incidents` are of the tray; `memory_missing` is in bytes. `sources` says which
    witness can be heard; with none, the absence of XIDs says nothing.
    """

    sources: Mapping[str, bool] = field(default_factory=lambda: {"nvml": False, "kernel": False})
    records: Mapping[tuple[str, int], int] = field(default_factory=dict)
    folded: Mapping[tuple[str, int], int] = field(default_factory=dict)
    injected: Mapping[tuple[str, int], int] = field(default_factory=dict)
    incidents: Mapping[str, int] = field(default_factory=dict)
    fabric_incidents: int = 0
    candidates: frozenset[tuple[str, str]] = frozenset()
    memory_missing: Mapping[str, int] = field(default_factory=dict)
    standing: Mapping[tuple[str, str], int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    lines_lost: int = 0
    untold: int = 0
