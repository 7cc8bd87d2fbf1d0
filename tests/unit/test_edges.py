"""Honest edges: what may be claimed of a GPU between two looks, and what may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.edges import (
    EDGE,
    SUSPECT,
    UP,
    Look,
    Piece,
    Policy,
    Step,
    Track,
    begin,
    blind,
    fault,
    now,
    read,
    release,
)
from service.core.health import Health

LOST = Look(Health.DOWN, "gpu:lost")
HUNG = Look(None, "agent:hung_call")
POLICY = Policy(confirm_down=2, confirm_up=3, tie_break_ms=10_000)


def xid(track: Track, at_ms: int, code: int) -> Step:
    """Return the step of an XID whose class takes a GPU down."""
    return fault(track, at_ms, Look(Health.DOWN, f"xid:{code}"))


def play(track: Track, looks: list[tuple[int, Look]]) -> tuple[Track, list[Piece]]:
    """Return the track and all pieces after a row of readings."""
    pieces: list[Piece] = []
    for at_ms, look in looks:
        track, found = read(track, at_ms, look, POLICY)
        pieces += found
    return track, pieces


def test_a_healthy_gpu_is_covered_from_reading_to_reading() -> None:
    """Coverage grows with each equal reading and touches."""
    _, pieces = play(begin(0, UP), [(1_000, UP), (2_000, UP)])

    assert pieces == [Piece(0, 1_000, UP), Piece(1_000, 2_000, UP)]


def test_a_confirmed_fault_starts_at_its_first_evidence() -> None:
    """The last good reading ends the coverage, the first bad one begins the fault, the poll between is nobody's."""
    _, pieces = play(begin(0, UP), [(1_000, UP), (2_000, LOST), (3_000, LOST)])

    assert pieces == [Piece(0, 1_000, UP), Piece(1_000, 2_000, EDGE), Piece(2_000, 3_000, LOST, 1_000)]


def test_one_bad_reading_is_a_suspicion_and_not_a_fault() -> None:
    """What was suspected and not confirmed is neither up nor down."""
    _, pieces = play(begin(0, UP), [(1_000, LOST), (2_000, UP), (3_000, UP)])

    assert pieces == [Piece(0, 2_000, SUSPECT), Piece(2_000, 3_000, UP)]


def test_recovery_starts_at_the_first_reading_of_the_streak() -> None:
    """Three good readings recover a GPU, from the first of them on."""
    track, _ = play(begin(0, UP), [(1_000, LOST), (2_000, LOST)])
    track, pieces = play(track, [(3_000, UP), (4_000, UP), (5_000, UP)])

    assert pieces == [Piece(2_000, 3_000, EDGE), Piece(3_000, 5_000, UP, 2_000)]
    assert track.look == UP


def test_a_flickering_gpu_is_not_back() -> None:
    """Two good readings and a bad one leave it down, and the time is not claimed as up."""
    track, _ = play(begin(0, UP), [(1_000, LOST), (2_000, LOST)])
    track, pieces = play(track, [(3_000, UP), (4_000, UP), (5_000, LOST)])

    assert track.look == LOST
    assert all(piece.look != UP for piece in pieces)


def test_a_fault_xid_cuts_at_the_event() -> None:
    """An event edge is exact: up to it the GPU was as before, from it on down, without confirmation."""
    track, pieces = xid(begin(0, UP), 1_234, 79)
    _, more = read(track, 2_000, LOST, POLICY)

    assert pieces == (Piece(0, 1_234, UP),)
    assert more == (Piece(1_234, 2_000, Look(Health.DOWN, "xid:79")),)


def test_good_readings_do_not_end_an_xid_before_the_driver_had_time_to_name_an_action() -> None:
    """For ten seconds a fault code holds against good readings; then three of them recover it."""
    track, _ = xid(begin(0, UP), 100, 46)
    early, _ = play(track, [(at, UP) for at in range(1_000, 10_000, 1_000)])
    late, pieces = play(early, [(at, UP) for at in range(11_000, 14_000, 1_000)])

    assert early.look == Look(Health.DOWN, "xid:46")
    assert late.look == UP
    assert pieces[-1] == Piece(11_000, 13_000, UP, 9_000)


def test_a_suspicion_and_an_xid_are_one_fault_from_the_first_evidence() -> None:
    """An XID that follows a bad reading starts at the reading."""
    track, _ = play(begin(0, UP), [(1_000, UP), (2_000, LOST)])
    step: Step = xid(track, 2_300, 79)

    assert step[1] == (Piece(1_000, 2_000, EDGE),)
    assert (step[0].decided_ms, step[0].not_before_ms) == (2_000, 1_000)


def test_a_hanging_gpu_is_unknown_since_its_last_good_reading() -> None:
    """A call that hangs proves nothing about the GPU, neither up nor down, until it is read again."""
    track, pieces = blind(begin(1_000, UP), 3_500, "agent:hung_call")
    again, more = play(track, [(4_000, UP), (5_000, UP)])

    assert pieces == (Piece(1_000, 3_500, HUNG),)
    assert more == [Piece(3_500, 4_000, EDGE), Piece(4_000, 5_000, UP)]
    assert (now(track), now(again)) == (HUNG, UP)


def test_what_happened_while_nobody_saw_may_have_happened_since_the_last_good_reading() -> None:
    """A fault that is found after a hang is not before the reading that preceded the hang."""
    track, _ = blind(begin(1_000, UP), 3_500, "agent:hung_call")
    _, pieces = play(track, [(4_000, LOST), (5_000, LOST)])

    assert pieces == [Piece(3_500, 4_000, EDGE), Piece(4_000, 5_000, LOST, 1_000)]


