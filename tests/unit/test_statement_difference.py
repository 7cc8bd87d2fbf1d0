"""Differences between documents: exact, minimal where it matters, and refused where they do not fit."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.statements.canonical import canonical, digest
from service.core.statements.difference import applied, difference, same

LEAVES = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 0.5]) | st.text("a/~é0", max_size=2)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("a/~0", max_size=2), inner, max_size=3)
)


@given(VALUES, VALUES)
def test_a_difference_applied_to_the_first_gives_the_second(was: Any, now: Any) -> None:
    """Whatever two documents are, byte for byte; and neither is touched."""
    before, after = canonical(was), canonical(now)
    made = applied(was, json.loads(json.dumps(difference(was, now))))

    assert canonical(made) == after
    assert (canonical(was), canonical(now)) == (before, after)


@given(VALUES, VALUES)
def test_nothing_differs_exactly_where_the_bytes_are_the_same(was: Any, now: Any) -> None:
    """An empty difference and the same canonical text are one; `same` says so too."""
    assert (difference(was, now) == []) == (canonical(was) == canonical(now)) == same(was, now)


def test_an_item_more_is_one_splice() -> None:
    """A list that grew in its middle names what came, not everything after it."""
    was, now = {"outages": [1, 2, 4]}, {"outages": [1, 2, 3, 4]}

    assert difference(was, now) == [{"path": "/outages", "at": 2, "removed": [], "added": [3]}]


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/a", "was": 2, "is": 3},
        {"path": "/b/c", "was": 1, "is": 3},
        {"path": "/list", "at": 0, "removed": [9], "added": []},
        {"path": "/list/7", "was": 1, "is": 2},
    ],
)
def test_a_change_of_another_document_is_refused(change: dict[str, Any]) -> None:
    """What should be there and is not is an error that names the path."""
    with pytest.raises(ValueError, match=change["path"]):
        applied({"a": 1, "list": [1]}, [change])


def test_canonical_text_is_ascii_sorted_and_without_spaces() -> None:
    """The one spelling: a hash of it names the content."""
    assert canonical({"b": [1, 0.5], "a": "ü"}) == '{"a":"\\u00fc","b":[1,0.5]}'
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
