"""The collector process: one device, read by a thread per GPU for an agent at the other end.

It holds the driver so that the agent need not: a call that hangs or a library that crashes takes
this process along and nobody else. It ends when the agent closes its end or dies.
"""

import contextlib
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable

from collectors.catalogue import Key, Round, of_round
from collectors.device import Access, Device, Missing, Reading, Survey
from collectors.frames import Packer, pack_error, pack_events, pack_inventory
from service.core import limits
from service.core.errors import DeviceError, DeviceGone, DriverUnavailable

ROUNDS = tuple(Round)  # a request is one byte: the place of the round in this row


def _nvml() -> Device:
    from collectors.nvml import NvmlDevice  # noqa: PLC0415 -- only here, never in the agent

    return NvmlDevice()


DEVICES: dict[str, Callable[[], Device]] = {"nvml": _nvml}


def main(control_fd: int, kind: str) -> None:
    """Serve a device until the control socket ends; never returns.

    Signals that a terminal or a service manager sends to the whole group are the agent's to judge.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=control_fd)
    threading.Thread(target=serve, args=(control, DEVICES[kind]), name="collector", daemon=True).start()
    try:
        control.recv(1)
    finally:
        os._exit(0)  # threads may hang in the driver: nobody waits for them


def serve(control: socket.socket, make: Callable[[], Device]) -> None:
    """Open the device, hand over its inventory with a socket per GPU and one for events, serve them."""
    try:
        device = make()
        inventory = device.open()
    except DriverUnavailable as error:
        control.send(pack_error(error))
        return
    except Exception as error:  # noqa: BLE001 -- the seam around the collector: the agent hears of it in words
        traceback.print_exc()
        control.send(pack_error(DriverUnavailable("agent:unreadable", f"the collector failed: {error!r}")))
        return
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(len(inventory.gpus) + 1)]
    socket.send_fds(control, [pack_inventory(inventory)], [theirs.fileno() for _, theirs in pairs])
    for _, theirs in pairs:
        theirs.close()
    (events, _), *gpus = pairs
    for identity, (ours, _) in zip(inventory.gpus, gpus, strict=True):
        Desk(ours, device, identity.uuid).start()
    with contextlib.suppress(ConnectionError):  # the agent closed its end
        announce(events, device)


class Desk:
    """Answers the requests for one GPU, one after another, on a thread of its own."""

    def __init__(self, channel: socket.socket, device: Device, gpu: str) -> None:
        """Prepare; `start` begins answering."""
        self._channel, self._device, self._gpu = channel, device, gpu
        self._packer = Packer()
        self._bug = ""  # told last, so that one that stays is told once

    def start(self) -> None:
        """Begin, until the agent closes its end."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with self._channel, contextlib.suppress(ConnectionError):
            while request := self._channel.recv(1):
                self._channel.send(self._answer(ROUNDS[request[0]]))

    def _answer(self, one: Round) -> bytes:
        try:
            frame = self._frame(one)
        except (DeviceError, KeyError) as error:
            return pack_error(error)
        except Exception as error:  # noqa: BLE001 -- the seam around one collector: its neighbours go on
            self._tell(error)
            return self._failed(one, f"collector: {error!r}")
        if len(frame) > limits.COLLECTOR_FRAME_BYTES:
            return self._failed(one, f"collector: {len(frame)} bytes are no truthful answer")
        return frame

    def _frame(self, one: Round) -> bytes:
        if one is Round.PULSE:
            return self._packer.reading(self._device.read(self._gpu))
        return self._packer.survey(self._device.survey(self._gpu, one))

    def _failed(self, one: Round, text: str) -> bytes:
        missing: dict[Key, Missing] = dict.fromkeys(of_round(one), Missing.FAILED)
        if one is Round.PULSE:
            failed = Reading(gpu=self._gpu, access=Access.FAILED, values={}, missing=missing, error=text)
            return self._packer.reading(failed)
        return self._packer.survey(Survey(gpu=self._gpu, round=one, values={}, missing=missing))

    def _tell(self, error: Exception) -> None:
        if repr(error) != self._bug:
            self._bug = repr(error)
            traceback.print_exception(error)


def announce(channel: socket.socket, device: Device) -> None:
    """Send the driver's events as they come; a driver that is gone is the last word."""
    while True:
        try:
            events = device.wait_events(limits.EVENT_WAIT_MS)
        except DeviceGone as error:
            channel.send(pack_error(error))
            return
        for first in range(0, len(events), limits.EVENTS_PER_FRAME):
            channel.send(pack_events(events[first : first + limits.EVENTS_PER_FRAME]))
