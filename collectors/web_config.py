"""The web configuration file in exporter-toolkit's format, read strictly.

What the file may say and we cannot do is refused, never passed over: a key that is ignored
would leave an operator believing in a protection that is not there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from service.core import limits
from service.core.errors import ConfigurationError

_BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
_COST_MIN = 4  # of bcrypt itself
Word = TypeVar("Word", bound=Enum)


class ClientAuth(Enum):
    """What a client has to show; the words are Go's."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


class TlsVersion(Enum):
    """A version of TLS that is still safe."""

    TLS12 = "TLS12"
    TLS13 = "TLS13"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How connections are secured; paths are absolute or relative to the process."""

    cert_file: Path
    key_file: Path
    client_auth: ClientAuth = ClientAuth.NONE
    client_ca_file: Path | None = None
    min_version: TlsVersion = TlsVersion.TLS12
    max_version: TlsVersion = TlsVersion.TLS13


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """What a web configuration file says; `users` maps names to bcrypt hashes."""

    tls: Tls | None = None
    users: Mapping[str, str] = field(default_factory=dict)

    @property
    def authenticates(self) -> bool:
        """Return whether every client has to show who it is."""
        certificate = self.tls is not None and self.tls.client_auth is ClientAuth.REQUIRED
        return certificate or bool(self.users)


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice: which of two users' hashes counts is no guess."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if not isinstance(key, str):
            raise _Wrong(str(key), "keys are text; put it in quotes")
        if keys.count(key) > 1:
            raise _Wrong(key, "is there twice; keep one")
    values = [loader.construct_object(value, deep=True) for _, value in node.value]
    return dict(zip(keys, values, strict=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class _Wrong(Exception):
    """Something wrong with a key; `read` adds the file."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")


def read(path: Path) -> WebConfig:
    """Return what a file says; file names in it are relative to its directory.

    Raises:
        ConfigurationError: As `FILE: KEY: TEXT`, with what would mend it.
    """
    try:
        text = _text(path)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader
        return _config(value, path.parent)
    except _Wrong as error:
        raise ConfigurationError(f"{path}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: no YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: no YAML: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; name a readable --web.config.file") from error


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(limits.WEB_CONFIG_BYTES + 1)
    if len(data) > limits.WEB_CONFIG_BYTES:
        raise _Wrong("(file)", f"a web configuration holds at most {limits.WEB_CONFIG_BYTES} bytes")
    return data.decode()


def _config(value: object, directory: Path) -> WebConfig:
    sections = _section(
        {} if value is None else value, "(file)", {"tls_server_config", "http_server_config", "basic_auth_users"}
    )
    _http(sections.get("http_server_config"))
    tls = sections.get("tls_server_config")
    users = sections.get("basic_auth_users")
    return WebConfig(
        tls=None if tls is None else _tls(tls, directory),
        users={} if users is None else _users(users),
    )


def _section(value: object, key: str, allowed: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(key, f"holds keys and values: {', '.join(sorted(allowed))}")
    for name in value:
        if name not in allowed:
            where = name if key == "(file)" else f"{key}.{name}"
            raise _Wrong(where, f"not supported; remove it, or use {', '.join(sorted(allowed))}")
    return value


def _http(value: object) -> None:
    """Accept only what asks for what is done anyway: HTTP/1.1."""
    section = _section({} if value is None else value, "http_server_config", {"http2"})
    if section.get("http2", False) is not False:
        raise _Wrong("http_server_config.http2", "HTTP/1.1 is spoken here; write false or remove it")


def _tls(value: object, directory: Path) -> Tls:
    key = "tls_server_config"
    names = {"cert_file", "key_file", "client_auth_type", "client_ca_file", "min_version", "max_version"}
    section = _section(value, key, names)
    for name in ("cert_file", "key_file"):
        if name not in section:
            raise _Wrong(f"{key}.{name}", "missing; name a PEM file")
    authority = section.get("client_ca_file")
    tls = Tls(
        cert_file=_file(section["cert_file"], f"{key}.cert_file", directory),
        key_file=_file(section["key_file"], f"{key}.key_file", directory),
        client_auth=_word(section.get("client_auth_type"), f"{key}.client_auth_type", ClientAuth, ClientAuth.NONE),
        client_ca_file=None if authority is None else _file(authority, f"{key}.client_ca_file", directory),
        min_version=_word(section.get("min_version"), f"{key}.min_version", TlsVersion, TlsVersion.TLS12),
        max_version=_word(section.get("max_version"), f"{key}.max_version", TlsVersion, TlsVersion.TLS13),
    )
    _agree(tls, key)
    return tls


def _agree(tls: Tls, key: str) -> None:
    if tls.client_auth is ClientAuth.NONE and tls.client_ca_file is not None:
        raise _Wrong(f"{key}.client_ca_file", "checks nobody; set client_auth_type: RequireAndVerifyClientCert")
    if tls.client_auth is not ClientAuth.NONE and tls.client_ca_file is None:
        raise _Wrong(f"{key}.client_ca_file", f"missing; {tls.client_auth.value} needs the clients' authority")
    if (tls.min_version, tls.max_version) == (TlsVersion.TLS13, TlsVersion.TLS12):
        raise _Wrong(f"{key}.max_version", "is below min_version; raise it or remove it")


def _file(value: object, key: str, directory: Path) -> Path:
    if not isinstance(value, str) or not value:
        raise _Wrong(key, "names a file")
    return directory / value


def _word(value: object, key: str, kind: type[Word], default: Word) -> Word:
    if value is None:
        return default
    for one in kind:
        if one.value == value:
            return one
    raise _Wrong(key, f"{value!r} is not supported; one of {', '.join(str(one.value) for one in kind)}")


def _users(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _Wrong("basic_auth_users", "holds a user and a bcrypt hash a line")
    for user, hashed in value.items():
        _user(user, hashed)
    return value


def _user(user: str, hashed: object) -> None:
    key = f"basic_auth_users.{user}"
    if not user or ":" in user:
        raise _Wrong(key, "a user has a name, without a colon")
    found = _BCRYPT.fullmatch(hashed) if isinstance(hashed, str) else None
    if found is None:
        raise _Wrong(key, "no bcrypt hash; make one with `htpasswd -nBC 10 USER`")
    if not _COST_MIN <= int(found[1]) <= limits.BCRYPT_COST_MAX:
        raise _Wrong(key, f"cost {int(found[1])}; hash it with a cost of {_COST_MIN} to {limits.BCRYPT_COST_MAX}")
