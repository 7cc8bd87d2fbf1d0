"""What crosses between the agent and its collector process, as bytes: packed here, judged here.

A pulse is the same keys every second, so keys, absences and error text (the shape, as JSON) cross
only when they change, and the values beside them as packed doubles. Every frame is one datagram
of at most `limits.COLLECTOR_FRAME_BYTES`: it arrives whole or not at all.
"""

import json
import struct
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from collectors.catalogue import Key, Part, Quantity, Round
from collectors.device import (
    Access,
    DeviceEvent,
    DeviceEventKind,
    FabricState,
    GpuIdentity,
    Inventory,
    Missing,
    Reading,
    Survey,
)
from service.core import limits
from service.core.errors import DeviceError, DeviceGone, DriverUnavailable

_HEAD = struct.Struct("<cBBqI")  # kind, access, fabric state, recovery action or -1, bytes of the shape
_VALUES, _JSON, _ERROR = b"V", b"J", b"E"
_NO_ACTION = -1
_ACCESS, _FABRIC = tuple(Access), tuple(FabricState)
_ACCESS_AT = {access: at for at, access in enumerate(_ACCESS)}
_FABRIC_AT = {state: at for at, state in enumerate(_FABRIC)}


class FrameError(Exception):
    """Raised for bytes that are no frame of ours: the process that sent them is not sane."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What stays the same from one answer of a GPU to the next, as a rule."""

    keys: tuple[Key, ...]
    missing: Mapping[Key, Missing]
    error: str | None


class Packer:
    """The sending end of one GPU: remembers which shape the other end knows, by round."""

    def __init__(self) -> None:
        """Begin with an end that knows nothing."""
        self._known: dict[Round, _Shape] = {}

    def reading(self, one: Reading) -> bytes:
        """Return the frame of a pulse."""
        action = _NO_ACTION if one.recovery_action is None else one.recovery_action
        shape = _Shape(tuple(one.values), one.missing, one.error)
        return self._pack(Round.PULSE, shape, one.values, _ACCESS_AT[one.access], _FABRIC_AT[one.fabric], action)

    def survey(self, one: Survey) -> bytes:
        """Return the frame of another round."""
        return self._pack(one.round, _Shape(tuple(one.values), one.missing, None), one.values, 0, 0, _NO_ACTION)

    def _pack(
        self, one: Round, shape: _Shape, values: Mapping[Key, float], access: int, fabric: int, action: int
    ) -> bytes:
        text = b""
        if self._known.get(one) != shape:
            self._known[one] = _Shape(shape.keys, dict(shape.missing), shape.error)
            text = json.dumps(_shape_to_json(shape)).encode()
        head = _HEAD.pack(_VALUES, access, fabric, action, len(text))
        return head + text + array("d", values.values()).tobytes()


class Unpacker:
    """The receiving end of one GPU; `keys` is shared by all GPUs, so that each key exists once."""

    def __init__(self, gpu: str, keys: dict[Any, Key]) -> None:
        """Begin with no shape known."""
        self._gpu, self._keys = gpu, keys
        self._known: dict[Round, _Shape] = {}

    def reading(self, frame: memoryview) -> Reading:
        """Return the pulse in a frame.

        Raises:
            FrameError: If it is no such frame.
            Exception: The error that the frame carries.
        """
        shape, values, (access, fabric, action) = self._unpack(Round.PULSE, frame)
        if not (access < len(_ACCESS) and fabric < len(_FABRIC)):
            msg = f"access {access}, fabric {fabric}: no such words"
            raise FrameError(msg)
        return Reading(
            gpu=self._gpu,
            access=_ACCESS[access],
            values=values,
            missing=shape.missing,
            recovery_action=None if action == _NO_ACTION else action,
            fabric=_FABRIC[fabric],
            error=shape.error,
        )

    def survey(self, one: Round, frame: memoryview) -> Survey:
        """Return the round in a frame; raises as `reading` does."""
        shape, values, _ = self._unpack(one, frame)
        return Survey(gpu=self._gpu, round=one, values=values, missing=shape.missing)

    def _unpack(self, one: Round, frame: memoryview) -> tuple[_Shape, dict[Key, float], tuple[int, int, int]]:
        raise_if_error(frame)
        values: dict[Key, float]
        try:
            kind, access, fabric, action, length = _HEAD.unpack_from(frame)
            start = _HEAD.size + length
            if length:
                self._known[one] = _shape_from_json(json.loads(bytes(frame[_HEAD.size : start])), self._keys)
            shape, numbers = self._known[one], frame[start:].cast("d").tolist()
            values = dict(zip(shape.keys, numbers, strict=True))
        except (struct.error, LookupError, TypeError, ValueError) as error:
            msg = f"{len(frame)} bytes are no answer: {error}"
            raise FrameError(msg) from error
        if kind != _VALUES:
            msg = f"a frame of kind {kind!r} is no answer"
            raise FrameError(msg)
        return shape, values, (access, fabric, action)


