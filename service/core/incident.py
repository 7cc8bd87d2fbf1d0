"""What all witnesses say of a GPU's faults, folded into incidents. Pure; bounded.

An XID is told by the driver's event, by the kernel's line, or by both within two seconds: then
it is one. The events of the driver count one each, because it announces every XID once; a
line counts only where no event stands beside it, because a storm writes thousands of them.

An incident is everything that one GPU raised until three minutes of silence; some codes come
back hours later and still belong to it. Its class is the strongest seen, unless the driver's
recovery action says otherwise. Times are ms UTC on the scale of one node, in about that order:
what comes late by less than the window of two witnesses changes nothing.

Only a line of an NVLink code says that somebody injected it, and the number of such a code alone
takes nobody down. So an event acts at once, whatever its code, and nothing waits for a line: when
one within the window says that it was a test, the incident is as if the event had not come. What
the driver asks for after a test is asked for all the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from service.core import limits
from service.core.nvlink_xid import PEER_REASONS, Outcome
from service.core.xid import (
    CONTAINED,
    DETAILS_OF_48,
    MEMORY_REDUCED,
    SMOOTHING_BACK,
    SMOOTHING_LOST,
    STICKY,
    SUSPICIOUS,
    UNCONTAINED,
    XidClass,
    classify,
)


class Witness(Enum):
    """Who saw an XID."""

    NVML = "nvml"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """One record of one XID by one witness; what was decoded from a line comes with it."""

    at_ms: int
    code: int
    witness: Witness
    outcome: Outcome | None = None
    reason: int | None = None  # why a link went down
    link: int | None = None
    injected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The driver named a recovery action: field 230 or event 0x8000, or only the words of a 154."""

    at_ms: int
    action: int
    words: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """A poll found the GPU healthy, though perhaps with less memory than it had before."""

    at_ms: int
    memory_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The GPU was reset, or its node was restarted."""

    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """The driver was reloaded; that alone mends nothing."""

    at_ms: int


Evidence = Raised | Named | Polled | Reset | Reloaded


@dataclass(frozen=True, slots=True)
class Code:
    """One code of an incident: when it was first and last raised, and what it was decoded to."""

    first_ms: int
    last_ms: int
    outcome: Outcome | None = None
    reason: int | None = None
    links: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an incident is, on all evidence so far.

    `suspicious` asks a person to look at once: the class is unknown and the name sounds bad.
    """

    kind: XidClass
    suspicious: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """Everything that one GPU raised in one go."""

    opened_ms: int
    last_ms: int
    codes: Mapping[int, Code]
    witnesses: frozenset[Witness] = frozenset()
    action: int | None = None  # newest recovery action that a poll found since it was opened
    action_ms: int = 0
    asked: int = 0  # newest action other than none that a poll found
    words: int = 0  # what XID 154 named, which a later poll may deny
    words_ms: int = 0
    reset_ms: int | None = None
    closed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GpuFaults:
    """The faults of one GPU: open incidents, the newest closed one, and what was just counted.

    `counted` holds by code when an XID was last counted, and how many lines of the kernel were
    counted for which the driver's event has not come yet; `injected` when a line last said of a
    code that somebody tests with it.
    """

    open: tuple[Incident, ...] = ()
    closed: Incident | None = None
    opened: int = 0
    counted: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    injected: Mapping[int, int] = field(default_factory=dict)


def raised(faults: GpuFaults, evidence: Raised) -> tuple[GpuFaults, bool]:
    """Take in a witness's record of an XID; return the faults, and whether it is one more XID."""
    counted, news = _count(faults.counted, evidence)
    faults = replace(faults, counted=counted)
    if evidence.injected:
        return _withdraw(_note_test(faults, evidence), evidence), news
    is_number = evidence.witness is Witness.NVML  # a line would say by itself what it is
    if is_number and is_test(faults, evidence.code, evidence.at_ms):
        return faults, news
    return _join(faults, evidence), news


def is_test(faults: GpuFaults, code: int, at_ms: int) -> bool:
    """Return whether a line beside this instant says that a code was injected."""
    last_ms = faults.injected.get(code)
    return last_ms is not None and abs(at_ms - last_ms) <= limits.XID_WITNESS_MS