@pytest.mark.parametrize("before", [UP, LOST])
def test_an_event_of_a_gpu_that_nobody_sees_is_known_from_the_event_on(before: Look) -> None:
    """Whatever it was before it hung, between the last look and the event its time is nobody's."""
    track, _ = blind(begin(1_000, before), 3_500, "agent:hung_call")
    track, struck = fault(track, 3_800, DOWN_95)
    _, still = blind(track, 4_500, "agent:hung_call")

    assert struck == (Piece(3_500, 3_800, EDGE),)
    assert still == (Piece(3_800, 4_500, DOWN_95),)


def test_a_reading_that_began_before_what_is_decided_is_no_news() -> None:
    """A late answer of a hung call cannot rewrite decided coverage."""
    track, _ = blind(begin(1_000, UP), 5_000, "agent:hung_call")

    assert read(track, 2_000, LOST, POLICY) == (track, ())


SLOW = Look(Health.DEGRADED, "nvlink:link_down")
DOWN_95 = Look(Health.DOWN, "xid:95")


def test_a_degraded_reading_does_not_lift_a_fault_before_the_driver_could_name_an_action() -> None:
    """What is only slow by its values is still down by the event, until the tie-break is over."""
    track, _ = xid(begin(0, UP), 100, 95)
    early, pieces = play(track, [(1_000, SLOW), (2_000, SLOW), (3_000, SLOW)])
    late, _ = play(early, [(11_000, SLOW), (12_000, SLOW)])

    assert {piece.look for piece in pieces} == {DOWN_95}
    assert late.look == SLOW


def test_a_gpu_that_an_event_took_down_stays_down_while_it_hangs() -> None:
    """Silence after a fault is no recovery and no doubt."""
    track, _ = xid(begin(0, UP), 100, 95)

    assert blind(track, 5_000, "agent:hung_call")[1] == (Piece(100, 5_000, DOWN_95),)


def test_an_error_that_was_contained_recovers_without_waiting_for_an_action() -> None:
    """Released, three good readings are enough; another fault is not released with it."""
    track, _ = xid(begin(0, UP), 100, 48)
    free, _ = play(release(track, frozenset({"xid:48"})), [(at, UP) for at in (1_000, 2_000, 3_000)])
    held, _ = play(release(track, frozenset({"xid:171"})), [(at, UP) for at in (1_000, 2_000, 3_000)])

    assert (free.look, held.look) == (UP, Look(Health.DOWN, "xid:48"))


def test_an_event_that_only_slows_does_not_lift_what_is_down() -> None:
    """A lesser event while the GPU is down changes nothing that was claimed."""
    track, _ = xid(begin(0, UP), 100, 95)

    assert fault(track, 200, Look(Health.DEGRADED, "recovery:drain_p2p"))[0].look == DOWN_95
    assert fault(track, 200, Look(Health.DEGRADED, "recovery:drain_p2p"))[0].fault == DOWN_95


def test_a_fault_while_a_gpu_seems_to_recover_is_a_relapse_from_the_event_on() -> None:
    """Two good readings were no recovery; the event says from when on the GPU is surely down."""
    track, _ = play(begin(0, UP), [(1_000, LOST), (2_000, LOST), (3_000, UP), (4_000, UP)])
    track, pieces = xid(track, 4_500, 95)

    assert pieces == (Piece(2_000, 3_000, EDGE), Piece(3_000, 4_500, SUSPECT))
    assert read(track, 5_000, UP, POLICY)[1] == (Piece(4_500, 5_000, DOWN_95),)


def test_a_fault_after_a_lesser_suspicion_claims_nothing_of_the_time_between() -> None:
    """A degraded reading before the event is neither proof of up nor of down."""
    track, _ = play(begin(0, UP), [(1_000, UP), (2_000, SLOW)])
    _, pieces = xid(track, 2_300, 79)

    assert pieces == (Piece(1_000, 2_000, EDGE), Piece(2_000, 2_300, SUSPECT))


looks = st.sampled_from(
    [UP, LOST, SLOW, Look(Health.DEGRADED, "slowdown:thermal"), Look(None, "agent:unreadable"), DOWN_95]
)
steps = st.tuples(st.integers(1, 4_000), st.sampled_from(["read", "fault", "blind", "release"]), looks)


@given(st.lists(steps, max_size=60))
def test_whatever_comes_coverage_touches_and_never_goes_back(row: list[tuple[int, str, Look]]) -> None:
    """Pieces of any stream of readings, faults and hangs follow each other without hole or overlap."""
    track, at_ms, pieces = begin(0, UP), 0, list[Piece]()
    for wait_ms, kind, look in row:
        at_ms += wait_ms
        if kind == "release":
            track = release(track, frozenset({"xid:95"}))
            continue
        if kind == "blind":
            track, found = blind(track, at_ms, "agent:hung_call")
        elif kind == "fault" and look.health in {Health.DOWN, Health.DEGRADED}:
            track, found = fault(track, at_ms, look)
        else:
            track, found = read(track, at_ms, look, POLICY)
        pieces += found

    ends = [0, *(piece.to_ms for piece in pieces)]
    assert all(piece.from_ms == end < piece.to_ms for end, piece in zip(ends, pieces, strict=False))
    assert track.decided_ms == ends[-1] <= at_ms


@given(st.lists(looks, min_size=1, max_size=40))
def test_whatever_a_gpu_answers_its_coverage_never_waits_long(row: list[Look]) -> None:
    """Readings that never agree are nobody's time: the tray-mates, told together with it, need not wait."""
    track = begin(0, UP)
    for number, look in enumerate(row, start=1):
        track, _ = read(track, number * 1_000, look, POLICY)

        assert number * 1_000 - track.decided_ms < POLICY.confirm_up * 1_000