def _shape_to_json(shape: _Shape) -> dict[str, Any]:
    return {
        "keys": [_key_to_json(key) for key in shape.keys],
        "missing": [(_key_to_json(key), why.value) for key, why in shape.missing.items()],
        "error": shape.error,
    }


def _shape_from_json(found: dict[str, Any], keys: dict[Any, Key]) -> _Shape:
    return _Shape(
        keys=tuple(_key_from_json(one, keys) for one in found["keys"]),
        missing={_key_from_json(one, keys): Missing(why) for one, why in found["missing"]},
        error=found["error"],
    )


def _key_to_json(key: Key) -> Any:  # noqa: ANN401 -- a name, or a name and a label
    return [key.quantity.value, key.label] if isinstance(key, Part) else key.value


def _key_from_json(found: Any, keys: dict[Any, Key]) -> Key:  # noqa: ANN401
    spelt = tuple(found) if isinstance(found, list) else found
    known = keys.get(spelt)
    if known is None:
        known = Part(Quantity(spelt[0]), str(spelt[1])) if isinstance(spelt, tuple) else Quantity(spelt)
        keys[spelt] = known
    return known


# Inventory, events and errors: rare, so plain JSON


def pack_inventory(inventory: Inventory) -> bytes:
    """Return the frame of an inventory."""
    return _JSON + json.dumps(asdict(inventory)).encode()


def unpack_inventory(frame: memoryview) -> Inventory:
    """Return the inventory in a frame; raises as `Unpacker.reading` does."""
    found = _json(frame)
    try:
        return Inventory(**found | {"gpus": tuple(GpuIdentity(**gpu) for gpu in found["gpus"])})
    except (TypeError, LookupError) as error:
        msg = f"no inventory: {error}"
        raise FrameError(msg) from error


def pack_events(events: tuple[DeviceEvent, ...]) -> bytes:
    """Return the frame of at most `limits.EVENTS_PER_FRAME` events."""
    return _JSON + json.dumps([(one.kind.value, one.gpu, one.event_type, one.data) for one in events]).encode()


def unpack_events(frame: memoryview) -> tuple[DeviceEvent, ...]:
    """Return the events in a frame; raises as `Unpacker.reading` does."""
    try:
        return tuple(
            DeviceEvent(kind=DeviceEventKind(kind), gpu=gpu, event_type=event_type, data=data)
            for kind, gpu, event_type, data in _json(frame)
        )
    except (TypeError, ValueError) as error:
        msg = f"no events: {error}"
        raise FrameError(msg) from error


def _json(frame: memoryview) -> Any:  # noqa: ANN401
    raise_if_error(frame)
    try:
        if frame[:1] == _JSON:
            return json.loads(bytes(frame[1:]))
    except ValueError as error:
        msg = f"{len(frame)} bytes are no JSON: {error}"
        raise FrameError(msg) from error
    msg = f"a frame of kind {bytes(frame[:1])!r} where JSON belongs"
    raise FrameError(msg)


def pack_error(error: DeviceError | KeyError) -> bytes:
    """Return the frame of an error of the device port."""
    text = str(error.args[0]) if error.args else ""
    cause = error.cause if isinstance(error, DriverUnavailable | DeviceGone) else ""
    return _ERROR + json.dumps([type(error).__name__, text[: limits.TEXT_LENGTH], cause]).encode()


def raise_if_error(frame: memoryview) -> None:
    """Raise the error that a frame carries, as what it was."""
    if frame[:1] != _ERROR:
        return
    try:
        name, text, cause = map(str, json.loads(bytes(frame[1:])))
    except (ValueError, TypeError) as failed:
        msg = f"an error that nobody can read: {failed}"
        raise FrameError(msg) from failed
    if name == "KeyError":
        raise KeyError(text)
    if name == "DriverUnavailable":
        raise DriverUnavailable(cause, text)
    raise DeviceGone(text, cause)
