"""A device in a process of its own: what hangs or crashes there cannot hang or crash the agent.

Each GPU has a socket and a thread at the other end to itself, and so have the events. The sockets
carry whole datagrams, so a collector that is killed at any instant leaves no half answer behind;
its end of the sockets closes with it, and whoever waits for an answer is released at once.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from collectors.catalogue import Key, Round
from collectors.collector import ROUNDS
from collectors.device import DeviceEvent, Inventory, Reading, Survey
from collectors.frames import FrameError, Unpacker, unpack_events, unpack_inventory
from service.core import limits
from service.core.errors import DeviceGone, DriverUnavailable

_REQUEST = {one: bytes([at]) for at, one in enumerate(ROUNDS)}
_ENTRY = (
    "import sys; sys.argv[3] in sys.path or sys.path.insert(0, sys.argv[3]); "
    "from collectors.collector import main; main(int(sys.argv[1]), sys.argv[2])"
)
_ROOT = str(Path(__file__).parents[1])


class _Ended(Exception):
    """The other end of a channel is closed."""


class _Channel:
    """One socket to the collector; a caller that waits in it is released by `end`."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._buffer = memoryview(bytearray(limits.COLLECTOR_FRAME_BYTES))
        self._busy = threading.Lock()

    def take(self, timeout: float | None) -> memoryview | None:
        """Return the next frame, valid until the next call; None after the timeout."""
        try:
            self._socket.settimeout(timeout)
            size = self._socket.recv_into(self._buffer, 0, socket.MSG_TRUNC)
        except (TimeoutError, BlockingIOError):  # the latter when nothing is to be waited for
            return None
        except OSError as error:
            raise _Ended from error
        if size == 0:
            raise _Ended
        if size > len(self._buffer):
            msg = f"{size} bytes in one frame"
            raise FrameError(msg)
        return self._buffer[:size]

    def ask(self, request: bytes) -> memoryview:
        """Send a request and return its answer, however long that takes."""
        try:
            self._socket.send(request)
        except OSError as error:
            raise _Ended from error
        answer = self.take(None)
        assert answer is not None  # noqa: S101 -- no timeout was given
        return answer

    def __enter__(self) -> Self:
        self._busy.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._busy.release()

    def end(self) -> None:
        """Release who waits, then close; idempotent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with self._busy:  # nobody may still be using the number of the socket
            self._socket.close()


class IsolatedDevice:
    """Runs another device in a process of its own; see `collectors.device.Device`.

    Beyond the port: a collector that ends or talks nonsense is `DeviceGone` with the cause
    `agent:collector_lost`, one that does not come up in time `DriverUnavailable` with `driver:hung`.
    """

    def __init__(self, kind: str = "nvml", *, open_ms: int = limits.COLLECTOR_OPEN_MS) -> None:
        """Prepare; the process begins with `open`. `kind` is a name of `collectors.collector.DEVICES`."""
        self._kind, self._open_ms = kind, open_ms
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._channels: list[_Channel] = []
        self._events: _Channel | None = None
        self._gpus: dict[str, tuple[_Channel, Unpacker]] = {}
        self._left: list[subprocess.Popen[bytes]] = []
        self._opening = threading.RLock()

    @property
    def pid(self) -> int | None:
        """The process that holds the driver; None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def left_behind(self) -> int:
        """Processes that not even a kill has ended so far: they sleep inside the kernel."""
        self._left = [process for process in self._left if process.poll() is None]
        return len(self._left)

    def open(self) -> Inventory:
        """Start the process and take over what it found; another thread may break this off with `close`."""
        with self._opening:
            self.close()
            if self.left_behind >= limits.COLLECTORS_LEFT:
                msg = f"{self.left_behind} collector processes cannot be killed: the driver hangs in the kernel; reboot"
                raise DriverUnavailable("driver:hung", msg)
            self._process, self._control = _start(self._kind)
            try:
                return self._take_over(self._control)
            except (_Ended, FrameError) as error:
                text = self._obituary(error)
                self.close()
                raise DriverUnavailable("agent:collector_lost", text) from error
            except DriverUnavailable:
                self.close()
                raise

    def _take_over(self, control: socket.socket) -> Inventory:
        frame, self._channels = _first_frame(control, self._open_ms / 1000)
        inventory = unpack_inventory(frame)
        if len(self._channels) != len(inventory.gpus) + 1:
            msg = f"{len(self._channels)} sockets for {len(inventory.gpus)} GPUs"
            raise FrameError(msg)
        keys: dict[Any, Key] = {}
        self._events, *channels = self._channels
        self._gpus = {
            gpu.uuid: (channel, Unpacker(gpu.uuid, keys)) for gpu, channel in zip(inventory.gpus, channels, strict=True)
        }
        return inventory

    def read(self, gpu: str) -> Reading:
        """Have one GPU read; waits as long as its driver call does."""
        channel, unpacker = self._gpus[gpu]
        with channel:
            try:
                return unpacker.reading(channel.ask(_REQUEST[Round.PULSE]))
            except (_Ended, FrameError) as error:
                raise self._lost(error) from error

    def survey(self, gpu: str, one: Round) -> Survey:
        """Have another round of one GPU read."""
        channel, unpacker = self._gpus[gpu]
        if one is Round.PULSE:
            msg = "the pulse is no survey"
            raise ValueError(msg)
        with channel:
            try:
                return unpacker.survey(one, channel.ask(_REQUEST[one]))
            except (_Ended, FrameError) as error:
                raise self._lost(error) from error

    def wait_events(self, timeout_ms: int) -> tuple[DeviceEvent, ...]:
        """Return what the collector passed on; one frame at a time, the rest at the next call."""
        if self._events is None:
            raise self._lost(_Ended())
        with self._events as channel:
            try:
                frame = channel.take(timeout_ms / 1000)
                return () if frame is None else unpack_events(frame)
            except (_Ended, FrameError) as error:
                raise self._lost(error) from error

    def close(self) -> None:
        """Ask the process to end, and kill it when it does not within the bound; idempotent."""
        control = self._control
        if control is not None:
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)  # also wakes a thread that is opening
        with self._opening:
            self._close()

    def _close(self) -> None:
        control, process = self._control, self._process
        self._control, self._process = None, None
        if control is not None:
            control.close()
        for channel in self._channels:
            channel.end()
        self._channels, self._events, self._gpus = [], None, {}
        if process is not None and not _ends(process):
            process.kill()
            if not _ends(process):
                self._left.append(process)

    def _lost(self, error: Exception) -> DeviceGone:
        return DeviceGone(self._obituary(error), "agent:collector_lost")

    def _obituary(self, error: Exception) -> str:
        process = self._process
        if isinstance(error, FrameError):
            return f"the collector process talks nonsense: {error}"
        if process is None or not _ends(process):
            return "the collector process closed its end"
        return f"the collector process ended: {_manner(process.returncode)}"


