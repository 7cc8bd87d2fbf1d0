"""Facts that no receipt covers yet, kept on disk: append-only segments, bounded and checksummed.

A segment file holds records of one run in order of number; its name is `RUN.FIRSTSEQ.seg`. A
record is length, CRC-32 and number, then the payload. A torn tail is cut when the spool is
opened; a damaged record sets the rest of its segment aside, and what was lost is reported so
that the agent can tell the service. Nothing is deleted before a receipt covers all of it.
"""

import errno
import fcntl
import itertools
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from service.core import limits
from service.core.errors import SpoolError

_HEADER = struct.Struct("<IIQ")


@dataclass(frozen=True, slots=True)
class LostRange:
    """Numbered facts of a run that the spool could not read back."""

    run: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Record:
    """One numbered fact of a run, as bytes."""

    run: str
    seq: int
    payload: bytes


class SpoolFull(SpoolError):
    """Raised when the spool or its disk holds no more; the fact was not taken."""


class Spool(Protocol):
    """Facts by run and number, until a receipt covers them."""

    def append(self, record: Record, *, sync: bool, reserve: bool = False) -> None:
        """Keep a record; with `sync` it is on disk when this returns.

        Raises:
            SpoolFull: Nothing was kept; `reserve` may use the last bytes, for a gap record.
        """
        ...

    def after(self, run: str, seq: int, limit: int) -> tuple[Record, ...]:
        """Return at most `limit` kept records of a run beyond a number, in order."""
        ...

    def runs(self) -> tuple[str, ...]:
        """Return the runs that have records, oldest first."""
        ...

    def trim(self, run: str, seq: int) -> None:
        """Forget what a receipt covers."""
        ...

    def flush(self) -> None:
        """Put everything on disk."""
        ...

    def close(self) -> None:
        """Flush and let go; idempotent."""
        ...


@dataclass(slots=True)
class _Segment:
    path: Path
    run: str
    first_seq: int
    last_seq: int
    size: int
    offsets: list[tuple[int, int]] = field(default_factory=list)  # (number, offset), in order


