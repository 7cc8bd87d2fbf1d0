"""Seals as files, one a day: what leaves the landlord's hands. Written whole or not at all, never over another."""

import os
from pathlib import Path

from service.core import limits
from service.core.errors import ConfigurationError, LedgerError
from service.core.seal import Seal, seal_of, seal_text

_SUFFIX = ".seal.json"


def export(seal: Seal, directory: Path) -> Path:
    """Write a seal to its file and return that; the same again changes nothing.

    Raises:
        LedgerError: If the file holds something else, or cannot be written.
    """
    path, text = directory / f"{seal.day}{_SUFFIX}", seal_text(seal)
    try:
        if path.exists():
            if path.read_text() != text:
                msg = f"{path} holds another seal of that day; it was exported before, and is never overwritten"
                raise LedgerError(msg)
            return path
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        msg = f"{path}: {error.strerror}; choose a directory that the service may write"
        raise LedgerError(msg) from error
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Write beside, flush, rename, flush the directory: after a power cut there is all of it or nothing."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(directory: Path) -> tuple[tuple[str, Seal | str], ...]:
    """Return the seals of a directory by file name, in order of day; a file that is none as the reason.

    Raises:
        ConfigurationError: If the directory cannot be read.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(_SUFFIX))
        return tuple((path.name, _read(path)) for path in paths)
    except OSError as error:
        msg = f"{directory}: {error.strerror}; name the directory that seals were exported to"
        raise ConfigurationError(msg) from error


def _read(path: Path) -> Seal | str:
    if path.stat().st_size > limits.SEAL_FILE_BYTES:
        return f"more than {limits.SEAL_FILE_BYTES} bytes: no seal"
    try:
        return seal_of(path.read_bytes().decode())
    except ValueError as error:  # UnicodeDecodeError is one
        return str(error)
