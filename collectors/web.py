"""A small HTTP server for the node's pages: GET and HEAD, kept-alive connections, everything bounded.

A scraper keeps its connection, so a scrape costs neither an accept nor a thread. A client that is
slow, silent or one too many is cut off; nobody holds a connection who has not been let in.
"""

import contextlib
import http.server
import io
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import NamedTuple, Protocol, cast

import structlog

from service.core import limits
from service.core.errors import ConfigurationError
from service.core.ports import Clock

log = structlog.get_logger(__name__)
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Page(NamedTuple):
    """What a path answers."""

    status: int
    content_type: str
    body: bytes


class Guard(Protocol):
    """Who may speak to the server, and how; asked anew for each connection and request."""

    def secure(self, connection: socket.socket) -> socket.socket:
        """Return the connection after its TLS handshake, or as it is.

        Raises:
            OSError: If the handshake failed.
            ConfigurationError: If the rules cannot be read now; nobody is let in.
        """
        ...

    def allows(self, authorization: str | None) -> bool:
        """Return whether a request with this Authorization header may have its page.

        Raises:
            ConfigurationError: If the rules cannot be read now; nobody is let in.
        """
        ...


class Open:
    """Lets everybody in: for loopback alone."""

    def secure(self, connection: socket.socket) -> socket.socket:
        """Return the connection as it is."""
        return connection

    def allows(self, authorization: str | None) -> bool:  # noqa: ARG002 -- the guard's port
        """Return True."""
        return True


class _Received(io.RawIOBase):
    """Bytes of a connection; the whole head of a request shares one deadline, not each byte its own."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        super().__init__()
        self._connection, self._clock = connection, clock
        self._idle_seconds = limits.METRICS_REQUEST_SECONDS  # a stranger gets no patience
        self._deadline_ms: int | None = None

    def rest(self) -> None:
        """Wait for the next request of a client that was let in."""
        self._deadline_ms, self._idle_seconds = None, limits.METRICS_IDLE_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        began = self._deadline_ms is not None
        self._connection.settimeout(self._left() if began else self._idle_seconds)
        count = self._connection.recv_into(buffer)
        if not began:
            self._deadline_ms = self._clock.monotonic_ms() + int(limits.METRICS_REQUEST_SECONDS * 1000)
        return count

    def _left(self) -> float:
        left_ms = (self._deadline_ms or 0) - self._clock.monotonic_ms()
        if left_ms <= 0:
            raise TimeoutError
        return left_ms / 1000


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "PageServer"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._received = _Received(self.connection, self.server.clock)
        self.rfile = io.BufferedReader(self._received)

    def handle(self) -> None:
        self.close_connection = False
        for _ in range(limits.METRICS_REQUESTS):
            if self.close_connection:
                return
            self.handle_one_request()

    def handle_one_request(self) -> None:
        self.close_connection = True
        try:
            self.raw_requestline = self.rfile.readline(limits.METRICS_LINE_BYTES)
            if not self.raw_requestline.endswith(b"\n") or not self.parse_request():
                return
            self.connection.settimeout(limits.METRICS_REQUEST_SECONDS)
            self._answer(*self._page())
        except OSError:  # cut off or gone: there is nobody to tell
            self.close_connection = True

    def _page(self) -> tuple[Page, dict[str, str]]:
        try:
            allowed = self.server.guard.allows(self.headers.get("Authorization"))
        except ConfigurationError as error:
            log.error("web_config_refused", error=str(error))
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR, "the web configuration cannot be read"), {}
        if not allowed:
            self.close_connection = True
            return _text(HTTPStatus.UNAUTHORIZED, "unauthorised"), {"WWW-Authenticate": "Basic"}
        self._received.rest()
        if self.command not in {"GET", "HEAD"}:
            return _text(HTTPStatus.METHOD_NOT_ALLOWED, "use GET or HEAD"), {"Allow": "GET, HEAD"}
        page = self.server.pages.get(self.path.partition("?")[0])
        return (page() if page else _text(HTTPStatus.NOT_FOUND, "no such page")), {}

    def _answer(self, page: Page, headers: Mapping[str, str]) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body that nobody reads is not the next request
        self.send_response(page.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def version_string(self) -> str:
        return "threenines"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
        """Log nothing: a line a second for every scraper tells nobody anything."""


class PageServer(socketserver.TCPServer):
    """Serves pages, each made by a function when it is asked for."""

    allow_reuse_address = True
    request_queue_size = limits.METRICS_CONNECTIONS

    def __init__(
        self, host: str, port: int, pages: Mapping[str, Callable[[], Page]], clock: Clock, guard: Guard | None = None
    ) -> None:
        """Listen; `start` lets it serve.

        Raises:
            ConfigurationError: If the port cannot be had.
        """
        self.pages, self.clock, self.guard = pages, clock, guard or Open()
        self._slots = threading.BoundedSemaphore(limits.METRICS_CONNECTIONS)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        # Threads that stay: memory that a thread warmed is there at the next scrape too.
        self._workers = ThreadPoolExecutor(limits.METRICS_CONNECTIONS, thread_name_prefix="metrics")
        self._thread = threading.Thread(target=self.serve_forever, name="metrics", daemon=True)
        try:
            self.address_family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__(cast("tuple[str, int]", address), _Handler)
        except OSError as error:
            msg = f"cannot listen on {host}:{port}: {error.strerror}; choose another --listen"
            raise ConfigurationError(msg) from error

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Serve from a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End, with every connection."""
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._open:
                _hang_up(connection)
        self._thread.join()
        self._workers.shutdown()

    def process_request(self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object) -> None:
        """Give the connection to a thread, or tell it that there are too many."""
        connection = cast("socket.socket", request)
        if self._slots.acquire(blocking=False):
            self._workers.submit(self._serve, connection, client_address).add_done_callback(_tell_failure)
            return
        if isinstance(self.guard, Open):  # under TLS there is no handshake yet to say it through
            with contextlib.suppress(OSError):
                connection.settimeout(0)
                connection.send(_BUSY)
        self.shutdown_request(connection)

    def _serve(self, connection: socket.socket, client_address: object) -> None:
        """Secure the connection and answer it to its end."""
        try:
            connection.settimeout(limits.METRICS_REQUEST_SECONDS)
            connection = self.guard.secure(connection)
            with self._lock:
                self._open.add(connection)
            self.finish_request(connection, client_address)
        except OSError:  # no handshake, or gone: a scanner, a client with the wrong CA
            pass
        except ConfigurationError as error:
            log.error("web_config_refused", error=str(error))
        finally:
            with self._lock:
                self._open.discard(connection)
            self.shutdown_request(connection)
            self._slots.release()


def _tell_failure(done: "Future[None]") -> None:
    error = done.exception()
    if error is not None:  # a bug of ours; the server goes on
        log.error("request_failed", error=repr(error))


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # gone by itself
        connection.shutdown(socket.SHUT_RDWR)


def _text(status: HTTPStatus, text: str) -> Page:
    return Page(status, "text/plain; charset=utf-8", f"{text}\n".encode())
