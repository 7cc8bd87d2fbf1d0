"""The node's HTTP server over real sockets: pages, bounds, TLS, client certificates, passwords, reloads."""

import base64
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collectors.clock import SystemClock
from collectors.exporter import Exporter
from collectors.shown import Shown
from collectors.web import Page, PageServer
from collectors.web_guard import Credentials, WebGuard
from collectors.web_pages import node_pages
from service.core import limits
from service.core.errors import ConfigurationError
from tests.certificates import Authority, replace
from tests.trays import full, hear_xid

Reply = tuple[int, Mapping[str, str], bytes]


def _hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@dataclass
class Rig:
    """A server, and a client that speaks to it."""

    server: PageServer
    tls: ssl.SSLContext | None = None

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that stays open."""
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        return http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=10, context=self.tls)

    def ask(self, path: str = "/metrics", method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        """Return status, headers and body of one request on a connection of its own."""
        connection = self.connect()
        try:
            return _ask(connection, path, method, headers)
        finally:
            connection.close()


def _ask(
    connection: http.client.HTTPConnection,
    path: str = "/metrics",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    connection.request(method, path, headers=dict(headers or {}))
    reply = connection.getresponse()
    return reply.status, dict(reply.headers), reply.read()


Serve = Callable[..., Rig]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers of what a tray shows, open or guarded; they end with the test."""
    servers = []

    def start(guard: WebGuard | None = None, tls: ssl.SSLContext | None = None, shown: Shown | None = None) -> Rig:
        clock = SystemClock()
        exporter = Exporter(shown or full(clock.monotonic_ms()))
        server = PageServer("127.0.0.1", 0, node_pages(exporter, clock), clock, guard)
        server.start()
        servers.append(server)
        return Rig(server, tls)

    yield start
    for server in servers:
        server.stop()


def test_pages(serve: Serve) -> None:
    """Three pages, each with its type and length; HEAD has the head of GET and no body."""
    rig = serve()
    status, headers, body = rig.ask()
    head = rig.ask(method="HEAD")

    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'threenines_gpu_power_watts{gpu="3"} 1.0\n' in body
    assert (head[0], head[2]) == (200, b"")
    assert int(head[1]["Content-Length"]) > 0
    assert rig.ask("/healthz")[::2] == (200, b"4 of 4 GPUs have a live reading\n")
    assert b'href="/metrics"' in rig.ask("/")[2]
    assert rig.ask("/metrics?name=x")[0] == 200


def test_other_paths_and_methods_are_refused(serve: Serve) -> None:
    """404 for what is not there, 405 with the way out for what is not done."""
    rig = serve()

    assert rig.ask("/metrics/")[0] == 404
    assert rig.ask("/../etc/passwd")[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
        status, headers, _ = rig.ask(method=method)

        assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_an_agent_that_sees_nothing_is_not_healthy(serve: Serve) -> None:
    """Without a live GPU `/healthz` is 503 and says so; `/metrics` and `/` go on."""
    rig = serve(shown=Shown())

    assert rig.ask("/healthz")[::2] == (503, b"0 of 0 GPUs have a live reading\n")
    assert [rig.ask(path)[0] for path in ("/metrics", "/")] == [200, 200]


def test_a_scraper_keeps_its_connection(serve: Serve) -> None:
    """Many scrapes, one connection, one thread."""
    rig = serve()
    connection = rig.connect()
    _ask(connection)
    local = connection.sock.getsockname()
    again = [_ask(connection)[0] for _ in range(5)]

    assert again == [200] * 5
    assert connection.sock.getsockname() == local
    connection.close()


def test_a_body_nobody_reads_is_not_the_next_request(serve: Serve) -> None:
    """A request with a body is answered and its connection closed: no request is smuggled in."""
    rig = serve()
    with socket.create_connection(("127.0.0.1", rig.server.port), timeout=10) as client:
        hidden = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        client.sendall(b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden)
        said = _all(client)

    assert said.count(b"HTTP/1.1 ") == 1
    assert b"405" in said.split(b"\r\n")[0]


def _all(client: socket.socket) -> bytes:
    parts = []
    try:
        while part := client.recv(65_536):
            parts.append(part)
    except ConnectionResetError:  # closed with bytes of ours unread
        pass
    return b"".join(parts)


@pytest.mark.parametrize("drip", [b"", b"GET /metrics HTTP/1.1\r\nX: ", b"G"], ids=["silent", "headers", "first line"])
def test_a_slow_client_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch, drip: bytes) -> None:
    """A byte now and then does not keep a connection: the whole head shares one deadline."""
    monkeypatch.setattr(limits, "METRICS_REQUEST_SECONDS", 0.5)
    rig, cut = serve(), False
    with socket.create_connection(("127.0.0.1", rig.server.port), timeout=10) as client:
        client.sendall(drip)
        client.settimeout(0.1)
        for _ in range(100):
            try:
                cut = client.recv(1) == b""
                break
            except TimeoutError:
                client.sendall(b"a" if drip else b"")
            except ConnectionError:
                cut = True
                break

    assert cut
    assert rig.ask()[0] == 200


