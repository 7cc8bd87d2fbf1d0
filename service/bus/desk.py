"""A person's end of the service: what people say, handed to whoever owns the ledger."""

import json
from pathlib import Path

from service.bus.client import ServiceClient
from service.core.errors import BusUnavailable, FactRefused
from service.core.said import Telling, encode_telling

_CREATED, _KNOWN = 201, 200
_REFUSED = {400, 401, 403, 404, 409, 413, 422}


class HttpDesk:
    """Hands what people say to the service that owns the ledger."""

    def __init__(self, url: str, *, token: str | None = None, ca_file: Path | None = None) -> None:
        """Prepare a client; nothing is sent yet.

        Raises:
            ConfigurationError: If the URL is wrong, or a token would travel unencrypted.
        """
        self._client = ServiceClient(url, token=token, ca_file=ca_file)

    def tell(self, telling: Telling) -> bool:
        """Hand over what a person says; return whether it was new.

        Raises:
            FactRefused: The service will not record it, and says why.
            BusUnavailable: Nobody took it; saying it again is right.
        """
        status, body = self._client.post("/v1/said", encode_telling(telling))
        if status in _REFUSED:
            raise FactRefused(_reason(body) or self._client.detail(status, body))
        if status not in {_CREATED, _KNOWN}:
            raise BusUnavailable(self._client.detail(status, body))
        return status == _CREATED

    def close(self) -> None:
        """Close connections; idempotent."""
        self._client.close()


def _reason(body: bytes) -> str | None:
    """Return the reason that a refusal gives; a proxy's page has none."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return None
