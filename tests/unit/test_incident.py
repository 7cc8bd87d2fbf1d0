"""Incidents: one fault is one incident, whoever saw it, and the driver's word decides what it was."""

import pytest

from service.core import limits
from service.core.incident import (
    Evidence,
    GpuFaults,
    Incident,
    Named,
    Polled,
    Raised,
    Reloaded,
    Reset,
    Witness,
    fabric,
    fold,
    judge,
    raised,
    smoothing_lost_ms,
    standing,
    with_smoothing_lost,
)
from service.core.nvlink_xid import Outcome
from service.core.xid import XidClass

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
NVML, KERNEL = Witness.NVML, Witness.KERNEL


def at(second: float, code: int, witness: Witness = NVML, outcome: Outcome | None = None) -> Raised:
    """Return an XID at a second."""
    return Raised(at_ms=int(second * SECOND), code=code, witness=witness, outcome=outcome)


def play(*evidence: Evidence) -> GpuFaults:
    """Return what all the evidence makes of a GPU."""
    faults = GpuFaults()
    for one in evidence:
        faults = fold(faults, one)
    return faults


def only(faults: GpuFaults) -> Incident:
    """Return the one open incident."""
    (incident,) = faults.open
    return incident


def count(*evidence: Raised) -> int:
    """Return how many XIDs a row of records is."""
    faults, total = GpuFaults(), 0
    for one in evidence:
        faults, news = raised(faults, one)
        total += news
    return total


def test_two_witnesses_within_two_seconds_are_one_xid() -> None:
    """In either order; a second event of the driver is a second XID, a second line is not."""
    assert count(at(0, 79), at(0.3, 79, KERNEL)) == 1
    assert count(at(0, 79, KERNEL), at(1.9, 79)) == 1
    assert count(at(0, 13), at(0, 13), at(0.1, 13, KERNEL), at(0.1, 13, KERNEL)) == 2
    assert count(at(0, 95, KERNEL), at(0.5, 95, KERNEL), at(3, 95, KERNEL)) == 2


def test_an_incident_lasts_until_three_minutes_of_silence() -> None:
    """Any code of the GPU joins; after the silence a new one begins."""
    faults = play(at(0, 31), at(170, 45), at(340, 13), at(340 + 180, 31))

    assert faults.opened == 2
    assert sorted(faults.open[0].codes) == [13, 31, 45]
    assert (faults.open[0].opened_ms, faults.open[0].last_ms) == (0, 340 * SECOND)


@pytest.mark.parametrize("code", [74, 79, 95, 109, 119])
def test_a_sticky_code_that_returns_joins_its_old_incident(code: int) -> None:
    """For three hours a repeat is no news; another code then is."""
    back = play(at(0, code), at(2.9 * 3_600, code))
    other = play(at(0, code), at(2.9 * 3_600, 31))
    late = play(at(0, code), at(3 * 3_600, code))

    assert (back.opened, other.opened, late.opened) == (1, 2, 2)


def test_a_contained_error_with_nothing_asked_for_stays_the_applications() -> None:
    """94 with action 0."""
    assert judge(only(play(at(0, 94), Named(at_ms=SECOND, action=0)))).kind is XidClass.APPLICATION


def test_a_recorded_remap_for_which_a_reset_is_asked_is_a_reset() -> None:
    """63 with action 1 is raised, and stays raised after the reset that it needed."""
    asked = play(at(0, 63), Named(at_ms=SECOND, action=1))
    mended = fold(asked, Named(at_ms=2 * SECOND, action=0))

    assert judge(only(asked)).kind is XidClass.GPU_RESET
    assert judge(only(mended)).kind is XidClass.GPU_RESET


@pytest.mark.parametrize("codes", [(48, 94), (94, 48), (171, 48, 94)])
def test_an_error_that_was_contained_ends_as_the_applications(codes: tuple[int, ...]) -> None:
    """48 with a contained 94 and action 0 is lowered; before an action is named it is a reset."""
    faults = play(*(at(0, code) for code in codes))
    ended = fold(faults, Named(at_ms=SECOND, action=0))

    assert judge(only(faults)).kind is XidClass.GPU_RESET
    assert judge(only(ended)).kind is XidClass.APPLICATION
    assert judge(only(fold(ended, at(2, 95)))).kind is XidClass.GPU_RESET


