"""Laws of the fold of faults: order within the window, repetition, and bounds."""

from hypothesis import given
from hypothesis import strategies as st

from service.core import limits
from service.core.incident import GpuFaults, Named, Polled, Raised, Reset, Witness, fold, judge, raised
from service.core.nvlink_xid import Outcome

outcomes = st.sampled_from([None, *Outcome])


def records(last_ms: int, codes: st.SearchStrategy[int]) -> st.SearchStrategy[list[Raised]]:
    """Return rows of records within a stretch of time."""
    one = st.builds(
        Raised,
        at_ms=st.integers(0, last_ms),
        code=codes,
        witness=st.sampled_from(Witness),
        outcome=outcomes,
        link=st.none() | st.integers(0, 17),
    )
    return st.lists(one, min_size=1, max_size=12)


def play(row: list[Raised]) -> tuple[GpuFaults, int]:
    """Return what a row makes of a GPU, and how many XIDs it was."""
    faults, count = GpuFaults(), 0
    for one in row:
        faults, news = raised(faults, one)
        count += news
    return faults, count


@given(records(limits.XID_WITNESS_MS, st.sampled_from([13, 79, 145, 163])), st.randoms(use_true_random=False))
def test_order_within_the_window_changes_nothing(row: list[Raised], chance: object) -> None:
    """However the witnesses' records interleave, incident and count are the same."""
    mixed = sorted(row, key=lambda _: chance.random())  # type: ignore[attr-defined]

    assert play(mixed)[0].open == play(row)[0].open
    assert play(mixed)[1] == play(row)[1]


@given(records(limits.XID_WITNESS_MS, st.just(79)))
def test_a_window_counts_the_events_of_the_driver_and_lines_only_without_one(row: list[Raised]) -> None:
    """The driver announces every XID; the kernel may write one a thousand times."""
    events = sum(one.witness is Witness.NVML for one in row)

    assert play(row)[1] == max(events, 1)


@given(records(limits.INCIDENT_SILENCE_MS - 1, st.integers(1, 200)))
def test_saying_it_again_changes_nothing(row: list[Raised]) -> None:
    """Records that come twice leave the incident as it was, and lines that come twice the count too."""
    lines = [one for one in row if one.witness is Witness.KERNEL]
    faults, count = play(row)

    assert play(row + row)[0].open == faults.open
    assert play([twin for one in lines for twin in (one, one)])[1] == play(lines)[1]
    assert count <= len(row)


evidence = st.one_of(
    st.builds(Raised, at_ms=st.integers(0, 10**8), code=st.integers(1, 65_535), witness=st.sampled_from(Witness)),
    st.builds(
        Raised,
        at_ms=st.integers(0, 10**5),
        code=st.integers(144, 165),
        witness=st.sampled_from(Witness),
        injected=st.booleans(),
    ),
    st.builds(Named, at_ms=st.integers(0, 10**8), action=st.integers(0, 300), words=st.booleans()),
    st.builds(Polled, at_ms=st.integers(0, 10**8), memory_missing=st.booleans()),
    st.builds(Reset, at_ms=st.integers(0, 10**8)),
)


@given(st.lists(evidence, max_size=120))
def test_whatever_comes_in_whatever_order_is_bounded_and_judged(row: list[object]) -> None:
    """Open incidents, their codes and what was just counted have bounds, and each incident a class."""
    faults = GpuFaults()
    for one in row:
        faults = fold(faults, one)  # type: ignore[arg-type]

    assert len(faults.open) <= limits.INCIDENTS_OPEN
    assert len(faults.counted) <= limits.INCIDENT_CODES
    assert len(faults.injected) <= limits.INCIDENT_CODES
    assert sum(163 in one.codes for one in faults.open) <= 1
    assert all(len(one.codes) <= limits.INCIDENT_CODES and judge(one).kind for one in faults.open)
    assert all(one.opened_ms <= one.last_ms for one in faults.open)
