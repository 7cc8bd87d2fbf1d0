"""One GPU's coverage with honest edges: pure decisions on a stream of readings and events.

While a GPU is suspect its coverage stops at the last good reading; on confirmation the new
span starts at the first evidence, and a recovery starts at the first reading of the confirming
streak. The stretch between the two is nobody's: health None, cause `agent:edge`. A polled edge
carries `not_before_ms`; an event edge is exact to the event and needs no confirmation.

Times are ms UTC on the run's own scale, never decreasing per GPU.
"""

from dataclasses import dataclass, replace

from service.core import limits
from service.core.health import Health, health_of


@dataclass(frozen=True, slots=True)
class Look:
    """What one reading or event says of a GPU: its health, and why it is not up."""

    health: Health | None
    cause: str | None = None


UP = Look(Health.UP)
EDGE = Look(None, "agent:edge")
SUSPECT = Look(None, "agent:suspect")


@dataclass(frozen=True, slots=True)
class Piece:
    """A decided stretch of a GPU's coverage."""

    from_ms: int
    to_ms: int
    look: Look
    not_before_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How many equal readings decide, and how long the driver may take to name an action."""

    confirm_down: int = limits.CONFIRM_DOWN_READINGS
    confirm_up: int = limits.CONFIRM_UP_READINGS
    tie_break_ms: int = limits.TIE_BREAK_MS


@dataclass(frozen=True, slots=True)
class Track:
    """What is decided of a GPU and what is pending.

    `decided_ms` is the end of decided coverage; `look` is the health that was seen last, at
    `seen_ms`, and `unseen` what is told instead while nobody can see the GPU. A pending change
    began with the reading at `pending_from_ms` and has `streak` equal readings so far.
    `fault` is what an event said that only evidence closes; it was raised at `fault_ms`.
    """

    decided_ms: int
    look: Look
    seen_ms: int
    unseen: Look | None = None
    not_before_ms: int | None = None
    pending: Look | None = None
    pending_from_ms: int = 0
    streak: int = 0
    fault: Look | None = None
    fault_ms: int = 0


Step = tuple[Track, tuple[Piece, ...]]


def begin(at_ms: int, look: Look) -> Track:
    """Return the track of a GPU first read at this instant; nothing is covered before it."""
    return Track(decided_ms=at_ms, look=look, seen_ms=at_ms)


def read(track: Track, at_ms: int, look: Look, policy: Policy) -> Step:
    """Take in a reading: extend, suspect, confirm or recover.

    Returns:
        The new track, and the pieces of coverage that this reading decided, in order.
    """
    if at_ms < track.decided_ms:  # it began before what is decided already: no news
        return track, ()
    look = _with_fault(track, at_ms, look, policy)
    if track.unseen is not None:
        track, skipped = _skip(track, at_ms, EDGE)
    elif look.health is not track.look.health and track.pending is not None and not _continues(track.pending, look):
        track, skipped = _skip(track, at_ms, SUSPECT)  # one that agrees with neither; nobody waits for it
    else:
        skipped = ()
    track, pieces = _weigh(track, at_ms, look, policy)
    return track, skipped + pieces


def _skip(track: Track, at_ms: int, look: Look) -> Step:
    """Decide that the time up to an instant is nobody's."""
    pieces = (Piece(track.decided_ms, at_ms, look),) if at_ms > track.decided_ms else ()
    return replace(track, decided_ms=at_ms, unseen=None, pending=None, streak=0), pieces


def _weigh(track: Track, at_ms: int, look: Look, policy: Policy) -> Step:
    if look.health is track.look.health:
        return _agrees(track, at_ms, look)
    pending_from_ms = at_ms if track.pending is None else track.pending_from_ms
    track = replace(track, pending=look, pending_from_ms=pending_from_ms, streak=track.streak + 1)
    needed = policy.confirm_up if look.health is Health.UP else policy.confirm_down
    return _confirm(track, at_ms, look) if track.streak >= needed else (track, ())


def _continues(pending: Look, look: Look) -> bool:
    """Return whether a reading confirms a pending change, if only by being as bad in another way."""
    return look.health is pending.health or (_worse(look) and _worse(pending))


def _worse(look: Look) -> bool:
    return look.health in {Health.DOWN, Health.DEGRADED}


_RANK = {None: 0, Health.UP: 1, Health.DEGRADED: 2, Health.DOWN: 3}


def _outranks(look: Look, other: Look) -> bool:
    return _RANK[look.health] > _RANK[other.health]


