"""Options that several commands share, and how results are printed."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from service.core.errors import ConfigurationError


def address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`.

    Raises:
        ConfigurationError: If it is spelt otherwise.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:  # noqa: PLR2004 -- the largest port
        msg = f"--listen {text!r}: write HOST:PORT, for example 127.0.0.1:9909"
        raise ConfigurationError(msg)
    return host.strip("[]"), int(port)


def secret(path: Path | None) -> str | None:
    """Return the token in a file, without the newline at its end.

    Raises:
        ConfigurationError: If the file cannot be read or is empty.
    """
    if path is None:
        return None
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; name a readable token file") from error
    if not text:
        raise ConfigurationError(f"{path}: empty; put the node's token into it")
    return text


def emit(value: Any) -> None:  # noqa: ANN401 -- any JSON value
    """Print JSON to stdout."""
    text = json.dumps(value).encode()
    sys.stdout.write(msgspec.json.format(text, indent=2).decode() + "\n")  # `json` itself indents ten times as slowly


def say(text: str) -> None:
    """Print a line for people to stderr."""
    print(text, file=sys.stderr)


def is_json(output: str) -> bool:
    """Return whether `-o` asks for JSON.

    Raises:
        ConfigurationError: If it asks for something else than table or json.
    """
    if output not in {"table", "json"}:
        raise ConfigurationError(f"-o {output!r}: table or json")
    return output == "json"
