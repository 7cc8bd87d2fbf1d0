"""The one spelling of a statement: the same content is the same bytes, so a hash names it."""

import hashlib
import json
from typing import Any


def canonical(value: Any) -> str:  # noqa: ANN401 -- any JSON value
    """Return JSON with sorted keys, without spaces, in ASCII.

    Raises:
        ValueError: If a number in it is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(text: str) -> str:
    """Return the SHA-256 of a text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()
