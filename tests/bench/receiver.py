"""The service's end of the bus, with a stopwatch: takes every batch, notes when, answers with a receipt."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from service.core.wire import Batch, Receipt, decode_batch, encode_receipts


class Receiver:
    """Counts the XIDs that arrived, and when the last one did."""

    def __init__(self) -> None:
        self._xids = 0
        self._at = 0.0
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where agents send to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def xids(self) -> int:
        """XIDs that arrived so far."""
        return self._xids

    def take(self, body: bytes) -> bytes:
        """Note a batch and return its receipt; everything counts as committed."""
        now = time.perf_counter()
        batch = decode_batch(body)
        self._note(sum(map(_is_xid, batch.facts)), now)
        return encode_receipts([_receipt(batch)])

    def wait_for_xids(self, count: int, seconds: float) -> float | None:
        """Wait until so many XIDs arrived; return when the last did, None if it did not."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: self._xids >= count, seconds)
            return self._at if found else None

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _note(self, xids: int, now: float) -> None:
        if not xids:
            return
        with self._arrived:
            self._xids += xids
            self._at = now
            self._arrived.notify_all()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yield a receiver that listens until the block ends."""
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()


def _is_xid(raw: Any) -> bool:
    return bool(json.loads(bytes(raw)).get("event", {}).get("kind") == "xid")


def _receipt(batch: Batch) -> Receipt:
    return Receipt(node=batch.node, run=batch.run, seq=batch.first_seq + len(batch.facts) - 1, hub_ms=0)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # agents keep their connection
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = receiver.take(body) if self.path == "/v1/facts" else b""
            self.send_response(200 if reply else 202)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
