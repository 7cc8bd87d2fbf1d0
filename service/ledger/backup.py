"""A copy of a ledger while it is in use: consistent, whole, checked, and only then in its place."""

import os
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from service.core.errors import LedgerError
from service.core.scanned import Scan
from service.ledger.opening import engine_of, path_of, translated
from service.ledger.scan import scan

_PAGES = 4_096  # copied at once; between two steps the writer goes on


def backup(url: str, to: Path) -> Scan:
    """Copy a ledger to a file that is not there yet, and return what a pass over the copy found.

    The copy is of one instant. It appears under its name when it is whole and on the disk.

    Raises:
        LedgerError: If either cannot be read or written, or the file is there already.
    """
    source = path_of(url)
    if source is None:
        msg = "a ledger in memory is gone with its process; there is nothing to back up"
        raise LedgerError(msg)
    if to.exists():
        msg = f"{to} is there already; a backup never overwrites, name another file"
        raise LedgerError(msg)
    beside = to.with_name(to.name + ".new")
    engine = engine_of(source, read_only=True)
    try:
        beside.unlink(missing_ok=True)
        _copy(engine, beside)
        found = _checked(beside)
        _keep(beside, to)
    except SQLAlchemyError as error:
        raise translated(error, source) from error
    except OSError as error:
        msg = f"{to}: {error.strerror}; choose a directory with room that you may write"
        raise LedgerError(msg) from error
    finally:
        engine.dispose()
    return found


def _copy(engine: Engine, to: Path) -> None:
    target = create_engine(f"sqlite:///{to}")
    try:
        with engine.connect() as reading, target.connect() as writing:
            from_, into = reading.connection.driver_connection, writing.connection.driver_connection
            assert from_ is not None and into is not None  # noqa: S101, PT018 -- both were just opened
            from_.backup(into, pages=_PAGES)
    finally:
        target.dispose()


def _checked(copy: Path) -> Scan:
    engine = create_engine(f"sqlite:///{copy}")
    try:
        return scan(engine)
    finally:
        engine.dispose()


def _keep(beside: Path, to: Path) -> None:
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.rename(to)
    for leftover in ("-wal", "-shm"):
        beside.with_name(beside.name + leftover).unlink(missing_ok=True)
    folder = os.open(to.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