def test_a_poll_outranks_the_words_of_154() -> None:
    """Words count until a poll after the tie-break says otherwise; before it the driver may still be writing."""
    words = play(at(0, 94), Named(at_ms=0, action=2, words=True))
    soon = fold(words, Named(at_ms=SECOND, action=0))
    later = fold(soon, Named(at_ms=limits.TIE_BREAK_MS, action=0))

    assert [judge(only(one)).kind for one in (words, soon)] == [XidClass.NODE_REBOOT] * 2
    assert judge(only(later)).kind is XidClass.APPLICATION


def test_an_action_named_before_the_incident_says_nothing_of_it() -> None:
    """The 0 of the last poll before a fault is not the driver's word on the fault."""
    faults = play(at(10, 48), Named(at_ms=9 * SECOND, action=0))

    assert only(faults).action is None


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.RESET, XidClass.GPU_RESET),
        (Outcome.ACTION, XidClass.APPLICATION),
        (Outcome.IGNORE, XidClass.INFORMATIONAL),
        (Outcome.UNKNOWN, XidClass.UNKNOWN),
        (None, XidClass.UNKNOWN),
    ],
)
def test_a_decoded_line_outranks_the_class_of_its_number(outcome: Outcome | None, kind: XidClass) -> None:
    """The event brings the number, the line what it means."""
    assert judge(only(play(at(0, 145), at(0.1, 145, KERNEL, outcome)))).kind is kind


def test_smoothing_that_came_back_closes_its_loss_and_nothing_else() -> None:
    """162 cancels an earlier 163 of the same GPU, however long ago; a later loss stands."""
    lost = play(at(0, 163), Polled(at_ms=HOUR))
    back = fold(lost, at(7_200, 162))

    assert standing(only(lost)) == {163}
    assert standing(only(back)) == {162}
    assert standing(only(fold(back, at(7_201, 163)))) == {162, 163}
    assert fold(back, Polled(at_ms=3 * HOUR)).open == ()


@pytest.mark.parametrize("back", [1, 2, 7_200])
def test_smoothing_that_came_back_closes_all_losses_before_it(back: float) -> None:
    """However often it was lost, and whatever other incident is nearer."""
    lost = play(at(0, 79), at(400, 163), at(4_000, 163), at(4_001, 79), at(4_001, 31))
    found = fold(lost, at(4_001 + back, 162))

    assert smoothing_lost_ms(lost) == 4_000 * SECOND
    assert smoothing_lost_ms(found) is None


def test_a_lost_smoothing_is_not_forgotten_for_lack_of_room() -> None:
    """Other incidents give way to a new one, the oldest first."""
    faults = play(at(0, 163), *(at(1_000 * hour, 31) for hour in range(1, 3 * limits.INCIDENTS_OPEN)))

    assert len(faults.open) == limits.INCIDENTS_OPEN
    assert smoothing_lost_ms(faults) == 0
    assert faults.closed is not None
    assert sorted(faults.closed.codes) == [31]


def test_a_remembered_loss_of_smoothing_ends_as_any_other() -> None:
    """By 162, or by a reset and a healthy poll; not by silence."""
    kept = with_smoothing_lost(5 * SECOND)

    assert smoothing_lost_ms(fold(kept, Polled(at_ms=HOUR))) == 5 * SECOND
    assert smoothing_lost_ms(fold(kept, at(3_600, 162))) is None
    assert fold(fold(kept, Reset(at_ms=HOUR)), Polled(at_ms=HOUR + 1)).open == ()


def test_memory_that_is_gone_stays_suspicious_until_it_is_back() -> None:
    """168 where memory is missing asks for a person; neither silence nor a reset that mended nothing ends it."""
    faults = play(at(0, 168), Reset(at_ms=SECOND), Polled(at_ms=HOUR, memory_missing=True))

    assert judge(only(faults), memory_missing=True).suspicious
    assert not judge(only(faults)).suspicious
    assert not judge(only(play(at(0, 185))), memory_missing=True).suspicious
    assert fold(faults, Polled(at_ms=2 * HOUR)).open == ()


