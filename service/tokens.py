"""Bearer tokens of nodes and people: a file of hashes, compared in constant time.

The file is YAML, a list of `{node: r0001-t07, sha256: HEX}` and `{person: alice, sha256: HEX}`;
the token itself is known to its holder alone. Each speaks only for itself: its name comes from
its token.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from service.core import limits
from service.core.errors import ConfigurationError
from service.core.model import NAME_PATTERN


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    node: str | None = Field(default=None, pattern=NAME_PATTERN)
    person: str | None = Field(default=None, min_length=1, max_length=limits.NAME_LENGTH)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _one_holder(self) -> Self:
        if (self.node is None) == (self.person is None):
            msg = "a token is of a node or of a person"
            raise ValueError(msg)
        return self


_ENTRIES = TypeAdapter(list[_Entry])


class Tokens:
    """The tokens that a service accepts."""

    def __init__(self, node_by_digest: dict[str, str], person_by_digest: dict[str, str] | None = None) -> None:
        """Take digests (hex SHA-256) to names of nodes, and of people."""
        self._node_by_digest, self._person_by_digest = node_by_digest, person_by_digest or {}

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
            msg = f"{path}: {error}; write a list of {{node, sha256}} and {{person, sha256}}"
            raise ConfigurationError(msg) from error
        return cls(
            {entry.sha256: entry.node for entry in entries if entry.node is not None},
            {entry.sha256: entry.person for entry in entries if entry.person is not None},
        )

    def node_of(self, token: str) -> str | None:
        """Return the node that a token speaks for, or None; takes the same time either way."""
        return _holder(token, self._node_by_digest)

    def person_of(self, token: str) -> str | None:
        """Return the person that a token speaks for, or None; takes the same time either way."""
        return _holder(token, self._person_by_digest)


def _holder(token: str, holders: dict[str, str]) -> str | None:
    presented = digest(token)
    found = None
    for known, holder in holders.items():
        if hmac.compare_digest(known, presented):
            found = holder
    return found


def digest(token: str) -> str:
    """Return the hex SHA-256 under which a token is filed."""
    return hashlib.sha256(token.encode()).hexdigest()
