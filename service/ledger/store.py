"""The ledger over SQL: SQLite in WAL mode, one writer, every commit durable."""

import fcntl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from service.core.errors import LedgerError
from service.core.facts import Fact, Progress
from service.ledger.chain import GENESIS, link
from service.ledger.rows import fact_of, fact_row, progress_of, progress_row
from service.ledger.schema import FACT, PROGRESS

_BUSY_MS = 5_000
_PAGE_ROWS = 5_000


class SqlLedger:
    """A ledger in a SQLite file or in memory; see `service.core.ports.Ledger`.

    One writer holds an exclusive lock beside the file; readers need none.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        """Open, and unless read-only lock and migrate.

        Args:
            url: `sqlite:///FILE` or `sqlite://` (in memory).
            read_only: Refuse commits; the file must exist.

        Raises:
            LedgerError: If it cannot be opened, is owned by another writer or has another schema.
        """
        self._path = _path_of(url)
        self._read_only = read_only
        self._lock = None if read_only or self._path is None else _lock(self._path)
        self._engine = _engine(self._path, read_only=read_only)
        try:
            _check_schema(self._engine) if read_only else _migrate(self._engine)
            self._tips = self._read_tips()
        except SQLAlchemyError as error:
            self.close()
            raise _translated(error, self._path) from error
        except LedgerError:
            self.close()
            raise

    def commit(self, facts: Sequence[Fact], progress: Sequence[Progress], recorded_ms: int) -> None:
        """Append facts and replace progress in one durable transaction.

        Raises:
            LedgerError: Nothing was written.
        """
        if self._read_only:
            msg = f"{self._path} is open read-only; only the service that owns it writes"
            raise LedgerError(msg)
        tips = dict(self._tips)
        try:
            with self._engine.begin() as connection:
                rows = _chained(_new_only(connection, facts), tips, recorded_ms)
                if rows:
                    connection.execute(insert(FACT), rows)
                if progress:
                    _put_progress(connection, progress)
        except SQLAlchemyError as error:
            raise _translated(error, self._path) from error
        self._tips = tips

    def progress(self) -> tuple[Progress, ...]:
        """Return the progress of every run known."""
        try:
            with self._engine.connect() as connection:
                return tuple(progress_of(row) for row in connection.execute(select(PROGRESS)).mappings())
        except SQLAlchemyError as error:
            raise _translated(error, self._path) from error

    def facts(self, *, kinds: Sequence[str] = (), since_ms: int | None = None) -> Iterator[Fact]:
        """Return facts in order of recording, read page by page."""
        query = select(FACT).order_by(FACT.c.id).limit(_PAGE_ROWS)
        if kinds:
            query = query.where(FACT.c.kind.in_(tuple(kinds)))
        if since_ms is not None:
            query = query.where((FACT.c.to_ms.is_(None)) | (FACT.c.to_ms > since_ms))
        last = 0
        try:
            while True:
                with self._engine.connect() as connection:
                    page = connection.execute(query.where(FACT.c.id > last)).mappings().all()
                yield from map(fact_of, page)
                if len(page) < _PAGE_ROWS:
                    return
                last = page[-1]["id"]
        except SQLAlchemyError as error:
            raise _translated(error, self._path) from error

    def first_broken(self) -> tuple[int, int] | None:
        """Recompute every chain; return (partition, row) of the first row that does not fit."""
        tips: dict[int, tuple[int, str]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(select(FACT).order_by(FACT.c.partition, FACT.c.row)).mappings():
                count, digest = tips.get(row["partition"], (0, GENESIS))
                expected = link(digest, fact_of(row), count + 1)
                if (row["row"], row["previous_hash"], row["hash"]) != (count + 1, digest, expected):
                    return row["partition"], count + 1
                tips[row["partition"]] = (count + 1, expected)
        return None

    def close(self) -> None:
        """Let go of file and lock; idempotent."""
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read_tips(self) -> dict[int, tuple[int, str]]:
        tops = select(FACT.c.partition, func.max(FACT.c.row).label("row")).group_by(FACT.c.partition).subquery()
        on = (FACT.c.partition == tops.c.partition) & (FACT.c.row == tops.c.row)
        with self._engine.connect() as connection:
            rows = connection.execute(select(FACT.c.partition, FACT.c.row, FACT.c.hash).join(tops, on))
            return {partition: (row, digest) for partition, row, digest in rows}


def _path_of(url: str) -> Path | None:
    if url == "sqlite://":
        return None
    if not url.startswith("sqlite:///"):
        msg = f"{url!r} is no ledger URL of this release: write sqlite:///FILE"
        raise LedgerError(msg)
    return Path(url.removeprefix("sqlite:///"))


def _lock(path: Path) -> IO[bytes]:
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
        raise LedgerError(msg) from error
    return handle


def _engine(path: Path | None, *, read_only: bool) -> Engine:
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
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_read_only(connection: Any, _record: object) -> None:  # noqa: ANN401
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}").close()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def _migrate(engine: Engine) -> None:
    config = _alembic()
    with engine.begin() as connection:
        _refuse_newer(connection, config)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _refuse_newer(connection: Connection, config: Config) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        msg = f"the ledger has schema {current}, newer than this release; use the release that wrote it"
        raise LedgerError(msg)


def _check_schema(engine: Engine) -> None:
    head = ScriptDirectory.from_config(_alembic()).get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current != head:
        msg = f"the ledger has schema {current}, this release reads {head}; open it once with `threenines serve`"
        raise LedgerError(msg)


def _new_only(connection: Connection, facts: Sequence[Fact]) -> list[Fact]:
    """Return the facts whose key is new; the same fact again is no news, another content is an error."""
    unique: dict[str, Fact] = {}
    for fact in facts:
        if unique.setdefault(fact.key, fact) != fact:
            msg = f"fact {fact.key} comes twice with other content; nothing was written"
            raise LedgerError(msg)
    keys = list(unique)
    for start in range(0, len(keys), 500):
        chunk = keys[start : start + 500]
        for row in connection.execute(select(FACT).where(FACT.c.key.in_(chunk))).mappings():
            known, offered = fact_of(row), unique.pop(row["key"])
            if replace(known, recorded_ms=None) != replace(offered, recorded_ms=None):
                msg = f"fact {offered.key} is recorded with other content; nothing was written"
                raise LedgerError(msg)
    return list(unique.values())


def _chained(facts: Sequence[Fact], tips: dict[int, tuple[int, str]], recorded_ms: int) -> list[dict[str, Any]]:
    rows = []
    for fact in facts:
        recorded = replace(fact, recorded_ms=recorded_ms)
        count, previous = tips.get(fact.partition, (0, GENESIS))
        digest = link(previous, recorded, count + 1)
        rows.append(fact_row(recorded, count + 1, previous, digest))
        tips[fact.partition] = (count + 1, digest)
    return rows


def _put_progress(connection: Connection, progress: Sequence[Progress]) -> None:
    statement = upsert(PROGRESS)
    changed = {name: statement.excluded[name] for name in ("seq", "to_ms", "ended", "open", "boot")}
    statement = statement.on_conflict_do_update(index_elements=["node", "run"], set_=changed)
    connection.execute(statement, [progress_row(entry) for entry in progress])


def _translated(error: SQLAlchemyError, path: Path | None) -> LedgerError:
    text = str(getattr(error, "orig", None) or error)
    mend = "see the text"
    for sign, advice in (
        ("full", "free space on its disk; nothing was lost, agents keep what is not committed"),
        ("readonly", "make the file and its directory writable for the service"),
        ("locked", "another process holds it; stop that one"),
        ("malformed", "it is damaged; restore a backup, agents resend what they keep"),
        ("not a database", "it is damaged or no ledger; restore a backup or name another file"),
        ("unable to open", "check that the directory exists and is writable"),
    ):
        if sign in text:
            mend = advice
            break
    return LedgerError(f"ledger {path or 'in memory'}: {text}: {mend}")
