"""Decisions of the supervisor: who is blamed for a hang, when a collector is replaced, what is frozen."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from collectors.catalogue import Key, Quantity
from collectors.device import Access, Reading
from collectors.supervision import Stillness, judge, retry_ms
from service.core import limits
from service.core.health import health_of

GPUS = ("a", "b", "c", "d")
HANGING = st.dictionaries(st.sampled_from(GPUS), st.integers(limits.CALL_DEADLINE_MS, limits.DAY_MS), min_size=1)


@given(HANGING, st.integers(0, 40), st.booleans())
def test_a_hang_is_nobodys_downtime(hanging: dict[str, int], in_vain: int, answers: bool) -> None:
    """Whatever hangs for however long, the cause proves nothing of the GPU."""
    assert health_of(judge(hanging, 4, in_vain=in_vain, answers_elsewhere=answers).cause) is None


@given(HANGING.filter(lambda found: len(found) < 4))
def test_one_that_hangs_beside_others_costs_them_nothing(hanging: dict[str, int]) -> None:
    """While others answer and no fresh process reaches it, the collector stays."""
    assert not judge(hanging, 4).replace
    assert judge(hanging, 4).cause == "agent:hung_call"


def test_one_that_another_process_reaches_is_worth_a_replacement_late() -> None:
    """After the longer bound, and only if the hang is our process's own."""
    late = {"a": limits.GPU_HUNG_MS + 1}

    assert judge(late, 4, answers_elsewhere=True).replace
    assert not judge({"a": limits.GPU_HUNG_MS}, 4, answers_elsewhere=True).replace


def test_a_tray_that_hangs_as_a_whole_is_replaced_after_its_bound_and_ever_later() -> None:
    """The last GPU to hang counts; each replacement in vain doubles the patience, up to a bound."""

    def waits_ms(in_vain: int) -> int:
        return next(
            ms
            for ms in itertools.count(limits.DRIVER_HUNG_MS, 1_000)
            if judge(dict.fromkeys(GPUS, ms + 1), 4, in_vain=in_vain).replace
        )

    assert [waits_ms(count) // limits.DRIVER_HUNG_MS for count in (0, 1, 2, 5, 30)] == [1, 2, 4, 32, 32]
    assert not judge({**dict.fromkeys(GPUS, limits.DAY_MS), "d": limits.CALL_DEADLINE_MS}, 4).replace


def test_waits_between_attempts_grow_and_stay_bounded() -> None:
    """No cause is asked for without a pause, none later than its bound; evidence never becomes silence."""
    for cause, bound in (
        ("agent:collector_lost", limits.COLLECTOR_RETRY_MAX_MS),
        ("driver:hung", limits.COLLECTOR_RETRY_MAX_MS),
        ("driver:not_loaded", limits.GRACE_MS),
    ):
        waits = [retry_ms(failures, cause=cause) for failures in range(200)]

        assert waits == sorted(waits)
        assert 0 < waits[0] <= waits[-1] <= bound


def _pulse(joules: float) -> Reading:
    values: dict[Key, float] = {Quantity.POWER_WATTS: 180.0, Quantity.ENERGY_JOULES_TOTAL: joules}
    return Reading(gpu="a", access=Access.OK, values=values, missing={})


def test_only_pulses_that_agree_in_every_bit_are_frozen() -> None:
    """One that differs begins the count anew; the flag falls with it."""
    stillness = Stillness()
    for _ in range(limits.FROZEN_READINGS + 1):
        stillness.note(_pulse(1.0))
    before = stillness.frozen()
    stillness.note(_pulse(2.0))

    assert before == ("a",)
    assert stillness.frozen() == ()


def test_absence_is_not_stillness() -> None:
    """A lost GPU repeats that it has no values; that is no frozen collector."""
    stillness = Stillness()
    for _ in range(limits.FROZEN_READINGS * 2):
        stillness.note(Reading(gpu="a", access=Access.LOST, values={}, missing={}))

    assert stillness.frozen() == ()
