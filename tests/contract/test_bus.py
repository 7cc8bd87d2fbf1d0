"""One suite over every bus: in process and HTTP, the latter over a real server on loopback."""

import datetime as dt
import ipaddress
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.api import HttpInbox, Listen, Server, Views, create_api
from service.bus.http import HttpPublisher
from service.bus.memory import MemoryBus
from service.core.errors import BusError, BusFull, BusRefused, BusUnavailable, ConfigurationError
from service.core.ports import Publisher, Subscriber
from service.core.wire import Batch, Receipt, encode, encode_receipts
from service.tokens import Tokens, digest

VIEWS = Views(metrics=lambda: b"# none\n", ready=lambda: True)


@dataclass(frozen=True)
class Rig:
    """A bus with its two ends."""

    publisher: Publisher
    subscriber: Subscriber


def batch(first: int = 1, count: int = 2) -> Batch:
    """Return a batch of numbered bytes; the bus does not look into them."""
    facts = tuple(msgspec.Raw(b'{"n":%d}' % number) for number in range(first, first + count))
    return Batch(node="r0001-t07", run="run", first_seq=first, facts=facts)


@pytest.fixture(params=["memory", "http"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Each bus in turn, with room for two batches."""
    if request.param == "memory":
        bus = MemoryBus(capacity=2)
        yield Rig(bus.publisher(), bus)
        bus.close()
        return
    inbox = HttpInbox(capacity=2)
    server = Server(create_api(inbox, VIEWS, None), Listen(port=0), authenticated=False)
    publisher = HttpPublisher(f"http://127.0.0.1:{server.port}")
    yield Rig(publisher, inbox)
    publisher.close()
    inbox.close()
    server.stop()


def in_background(call: Callable[[], None]) -> tuple[threading.Thread, list[BusError]]:
    """Publish in a thread, since over HTTP publishing waits for the receipt; keep its error."""
    errors: list[BusError] = []

    def run() -> None:
        try:
            call()
        except BusError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, errors


def test_a_batch_arrives_byte_for_byte_and_its_receipt_returns(rig: Rig) -> None:
    """What is taken is what was published; the receipt reaches the publisher."""
    sent = batch()
    thread, errors = in_background(lambda: rig.publisher.publish(sent))
    (delivery,) = rig.subscriber.take(10, 5)
    rig.subscriber.settle(delivery, Receipt(node="r0001-t07", run="run", seq=2, hub_ms=7))
    thread.join(5)

    assert encode(delivery.batch) == encode(sent)
    assert delivery.speaker is None
    assert errors == []
    assert rig.publisher.receipts(2) == (Receipt(node="r0001-t07", run="run", seq=2, hub_ms=7),)
    assert rig.publisher.receipts(0) == ()


def test_batches_of_one_publisher_keep_their_order(rig: Rig) -> None:
    """One after another in, one after another out."""
    taken = []
    for first in (1, 3, 5):
        thread, _ = in_background(lambda first=first: rig.publisher.publish(batch(first)))  # type: ignore[misc]
        (delivery,) = rig.subscriber.take(10, 5)
        taken.append(delivery.batch.first_seq)
        rig.subscriber.settle(delivery, Receipt(node="r0001-t07", run="run", seq=first + 1, hub_ms=1))
        thread.join(5)

    assert taken == [1, 3, 5]
    assert [receipt.seq for receipt in rig.publisher.receipts(1)] == [2, 4, 6]


def test_a_full_bus_says_so_and_takes_again_when_there_is_room(rig: Rig) -> None:
    """The queue is bounded; what did not fit was not taken."""
    waiting = [in_background(lambda first=first: rig.publisher.publish(batch(first))) for first in (1, 3)]  # type: ignore[misc]
    threading.Event().wait(0.3)
    with pytest.raises(BusFull):
        rig.publisher.publish(batch(5))
    deliveries = rig.subscriber.take(10, 5)
    for delivery in deliveries:
        rig.subscriber.settle(delivery, Receipt(node="r0001-t07", run="run", seq=4, hub_ms=1))
    for thread, _ in waiting:
        thread.join(5)

    assert sorted(delivery.batch.first_seq for delivery in deliveries) == [1, 3]


def test_without_a_commit_there_is_no_receipt(rig: Rig) -> None:
    """A delivery settled with None leaves the publisher without a receipt: it sends again."""
    thread, errors = in_background(lambda: rig.publisher.publish(batch()))
    (delivery,) = rig.subscriber.take(10, 5)
    rig.subscriber.settle(delivery, None)
    thread.join(5)

    assert all(isinstance(error, BusUnavailable) for error in errors)
    assert rig.publisher.receipts(0) == ()


def test_a_closed_bus_takes_nothing(rig: Rig) -> None:
    """After close nobody is there, and that is told."""
    rig.subscriber.close()
    with pytest.raises(BusUnavailable):
        rig.publisher.publish(batch())


def test_nobody_there_is_unavailable() -> None:
    """A refused connection is an operating error of the bus."""
    publisher = HttpPublisher("http://127.0.0.1:9")
    with pytest.raises(BusUnavailable):
        publisher.publish(batch())
    publisher.close()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"x" * 10_000_000, 413, "too_large"),
        (encode(batch())[:-5], 400, "malformed"),
        (b"", 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (encode(batch()).replace(b'"v":1', b'"v":9'), 400, "version"),
        (encode(batch()).replace(b'"v":1', b'"v":1,"more":2'), 400, "malformed"),
        (encode(batch()).replace(b'"first_seq":1', b'"first_seq":0'), 400, "malformed"),
    ],
    ids=["10 MB", "truncated", "empty", "no utf-8", "deep", "version", "unknown key", "number 0"],
)
def test_a_bad_body_is_refused_counted_and_harms_nobody(body: bytes, status: int, reason: str) -> None:
    """Each bad body has its status and reason as problem+json; a good batch passes right after."""
    inbox = HttpInbox()
    server = Server(create_api(inbox, VIEWS, None), Listen(port=0), authenticated=False)
    url = f"http://127.0.0.1:{server.port}"
    try:
        urllib.request.urlopen(urllib.request.Request(f"{url}/v1/facts", data=body), timeout=10)
        answer = (200, "")
    except urllib.error.HTTPError as error:
        answer = (error.code, json.loads(error.read())["title"])
    except (ConnectionError, urllib.error.URLError):  # the server hung up on what it would not read
        answer = (413, "too_large")
    publisher = HttpPublisher(url)
    thread, errors = in_background(lambda: publisher.publish(batch()))
    (delivery,) = inbox.take(1, 5)
    inbox.settle(delivery, Receipt(node="r0001-t07", run="run", seq=2, hub_ms=1))
    thread.join(5)
    publisher.close()
    server.stop()

    assert answer == (status, reason)
    assert inbox.refused[reason] == 1
    assert errors == []


@pytest.mark.parametrize("token", [None, "wrong", "of-another-node"])
def test_only_a_nodes_own_token_speaks_for_it(token: str | None) -> None:
    """No token, an unknown one, and another node's are refused."""
    tokens = Tokens({digest("secret"): "r0001-t07", digest("of-another-node"): "r0002-t01"})
    inbox = HttpInbox()
    server = Server(create_api(inbox, VIEWS, tokens), Listen(port=0), authenticated=True)
    publisher = HttpPublisher(f"http://127.0.0.1:{server.port}", token=token)
    with pytest.raises(BusRefused):
        publisher.publish(batch())
    publisher.close()
    server.stop()

    assert inbox.take(1, 0) == ()


def test_tls_and_token_from_files_carry_a_batch(tmp_path: Path) -> None:
    """With a certificate and a token the batch arrives with the node's name from its token."""
    certificate, key = _certificate(tmp_path)
    inbox = HttpInbox()
    api = create_api(inbox, VIEWS, Tokens({digest("secret"): "r0001-t07"}))
    where = Listen(port=0, certificate=certificate, key=key)
    server = Server(api, where, authenticated=True)
    publisher = HttpPublisher(f"https://127.0.0.1:{server.port}", token="secret", ca_file=certificate)
    thread, errors = in_background(lambda: publisher.publish(batch()))
    (delivery,) = inbox.take(1, 5)
    inbox.settle(delivery, Receipt(node="r0001-t07", run="run", seq=2, hub_ms=1))
    thread.join(5)
    publisher.close()
    server.stop()

    assert errors == []
    assert delivery.speaker == "r0001-t07"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_nothing_listens_beyond_loopback_without_tokens_and_tls(host: str) -> None:
    """The refusal names what to give."""
    with pytest.raises(ConfigurationError, match="--tokens, --tls-cert and --tls-key"):
        Server(create_api(HttpInbox(), VIEWS, None), Listen(host=host, port=0), authenticated=False)


@pytest.mark.parametrize("url", ["http://10.0.0.1:1", "ftp://127.0.0.1", "nonsense", "http://"])
def test_plain_http_reaches_loopback_only(url: str) -> None:
    """A URL that would carry evidence in the clear is refused before anything is sent."""
    with pytest.raises(ConfigurationError):
        HttpPublisher(url)


def _certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "threenines test")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "tls.crt", directory / "tls.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


def test_each_receipt_reaches_its_own_publisher() -> None:
    """In one process two agents share a bus; neither sees the other's receipt."""
    bus = MemoryBus()
    one, two = bus.publisher("n1"), bus.publisher("n2")
    one.publish(batch())
    two.publish(batch())
    first, second = bus.take(2, 0)
    bus.settle(second, Receipt(node="n2", run="run", seq=2, hub_ms=1))
    bus.settle(first, Receipt(node="n1", run="run", seq=2, hub_ms=1))
    bus.settle(first, Receipt(node="n1", run="run", seq=2, hub_ms=1))  # settled already: nothing more goes out
    bus.close()

    assert (first.speaker, second.speaker) == ("n1", "n2")
    assert [receipt.node for receipt in one.receipts(1)] == ["n1"]
    assert [receipt.node for receipt in two.receipts(1)] == ["n2"]


def test_a_delivery_under_way_when_the_bus_closes_is_sent_again(rig: Rig) -> None:
    """Whoever waits at the end is not left waiting, and has no receipt."""
    thread, errors = in_background(lambda: rig.publisher.publish(batch()))
    (delivery,) = rig.subscriber.take(1, 5)
    rig.subscriber.close()
    rig.subscriber.settle(delivery, Receipt(node="r0001-t07", run="run", seq=2, hub_ms=1))
    thread.join(5)

    assert not thread.is_alive()
    assert all(isinstance(error, BusUnavailable) for error in errors)
    assert rig.publisher.receipts(0) == ()
    assert rig.subscriber.take(1, 0) == ()


def test_over_http_no_commit_is_an_error_at_once() -> None:
    """The waiting request is told that nothing was committed, not left until its time is over."""
    inbox = HttpInbox()
    server = Server(create_api(inbox, VIEWS, None), Listen(port=0), authenticated=False)
    publisher = HttpPublisher(f"http://127.0.0.1:{server.port}")
    thread, errors = in_background(lambda: publisher.publish(batch()))
    (delivery,) = inbox.take(1, 5)
    inbox.settle(delivery, None)
    thread.join(5)
    publisher.close()
    server.stop()

    assert [type(error) for error in errors] == [BusUnavailable]
    assert "503" in str(errors[0])


def test_the_newest_reading_of_a_node_wins_and_is_given_once(rig: Rig) -> None:
    """Readings are no facts: the newest replaces, and taking them empties."""
    for power in (1.0, 2.0):
        rig.publisher.publish_reading(reading(power))

    assert rig.subscriber.readings() == (reading(2.0),)
    assert rig.subscriber.readings() == ()


def reading(power: float) -> bytes:
    """Return the bytes of one node's reading."""
    head = {"site": "mem2", "rack": "r0001", "node": "r0001-t07", "slot": 7, "boot": "b", "run": "run"}
    values = {"GPU-a": {"power_watts": power}}
    return json.dumps({"type": "node.reading", "v": 1, **head, "at_ms": 1_782_864_000_000, "values": values}).encode()


@pytest.mark.parametrize(
    ("path", "token", "status", "title"),
    [
        ("/v1/facts", None, 401, "unauthorised"),
        ("/v1/facts", "Bearer wrong", 401, "unauthorised"),
        ("/v1/facts", "Basic secret", 401, "unauthorised"),
        ("/v1/facts", "Bearer ", 401, "unauthorised"),
        ("/v1/facts", "secret", 401, "unauthorised"),
        ("/v1/facts", "Bearer other", 403, "wrong_node"),
        ("/v1/readings", None, 401, "unauthorised"),
        ("/v1/readings", "Bearer other", 403, "wrong_node"),
    ],
)
def test_a_wrong_credential_has_its_status(path: str, token: str | None, status: int, title: str) -> None:
    """Unknown is 401, another node's is 403, for facts and readings alike; nothing is queued."""
    tokens = Tokens({digest("secret"): "r0001-t07", digest("other"): "r0002-t01"})
    inbox = HttpInbox()
    server = Server(create_api(inbox, VIEWS, tokens), Listen(port=0), authenticated=True)
    body = encode(batch()) if path == "/v1/facts" else reading(1.0)
    headers = {"authorization": token} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data=body, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    answer = json.loads(caught.value.read())
    caught.value.close()
    server.stop()

    assert (caught.value.code, answer["title"]) == (status, title)
    assert inbox.take(1, 0) == ()
    assert inbox.readings() == ()


def test_a_certificate_that_nobody_vouches_for_carries_nothing(tmp_path: Path) -> None:
    """Without the site's CA the publisher hangs up before it speaks."""
    certificate, key = _certificate(tmp_path)
    inbox = HttpInbox()
    where = Listen(port=0, certificate=certificate, key=key)
    server = Server(create_api(inbox, VIEWS, None), where, authenticated=True)
    publisher = HttpPublisher(f"https://127.0.0.1:{server.port}", token="secret")
    with pytest.raises(BusUnavailable):
        publisher.publish(batch())
    publisher.close()
    server.stop()

    assert inbox.take(1, 0) == ()


def test_a_certificate_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    """A server that could not start is no server."""
    (tmp_path / "junk").write_text("junk")
    where = Listen(port=0, certificate=tmp_path / "junk", key=tmp_path / "junk")
    server: Server | None = None
    try:
        with pytest.raises(ConfigurationError):
            server = Server(create_api(HttpInbox(), VIEWS, None), where, authenticated=True)
    finally:
        if server is not None:
            for socket in server._sockets:
                socket.close()


@pytest.mark.parametrize("content", [None, "junk"])
def test_a_ca_file_that_cannot_be_read_is_an_error_of_configuration(tmp_path: Path, content: str | None) -> None:
    """The operator is told which file to mend, not shown a traceback."""
    if content is not None:
        (tmp_path / "ca").write_text(content)
    with pytest.raises(ConfigurationError):
        HttpPublisher("https://127.0.0.1:1", ca_file=tmp_path / "ca")


def _answers_once_each(listener: socket.socket, reply: bytes, times: int) -> None:
    """Answer one request a connection, promise to keep it, and hang up."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: keep-alive\r\n\r\n" % len(reply)
    for _ in range(times):
        connection, _ = listener.accept()
        with connection:
            while b'"facts"' not in connection.recv(65_536):
                pass
            connection.sendall(head + reply)


def test_a_service_that_hangs_up_between_batches_costs_no_batch() -> None:
    """A connection that the other end closed while it was idle is replaced without a word."""
    receipt = encode_receipts([Receipt(node="r0001-t07", run="run", seq=2, hub_ms=1)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        server = threading.Thread(target=_answers_once_each, args=(listener, receipt, 3), daemon=True)
        server.start()
        publisher = HttpPublisher(f"http://127.0.0.1:{listener.getsockname()[1]}")
        for _ in range(3):
            publisher.publish(batch())
            time.sleep(0.1)
        server.join(10)
        publisher.close()

    assert len(publisher.receipts(0)) == 3


def test_a_service_that_is_away_is_unavailable_and_then_back() -> None:
    """Nobody listening is BusUnavailable with the address; the same publisher reaches who listens later."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    publisher = HttpPublisher(f"http://127.0.0.1:{port}")
    with pytest.raises(BusUnavailable, match=str(port)):
        publisher.publish(batch())
    publisher.publish_reading(b"{}")  # may be lost without a word
    receipt = encode_receipts([Receipt(node="r0001-t07", run="run", seq=2, hub_ms=1)])
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(10)
        server = threading.Thread(target=_answers_once_each, args=(listener, receipt, 1), daemon=True)
        server.start()
        publisher.publish(batch())
        server.join(10)
    publisher.close()

    assert [one.seq for one in publisher.receipts(0)] == [2]