def test_one_connection_too_many_is_told_so(serve: Serve) -> None:
    """Beyond the bound a client hears 503; when another leaves there is room again."""
    rig = serve()
    held = [rig.connect() for _ in range(limits.METRICS_CONNECTIONS)]
    for connection in held:
        _ask(connection, "/healthz")
    refused = rig.ask()[0]
    held[0].close()
    _wait(lambda: rig.ask()[0] == 200)
    for connection in held:
        connection.close()

    assert refused == 503


def _wait(ready: Callable[[], bool]) -> None:
    for _ in range(200):
        if ready():
            return
        time.sleep(0.02)
    raise AssertionError("did not happen")


def test_a_port_that_is_taken_is_a_clear_error(serve: Serve) -> None:
    """The operator hears which address and what to change."""
    port = serve().server.port

    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}: .*choose another --listen"):
        PageServer("127.0.0.1", port, {}, SystemClock())


def test_scrapes_while_the_agent_writes_are_whole(serve: Serve) -> None:
    """Readings and XIDs that arrive during scrapes fail none of them."""
    shown, stop = full(), threading.Event()
    rig = serve(shown=shown)

    def write() -> None:
        for number in range(100_000):
            hear_xid(shown, "GPU-1", number % 2_000, number)
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    statuses = {rig.ask()[0] for _ in range(20)}
    stop.set()
    writer.join()

    assert statuses == {200}


