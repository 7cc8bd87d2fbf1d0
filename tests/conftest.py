"""Settings that every test shares; nothing here starts or builds anything."""

import os

import pytest
from hypothesis import settings

# In CI the same commit finds the same examples; at a desk each run looks somewhere new.
# No deadline: two shared cores say nothing about a single example's time.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that rewrites golden files; read them afterwards."""
    parser.addoption("--refresh", action="store_true", help="rewrite golden files from what the code says now")
