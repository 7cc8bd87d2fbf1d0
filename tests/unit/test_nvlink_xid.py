"""Decoding of XIDs 144 to 150, with the lines on which others went wrong."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.nvlink_xid import UNITS, NvlinkDetail, Outcome, decode, parse

NEW, OLD = "580.95.05", "570.86.10"


def read(xid: int, text: str) -> NvlinkDetail:
    """Return the details of a line that has some."""
    detail = parse(xid, text)
    assert detail is not None
    return detail


def test_the_sample_line_takes_the_recovery_action() -> None:
    """Unit 0x07 with status 8 asks for what the driver asks for."""
    detail = read(145, "RLW_SRC_TRACK Nonfatal XC1 i0 Link 10 (0x04082907 0x00000008 0x00000000)")

    assert (detail.sub_unit, detail.fatal, detail.cross_contained, detail.link) == ("RLW_SRC_TRACK", False, True, 10)
    assert decode(detail, NEW).outcome is Outcome.ACTION


@pytest.mark.parametrize("status", [0x1, 0x2, 0x4])
def test_a_promoted_receive_pipe_is_a_reset_and_the_same_status_unpromoted_is_not(status: int) -> None:
    """The low byte 0x86 carries the promoted bit: a second rule for the same status."""
    promoted = read(145, f"RLW_RXPIPE Fatal XC0 i0 Link 3 (0x04082986 {status:#010x})")
    plain = read(145, f"RLW_RXPIPE Nonfatal XC0 i0 Link 3 (0x04082906 {status:#010x})")

    assert (decode(promoted, NEW).outcome, decode(promoted, NEW).promoted) == (Outcome.RESET, True)
    assert decode(plain, NEW).outcome is Outcome.IGNORE


@pytest.mark.parametrize("name", ["TLW_RX_PIPE0", "TLW_RX_PIPE1", "TLW_TX_PIPE0", "TLW_TX_PIPE1"])
def test_digits_belong_to_a_sub_units_name(name: str) -> None:
    """A pattern of letters only would miss these."""
    unit = next(unit for unit in UNITS if unit.names == (name,))
    detail = read(146, f"{name} Fatal XC0 i0 Link 1 ({unit.code:#010x} 0x00000004)")

    assert decode(detail, NEW).outcome is Outcome.RESET


@pytest.mark.parametrize("pid", ["pid='<unknown>', name=<unknown>, ", "pid=4711, name=python3, ", ""])
def test_a_process_before_the_details_does_not_hide_them(pid: str) -> None:
    """Also a process that the driver could not name."""
    assert read(144, f"{pid}SAW_MVB Nonfatal XC0 i0 Link 0 (0x00000001 0x00000001)").sub_unit == "SAW_MVB"


def test_a_process_that_is_named_like_a_fault_says_nothing() -> None:
    """Only the end of the line is the driver's: what a name pretends is skipped."""
    text = "pid=1, name=NETIR_INT Fatal XC0 i0 Link 1 (0x18 0x0), TREX Nonfatal XC0 i0 Link 2 (0x0000000e 0x00000001)"

    assert read(147, text).sub_unit == "TREX"
    assert parse(147, "pid=1, name=NETIR_INT Fatal XC0 i0 Link 1 (0x18 0x0), nothing else") is None


def test_injected_lines_are_marked() -> None:
    """i1 is a test of somebody's."""
    assert read(149, "NETIR_INT Fatal XC0 i1 Link -1 (0x00000018 0x00000000)").injected
    assert not read(149, "NETIR_INT Fatal XC0 i0 Link -1 (0x00000018 0x00000000)").injected


def test_a_link_that_is_not_tied_to_one_link_has_none() -> None:
    """-1 is no link."""
    assert read(149, "NETIR_INT Fatal XC0 i0 Link -1 (0x00000018 0x00000000)").link is None


@pytest.mark.parametrize(
    ("info", "reason", "outcome"),
    [(0x02500011, 0x25, Outcome.RESET), (0x02600011, 0x26, Outcome.IGNORE), (0x02800011, 0x28, Outcome.IGNORE)],
)
def test_the_reason_of_a_link_that_went_down_decides(info: int, reason: int, outcome: Outcome) -> None:
    """Bits 25 to 20 replace the status."""
    decoded = decode(read(149, f"NETIR_LINK_DOWN Fatal XC0 i0 Link 9 ({info:#010x} 0x00000000)"), NEW)

    assert (decoded.reason, decoded.outcome) == (reason, outcome)


def test_the_forms_of_the_unit_code_are_told_apart_by_branch_and_name() -> None:
    """The same bits are two units; the older branch has them at 9..5, and a name outweighs the branch."""
    old_rxpipe = "RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x0409a0c2 0x00000008)"

    assert decode(read(145, old_rxpipe), OLD).outcome is Outcome.IGNORE
    assert decode(read(145, old_rxpipe), NEW).known
    assert not decode(read(145, "RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x000000c2 0x00000001)"), OLD).promoted
    assert decode(read(145, "RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x000004c2 0x00000001)"), OLD).promoted


def test_a_row_that_nobody_knows_follows_the_fallback_order() -> None:
    """Promoted is a reset, Fatal is a reset, anything else is unknown."""
    promoted = decode(read(147, "TREX Nonfatal XC0 i0 Link 1 (0x0000008e 0x00000040)"), NEW)
    fatal = decode(read(147, "NOVEL9 Fatal XC0 i0 Link 1 (0x0000000e 0x00000040)"), NEW)
    nonfatal = decode(read(147, "NOVEL9 Nonfatal XC0 i0 Link 1 (0x0000000e 0x00000040)"), NEW)

    assert [one.outcome for one in (promoted, fatal, nonfatal)] == [Outcome.RESET, Outcome.RESET, Outcome.UNKNOWN]
    assert not any(one.known for one in (promoted, fatal, nonfatal))


def test_the_table_has_the_rows_of_the_catalogue() -> None:
    """95 rows: ignore 45, reset 42, recovery action 8; a promoted rule is the second of its row."""
    rows = Counter(outcome for unit in UNITS for outcome in unit.outcomes.values())
    rows.update(unit.always for unit in UNITS if unit.always is not None)

    assert rows == {Outcome.IGNORE: 45, Outcome.RESET: 42, Outcome.ACTION: 8}


@given(st.integers(144, 150), st.text(max_size=300))
def test_no_text_is_too_strange_to_parse(xid: int, text: str) -> None:
    """Whatever stands in a line, parsing and decoding return."""
    detail = parse(xid, text)

    assert detail is None or decode(detail, text).outcome in Outcome


@given(
    st.sampled_from([name for unit in UNITS for name in unit.names]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(-1, 17),
    st.booleans(),
    st.text(max_size=8),
)
def test_a_line_that_the_driver_could_write_is_decoded(
    name: str, info: int, status: int, link: int, fatal: bool, driver: str
) -> None:
    """Every word of the line comes back, and some outcome with it; Fatal is never unknown."""
    word = "Fatal" if fatal else "Nonfatal"
    detail = read(149, f"pid='<unknown>', {name} {word} XC0 i0 Link {link:02d} (0x{info:08x} 0x{status:08x} 0x0)")

    assert (detail.sub_unit, detail.info, detail.status, detail.fatal) == (name, info, status, fatal)
    assert not (fatal and decode(detail, driver).outcome is Outcome.UNKNOWN)
