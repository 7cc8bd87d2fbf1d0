"""The wire: strict, bounded, and every refusal with its reason."""

import contextlib
import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core import limits, wire
from service.core.errors import WireError
from service.core.events import (
    CleanStop,
    Detail,
    DriverEvent,
    DriverReloaded,
    GpuPlaced,
    KernelLine,
    NodeEvent,
    NodeObserved,
    NodeReading,
    RecoveryActionChanged,
    RunStarted,
    SpoolGap,
    XidRaised,
)

OBSERVED: dict[str, Any] = {
    "type": "node.observed",
    "v": 1,
    "site": "mem2",
    "rack": "r0001",
    "node": "r0001-t07",
    "slot": 25,
    "boot": "b",
    "run": "01J",
    "seq": 412,
    "from_ms": 1_782_864_000_000,
    "to_ms": 1_782_864_005_000,
    "sent_ms": 1_782_864_005_012,
    "mono_ms": 123_456,
    "gpus": [
        {"gpu": "GPU-a", "health": "up", "cause": None, "not_before_ms": None},
        {"gpu": "GPU-b", "health": None, "cause": "agent:hung_call"},
    ],
}


def test_the_documented_message_is_understood_and_written_back() -> None:
    """The design's example decodes, and encodes to the same content."""
    fact = wire.decode_fact(json.dumps(OBSERVED).encode())

    assert isinstance(fact, NodeObserved)
    assert wire.decode_fact(wire.encode(fact)) == fact


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"colour": "red"}, "malformed"),
        ({"v": 2}, "malformed"),
        ({"type": "node.other"}, "malformed"),
        ({"seq": 0}, "malformed"),
        ({"seq": True}, "malformed"),
        ({"seq": "1"}, "malformed"),
        ({"from_ms": 1.5}, "malformed"),
        ({"from_ms": -1}, "malformed"),
        ({"to_ms": 9_999_999_999_999}, "malformed"),
        ({"node": "a/b"}, "malformed"),
        ({"node": "x" * 65}, "malformed"),
        ({"rack": ""}, "malformed"),
        ({"to_ms": 1_782_864_000_000}, "contradiction"),
        ({"to_ms": 1_782_863_000_000}, "contradiction"),
        ({"gpus": [{"gpu": "a", "health": "up"}] * 2}, "contradiction"),
        ({"gpus": [{"gpu": "a", "health": None}]}, "contradiction"),
        ({"gpus": [{"gpu": "a", "health": "sick"}]}, "malformed"),
        ({"gpus": [{"gpu": "a", "health": "up", "not_before_ms": 1_782_864_000_001}]}, "contradiction"),
        ({"gpus": [{"gpu": f"g{n}", "health": "up"} for n in range(17)]}, "malformed"),
    ],
)
def test_what_is_not_our_message_is_refused_with_a_reason(change: dict[str, Any], reason: str) -> None:
    """Unknown keys, wrong types, impossible times and contradictions are never half understood."""
    with pytest.raises(WireError) as caught:
        wire.decode_fact(json.dumps(OBSERVED | change).encode())

    assert caught.value.reason == reason


@pytest.mark.parametrize("cut", [1, 10, 100, 300])
def test_truncated_json_is_malformed(cut: int) -> None:
    """Bytes that end early are refused."""
    with pytest.raises(WireError, match=r"truncated|malformed"):
        wire.decode_fact(json.dumps(OBSERVED).encode()[:-cut])


def test_size_is_bounded_before_parsing() -> None:
    """A message beyond its bound is refused by its length alone."""
    with pytest.raises(WireError) as caught:
        wire.decode_fact(b"x" * (limits.MESSAGE_BYTES + 1))

    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", '"5"', "null"])
def test_a_reading_is_finite_or_refused(value: str) -> None:
    """What is no finite number is no reading."""
    head = {key: OBSERVED[key] for key in ("v", "site", "rack", "node", "slot", "boot", "run")}
    text = json.dumps({"type": "node.reading", **head, "at_ms": 1_782_864_000_000})[:-1]
    with pytest.raises(WireError):
        wire.decode_reading((text + f', "values": {{"GPU-a": {{"power_watts": {value}}}}}}}').encode())


HEAD: dict[str, Any] = {key: OBSERVED[key] for key in ("site", "rack", "node", "slot", "boot", "run")}
AT_MS = 1_782_864_000_000
DETAILS: list[Any] = [
    RunStarted(tray=7, boot_ms=AT_MS, gpus=(GpuPlaced(gpu="GPU-a", position=0, module="ü"),), driver="580"),
    CleanStop(reason="upgrade"),
    XidRaised(xid=79, source="kernel"),
    DriverEvent(event_type=0x4000, data=1),
    RecoveryActionChanged(action=3),
    DriverReloaded(text="gone"),
    SpoolGap(lost_run="old", facts=3, reason="damaged", first_seq=3, last_seq=5, from_ms=AT_MS, to_ms=AT_MS + 1),
    SpoolGap(lost_run="old", facts=3, reason="full"),
    KernelLine(text='NVRM: Xid (PCI:0009:01:00): 79, "quoted" \u2028 \x00'),
]