def _note_test(faults: GpuFaults, evidence: Raised) -> GpuFaults:
    near = {code: at_ms for code, at_ms in faults.injected.items() if is_test(faults, code, evidence.at_ms)}
    room = evidence.code in near or len(near) < limits.INCIDENT_CODES
    return replace(faults, injected={**near, evidence.code: evidence.at_ms} if room else near)


def _withdraw(faults: GpuFaults, evidence: Raised) -> GpuFaults:
    """Take out of the open incidents what was only the number of an injected XID."""
    kept = [_without(one, evidence) if _is_number_of(one, evidence) else one for one in faults.open]
    return replace(faults, open=tuple(one for one in kept if one is not None))


def _is_number_of(incident: Incident, evidence: Raised) -> bool:
    seen = incident.codes.get(evidence.code)
    if seen is None or seen.outcome is not None or asked_for(incident) != 0:
        return False
    return max(abs(evidence.at_ms - at_ms) for at_ms in (seen.first_ms, seen.last_ms)) <= limits.XID_WITNESS_MS


def _without(incident: Incident, evidence: Raised) -> Incident | None:
    """Return an incident without a code, None when nothing else is in it."""
    codes = {code: seen for code, seen in incident.codes.items() if code != evidence.code}
    if not codes:
        return None
    first_ms, last_ms = min(one.first_ms for one in codes.values()), max(one.last_ms for one in codes.values())
    return replace(incident, codes=codes, opened_ms=first_ms, last_ms=last_ms)


def fold(faults: GpuFaults, evidence: Evidence) -> GpuFaults:
    """Take in any evidence of one GPU."""
    match evidence:
        case Raised():
            return raised(faults, evidence)[0]
        case Named():
            return replace(faults, open=tuple(_named(incident, evidence) for incident in faults.open))
        case Reset():
            return replace(faults, open=tuple(_reset(incident, evidence) for incident in faults.open))
        case Polled():
            return _polled(faults, evidence)
        case Reloaded():
            return faults


def _count(counted: Mapping[int, tuple[int, int]], evidence: Raised) -> tuple[dict[int, tuple[int, int]], bool]:
    at_ms, code = evidence.at_ms, evidence.code
    kept = {one: seen for one, seen in counted.items() if abs(at_ms - seen[0]) <= limits.XID_WITNESS_MS}
    last = kept.get(code)
    if last is not None and evidence.witness is Witness.KERNEL:
        return kept, False
    if last is not None and last[1] > 0:  # the event of a line that was counted already
        return kept | {code: (max(at_ms, last[0]), last[1] - 1)}, False
    if last is None and len(kept) >= limits.INCIDENT_CODES:
        kept.pop(min(kept, key=lambda one: kept[one][0]))
    awaited = int(evidence.witness is Witness.KERNEL)
    return kept | {code: (max(at_ms, last[0]) if last else at_ms, awaited)}, True


def _join(faults: GpuFaults, evidence: Raised) -> GpuFaults:
    near = [number for number, incident in enumerate(faults.open) if _belongs(incident, evidence)]
    if near:
        number = min(near, key=lambda one: not _is_of_smoothing(faults.open[one], evidence))
        joined = _with(faults.open[number], evidence)
        return replace(faults, open=(*faults.open[:number], joined, *faults.open[number + 1 :]))
    begun = _with(Incident(evidence.at_ms, evidence.at_ms, {}), evidence)
    forgotten = _forgotten(faults.open)
    kept = tuple(incident for incident in faults.open if incident is not forgotten)
    closed = faults.closed if forgotten is None else replace(forgotten, closed_ms=evidence.at_ms)
    return replace(faults, open=(*kept, begun), closed=closed, opened=faults.opened + 1)


def _forgotten(incidents: tuple[Incident, ...]) -> Incident | None:
    """Return the oldest incident when there is no room for one more; a lost smoothing stays."""
    if len(incidents) < limits.INCIDENTS_OPEN:
        return None
    return next((one for one in incidents if SMOOTHING_LOST not in standing(one)), incidents[0])


def _is_of_smoothing(incident: Incident, evidence: Raised) -> bool:
    """Return whether a record repeats or cancels the loss of smoothing that an incident holds."""
    return evidence.code in {SMOOTHING_BACK, SMOOTHING_LOST} and SMOOTHING_LOST in incident.codes


