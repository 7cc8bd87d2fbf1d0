"""Starts a command that lives for months again, without the libraries that only parsed its options.

Parsing takes pydantic, and logging for people takes rich: 16 MiB together, which an agent on a tray
would hold for ever and never use. The process stays the same one, so whoever started it notices nothing.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ENTRY = (
    "import sys; sys.argv[1] in sys.path or sys.path.insert(0, sys.argv[1]); "
    "from service.cli import resume; resume(*sys.argv[2:])"
)
_ROOT = str(Path(__file__).parents[2])


def shed(command: str, options: Mapping[str, Any]) -> None:
    """Begin the command anew with the same options, unless nothing is loaded that it could do without.

    Options are what JSON can say, and paths; secrets travel as paths of their files.
    """
    if "pydantic" not in sys.modules:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-c", _ENTRY, _ROOT, command, spelt_out(options)])  # noqa: S606 -- ourselves


def spelt_out(options: Mapping[str, Any]) -> str:
    """Return options as text: what they are, and which of them are paths."""
    paths = [name for name, value in options.items() if isinstance(value, Path)]
    return json.dumps([options, paths], default=str)


def options_of(text: str) -> dict[str, Any]:
    """Return the options that were spelt out."""
    options: dict[str, Any]
    options, paths = json.loads(text)
    return options | {name: Path(options[name]) for name in paths}
