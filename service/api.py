"""The service over HTTP: facts in, receipts out, `/metrics`; the only door to FastAPI and uvicorn."""

import asyncio
import ipaddress
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response

from service.core import limits
from service.core.errors import BusFull, BusUnavailable, ConfigurationError, FactRefused, LedgerError, WireError
from service.core.ports import Delivery
from service.core.said import Telling, decode_telling
from service.core.wire import Batch, Receipt, decode_batch, decode_reading, encode_receipts
from service.desk import Booked
from service.tokens import Tokens

_START_SECONDS = 10.0


@dataclass(slots=True)
class _Waiting:
    """A request that waits for its receipt, on the loop that serves it."""

    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Receipt | None]"

    def resolve(self, receipt: Receipt | None) -> None:
        """Answer from any thread; a request that has gone away is no error."""

        def put() -> None:
            if not self.answer.done():
                self.answer.set_result(receipt)

        try:
            self.loop.call_soon_threadsafe(put)
        except RuntimeError:  # the loop has ended; so has the request
            return


@dataclass(slots=True)
class HttpInbox:
    """The subscriber's end of the HTTP bus: a bounded queue between handlers and the recorder."""

    capacity: int = limits.MEMORY_BUS_BATCHES
    refused: Counter[str] = field(default_factory=Counter)
    _arrived: threading.Condition = field(default_factory=threading.Condition)
    _queue: deque[Delivery] = field(default_factory=deque)
    _waiting: dict[int, _Waiting] = field(default_factory=dict)
    _readings: dict[str, bytes] = field(default_factory=dict)
    _next: int = 0
    _closed: bool = False

    def put(self, batch: Batch, speaker: str | None, waiting: _Waiting) -> None:
        """Queue a batch.

        Raises:
            BusFull: The queue holds its bound.
            BusUnavailable: The service is stopping.
        """
        with self._arrived:
            if self._closed:
                msg = "the service is stopping"
                raise BusUnavailable(msg)
            if len(self._queue) >= self.capacity:
                msg = "the queue is full"
                raise BusFull(msg)
            self._next += 1
            self._waiting[self._next] = waiting
            self._queue.append(Delivery(batch=batch, speaker=speaker, token=self._next))
            self._arrived.notify()

    def put_reading(self, node: str, payload: bytes) -> None:
        """Keep a node's newest reading; drop it when too many nodes speak."""
        with self._arrived:
            if node in self._readings or len(self._readings) < limits.READINGS_KEPT:
                self._readings[node] = payload

    def take(self, limit: int, wait_seconds: float) -> tuple[Delivery, ...]:
        """Return at most `limit` batches in order of arrival, waiting for the first."""
        with self._arrived:
            if not self._queue and wait_seconds > 0:
                self._arrived.wait_for(lambda: bool(self._queue) or self._closed, wait_seconds)
            return tuple(self._queue.popleft() for _ in range(min(limit, len(self._queue))))

    def settle(self, delivery: Delivery, receipt: Receipt | None) -> None:
        """Answer one delivery."""
        with self._arrived:
            waiting = self._waiting.pop(delivery.token, None)
        if waiting is not None:
            waiting.resolve(receipt)

    def readings(self) -> tuple[bytes, ...]:
        """Return and forget the newest readings."""
        with self._arrived:
            found, self._readings = tuple(self._readings.values()), {}
        return found

    def close(self) -> None:
        """Stop taking; who waits is told to send again."""
        with self._arrived:
            self._closed = True
            waiting, self._waiting = list(self._waiting.values()), {}
            self._queue.clear()
            self._arrived.notify_all()
        for one in waiting:
            one.resolve(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What the API shows, exposition text and readiness, and where it hands people's facts."""

    metrics: Callable[[], bytes]
    ready: Callable[[], bool]
    tell: Callable[[Telling], Booked] | None = None  # where people's facts are taken; without it nowhere


class _Problem(Exception):
    """An answer that is no success: status, reason word, text."""

    def __init__(self, status: int, reason: str, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status, self.reason, self.text, self.retry_after = status, reason, text, retry_after


def create_api(inbox: HttpInbox, views: Views, tokens: Tokens | None) -> FastAPI:
    """Return the application; without `tokens` every node name is believed (loopback only)."""
    api = FastAPI(title="threenines", docs_url=None, redoc_url=None)

    @api.exception_handler(_Problem)
    async def problem(_: Request, error: _Problem) -> Response:
        inbox.refused[error.reason] += 1
        return _problem_response(error)

    @api.post("/v1/facts")
    async def facts(request: Request) -> Response:
        speaker = _speaker(request, tokens)
        batch = _decoded(await _body(request))
        if speaker is not None and speaker != batch.node:
            raise _Problem(403, "wrong_node", "this token speaks for another node")
        receipt = await _committed(inbox, batch, speaker)
        return Response(encode_receipts([receipt]), media_type="application/json")

    @api.post("/v1/readings", status_code=202)
    async def readings(request: Request) -> Response:
        speaker = _speaker(request, tokens)
        body = await _body(request)
        try:
            reading = decode_reading(body)
        except WireError as error:
            raise _Problem(400, error.reason, str(error)) from error
        if speaker is not None and speaker != reading.node:
            raise _Problem(403, "wrong_node", "this token speaks for another node")
        inbox.put_reading(reading.node, body)
        return Response(status_code=202)

    @api.post("/v1/said")
    async def said(request: Request) -> Response:
        person = _person(request, tokens)
        body = await _body(request, limits.OPERATOR_BODY_BYTES)
        booked = await asyncio.to_thread(_told, views, body, person)
        answer = {"key": booked.fact.key, "new": booked.new}
        return Response(json.dumps(answer), 201 if booked.new else 200, media_type="application/json")

    _add_views(api, views)
    return api


def _add_views(api: FastAPI, views: Views) -> None:
    @api.get("/metrics")
    def metrics() -> Response:
        return Response(views.metrics(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    @api.get("/livez")
    def livez() -> Response:
        return Response("ok\n", media_type="text/plain")

    @api.get("/readyz")
    def readyz() -> Response:
        ready = views.ready()
        return Response("ready\n" if ready else "starting\n", 200 if ready else 503, media_type="text/plain")

    @api.get("/")
    def landing() -> Response:
        links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in ("/metrics", "/livez", "/readyz"))
        page = f"<!doctype html><title>threenines</title><h1>threenines</h1><ul>{links}</ul>"
        return Response(page, media_type="text/html")


def _problem_response(error: _Problem) -> Response:
    body = {
        "type": f"urn:threenines:problem:{error.reason}",
        "title": error.reason,
        "status": error.status,
        "detail": error.text,
    }
    headers = {"retry-after": str(error.retry_after)} if error.retry_after else {}
    return Response(json.dumps(body), error.status, headers, "application/problem+json")


def _speaker(request: Request, tokens: Tokens | None) -> str | None:
    return None if tokens is None else _known(tokens.node_of(_bearer(request)))


def _person(request: Request, tokens: Tokens | None) -> str | None:
    return None if tokens is None else _known(tokens.person_of(_bearer(request)))


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _known(holder: str | None) -> str:
    if holder is None:
        raise _Problem(401, "unauthorised", "a bearer token that this service knows is needed")
    return holder


def _told(views: Views, body: bytes, person: str | None) -> Booked:
    """Book what a person says; a person speaks only for itself."""
    if views.tell is None:
        raise _Problem(404, "no_desk", "this service takes no facts from people")
    try:
        telling = decode_telling(body)
        if person is not None and telling.said.by != person:
            raise _Problem(403, "wrong_person", f"this token is {person}'s, the fact is by {telling.said.by}")
        return views.tell(telling)
    except WireError as error:
        raise _Problem(400, error.reason, str(error)[: limits.REASON_LENGTH]) from error
    except FactRefused as error:
        raise _Problem(409, "refused", str(error)) from error
    except LedgerError as error:
        raise _Problem(503, "not_committed", str(error), retry_after=1) from error


async def _body(request: Request, most: int = limits.BATCH_BYTES) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise _Problem(413, "too_large", f"a body holds at most {most} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _decoded(body: bytes) -> Batch:
    try:
        return decode_batch(body)
    except WireError as error:
        raise _Problem(400, error.reason, str(error)[: limits.REASON_LENGTH]) from error


async def _committed(inbox: HttpInbox, batch: Batch, speaker: str | None) -> Receipt:
    loop = asyncio.get_running_loop()
    waiting = _Waiting(loop, loop.create_future())
    try:
        inbox.put(batch, speaker, waiting)
        receipt = await asyncio.wait_for(waiting.answer, limits.RECEIPT_WAIT_SECONDS)
    except BusFull as error:
        raise _Problem(429, "full", str(error), retry_after=1) from error
    except (BusUnavailable, TimeoutError) as error:
        raise _Problem(503, "not_committed", "not committed yet; send it again", retry_after=1) from error
    if receipt is None:
        raise _Problem(503, "not_committed", "not committed; send it again", retry_after=1)
    return receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where to listen, and the files that make it more than loopback."""

    host: str = "127.0.0.1"
    port: int = 9909
    certificate: Path | None = None
    key: Path | None = None


class Server:
    """A running HTTP server in a thread of its own."""

    def __init__(self, api: FastAPI, listen: Listen, *, authenticated: bool) -> None:
        """Start listening; returns when the port is open.

        Raises:
            ConfigurationError: If it would listen beyond loopback without tokens and TLS, or
                the port cannot be had.
        """
        if not _is_loopback(listen.host) and not (authenticated and listen.certificate and listen.key):
            mend = "give --tokens, --tls-cert and --tls-key, or listen on 127.0.0.1"
            msg = f"{listen.host} is reachable from elsewhere: {mend}"
            raise ConfigurationError(msg)
        config = uvicorn.Config(
            api,
            host=listen.host,
            port=listen.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            ssl_certfile=listen.certificate,
            ssl_keyfile=listen.key,
            timeout_graceful_shutdown=2,
        )
        try:
            config.load()
        except OSError as error:  # ssl.SSLError is one
            msg = f"{listen.certificate}, {listen.key}: {error}; give a PEM certificate and its key"
            raise ConfigurationError(msg) from error
        self._server = uvicorn.Server(config)
        try:
            self._sockets = [config.bind_socket()]
        except SystemExit as error:
            msg = f"cannot listen on {listen.host}:{listen.port}; is another service there? choose another --listen"
            raise ConfigurationError(msg) from error
        self.port: int = self._sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), name="api", daemon=True)
        self._thread.start()
        self._wait_started()

    def _wait_started(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: TID251 -- uvicorn offers a flag and no event

    def stop(self) -> None:
        """Stop listening and wait for requests under way, bounded."""
        self._server.should_exit = True
        self._thread.join(_START_SECONDS)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
