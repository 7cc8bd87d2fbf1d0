"""Bearer tokens of nodes: a file of hashes, compared in constant time.

The file is YAML, a list of `{node: r0001-t07, sha256: HEX}`; the token itself is known to the
agent alone. A node speaks only for itself: its name comes from its token.
"""

import hashlib
import hmac
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.core.errors import ConfigurationError
from service.core.model import NAME_PATTERN


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    node: str = Field(pattern=NAME_PATTERN)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


_ENTRIES = TypeAdapter(list[_Entry])


class Tokens:
    """The tokens that a service accepts."""

    def __init__(self, node_by_digest: dict[str, str]) -> None:
        """Take digests (hex SHA-256) to node names."""
        self._node_by_digest = node_by_digest

    @classmethod
    def load(cls, path: Path) -> "Tokens":
        """Return the tokens of a file.

        Raises:
            ConfigurationError: If the file cannot be read or an entry is wrong, naming it.
        """
        try:
            entries = _ENTRIES.validate_python(yaml.safe_load(path.read_text()))
        except OSError as error:
            msg = f"{path}: {error.strerror}; name a readable token file"
            raise ConfigurationError(msg) from error
        except (yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
            msg = f"{path}: {error}; write a list of {{node, sha256}}"
            raise ConfigurationError(msg) from error
        return cls({entry.sha256: entry.node for entry in entries})

    def node_of(self, token: str) -> str | None:
        """Return the node that a token speaks for, or None; takes the same time either way."""
        presented = digest(token)
        found = None
        for known, node in self._node_by_digest.items():
            if hmac.compare_digest(known, presented):
                found = node
        return found


def digest(token: str) -> str:
    """Return the hex SHA-256 under which a token is filed."""
    return hashlib.sha256(token.encode()).hexdigest()