class DiskSpool:
    """The spool of one agent in one directory, locked against a second agent.

    Not thread-safe; the agent guards it with one lock.
    """

    def __init__(self, directory: Path, *, limit_bytes: int = limits.SPOOL_BYTES) -> None:
        """Open a directory, cut torn tails and set damaged records aside.

        `lost` then names every range of numbers that could not be read back.

        Raises:
            SpoolError: If the directory cannot be used or another agent owns it.
        """
        self.directory = directory
        self._limit = limit_bytes
        self.lost: list[LostRange] = []
        self.damaged_segments = 0
        self._active: IO[bytes] | None = None
        self._lock = _own(directory)
        try:
            self._segments = self._load()
        except OSError as error:
            self._lock.close()
            raise self._translated(error) from error

    @property
    def depth_bytes(self) -> int:
        """Bytes kept on disk now."""
        return sum(segment.size for segment in self._segments)

    def append(self, record: Record, *, sync: bool, reserve: bool = False) -> None:
        """Keep a record; see `Spool.append`."""
        size = _HEADER.size + len(record.payload)
        if len(record.payload) > limits.SPOOL_RECORD_BYTES:
            msg = f"a fact of {len(record.payload)} bytes does not fit into the spool"
            raise SpoolError(msg)
        allowed = self._limit - (0 if reserve else limits.SPOOL_RESERVE_BYTES)
        if self.depth_bytes + size > allowed:
            msg = f"{self.directory}: the spool holds its {self._limit} bytes; is the service reachable?"
            raise SpoolFull(msg)
        try:
            segment = self._segment_for(record)
            self._write(segment, record, size)
            if sync:
                self.flush()
        except OSError as error:
            raise self._translated(error) from error

    def _segment_for(self, record: Record) -> _Segment:
        last = self._segments[-1] if self._segments else None
        open_ = self._active is not None and last is not None and last.run == record.run
        if open_ and last is not None and last.size < limits.SPOOL_SEGMENT_BYTES:
            return last
        self._end_active()
        path = self.directory / f"{record.run}.{record.seq:020d}.seg"
        self._active = path.open("xb", buffering=0)
        _sync_directory(self.directory)
        segment = _Segment(path, record.run, record.seq, record.seq - 1, 0)
        self._segments.append(segment)
        return segment

    def _write(self, segment: _Segment, record: Record, size: int) -> None:
        assert self._active is not None  # noqa: S101 -- _segment_for opened it
        checksum = zlib.crc32(record.payload, record.seq & 0xFFFFFFFF)
        try:
            self._active.write(_HEADER.pack(len(record.payload), checksum, record.seq) + record.payload)
            self._active.flush()
        except OSError:
            self._cut_back(segment)
            raise
        segment.offsets.append((record.seq, segment.size))
        segment.size += size
        segment.last_seq = record.seq

    def _cut_back(self, segment: _Segment) -> None:
        """Leave no torn record behind a write that failed half way."""
        active, self._active = self._active, None
        if active is not None:
            active.close()
        if segment.size == 0:
            segment.path.unlink(missing_ok=True)
            self._segments.remove(segment)
        else:
            os.truncate(segment.path, segment.size)

    def after(self, run: str, seq: int, limit: int) -> tuple[Record, ...]:
        """Return at most `limit` kept records of a run beyond a number, in order."""
        found: list[Record] = []
        for segment in self._segments:
            if segment.run == run and segment.last_seq > seq and len(found) < limit:
                found.extend(self._read(segment, seq, limit - len(found)))
        return tuple(found)

    def _read(self, segment: _Segment, seq: int, limit: int) -> Iterator[Record]:
        wanted = [(number, offset) for number, offset in segment.offsets if number > seq][:limit]
        try:
            with segment.path.open("rb") as file:
                for number, offset in wanted:
                    file.seek(offset)
                    length, checksum, stored = _HEADER.unpack(file.read(_HEADER.size))
                    payload = file.read(length)
                    if stored != number or zlib.crc32(payload, stored & 0xFFFFFFFF) != checksum:
                        msg = f"{segment.path}: record {number} changed on disk"
                        raise SpoolError(msg)
                    yield Record(segment.run, number, payload)
        except (OSError, struct.error) as error:
            msg = f"{segment.path}: {error}"
            raise SpoolError(msg) from error

    def runs(self) -> tuple[str, ...]:
        """Return the runs that have records, oldest first."""
        return tuple(dict.fromkeys(segment.run for segment in self._segments if segment.offsets))

    def trim(self, run: str, seq: int) -> None:
        """Delete segments that a receipt covers whole, but for the one being written."""
        for segment in list(self._segments):
            active = self._active is not None and segment is self._segments[-1]
            if segment.run == run and segment.last_seq <= seq and not active:
                segment.path.unlink(missing_ok=True)
                self._segments.remove(segment)
            elif segment.run == run and active:
                segment.offsets = [entry for entry in segment.offsets if entry[0] > seq]

    def flush(self) -> None:
        """Put everything on disk."""
        if self._active is not None:
            try:
                self._active.flush()
                os.fdatasync(self._active.fileno())
            except OSError as error:
                raise self._translated(error) from error

    def close(self) -> None:
        """Flush and let go of files and lock; idempotent."""
        self._end_active()
        if not self._lock.closed:
            self._lock.close()

    def _end_active(self) -> None:
        if self._active is None:
            return
        self.flush()
        self._active.close()
        self._active = None
        if not self._segments[-1].offsets:  # a receipt covers all of it, and its run may never get another
            self._segments.pop().path.unlink(missing_ok=True)

    def _translated(self, error: OSError) -> SpoolError:
        text = f"{error.filename or self.directory}: {error.strerror}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return SpoolFull(f"{text}; free space on its disk")
        return SpoolError(f"{text}; the agent needs to read and write there")

    def _load(self) -> list[_Segment]:
        segments = [self._recover(path) for path in sorted(self.directory.glob("*.seg"))]
        kept = [segment for segment in segments if segment is not None]
        for earlier, later in itertools.pairwise(kept):
            if earlier.run == later.run and earlier.last_seq + 1 < later.first_seq:
                self.lost.append(LostRange(earlier.run, earlier.last_seq + 1, later.first_seq - 1))
        return [segment for segment in kept if segment.offsets]

    def _recover(self, path: Path) -> _Segment | None:
        run, _, first = path.stem.rpartition(".")
        if not run or not first.isdigit():
            return None
        segment = _Segment(path, run, int(first), int(first) - 1, 0)
        data = path.read_bytes()
        damaged = self._scan(segment, data)
        if segment.size == len(data) and data:
            return segment
        if damaged:
            path.with_suffix(".damaged").write_bytes(data)
            self.damaged_segments += 1
        os.truncate(path, segment.size)
        if not segment.offsets:
            path.unlink()
        return segment  # also when nothing is left of it: its name says which numbers are lost

    @staticmethod
    def _scan(segment: _Segment, data: bytes) -> bool:
        """Index whole, unbroken records; return whether something beyond a torn tail was wrong."""
        expected = segment.first_seq
        while segment.size + _HEADER.size <= len(data):
            length, checksum, seq = _HEADER.unpack_from(data, segment.size)
            end = segment.size + _HEADER.size + length
            if length > limits.SPOOL_RECORD_BYTES:
                return True
            if end > len(data):
                return False
            payload = data[segment.size + _HEADER.size : end]
            if seq != expected or zlib.crc32(payload, seq & 0xFFFFFFFF) != checksum:
                return True
            segment.offsets.append((seq, segment.size))
            segment.size, segment.last_seq, expected = end, seq, seq + 1
        return False


def _own(directory: Path) -> IO[bytes]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory / "lock").open("ab")
    except OSError as error:
        msg = f"{directory}: {error.strerror}; choose a spool directory that the agent may write"
        raise SpoolError(msg) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        msg = f"{directory} belongs to a running agent; give each agent a spool of its own"
        raise SpoolError(msg) from error
    return lock


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
