"""When a GPU is one to replace: remedies that did not help, too many of them, a remap that failed."""

from hypothesis import given
from hypothesis import strategies as st

from service.core import limits
from service.core.escalation import History, Reason, failed, reasons, rebooted, served

HOUR, DAY = limits.HOUR_MS, limits.DAY_MS


def reset(history: History, at_ms: int) -> History:
    """Return the history after a fault for which a reset was asked, and the reset ten minutes later."""
    history = failed(history, at_ms, code=95)
    history = failed(history, at_ms + 1_000, demanded=True)
    return served(history, at_ms + 10 * limits.MINUTE_MS, is_open=True)


def test_a_reset_is_counted_once_and_helps_until_the_gpu_fails_again() -> None:
    """A demand that is gone was met, however often a poll says so."""
    history = reset(History(), 0)
    again = served(history, HOUR, is_open=False)

    assert [(one.at_ms, one.in_vain) for one in history.remedies] == [(10 * limits.MINUTE_MS, False)]
    assert again == history
    assert reasons(history, HOUR) == frozenset()


def test_two_resets_that_did_not_help_point_to_the_hardware() -> None:
    """Each was followed by another failure within a day; one such alone proves nothing."""
    once = failed(reset(History(), 0), 2 * HOUR)
    twice = failed(reset(once, 3 * HOUR), 5 * HOUR)

    assert reasons(once, 2 * HOUR) == frozenset()
    assert reasons(twice, 5 * HOUR) == {Reason.REMEDIES_IN_VAIN}
    assert reasons(twice, 8 * DAY) == frozenset()


def test_a_reset_that_held_for_a_day_helped() -> None:
    """What fails later fails anew."""
    history = History()
    for day in range(4):
        history = reset(history, day * (DAY + HOUR))

    assert not any(one.in_vain for one in history.remedies)
    assert reasons(history, 4 * DAY) == frozenset()


def test_five_remedies_in_a_week_ask_for_a_review() -> None:
    """Whether they helped or not; a week later they are forgotten."""
    history = History()
    for number in range(5):
        history = reset(history, number * 30 * HOUR)

    assert reasons(history, 121 * HOUR) == {Reason.REMEDIED_OFTEN}
    assert reasons(history, 8 * DAY) == frozenset()


def test_a_failed_remap_is_a_reason_at_once_and_for_ever() -> None:
    """XID 64."""
    history = reset(failed(History(), 0, code=64), HOUR)

    assert reasons(history, 0) == {Reason.REMAP_FAILED}
    assert reasons(history, 400 * DAY) == {Reason.REMAP_FAILED}


def test_a_reboot_remedies_only_what_failed() -> None:
    """A planned one is nobody's remedy."""
    assert rebooted(History(), HOUR) == History()
    assert len(rebooted(failed(History(), 0), HOUR).remedies) == 1


def test_a_failure_that_ends_by_itself_was_not_remedied() -> None:
    """Nothing was asked for, and no incident is open any more."""
    history = failed(History(), 0, code=48)

    assert served(history, HOUR, is_open=True) == history
    assert served(history, HOUR, is_open=False) == History()


def test_a_failure_that_is_told_late_does_not_blame_the_remedy() -> None:
    """It is what the remedy was for."""
    history = reset(History(), HOUR)

    assert failed(history, HOUR, code=95) == history


steps = st.sampled_from(["failed", "demanded", "served", "rebooted"])


@given(st.lists(st.tuples(st.integers(0, DAY), steps), max_size=80))
def test_what_is_remembered_is_bounded_and_in_order(row: list[tuple[int, str]]) -> None:
    """Whatever befalls a GPU, and a remedy is in vain only before a failure."""
    history, at_ms = History(), 0
    for wait_ms, step in row:
        at_ms += wait_ms
        if step in {"failed", "demanded"}:
            history = failed(history, at_ms, demanded=step == "demanded")
        elif step == "served":
            history = served(history, at_ms, is_open=False)
        else:
            history = rebooted(history, at_ms)
    times = [one.at_ms for one in history.remedies]

    assert len(times) <= limits.REMEDIES_KEPT
    assert times == sorted(times)
    assert not history.demanded or history.is_failing
    assert len(times) <= sum(step in {"failed", "demanded"} for _, step in row)
