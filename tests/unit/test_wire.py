"""The wire: strict, bounded, and every refusal with its reason."""

import json
from typing import Any

import pytest

from service.core import limits, wire
from service.core.errors import WireError
from service.core.events import NodeObserved

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