def _belongs(incident: Incident, evidence: Raised) -> bool:
    at_ms, code = evidence.at_ms, evidence.code
    if _is_of_smoothing(incident, evidence):
        return True
    if code in STICKY and code in incident.codes:
        return at_ms - incident.codes[code].last_ms < limits.INCIDENT_STICKY_MS
    return incident.opened_ms - limits.INCIDENT_SILENCE_MS < at_ms < incident.last_ms + limits.INCIDENT_SILENCE_MS


def _with(incident: Incident, evidence: Raised) -> Incident:
    at_ms, code = evidence.at_ms, evidence.code
    seen = incident.codes.get(code) or Code(at_ms, at_ms)
    seen = Code(
        min(seen.first_ms, at_ms),
        max(seen.last_ms, at_ms),
        _stronger(seen.outcome, evidence.outcome),
        max((r for r in (seen.reason, evidence.reason) if r is not None), default=None),
        seen.links if evidence.link is None else seen.links | {evidence.link},
    )
    room = code in incident.codes or len(incident.codes) < limits.INCIDENT_CODES
    return replace(
        incident,
        opened_ms=min(incident.opened_ms, at_ms),
        last_ms=max(incident.last_ms, at_ms),
        codes={**incident.codes, code: seen} if room else incident.codes,
        witnesses=incident.witnesses | {evidence.witness},
    )


_OUTCOMES = (None, Outcome.UNKNOWN, Outcome.IGNORE, Outcome.ACTION, Outcome.RESET)


def _stronger(one: Outcome | None, other: Outcome | None) -> Outcome | None:
    return max(one, other, key=_OUTCOMES.index)


def _named(incident: Incident, evidence: Named) -> Incident:
    """Keep the newest action named since the incident began, a poll's apart from words."""
    at_ms, action = evidence.at_ms, evidence.action
    if at_ms < incident.opened_ms:
        return incident
    if evidence.words:
        newer = at_ms >= incident.words_ms
        return replace(incident, words=action, words_ms=at_ms) if newer else incident
    if at_ms < incident.action_ms:
        return incident
    mended = incident.action not in {None, 0} and action == 0
    reset_ms = at_ms if mended else incident.reset_ms
    return replace(incident, action=action, action_ms=at_ms, asked=action or incident.asked, reset_ms=reset_ms)


def asked_for(incident: Incident) -> int:
    """Return the recovery action that an incident called for, 0 for none; polls outrank words."""
    denied = incident.action == 0 and incident.action_ms >= incident.words_ms + limits.TIE_BREAK_MS
    return incident.asked or (0 if denied else incident.words)


def _reset(incident: Incident, evidence: Reset) -> Incident:
    return replace(incident, reset_ms=evidence.at_ms) if evidence.at_ms >= incident.last_ms else incident


def _polled(faults: GpuFaults, poll: Polled) -> GpuFaults:
    """Close what a healthy poll closes: after a reset, or after silence when nothing is asked for."""
    over = [incident for incident in faults.open if _is_over(incident, poll)]
    if not over:
        return faults
    still = tuple(incident for incident in faults.open if incident not in over)
    return replace(faults, open=still, closed=replace(over[-1], closed_ms=poll.at_ms))


def _is_over(incident: Incident, poll: Polled) -> bool:
    at_ms = poll.at_ms
    if poll.memory_missing and MEMORY_REDUCED in incident.codes:  # no reset brought it back
        return False
    if incident.reset_ms is not None and incident.last_ms <= incident.reset_ms <= at_ms:
        return True
    if incident.action not in {None, 0} or SMOOTHING_LOST in standing(incident):
        return False
    sticky = STICKY & incident.codes.keys()
    silence_ms = limits.INCIDENT_STICKY_MS if sticky else limits.INCIDENT_SILENCE_MS
    return at_ms >= incident.last_ms + silence_ms


def standing(incident: Incident) -> frozenset[int]:
    """Return the codes that nothing has cancelled: a smoothing that came back cancels its loss."""
    codes = incident.codes
    back, lost = codes.get(SMOOTHING_BACK), codes.get(SMOOTHING_LOST)
    if back is not None and lost is not None and back.last_ms >= lost.last_ms:
        return frozenset(codes) - {SMOOTHING_LOST}
    return frozenset(codes)


def smoothing_lost_ms(faults: GpuFaults) -> int | None:
    """Return when power smoothing was last lost, None while nothing says that it is lost."""
    lost = (one.codes[SMOOTHING_LOST].last_ms for one in faults.open if SMOOTHING_LOST in standing(one))
    return max(lost, default=None)