def test_every_kind_of_event_has_its_example() -> None:
    """A new kind of event cannot miss the roundtrip below."""
    assert {type(detail) for detail in DETAILS} == set(get_args(Detail))


@pytest.mark.parametrize("detail", DETAILS, ids=lambda detail: str(detail.__struct_config__.tag))
@pytest.mark.parametrize("gpu", [None, "GPU-a"])
def test_every_kind_of_event_comes_back_equal(detail: Any, gpu: str | None) -> None:
    """Encoding and decoding lose nothing, and encoding again gives the same bytes."""
    sent = NodeEvent(**HEAD, seq=2**53, at_ms=AT_MS, sent_ms=AT_MS, mono_ms=0, gpu=gpu, event=detail)
    data = wire.encode(sent)

    assert wire.decode_fact(data) == sent
    assert wire.encode(wire.decode_fact(data)) == data


def test_readings_batches_and_receipts_come_back_equal() -> None:
    """The other messages lose nothing either; a batch keeps the bytes of its facts."""
    read = NodeReading(**HEAD, at_ms=AT_MS, values={"GPU-a": {"power_watts": 0.1, "temperature_celsius": -1e-300}})
    batch = wire.Batch(node="n", run="r", first_seq=7, facts=(msgspec.Raw(b'{"any": [1, 2]}'), msgspec.Raw(b"null")))
    receipts = (wire.Receipt(node="n", run="r", seq=0, hub_ms=1), wire.Receipt(node="n", run="s", seq=2, hub_ms=1))
    back = wire.decode_batch(wire.encode(batch))

    assert wire.decode_reading(wire.encode(read)) == read
    assert [bytes(raw) for raw in back.facts] == [b'{"any": [1, 2]}', b"null"]
    assert (back.node, back.run, back.first_seq) == ("n", "r", 7)
    assert wire.decode_receipts(wire.encode_receipts(receipts)) == receipts


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "version"),
        ({"v": 0}, "version"),
        ({"v": "1"}, "malformed"),
        ({"more": 1}, "malformed"),
        ({"first_seq": 0}, "malformed"),
        ({"first_seq": -1}, "malformed"),
        ({"facts": [1] * (limits.BATCH_MESSAGES + 1)}, "malformed"),
        ({"facts": None}, "malformed"),
        ({"node": None}, "malformed"),
        ({"facts": ["x" * limits.BATCH_BYTES]}, "too_large"),
    ],
)
def test_a_batch_out_of_bounds_is_refused_with_a_reason(change: dict[str, Any], reason: str) -> None:
    """Version, count, numbers and size are checked before any fact is looked at."""
    body = {"v": 1, "node": "n", "run": "r", "first_seq": 1, "facts": [1]} | change
    with pytest.raises(WireError) as caught:
        wire.decode_batch(json.dumps(body).encode())

    assert caught.value.reason == reason


@pytest.mark.parametrize("data", [b"", b"null", b"[1]", b'[{"node":"n"}]', b"\xff", b"[" * 100_000])
def test_no_receipt_is_read_into_other_bytes(data: bytes) -> None:
    """A reply that is no list of receipts acknowledges nothing."""
    with pytest.raises(WireError) as caught:
        wire.decode_receipts(data)

    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_reading_that_is_not_finite_has_a_known_reason(value: str) -> None:
    """Not a number, or too large to be one: refused as malformed or as a contradiction, never let in."""
    text = json.dumps({"type": "node.reading", "v": 1, **HEAD, "at_ms": AT_MS})[:-1]
    with pytest.raises(WireError) as caught:
        wire.decode_reading((text + f', "values": {{"GPU-a": {{"power_watts": {value}}}}}}}').encode())

    assert caught.value.reason in {"malformed", "contradiction"}


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_at_all_are_refused_or_understood(data: bytes) -> None:
    """Nothing but a WireError ever comes out of bytes that are no message."""
    for decode in (wire.decode_fact, wire.decode_reading, wire.decode_batch, wire.decode_receipts):
        with contextlib.suppress(WireError):
            decode(data)


@settings(max_examples=300)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_gives_an_error_or_a_message_that_obeys_the_rules(at: int, byte: int) -> None:
    """Whatever one byte becomes, the result is refused, or a span that runs forward over distinct GPUs."""
    data = bytearray(json.dumps(OBSERVED).encode())
    data[at % len(data)] = byte
    fact = None
    with contextlib.suppress(WireError):
        fact = wire.decode_fact(bytes(data))

    if fact is not None:
        assert isinstance(fact, NodeObserved)
        assert fact.from_ms < fact.to_ms
        assert len({seen.gpu for seen in fact.gpus}) == len(fact.gpus)
        assert wire.decode_fact(wire.encode(fact)) == fact


@pytest.mark.parametrize("key", ["site", "rack", "node", "boot", "run"])
def test_a_name_does_not_end_in_a_line_break(key: str) -> None:
    """Names go into subjects, file names, labels and logs: no line break may pass."""
    with pytest.raises(WireError):
        wire.decode_fact(json.dumps(OBSERVED | {key: "x\n"}).encode())
