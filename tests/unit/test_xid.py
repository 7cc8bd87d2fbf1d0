"""The table of XIDs: its totals, its floor, and how a code that no table knows is judged."""

from collections import Counter

import pytest

from service.core.xid import CLASS_OF, FLOOR, XIDS, Action, XidClass, classify, takes_down


def test_the_table_has_the_totals_of_the_catalogue() -> None:
    """172 codes without a hole, 104 of them listed, in the classes of the reference sheet."""
    assert sorted(XIDS) == list(range(1, 173))
    assert len(CLASS_OF) == 104
    assert Counter(CLASS_OF.values()) == {
        XidClass.APPLICATION: 50,
        XidClass.GPU_RESET: 16,
        XidClass.NODE_REBOOT: 2,
        XidClass.HARDWARE: 2,
        XidClass.INFORMATIONAL: 20,
        XidClass.UNKNOWN: 14,
    }


@pytest.mark.parametrize("code", sorted(FLOOR))
def test_a_floor_code_takes_nobody_down(code: int) -> None:
    """What an application does to itself is never downtime."""
    assert classify(code) is XidClass.APPLICATION
    assert not takes_down(code)


def test_a_code_that_is_not_listed_is_unknown_whatever_older_hardware_meant_by_it() -> None:
    """136 asked for a reset once; on a GB300 it is unexpected and needs evidence."""
    assert XIDS[136].kind is XidClass.GPU_RESET
    assert {classify(code) for code in (136, 54, 80, 185, 999, 4_242)} == {XidClass.UNKNOWN}
    assert not any(takes_down(code) for code in (136, 54, 185, 999))


def test_every_code_that_is_not_listed_asks_a_person_to_look() -> None:
    """Without a meaning of its own a code is for review; four kept the one they had."""
    kept = {row.code for row in XIDS.values() if not row.listed and row.action is not Action.REVIEW}

    assert kept == {54, 74, 80, 136}


def test_worn_smoothing_is_a_fault_only_where_smoothing_is_required() -> None:
    """165 is bookkeeping for a site that does not need power smoothing."""
    assert not takes_down(165)
    assert takes_down(165, smoothing_required=True)