def _start(kind: str) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start a collector; it inherits the environment and one socket, and nothing else of ours.

    Raises:
        DriverUnavailable: If this host has no room for one more process.
    """
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        raise _no_room(error) from error
    # What lies in the working directory must not be taken for ours: the path is named, not found.
    command = [sys.executable, "-P", "-X", "faulthandler", "-c", _ENTRY, str(theirs.fileno()), kind, _ROOT]
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 -- our own interpreter and entry
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"MALLOC_ARENA_MAX": "2", **os.environ},
            )
        except OSError as error:
            ours.close()
            raise _no_room(error) from error
    return process, ours


def _no_room(error: OSError) -> DriverUnavailable:
    return DriverUnavailable("agent:unreadable", f"the collector process does not start: {error}")


def _first_frame(control: socket.socket, timeout: float) -> tuple[memoryview, list[_Channel]]:
    """Return the inventory's frame and the channels that come with it."""
    control.settimeout(timeout)
    try:
        frame, fds, _, _ = socket.recv_fds(control, limits.COLLECTOR_FRAME_BYTES, limits.GPUS_PER_NODE * 2)
    except TimeoutError as error:
        msg = f"the driver did not come up within {timeout:.0f} s: it hangs"
        raise DriverUnavailable("driver:hung", msg) from error
    except OSError as error:
        raise _Ended from error
    if not frame:
        raise _Ended
    return memoryview(frame), [_Channel(socket.socket(fileno=fd)) for fd in fds]


def _ends(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(limits.COLLECTOR_END_MS / 1000)
    except subprocess.TimeoutExpired:
        return False
    return True


def _manner(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}"