def with_smoothing_lost(at_ms: int) -> GpuFaults:
    """Return the faults of a GPU of which only a loss of power smoothing is remembered."""
    return GpuFaults(open=(Incident(at_ms, at_ms, {SMOOTHING_LOST: Code(at_ms, at_ms)}),))


_STRENGTH = (
    XidClass.INFORMATIONAL,
    XidClass.APPLICATION,
    XidClass.UNKNOWN,
    XidClass.GPU_RESET,
    XidClass.NODE_REBOOT,
    XidClass.HARDWARE,
)
_REBOOTS = frozenset({2, 7})  # field 230: the node, the system
_DECODED = {
    Outcome.RESET: XidClass.GPU_RESET,
    Outcome.IGNORE: XidClass.INFORMATIONAL,
    Outcome.ACTION: XidClass.APPLICATION,  # follow the driver's action; without one the workload restarts
    Outcome.UNKNOWN: XidClass.UNKNOWN,
}


def judge(incident: Incident, *, memory_missing: bool = False) -> Verdict:
    """Return the class of an incident: the recovery action first, then what was decoded, then the codes.

    A 168 says that memory is gone; where some is missing indeed, a person must look at it.
    """
    action = asked_for(incident)
    if action != 0:
        return Verdict(XidClass.NODE_REBOOT if action in _REBOOTS else XidClass.GPU_RESET)
    codes = standing(incident)
    contained = CONTAINED in codes and UNCONTAINED not in codes
    if contained and incident.action == 0:
        codes -= DETAILS_OF_48
    kinds = [_kind(code, incident.codes[code]) for code in codes]
    strongest = max(kinds, key=_STRENGTH.index, default=XidClass.INFORMATIONAL)
    odd = codes & SUSPICIOUS or (memory_missing and MEMORY_REDUCED in codes)
    return Verdict(strongest, suspicious=strongest is XidClass.UNKNOWN and bool(odd))


def _kind(code: int, seen: Code) -> XidClass:
    return classify(code) if seen.outcome is None else _DECODED[seen.outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricIncident:
    """One cause in the NVLink fabric that hit several GPUs of one clique.

    `peer` says that a victim's link blames the device at its other end.
    """

    clique: str
    from_ms: int
    to_ms: int
    victims: frozenset[str]
    peer: bool = False


_FABRIC_CODES = frozenset({149, 150})


def fabric(incidents: Iterable[tuple[str, Incident]], clique_of: Mapping[str, str]) -> tuple[FabricIncident, ...]:
    """Group the link faults of several GPUs of one clique, close in time, into one incident each.

    An agent calls it for its tray; one cause may hit trays of a whole rack, which only the service sees.

    Args:
        incidents: GPU and incident, of a tray, a rack or more.
        clique_of: By GPU, who reaches whom over NVLink; a GPU that is absent reaches nobody.
    """
    hits: dict[str, list[tuple[int, int, str, bool]]] = {}
    for gpu, incident in incidents:
        seen = [incident.codes[code] for code in _FABRIC_CODES & incident.codes.keys()]
        if seen and gpu in clique_of:
            first_ms, last_ms = min(one.first_ms for one in seen), max(one.last_ms for one in seen)
            peer = any(one.reason in PEER_REASONS for one in seen)
            hits.setdefault(clique_of[gpu], []).append((first_ms, last_ms, gpu, peer))
    found = [one for clique, row in sorted(hits.items()) for one in _runs(clique, sorted(row))]
    return tuple(one for one in found if len(one.victims) > 1)


def _runs(clique: str, hits: list[tuple[int, int, str, bool]]) -> list[FabricIncident]:
    runs: list[FabricIncident] = []
    for from_ms, to_ms, gpu, peer in hits:
        one = FabricIncident(clique=clique, from_ms=from_ms, to_ms=to_ms, victims=frozenset({gpu}), peer=peer)
        if runs and from_ms < runs[-1].to_ms + limits.INCIDENT_SILENCE_MS:
            last = runs.pop()
            one = FabricIncident(
                clique=clique,
                from_ms=last.from_ms,
                to_ms=max(last.to_ms, to_ms),
                victims=last.victims | one.victims,
                peer=last.peer or peer,
            )
        runs.append(one)
    return runs
