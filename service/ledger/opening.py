"""From a ledger URL to an engine: path, lock, pragmas, and errors in words that help."""

import fcntl
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from service.core.errors import LedgerError

FAILURES = (SQLAlchemyError, ValueError)  # all that a damaged, full or locked file raises; values may be torn

_BUSY_MS = 5_000
_CACHE_KIB = 64 * 1024  # keys of many GPUs arrive in no order; their index must not be read again for each
_ADVICE = (
    ("full", "free space on its disk; nothing was lost, agents keep what is not committed"),
    ("readonly", "make the file and its directory writable for the service"),
    ("locked", "another process holds it; stop that one"),
    ("malformed", "it is damaged; see `threenines verify`, restore a backup, agents resend what they keep"),
    ("not a database", "it is damaged or no ledger; restore a backup or name another file"),
    ("unable to open", "check that the directory exists and is writable"),
    ("UNIQUE", "another writer appended to the same partition; only one may own a ledger, stop the other"),
    ("codec", "it is damaged; see `threenines verify`, restore a backup, agents resend what they keep"),
    ("invalid literal", "it is damaged; see `threenines verify`, restore a backup, agents resend what they keep"),
    ("no such table", "it is damaged or no ledger; restore a backup or name another file"),
)


class LedgerOwned(LedgerError):
    """Raised when another writer holds the ledger: it takes what should be written."""


def path_of(url: str) -> Path | None:
    """Return the file of a ledger URL, None for one in memory.

    Raises:
        LedgerError: If the URL names no ledger of this release.
    """
    if url == "sqlite://":
        return None
    if not url.startswith("sqlite:///"):
        msg = f"{url!r} is no ledger URL of this release: write sqlite:///FILE"
        raise LedgerError(msg)
    return Path(url.removeprefix("sqlite:///"))


def lock(path: Path) -> IO[bytes]:
    """Return the lock of a ledger file, held until it is closed.

    Raises:
        LedgerOwned: If another writer holds it.
        LedgerError: If the directory cannot be written.
    """
    try:
        handle = path.with_name(path.name + ".lock").open("ab")
    except OSError as error:
        msg = f"{path}: {error.strerror}; choose a directory that the service may write"
        raise LedgerError(msg) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        msg = f"{path} is owned by another writer; stop that service, or read it with its commands"
        raise LedgerOwned(msg) from error
    return handle


def engine_of(path: Path | None, *, read_only: bool) -> Engine:
    """Return the engine of a ledger.

    Raises:
        LedgerError: If a ledger that is only to be read does not exist.
    """
    if path is None:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    elif read_only:
        if not path.exists():
            msg = f"{path} does not exist; name the ledger of a running or stopped service"
            raise LedgerError(msg)
        engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    else:
        engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _prepare_read_only if read_only else _prepare)
    return engine


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 -- a DBAPI connection has no type
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={_BUSY_MS}",
        f"cache_size=-{_CACHE_KIB}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_read_only(connection: Any, _record: object) -> None:  # noqa: ANN401
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}").close()


def translated(error: Exception, path: Path | None) -> LedgerError:
    """Return an error of the database as one of ours: what, where and how to mend it."""
    text = str(getattr(error, "orig", None) or error)
    mend = next((advice for sign, advice in _ADVICE if sign in text), "see the text")
    return LedgerError(f"ledger {path or 'in memory'}: {text}: {mend}")
