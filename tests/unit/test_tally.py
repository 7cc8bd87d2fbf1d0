"""Counters that outlive an agent: saved as a whole, and none when the file is not to be believed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.tally import Tally, load, save
from service.core.escalation import History, Remedy

counts = st.dictionaries(st.tuples(st.text(min_size=1, max_size=8), st.integers(1, 65_535)), st.integers(0, 2**53))


@given(counts, counts, st.none() | st.integers(0, 2**60))
def test_what_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory,
    xids: dict[tuple[str, int], int],
    injected: dict[tuple[str, int], int],
    cursor: int | None,
) -> None:
    """Counters, cursor and boot come back."""
    path = tmp_path_factory.mktemp("tally") / "tally.json"
    history = History(remedies=(Remedy(1, in_vain=True), Remedy(2)), is_failing=True, demanded=False, remap_failed=True)
    tally = Tally(
        xids=xids,
        injected=injected,
        boot="b",
        cursor=cursor,
        smoothing_ms={"g": 5},
        histories={"g": history, "h": History()},
        largest={"g": 2**40},
    )
    save(path, tally)

    assert load(path) == tally


def test_the_log_of_another_boot_begins_anew() -> None:
    """A cursor means nothing in another log."""
    assert Tally(boot="a", cursor=7).cursor_of("a") == 7
    assert Tally(boot="a", cursor=7).cursor_of("b") is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"boot":"b"}', b'{"xids":[[1]]}', b"\xff\xfe", b"7"])
def test_a_damaged_file_is_a_beginning(tmp_path: Path, text: bytes) -> None:
    """It is not guessed at."""
    path = tmp_path / "tally.json"
    path.write_bytes(text)

    assert load(path) == Tally()


def test_a_file_of_before_is_still_understood(tmp_path: Path) -> None:
    """An agent that knew nothing of cases left none."""
    path = tmp_path / "tally.json"
    path.write_text('{"v":1,"boot":"b","cursor":7,"xids":[["g",79,2]],"injected":[],"seen_ms":[]}')

    assert load(path) == Tally(xids={("g", 79): 2}, boot="b", cursor=7)


@pytest.mark.parametrize(
    "more", ['"histories":{"g":7}', '"histories":[1]', '"memory_bytes":[]', '"smoothing_ms":{"g":"x"}']
)
def test_damaged_cases_are_a_beginning(tmp_path: Path, more: str) -> None:
    """Neither are they guessed at."""
    path = tmp_path / "tally.json"
    path.write_text(f'{{"boot":"b","cursor":7,"xids":[],"injected":[],"seen_ms":[],{more}}}')

    assert load(path) == Tally()


def test_no_file_is_a_beginning(tmp_path: Path) -> None:
    """A first life has nothing to take up."""
    assert load(tmp_path / "tally.json") == Tally()


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """The new one takes its place only when it is whole."""
    path = tmp_path / "tally.json"
    save(path, Tally(xids={("g", 79): 1}, boot="b"))
    (tmp_path / "tally.new").mkdir()
    with pytest.raises(OSError):
        save(path, Tally(boot="c"))

    assert load(path).xids == {("g", 79): 1}
