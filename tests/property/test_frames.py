"""Laws of the frames between agent and collector process."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.catalogue import METRICS, Key, Part, Quantity, Round
from collectors.device import Access, DeviceEvent, DeviceEventKind, FabricState, Missing, Reading, Survey
from collectors.frames import FrameError, Packer, Unpacker, pack_error, pack_events, raise_if_error, unpack_events
from service.core.errors import DeviceError, DeviceGone, DriverUnavailable

GPU = "GPU-1"


def _key(quantity: Quantity, label: str) -> Key:
    return quantity if METRICS[quantity].part is None else Part(quantity, label)


KEYS = st.builds(_key, st.sampled_from(Quantity), st.text(max_size=6))
VALUES = st.dictionaries(KEYS, st.floats(allow_nan=False), max_size=12)
MISSING = st.dictionaries(KEYS, st.sampled_from(Missing), max_size=6)
READINGS = st.builds(
    Reading,
    gpu=st.just(GPU),
    access=st.sampled_from(Access),
    values=VALUES,
    missing=MISSING,
    recovery_action=st.none() | st.integers(0, 2**32),
    fabric=st.sampled_from(FabricState),
    error=st.none() | st.text(max_size=40),
)
SURVEYS = st.builds(
    Survey, gpu=st.just(GPU), round=st.sampled_from([Round.STATUS, Round.LINKS]), values=VALUES, missing=MISSING
)


@given(st.lists(READINGS | SURVEYS, max_size=8))
def test_a_row_of_answers_arrives_as_it_was_sent(row: list[Reading | Survey]) -> None:
    """Whatever changes from one answer to the next, each arrives equal, every key in its place."""
    packer, unpacker = Packer(), Unpacker(GPU, {})
    arrived: list[Reading | Survey] = []
    for one in row:
        if isinstance(one, Reading):
            arrived.append(unpacker.reading(memoryview(packer.reading(one))))
        else:
            arrived.append(unpacker.survey(one.round, memoryview(packer.survey(one))))

    assert arrived == row


@given(READINGS)
def test_an_answer_like_the_last_carries_its_values_only(reading: Reading) -> None:
    """Names and reasons cross once; after that a pulse costs eight bytes a value and a head."""
    packer = Packer()
    packer.reading(reading)

    assert len(packer.reading(reading)) <= 32 + 8 * len(reading.values)


@given(st.binary(max_size=200), READINGS, st.data())
def test_bytes_that_are_no_frame_are_one_kind_of_error(noise: bytes, reading: Reading, data: st.DataObject) -> None:
    """Noise, and a frame that was cut or bent, is either an answer still or a FrameError or an error of the port."""
    frame = bytearray(Packer().reading(reading))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    for junk in (noise, bytes(frame), bytes(frame[:at])):
        for unpack in (Unpacker(GPU, {}).reading, unpack_events):
            with contextlib.suppress(FrameError, DeviceError, KeyError):
                unpack(memoryview(junk))


@given(st.lists(st.builds(DeviceEvent, kind=st.sampled_from(DeviceEventKind), gpu=st.none() | st.text(max_size=9))))
def test_events_arrive_in_order(events: list[DeviceEvent]) -> None:
    """Events cross as they are, oldest first."""
    assert unpack_events(memoryview(pack_events(tuple(events)))) == tuple(events)


@pytest.mark.parametrize(
    "error",
    [DriverUnavailable("driver:not_loaded", "load it"), DeviceGone("reloaded"), DeviceGone("x", "y"), KeyError("GPU")],
)
def test_an_error_of_the_port_arrives_as_what_it_is(error: Any) -> None:
    """Type, text and cause cross."""
    with pytest.raises(type(error)) as caught:
        raise_if_error(memoryview(pack_error(error)))

    assert caught.value.args == error.args
    assert getattr(caught.value, "cause", None) == getattr(error, "cause", None)
