"""The agent's end of the HTTP bus: a batch is a POST, its receipt the reply."""

from collections import deque
from pathlib import Path

from service.bus.client import ServiceClient
from service.core import limits
from service.core.errors import BusFull, BusRefused, BusUnavailable, WireError
from service.core.wire import Batch, Receipt, decode_receipts, encode

_FULL = 429
_REFUSED = {400, 401, 403, 404, 413, 422}
_SUCCESS = range(200, 300)


class HttpPublisher:
    """Publishes to one service; see `service.core.ports.Publisher`."""

    def __init__(self, url: str, *, token: str | None = None, ca_file: Path | None = None) -> None:
        """Prepare a client; nothing is sent yet.

        Raises:
            ConfigurationError: If the URL is wrong, or a token would travel unencrypted.
        """
        self._client = ServiceClient(url, token=token, ca_file=ca_file)
        self._receipts: deque[Receipt] = deque(maxlen=limits.RUNS_PER_NODE)

    def publish(self, batch: Batch) -> None:
        """Send a batch and keep the receipt that the reply carries."""
        status, body = self._client.post("/v1/facts", encode(batch))
        if status == _FULL:
            raise BusFull(self._client.detail(status, body))
        if status in _REFUSED:
            raise BusRefused(self._client.detail(status, body))
        if status not in _SUCCESS:
            raise BusUnavailable(self._client.detail(status, body))
        try:
            self._receipts.extend(decode_receipts(body))
        except WireError as error:
            raise BusUnavailable(f"no receipt in the reply: {self._client.detail(status, body)}: {error}") from error

    def publish_reading(self, payload: bytes) -> None:
        """Send a reading; it may be lost."""
        try:
            self._client.post("/v1/readings", payload)
        except BusUnavailable:
            return

    def receipts(self, wait_seconds: float) -> tuple[Receipt, ...]:  # noqa: ARG002 -- replies came with publish
        """Return the receipts that came."""
        found = tuple(self._receipts)
        self._receipts.clear()
        return found

    def close(self) -> None:
        """Close connections; idempotent."""
        self._client.close()