def test_a_reset_closes_everything_after_a_healthy_poll_and_a_reload_closes_nothing() -> None:
    """Whatever was raised before it; what came after it stays."""
    faults = play(at(0, 95), at(1, 163), at(300, 46))
    reset = fold(faults, Reset(at_ms=301 * SECOND))

    assert fold(fold(faults, Reloaded(at_ms=301 * SECOND)), Polled(at_ms=302 * SECOND)).open == faults.open
    assert len(reset.open) == len(faults.open)
    assert fold(reset, Polled(at_ms=302 * SECOND)).open == ()
    assert len(fold(fold(reset, at(303, 79)), Polled(at_ms=304 * SECOND)).open) == 1


def test_an_action_that_is_done_is_a_reset() -> None:
    """Field 230 going back to 0 closes the incident after a healthy poll."""
    done = play(at(0, 95), Named(at_ms=SECOND, action=1), Named(at_ms=MINUTE, action=0), Polled(at_ms=MINUTE))

    assert done.open == ()
    assert done.closed is not None
    assert done.closed.closed_ms == MINUTE


def test_an_unknown_code_waits_for_a_healthy_poll_and_silence() -> None:
    """Unknown stays open until both; some of them a person must see at once."""
    faults = play(at(0, 167), Polled(at_ms=179 * SECOND))

    assert judge(only(faults)).kind is XidClass.UNKNOWN
    assert judge(only(faults)).suspicious
    assert not judge(only(play(at(0, 185)))).suspicious
    assert fold(faults, Polled(at_ms=180 * SECOND)).open == ()


def test_injected_records_open_no_incident() -> None:
    """A test of somebody's is counted elsewhere."""
    assert play(Raised(at_ms=0, code=149, witness=KERNEL, outcome=Outcome.RESET, injected=True)).open == ()


def injected(second: float, code: int = 149) -> Raised:
    """Return the line of a test at a second."""
    return Raised(at_ms=int(second * SECOND), code=code, witness=KERNEL, outcome=Outcome.RESET, injected=True)


def test_the_number_of_an_injected_xid_leaves_nothing_in_whatever_order() -> None:
    """The driver's event says the number only; the line beside it says that it was a test."""
    assert play(at(0, 149), injected(1.9)).open == ()
    assert play(injected(0), at(1.9, 149)).open == ()
    assert sorted(only(play(at(0, 31), at(0, 149), injected(1))).codes) == [31]
    assert only(play(at(10, 31), at(9, 149), injected(10))).opened_ms == 10 * SECOND


def test_an_injected_line_takes_nothing_from_what_is_no_test() -> None:
    """Another code, a number from another time, what a line of its own decoded, or what the driver acted on."""
    real = at(0, 149, KERNEL, Outcome.RESET)
    asked = play(at(0, 149), Named(at_ms=SECOND, action=1), injected(1))

    assert sorted(only(play(at(0, 79), injected(0))).codes) == [79]
    assert sorted(only(play(at(0, 149), injected(2.1))).codes) == [149]
    assert only(play(injected(0), at(2.1, 149))).codes.keys() == {149}
    assert judge(only(play(at(0, 149), real, injected(1)))).kind is XidClass.GPU_RESET
    assert judge(only(play(injected(0), at(0, 149), real))).kind is XidClass.GPU_RESET
    assert judge(only(asked)).kind is XidClass.GPU_RESET


def test_link_faults_of_one_clique_are_one_incident_with_many_victims() -> None:
    """Close in time and in one clique; one GPU alone, another clique or another hour is not."""
    down = at(0, 149, KERNEL, Outcome.RESET)
    near = only(play(down))
    peer = only(play(Raised(at_ms=MINUTE, code=149, witness=KERNEL, outcome=Outcome.RESET, reason=0x25)))
    far = only(play(at(3_600, 150)))
    cliques = {"a": "c1", "b": "c1", "c": "c2", "d": "c1", "e": "c1"}
    found = fabric([("a", near), ("b", peer), ("c", near), ("d", far), ("e", only(play(at(0, 13))))], cliques)

    assert [one.victims for one in found] == [{"a", "b"}]
    assert (found[0].from_ms, found[0].to_ms, found[0].peer) == (0, MINUTE, True)
    assert fabric([], {}) == ()
