"""The text that is hashed is JSON, byte for byte, for whatever a row may hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ledger.chain import canonical
from service.ledger.rows import HASHED_COLUMNS

_NUMBERS = {"row", "partition", "from_ms", "to_ms", "seq", "not_before_ms", "recorded_ms"}
_OPTIONAL = {"to_ms", "health", "cause", "not_before_ms", "replaces"}


def _values(name: str) -> st.SearchStrategy[object]:
    plain: st.SearchStrategy[object] = st.integers(-(2**63), 2**63 - 1) if name in _NUMBERS else st.text()
    return st.none() | plain if name in _OPTIONAL else plain


@given(st.tuples(*map(_values, HASHED_COLUMNS)))
def test_what_is_hashed_is_what_json_writes(values: tuple[object, ...]) -> None:
    """Ledgers of the first release were hashed by `json`: the text must never differ from it."""
    assert canonical(*values) == json.dumps(values, separators=(",", ":"))  # type: ignore[arg-type]


@pytest.mark.parametrize("column", HASHED_COLUMNS)
@pytest.mark.parametrize("value", [1.0, b"x", True])
def test_a_value_of_another_type_is_never_hashed_as_if_it_were(column: str, value: object) -> None:
    """A column that holds what its type does not allow cannot pass for the row that was recorded."""
    values = {name: 1 if name in _NUMBERS else "x" for name in HASHED_COLUMNS} | {column: value}
    if value is True and column in _NUMBERS:  # SQLite has no truth values: it is the number 1
        return
    with pytest.raises((TypeError, ValueError)):
        canonical(*(values[name] for name in HASHED_COLUMNS))  # type: ignore[arg-type]