def _with_fault(track: Track, at_ms: int, look: Look, policy: Policy) -> Look:
    """Hold an open fault against better readings until the driver has had time to name an action."""
    fault = track.fault
    if fault is None:
        return look
    if at_ms < track.fault_ms + policy.tie_break_ms and _outranks(fault, look):
        return fault
    if look.health is fault.health or (look.health is None and fault.health is Health.DOWN):
        return fault  # the first cause of an outage names it
    return look


def _agrees(track: Track, at_ms: int, look: Look) -> Step:
    """Extend what holds, perhaps for another cause; a suspicion that came to nothing leaves its time to nobody."""
    if track.pending is not None:
        track, pieces = _skip(track, at_ms, SUSPECT)
    else:
        pieces = _claimed(track, at_ms)
    not_before_ms = track.not_before_ms if look == track.look else None
    return replace(track, decided_ms=at_ms, look=look, seen_ms=at_ms, not_before_ms=not_before_ms), pieces


def _claimed(track: Track, at_ms: int) -> tuple[Piece, ...]:
    """Return the time since the last decision as what holds; what nobody saw is nobody's."""
    if at_ms <= track.decided_ms:
        return ()
    if track.unseen is not None:
        return (Piece(track.decided_ms, at_ms, EDGE),)
    return (Piece(track.decided_ms, at_ms, track.look, track.not_before_ms),)


def _confirm(track: Track, at_ms: int, look: Look) -> Step:
    edge_ms, start_ms = track.decided_ms, track.pending_from_ms
    pieces = [Piece(edge_ms, start_ms, EDGE)] if start_ms > edge_ms else []
    if at_ms > start_ms:
        pieces.append(Piece(start_ms, at_ms, look, track.seen_ms))
    recovered = look.health in {Health.UP, Health.DEGRADED}
    return (
        replace(
            track,
            decided_ms=at_ms,
            look=look,
            seen_ms=at_ms,
            not_before_ms=track.seen_ms,
            pending=None,
            streak=0,
            fault=None if recovered else track.fault,
        ),
        tuple(pieces),
    )


def blind(track: Track, at_ms: int, cause: str) -> Step:
    """Take in that the GPU could not be read up to now: unknown since the last good reading.

    A GPU that an event took down stays down: silence is no recovery.
    """
    is_held = track.fault is not None and Health.DOWN is track.fault.health is track.look.health
    unseen = None if is_held else Look(health_of(cause), cause)
    track, pieces = _skip(track, max(at_ms, track.decided_ms), unseen or track.look)
    return replace(track, unseen=unseen), pieces


def now(track: Track) -> Look:
    """Return what is known of a GPU now: the health that was seen last, unless nobody can see it."""
    return track.unseen or track.look


def fault(track: Track, at_ms: int, look: Look) -> Step:
    """Take in an event that by itself says how the GPU is, from this instant on, without confirmation."""
    pending = track.pending
    relapse = pending is not None and look.health is track.look.health and _outranks(look, pending)
    if not relapse and not _outranks(look, now(track)):  # as bad already: the first cause names it
        kept = track.fault if track.fault is not None and not _outranks(look, track.fault) else look
        return replace(track, fault=kept, fault_ms=at_ms), ()
    if pending is not None and pending.health is look.health:  # the suspicion is confirmed by the event
        edge = Piece(track.decided_ms, track.pending_from_ms, EDGE)
        begun = Track(
            decided_ms=track.pending_from_ms,
            look=look,
            seen_ms=track.pending_from_ms,
            not_before_ms=track.seen_ms,
            fault=look,
            fault_ms=at_ms,
        )
        return begun, (edge,) if edge.to_ms > edge.from_ms else ()
    at_ms = max(at_ms, track.decided_ms)
    begun = Track(decided_ms=at_ms, look=look, seen_ms=at_ms, fault=look, fault_ms=at_ms)
    return begun, _up_to(track, at_ms)


def _up_to(track: Track, at_ms: int) -> tuple[Piece, ...]:
    """Return what may be claimed of the time between the last decision and an event."""
    if track.pending is None:
        return _claimed(track, at_ms)
    start_ms = min(track.pending_from_ms, at_ms)  # a suspicion of something else: its time is nobody's
    skipped = (Piece(track.decided_ms, start_ms, EDGE), Piece(start_ms, at_ms, SUSPECT))
    return tuple(piece for piece in skipped if piece.to_ms > piece.from_ms)


def release(track: Track, causes: frozenset[str]) -> Track:
    """Let good readings count at once again when an open fault turned out to be one of lesser causes."""
    if track.fault is None or track.fault.cause not in causes:
        return track
    return replace(track, fault=None)
