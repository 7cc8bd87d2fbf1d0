"""Options that survive the agent's second start."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.lean import options_of, shed, spelt_out

VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.text(min_size=1).map(Path)


@given(st.dictionaries(st.text(min_size=1), VALUES))
def test_options_arrive_as_they_were_given(options: dict[str, Any]) -> None:
    """Paths are paths again, and nothing else becomes one."""
    text = spelt_out(options)

    assert options_of(text) == options
    assert json.loads(text)


def test_a_process_with_nothing_to_shed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pydantic loaded the command is lean already: it returns and nothing begins anew."""
    monkeypatch.delitem(sys.modules, "pydantic", raising=False)
    shed("agent", {})