@dataclass
class Secured:
    """A guarded server, its authority and its configuration file."""

    authority: Authority
    file: Path

    @classmethod
    def make(cls, directory: Path, extra: str = "", users: Mapping[str, str] | None = None) -> "Secured":
        """Return files for TLS as `node`, with more keys of its section and with users."""
        made = cls(Authority.make(directory), directory / "web.yml")
        made.authority.issue("node")
        made.write(extra, users)
        return made

    def write(self, extra: str = "", users: Mapping[str, str] | None = None) -> None:
        """Replace the configuration file."""
        lines = ["tls_server_config:", "  cert_file: node.pem", "  key_file: node.key", extra]
        if users:
            lines += ["basic_auth_users:", *(f"  {user}: {hashed}" for user, hashed in users.items())]
        replace(self.file, "\n".join(lines).encode())

    def client(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return a client's TLS that trusts the authority, with a certificate of its own or none."""
        context = ssl.create_default_context(cafile=str(self.authority.directory / "ca.pem"))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context


CLIENTS = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem"


def test_tls_and_passwords(serve: Serve, tmp_path: Path) -> None:
    """Right lets in; wrong, unknown, missing and garbage hear 401, on every page."""
    secured = Secured.make(tmp_path, users={"prometheus": _hashed("right"), "other": _hashed("else")})
    rig = serve(WebGuard(secured.file, exposed=True), secured.client())
    wrong = [
        _basic("prometheus", "wrong"),
        _basic("prometheus", "else"),
        _basic("nobody", "right"),
        _basic("prometheus", ""),
        _basic("prometheus", "x" * 100),
        {},
        {"Authorization": "Basic ???"},
        {"Authorization": "Bearer right"},
        {"Authorization": "Basic " + base64.b64encode(b"prometheus").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:right").decode()},
    ]

    for path in ("/metrics", "/healthz", "/", "/none"):
        assert rig.ask(path, headers=_basic("prometheus", "right"))[0] == (404 if path == "/none" else 200)
        assert rig.ask(path, headers=_basic("other", "else"))[0] != 401
        for headers in wrong:
            status, said, _ = rig.ask(path, headers=headers)

            assert (status, said["WWW-Authenticate"]) == (401, "Basic")


def test_a_client_certificate_is_asked_for(serve: Serve, tmp_path: Path) -> None:
    """One of our authority is let in; none, and one of another authority, get no page."""
    secured = Secured.make(tmp_path, CLIENTS)
    stranger = Authority.make(tmp_path, "stranger").issue("impostor")
    rig = serve(WebGuard(secured.file, exposed=True))

    rig.tls = secured.client(secured.authority.issue("scraper"))
    assert rig.ask()[0] == 200
    for certificate in (None, stranger):
        rig.tls = secured.client(certificate)
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            rig.ask()


def test_versions_of_tls_are_bounded(serve: Serve, tmp_path: Path) -> None:
    """A client that speaks less than min_version is refused in the handshake."""
    secured = Secured.make(tmp_path, "  min_version: TLS13")
    old = secured.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    rig = serve(WebGuard(secured.file, exposed=False), old)

    with pytest.raises((ssl.SSLError, ConnectionError)):
        rig.ask()
    rig.tls = secured.client()
    assert rig.ask()[0] == 200


def test_who_speaks_no_tls_is_cut_off_and_hurts_nobody(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain HTTP, silence and garbage at a TLS port end; the next client is served."""
    monkeypatch.setattr(limits, "METRICS_REQUEST_SECONDS", 0.5)
    secured = Secured.make(tmp_path)
    rig = serve(WebGuard(secured.file, exposed=False), secured.client())
    for said in (b"GET /metrics HTTP/1.1\r\n\r\n", b"", b"\x16\x03\x01\xff\xff" + b"\0" * 64):
        with socket.create_connection(("127.0.0.1", rig.server.port), timeout=10) as client:
            client.sendall(said)

            assert b"200" not in _all(client)

    assert rig.ask()[0] == 200


def test_users_are_reloaded(serve: Serve, tmp_path: Path) -> None:
    """A user who was taken out is out at the next request, on a connection that was open all along."""
    secured = Secured.make(tmp_path, users={"first": _hashed("one")})
    rig = serve(WebGuard(secured.file, exposed=True), secured.client())
    connection = rig.connect()
    before = _ask(connection, headers=_basic("first", "one"))[0]
    secured.write(users={"second": _hashed("two")})
    after = _ask(connection, headers=_basic("first", "one"))[0]
    connection.close()

    assert (before, after) == (200, 401)
    assert rig.ask(headers=_basic("second", "two"))[0] == 200


def test_a_changed_password_counts_at_once(serve: Serve, tmp_path: Path) -> None:
    """What was right is remembered by its hash, so it ends with the hash."""
    secured = Secured.make(tmp_path, users={"first": _hashed("one")})
    rig = serve(WebGuard(secured.file, exposed=True), secured.client())
    before = rig.ask(headers=_basic("first", "one"))[0]
    secured.write(users={"first": _hashed("two")})

    assert (before, rig.ask(headers=_basic("first", "one"))[0]) == (200, 401)
    assert rig.ask(headers=_basic("first", "two"))[0] == 200


def test_certificates_are_reloaded(serve: Serve, tmp_path: Path) -> None:
    """A renewed certificate is shown to the next client without a restart."""
    secured = Secured.make(tmp_path)
    rig = serve(WebGuard(secured.file, exposed=False), secured.client())

    def shown() -> bytes | None:
        connection = rig.connect()
        connection.connect()
        try:
            assert isinstance(connection.sock, ssl.SSLSocket)
            return connection.sock.getpeercert(binary_form=True)
        finally:
            connection.close()

    before = shown()
    secured.authority.issue("node")
    after = shown()

    assert before is not None
    assert after is not None
    assert before != after


def test_a_file_that_went_wrong_lets_nobody_in_until_it_is_mended(serve: Serve, tmp_path: Path) -> None:
    """A slip of the pen is no open door: kept connections hear 500, new ones get no handshake."""
    users = {"first": _hashed("one")}
    secured = Secured.make(tmp_path, users=users)
    rig = serve(WebGuard(secured.file, exposed=True), secured.client())
    connection, headers = rig.connect(), _basic("first", "one")
    before = _ask(connection, headers=headers)[0]
    secured.write("  min_versoin: TLS13", users)
    during = _ask(connection, headers=headers)[0]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        rig.ask(headers=headers)
    secured.write(users=users)

    assert (before, during, _ask(connection, headers=headers)[0]) == (200, 500, 200)
    assert rig.ask(headers=headers)[0] == 200
    connection.close()


def test_beyond_loopback_takes_tls_and_proof(tmp_path: Path) -> None:
    """TLS alone, passwords alone and certificates that are optional are refused, at start and later."""
    users = {"first": _hashed("one")}
    secured = Secured.make(tmp_path)
    half = ["", "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem"]
    for extra in half:
        secured.write(extra)
        with pytest.raises(ConfigurationError, match=r"beyond loopback .*listen on 127\.0\.0\.1"):
            WebGuard(secured.file, exposed=True)
    secured.file.write_text(f"basic_auth_users: {{first: {users['first']}}}")
    with pytest.raises(ConfigurationError, match="needs tls_server_config"):
        WebGuard(secured.file, exposed=True)
    assert WebGuard(secured.file, exposed=False).allows(_basic("first", "one")["Authorization"])

    secured.write(CLIENTS)
    guard = WebGuard(secured.file, exposed=True)
    secured.write()
    with pytest.raises(ConfigurationError, match="beyond loopback"):
        guard.allows(None)


@pytest.mark.parametrize("name", ["node.pem", "node.key", "ca.pem"])
@pytest.mark.parametrize("damage", ["missing", "garbage", "another's"])
def test_bad_certificate_files_are_named(tmp_path: Path, name: str, damage: str) -> None:
    """A file that is missing, is no PEM or belongs to another key is an error of the operator, with its key."""
    secured = Secured.make(tmp_path, CLIENTS)
    file = tmp_path / name
    other = {"node.pem": ".pem", "node.key": ".key"}.get(name)
    if damage == "missing":
        file.unlink()
    elif damage == "garbage":
        file.write_text("garbage")
    elif other is not None:
        secured.authority.issue("other")
        file.write_bytes((tmp_path / f"other{other}").read_bytes())
    else:
        file.write_bytes((tmp_path / "node.key").read_bytes())
    key = "client_ca_file" if name == "ca.pem" else "cert_file or key_file"

    with pytest.raises(ConfigurationError, match=f"web.yml: tls_server_config.{key}: .*PEM"):
        WebGuard(secured.file, exposed=True)


def test_an_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    """A passphrase cannot be typed at an agent: refused instead of waiting for a terminal."""
    secured = Secured.make(tmp_path)
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    sealed = key.private_bytes(encoding, form, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "node.key").write_bytes(sealed)

    with pytest.raises(ConfigurationError, match="encrypted"):
        WebGuard(secured.file, exposed=False)


def test_a_right_password_costs_one_bcrypt() -> None:
    """The second scrape is let in without hashing; wrong ones and unknown users always pay."""
    paid = []

    def matches(password: bytes, hashed: bytes) -> bool:
        paid.append(password)
        return bcrypt.checkpw(password, hashed)

    users, credentials = {"first": _hashed("one")}, Credentials(matches)
    for user, password in [("first", "one"), ("first", "one"), ("first", "two"), ("first", "two"), ("nobody", "one")]:
        credentials.right(users, _basic(user, password)["Authorization"])

    assert paid == [b"one", b"two", b"two", b"one"]


def test_remembered_passwords_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that come and go do not fill memory."""
    monkeypatch.setattr(limits, "CREDENTIALS_KEPT", 2)
    credentials = Credentials()
    for number in range(4):
        users = {"first": _hashed(str(number))}

        assert credentials.right(users, _basic("first", str(number))["Authorization"])

    assert len(credentials._right) == 2


def test_a_client_that_leaves_in_the_middle_of_a_page_hurts_nobody(serve: Serve) -> None:
    """Its connection ends, the next one is served."""
    rig = serve()
    rig.server.pages = {**rig.server.pages, "/large": lambda: Page(200, "text/plain", b"x" * 10_000_000)}
    with socket.create_connection(("127.0.0.1", rig.server.port), timeout=10) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        client.recv(10)

    assert rig.ask()[0] == 200


def test_a_page_that_fails_ends_its_connection_alone(serve: Serve) -> None:
    """A bug of ours answers nobody with half a page, and takes no place from others."""
    rig = serve()

    def broken() -> Page:
        raise ZeroDivisionError

    rig.server.pages = {**rig.server.pages, "/broken": broken}
    for _ in range(limits.METRICS_CONNECTIONS + 1):
        with pytest.raises(ConnectionError):
            rig.ask("/broken")

    assert rig.ask()[0] == 200
