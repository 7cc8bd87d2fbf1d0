"""The other ends of the HTTP bus: an agent's, where a batch is a POST and its receipt the reply, and a person's."""

import ipaddress
import ssl
from collections import deque
from pathlib import Path

import httpx2

from service.core import limits
from service.core.errors import BusFull, BusRefused, BusUnavailable, ConfigurationError, FactRefused, WireError
from service.core.said import Telling, encode_telling
from service.core.wire import Batch, Receipt, decode_receipts, encode

_FULL = 429
_CREATED = 201
_REFUSED = {400, 401, 403, 404, 409, 413, 422}


class HttpPublisher:
    """Publishes to one service; see `service.core.ports.Publisher`."""

    def __init__(self, url: str, *, token: str | None = None, ca_file: Path | None = None) -> None:
        """Prepare a client; nothing is sent yet.

        Raises:
            ConfigurationError: If the URL is wrong, or a token would travel unencrypted.
        """
        self._client = _client(url, token, ca_file)
        self._receipts: deque[Receipt] = deque(maxlen=limits.RUNS_PER_NODE)

    def publish(self, batch: Batch) -> None:
        """Send a batch and keep the receipt that the reply carries."""
        try:
            reply = self._client.post("/v1/facts", content=encode(batch))
        except httpx2.TransportError as error:
            raise BusUnavailable(f"{self._client.base_url}: {error}") from error
        if reply.status_code == _FULL:
            raise BusFull(_detail(reply))
        if reply.status_code in _REFUSED:
            raise BusRefused(_detail(reply))
        if not reply.is_success:
            raise BusUnavailable(_detail(reply))
        try:
            self._receipts.extend(decode_receipts(reply.content))
        except WireError as error:
            raise BusUnavailable(f"{self._client.base_url}: no receipt in the reply: {error}") from error

    def publish_reading(self, payload: bytes) -> None:
        """Send a reading; it may be lost."""
        try:
            self._client.post("/v1/readings", content=payload)
        except httpx2.TransportError:
            return

    def receipts(self, wait_seconds: float) -> tuple[Receipt, ...]:  # noqa: ARG002 -- replies came with publish
        """Return the receipts that came."""
        found = tuple(self._receipts)
        self._receipts.clear()
        return found

    def close(self) -> None:
        """Close connections; idempotent."""
        self._client.close()


class HttpDesk:
    """Hands what people say to the service that owns the ledger."""

    def __init__(self, url: str, *, token: str | None = None, ca_file: Path | None = None) -> None:
        """Prepare a client; nothing is sent yet.

        Raises:
            ConfigurationError: If the URL is wrong, or a token would travel unencrypted.
        """
        self._client = _client(url, token, ca_file)

    def tell(self, telling: Telling) -> bool:
        """Hand over what a person says; return whether it was new.

        Raises:
            FactRefused: The service will not record it, and says why.
            BusUnavailable: Nobody took it; saying it again is right.
        """
        try:
            reply = self._client.post("/v1/said", content=encode_telling(telling))
        except httpx2.TransportError as error:
            raise BusUnavailable(f"{self._client.base_url}: {error}") from error
        if reply.status_code in _REFUSED:
            raise FactRefused(_reason(reply))
        if not reply.is_success:
            raise BusUnavailable(_detail(reply))
        return reply.status_code == _CREATED

    def close(self) -> None:
        """Close connections; idempotent."""
        self._client.close()


def _client(url: str, token: str | None, ca_file: Path | None) -> httpx2.Client:
    parsed = httpx2.URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        msg = f"{url!r} is no service URL: write http://127.0.0.1:9909 or https://HOST:PORT"
        raise ConfigurationError(msg)
    if parsed.scheme == "http" and not _is_loopback(parsed.host):
        msg = f"{url}: plain http only reaches loopback; use https"
        raise ConfigurationError(msg)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    verify = _trust(ca_file) if parsed.scheme == "https" else False
    seconds = limits.RECEIPT_WAIT_SECONDS + 5
    return httpx2.Client(base_url=url, headers=headers, verify=verify, timeout=seconds, trust_env=False)


def _reason(reply: httpx2.Response) -> str:
    try:
        return str(reply.json()["detail"])
    except (ValueError, KeyError, TypeError):  # a proxy's page, not an answer of ours
        return _detail(reply)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"{ca_file}: {error}; name a file of PEM certificates") from error


def _detail(reply: httpx2.Response) -> str:
    return f"{reply.url}: {reply.status_code}: {reply.text[: limits.REASON_LENGTH]}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
