"""TLS and basic auth by a web configuration file, which may change while the agent runs.

The file and what it names are looked at for each connection and request; a changed one counts
from then on. One that cannot be read lets nobody in: a user who was taken out must not stay in
because of a slip of the pen elsewhere.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import bcrypt

from collectors.web_config import ClientAuth, Tls, TlsVersion, WebConfig, read
from service.core import limits
from service.core.errors import ConfigurationError

_VERIFY = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}
_VERSION = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}
Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A configuration in force, and what its files looked like."""

    stamp: Stamp
    config: WebConfig
    context: ssl.SSLContext | None


class WebGuard:
    """Lets in whom the file allows; see `collectors.web.Guard`."""

    def __init__(self, path: Path, *, exposed: bool) -> None:
        """Read the file; `exposed` asks for TLS and for clients that show who they are.

        Raises:
            ConfigurationError: If the file is wrong, or allows more than `exposed` does.
        """
        self._path, self._exposed = path, exposed
        self._lock = threading.Lock()
        self._credentials = Credentials()
        self._loaded = self._load()

    def secure(self, connection: socket.socket) -> socket.socket:
        """Return the connection after its TLS handshake; as it is where the file has no TLS."""
        context = self._current().context
        return connection if context is None else context.wrap_socket(connection, server_side=True)

    def allows(self, authorization: str | None) -> bool:
        """Return whether basic auth is right, or not asked for."""
        users = self._current().config.users
        return not users or self._credentials.right(users, authorization)

    def _current(self) -> _Loaded:
        with self._lock:
            if self._loaded.stamp != (_seen(self._path), *_named(self._loaded.config)):
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> _Loaded:
        first = _seen(self._path)  # before it is read: a change in between is seen the next time
        config = read(self._path)
        if self._exposed and (config.tls is None or not config.authenticates):
            raise ConfigurationError(
                f"{self._path}: beyond loopback /metrics needs tls_server_config, and basic_auth_users or"
                f" client_auth_type: {ClientAuth.REQUIRED.value}; add them or listen on 127.0.0.1"
            )
        stamp = (first, *_named(config))
        return _Loaded(stamp, config, None if config.tls is None else _context(config.tls, self._path))


def _named(config: WebConfig) -> Stamp:
    tls = config.tls
    named = () if tls is None else (tls.cert_file, tls.key_file, tls.client_ca_file)
    return tuple(_seen(file) for file in named if file is not None)


def _seen(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:  # reading it will tell
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _context(tls: Tls, path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSION[tls.min_version], _VERSION[tls.max_version]
    key = "cert_file or key_file"
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
        if tls.client_ca_file is not None:
            key = "client_ca_file"
            context.load_verify_locations(tls.client_ca_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(
            f"{path}: tls_server_config.{key}: {text}; name readable PEM files that belong together"
        ) from error
    context.verify_mode = _VERIFY[tls.client_auth]
    return context


def _no_password() -> NoReturn:
    """Refuse an encrypted key: nobody is there to type."""
    raise ValueError("the key is encrypted")


def matches(password: bytes, hashed: bytes) -> bool:
    """Return whether a password is the one that was hashed; takes as long as its cost asks for."""
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # longer than bcrypt's 72 bytes: nobody's password
        return False


class Credentials:
    """Checks passwords against bcrypt hashes and remembers which were right, not what they were."""

    def __init__(self, matches: Callable[[bytes, bytes], bool] = matches) -> None:
        """Remember nothing yet; `matches` compares a password with a bcrypt hash."""
        self._matches = matches
        self._secret = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def right(self, users: Mapping[str, str], authorization: str | None) -> bool:
        """Return whether an Authorization header names a user and the password of that user.

        An unknown user costs the same bcrypt as a wrong password, so time tells nobody who exists.
        """
        given = _basic(authorization)
        if given is None:
            return False
        user, password = given
        hashed = users.get(user)
        tried = (hashed or next(iter(users.values()))).encode()
        mark = hmac.new(self._secret, tried + b"\0" + password, hashlib.sha256).digest()
        if hashed is not None and mark in self._right:
            return True
        with self._lock:  # one at a time: guessing keeps at most one core busy
            right = self._matches(password, tried) and hashed is not None
            if right:
                self._remember(mark)
        return right

    def _remember(self, mark: bytes) -> None:
        self._right[mark] = None
        if len(self._right) > limits.CREDENTIALS_KEPT:
            self._right.popitem(last=False)


def _basic(authorization: str | None) -> tuple[str, bytes] | None:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeError):
        return None
