"""The ledger over SQL: SQLite in WAL mode, one writer, every commit durable."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, insert, or_, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError

from service.core.cut import Cut
from service.core.errors import LedgerError
from service.core.facts import Fact, FactKind, Progress, changed
from service.core.health import Health
from service.core.scanned import Scan
from service.core.seal import Seal, order_of
from service.ledger.chain import GENESIS, canonical, digest
from service.ledger.opening import FAILURES, engine_of, lock, path_of, translated
from service.ledger.reading import first_id_beyond, last_id, newest_notes, pages, tip_as_of, tips, void_keys
from service.ledger.revision import check_schema
from service.ledger.rows import (
    FACT_COLUMNS,
    FACT_SELECTED,
    KEY,
    PARTITION,
    ROW,
    fact_of,
    hashed_values,
    kept_seal,
    progress_of,
    progress_row,
    seal_row,
)
from service.ledger.scan import scan
from service.ledger.schema import FACT, PROGRESS, SEAL

_KEYS = 500  # keys asked for at once
_ROWS_AT_ONCE = 1_500  # rows of one statement; their values are below SQLite's 32 766
_BEYOND_ALL = 2**62  # an id that no row reaches


@dataclass(slots=True)
class _Tip:
    row: int = 0
    hash: str = GENESIS
    recorded_ms: int = 0


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
        self._path = path_of(url)
        self._read_only = read_only
        self._lock = None if read_only or self._path is None else lock(self._path)
        self._engine = engine_of(self._path, read_only=read_only)
        try:
            with self._translating():
                check_schema(self._engine) if read_only else _migrate(self._engine)
                self._tips = {} if read_only else self._read_tips()  # a reader may be here because of damage
        except LedgerError:
            self.close()
            raise

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise translated(error, self._path) from error

    def commit(self, facts: Sequence[Fact], progress: Sequence[Progress], recorded_ms: int) -> None:
        """Append facts and replace progress in one durable transaction; see the port.

        Raises:
            LedgerError: Nothing was written.
        """
        self._writable()
        unique = _unique(facts)
        with self._translating():
            try:
                self._append(unique, progress, recorded_ms, known=False)
            except IntegrityError:  # some key is known: seldom, so asked for only then
                self._append(unique, progress, recorded_ms, known=True)

    def _writable(self) -> None:
        if self._read_only:
            msg = f"{self._path} is open read-only; only the service that owns it writes"
            raise LedgerError(msg)

    def _append(self, facts: dict[str, Fact], progress: Sequence[Progress], recorded_ms: int, *, known: bool) -> None:
        tips = defaultdict(_Tip, {partition: copy(tip) for partition, tip in self._tips.items()})
        with self._engine.begin() as connection:
            fresh = _new_only(connection, facts) if known else facts.values()
            rows = _chained(fresh, tips, recorded_ms)
            if rows:
                _insert(connection, rows)
            if progress:
                _put_progress(connection, progress)
        self._tips = tips

    def progress(self) -> tuple[Progress, ...]:
        """Return the progress of every run known."""
        with self._translating(), self._engine.connect() as connection:
            return tuple(progress_of(row) for row in connection.execute(select(PROGRESS)).mappings())

    def facts(
        self,
        *,
        kinds: Sequence[str] = (),
        since_ms: int | None = None,
        up_to: Cut | None = None,
        after: Cut | None = None,
        replaced: bool = False,
        but_up: bool = False,
    ) -> Iterator[Fact]:
        """Return facts in order of recording, read page by page; see the port."""
        query = select(*FACT_SELECTED)
        if kinds:
            query = query.where(FACT.c.kind.in_(tuple(kinds)))
        if but_up:
            query = query.where(or_(FACT.c.health.is_(None), FACT.c.health != Health.UP.value))
        if since_ms is not None:
            query = query.where((FACT.c.to_ms.is_(None)) | (FACT.c.to_ms > since_ms))
        with self._translating():
            void: frozenset[str] = frozenset()
            with self._engine.connect() as connection:
                first, last = self._ids(connection, up_to, after)
                if not replaced:
                    void = void_keys(connection, up_to)
                    notes = newest_notes(connection, up_to)
                    query = query.where(or_(FACT.c.kind != FactKind.OPEN.value, FACT.c.id.in_(notes)))
            for row in pages(self._engine, query, first, last):
                if row[KEY] not in void and _between(row[PARTITION], row[ROW], up_to, after):
                    yield fact_of(row)

    def _ids(self, connection: Connection, up_to: Cut | None, after: Cut | None) -> tuple[int, int | None]:
        last = None if up_to is None else last_id(connection, up_to)
        if after is None:
            return 1, last
        last_id(connection, after)  # a cut that the ledger does not have is an error, not an empty answer
        partitions = [partition for partition, *_ in tips(connection)]
        return first_id_beyond(connection, after, partitions) or _BEYOND_ALL, last

    def fact(self, key: str) -> Fact | None:
        """Return the fact of a key, whether or not it still stands."""
        with self._translating(), self._engine.connect() as connection:
            row = connection.execute(select(*FACT_SELECTED).where(FACT.c.key == key)).one_or_none()
        return None if row is None else fact_of(row)

    def cut(self, as_of_ms: int | None = None) -> Cut:
        """Return the rows recorded up to and including an instant, or all."""
        with self._translating(), self._engine.connect() as connection:
            ends = [(partition, row, digest) for partition, row, digest, _ in tips(connection)]
            if as_of_ms is None:
                return {partition: (row, digest) for partition, row, digest in ends}
            found = {partition: tip_as_of(connection, partition, row, as_of_ms) for partition, row, _ in ends}
        return {partition: tip for partition, tip in found.items() if tip is not None}

    def seals(self) -> tuple[Seal, ...]:
        """Return every seal, in order."""
        with self._translating(), self._engine.connect() as connection:
            return tuple(map(kept_seal, connection.execute(select(SEAL).order_by(SEAL.c.day)).mappings()))

    def add_seal(self, seal: Seal) -> None:
        """Keep a seal; the same again is no news.

        Raises:
            LedgerError: Another seal of that day is there, or it could not be written.
        """
        self._writable()
        with self._translating(), self._engine.begin() as connection:
            known = connection.execute(select(SEAL).where(SEAL.c.day == seal.day)).mappings().one_or_none()
            if known is None:
                connection.execute(insert(SEAL), seal_row(seal))
            elif kept_seal(known) != seal:
                msg = f"{seal.day} is sealed already, with another digest; a day is sealed once"
                raise LedgerError(msg)

    def order(self, after: Cut, up_to: Cut) -> str:
        """Return `core.seal.order_of` the rows beyond one cut and within another."""
        query = select(FACT.c.id, FACT.c.partition, FACT.c.row)
        with self._translating():
            with self._engine.connect() as connection:
                first, last = self._ids(connection, up_to, after)
            rows = pages(self._engine, query, first, last)
            return order_of(partition for _, partition, row in rows if _between(partition, row, up_to, after))

    def scan(self, cuts: Sequence[Cut] = ()) -> Scan:
        """Recompute every chain; see `service.ledger.scan`."""
        with self._translating():
            return scan(self._engine, cuts)

    def first_broken(self) -> tuple[int, int] | None:
        """Recompute every chain; return (partition, row) of the first row that does not fit."""
        broken = self.scan().broken
        return (broken[0].partition, broken[0].row) if broken else None

    def close(self) -> None:
        """Let go of file and lock; idempotent."""
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read_tips(self) -> dict[int, _Tip]:
        with self._engine.connect() as connection:
            return {partition: _Tip(row, digest, at_ms) for partition, row, digest, at_ms in tips(connection)}


def _migrate(engine: Engine) -> None:
    from service.ledger.migrate import migrate  # noqa: PLC0415 -- Alembic, which readers must not wait for

    migrate(engine)


def _between(partition: int, row: int, up_to: Cut | None, after: Cut | None) -> bool:
    if up_to is not None and row > up_to.get(partition, (0, ""))[0]:
        return False
    return after is None or row > after.get(partition, (0, ""))[0]


def _unique(facts: Sequence[Fact]) -> dict[str, Fact]:
    unique: dict[str, Fact] = {}
    for fact in facts:
        if unique.setdefault(fact.key, fact) != fact:
            msg = f"fact {fact.key} comes twice with other content; nothing was written"
            raise LedgerError(msg)
    return unique


def _new_only(connection: Connection, facts: dict[str, Fact]) -> Iterable[Fact]:
    """Return the facts whose key is new; the same fact again is no news, another content is an error."""
    unique, keys = dict(facts), list(facts)
    for start in range(0, len(keys), _KEYS):
        for row in connection.execute(select(*FACT_SELECTED).where(FACT.c.key.in_(keys[start : start + _KEYS]))):
            known = fact_of(row)
            offered = unique.pop(known.key)
            if changed(known, recorded_ms=None) != changed(offered, recorded_ms=None):
                msg = f"fact {offered.key} is recorded with other content; nothing was written"
                raise LedgerError(msg)
    return unique.values()


def _chained(facts: Iterable[Fact], tips: dict[int, _Tip], recorded_ms: int) -> list[tuple[Any, ...]]:
    """Return the rows of facts, moving the tips along."""
    rows = []
    for fact in facts:
        tip = tips[fact.partition]
        at_ms = recorded_ms if fact.recorded_ms is None else fact.recorded_ms
        at_ms = max(at_ms, tip.recorded_ms)
        values = hashed_values(fact, tip.row + 1, at_ms)
        made = digest(tip.hash, canonical(*values))
        rows.append((*values, tip.hash, made))
        tip.row, tip.hash, tip.recorded_ms = tip.row + 1, made, at_ms
    return rows


def _insert(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    """Hand rows to the driver as they are: naming each value would take as long as writing it."""
    if connection.dialect.paramstyle != "qmark":
        connection.execute(insert(FACT), [dict(zip(FACT_COLUMNS, row, strict=True)) for row in rows])
        return
    names = ", ".join(map(connection.dialect.identifier_preparer.quote, FACT_COLUMNS))
    head = f"INSERT INTO {FACT.name} ({names}) VALUES "  # noqa: S608 -- names of our own schema
    one = f"({', '.join('?' * len(FACT_COLUMNS))})"
    many = head + ", ".join([one] * _ROWS_AT_ONCE)
    whole = len(rows) // _ROWS_AT_ONCE * _ROWS_AT_ONCE
    for start in range(0, whole, _ROWS_AT_ONCE):
        connection.exec_driver_sql(many, tuple(itertools.chain.from_iterable(rows[start : start + _ROWS_AT_ONCE])))
    if rows[whole:]:
        connection.exec_driver_sql(head + one, rows[whole:])


def _put_progress(connection: Connection, progress: Sequence[Progress]) -> None:
    statement = upsert(PROGRESS)
    names = ("seq", "to_ms", "ended", "open", "boot", "rack", "partition", "checksum")
    changed = {name: statement.excluded[name] for name in names}
    statement = statement.on_conflict_do_update(index_elements=["node", "run"], set_=changed)
    connection.execute(statement, [progress_row(entry) for entry in progress])
