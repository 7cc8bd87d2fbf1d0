"""One service over HTTP: POST a body, get a status and a body; loopback in plain, the rest encrypted.

The standard library's client does: a few paths of one service, no redirects, no proxies; a larger
one would cost a tray's agent more memory than all that it keeps.
"""

import functools
import http.client
import ipaddress
import select
import socket
import ssl
import urllib.parse
from pathlib import Path

from service.core import limits
from service.core.errors import BusUnavailable, ConfigurationError


class ServiceClient:
    """Posts to one service; each caller at a time has a connection of its own."""

    def __init__(self, url: str, *, token: str | None = None, ca_file: Path | None = None) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            ConfigurationError: If the URL is wrong, or a token would travel unencrypted.
        """
        parsed, port = _parsed(url)
        if parsed.scheme == "http" and not _is_loopback(parsed.hostname or ""):
            msg = f"{url}: plain http only reaches loopback; use https"
            raise ConfigurationError(msg)
        self._url, self._path = url.rstrip("/"), parsed.path.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        trust = _trust(ca_file) if parsed.scheme == "https" else None
        self._connect = functools.partial(_connection, parsed.hostname or "", port, trust)
        self._idle: list[http.client.HTTPConnection] = []

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Post a body and return the reply's status and body.

        Raises:
            BusUnavailable: Nobody answered.
        """
        connection = self._idle_one() or self._connect()
        try:
            connection.request("POST", self._path + path, body, self._headers)
            reply = connection.getresponse()
            found = reply.status, reply.read(limits.BATCH_BYTES)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise BusUnavailable(f"{self._url}: {error or type(error).__name__}") from error
        self._idle.append(connection)
        return found

    def detail(self, status: int, body: bytes) -> str:
        """Return a reply in words: who said it, and the beginning of what was said."""
        return f"{self._url}: {status}: {body.decode('utf-8', 'replace')[: limits.REASON_LENGTH]}"

    def close(self) -> None:
        """Close connections; idempotent."""
        while self._idle:
            self._idle.pop().close()

    def _idle_one(self) -> http.client.HTTPConnection | None:
        """Return an open connection that the service has not hung up meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if connection.sock is not None and not _is_readable(connection.sock):
                return connection
            connection.close()
        return None


def _parsed(url: str) -> tuple[urllib.parse.SplitResult, int | None]:
    try:
        parsed = urllib.parse.urlsplit(url)
        port = parsed.port
    except ValueError:
        parsed, port = urllib.parse.urlsplit(""), None
    if parsed.scheme not in {"http", "https"} or not parsed.hostname:
        msg = f"{url!r} is no service URL: write http://127.0.0.1:9909 or https://HOST:PORT"
        raise ConfigurationError(msg)
    return parsed, port


def _connection(host: str, port: int | None, trust: ssl.SSLContext | None) -> http.client.HTTPConnection:
    timeout = limits.RECEIPT_WAIT_SECONDS + 5
    if trust is None:
        return http.client.HTTPConnection(host, port, timeout=timeout)
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=trust)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"{ca_file}: {error}; name a file of PEM certificates") from error


def _is_readable(one: socket.socket) -> bool:
    """Return whether the other end hung up, or sent what nobody asked for."""
    poll = select.poll()
    poll.register(one, select.POLLIN)
    return bool(poll.poll(0))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
