"""Recompute every chain in one pass: which rows do not fit, and which cannot be read at all."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DatabaseError

from service.core import limits
from service.core.scanned import Broken, Scan
from service.ledger.chain import GENESIS, canonical, digest
from service.ledger.rows import FACT_SELECTED, KEY, PARTITION, ROW
from service.ledger.schema import FACT

_CHUNK = 4_096
_DAMAGES = 20  # as many are told
_Row = Sequence[Any]
_COLUMNS = (*FACT_SELECTED, FACT.c.previous_hash, FACT.c.hash)


def scan(engine: Engine, marks: Collection[tuple[int, int]] = ()) -> Scan:
    """Return what a pass over all rows finds.

    Args:
        engine: The ledger's database.
        marks: (partition, row) whose hashes are wanted, recomputed.
    """
    pass_ = _Pass(frozenset(marks))
    unreadable: list[tuple[int, int]] = []
    for row in _rows(engine, unreadable):
        pass_.take(row)
    broken = sorted(pass_.broken.values(), key=lambda one: (one.partition, one.row))
    return Scan(
        rows=pass_.rows,
        tips=pass_.tips,
        broken=tuple(broken),
        unreadable=tuple(unreadable),
        damage=_damage(engine),
        marks=pass_.found,
    )


def _damage(engine: Engine) -> tuple[str, ...]:
    """Return what the database says of its own file: pages and indices that no row would show."""
    if engine.dialect.name != "sqlite":
        return ()
    try:
        with engine.connect() as connection:
            told = [str(text) for (text,) in connection.exec_driver_sql(f"PRAGMA integrity_check({_DAMAGES})")]
    except DatabaseError as error:
        return (str(error.orig),)
    return () if told == ["ok"] else tuple(told)


class _Pass:
    def __init__(self, wanted: frozenset[tuple[int, int]]) -> None:
        self.rows = 0
        self.tips: dict[int, tuple[int, str]] = {}
        self.broken: dict[int, Broken] = {}
        self.found: dict[tuple[int, int], str] = {}
        self._wanted = wanted

    def take(self, row: _Row) -> None:
        self.rows += 1
        partition = row[PARTITION]
        if partition in self.broken:
            return
        count, last = self.tips.get(partition, (0, GENESIS))
        try:
            made = digest(last, canonical(*row[1:-2]))
        except (TypeError, ValueError) as error:
            self._break(row, count, f"a value is of another type than its column: {error}")
            return
        if row[ROW] != count + 1:
            self._break(row, count, f"it is missing or not in its place: row {row[ROW]} comes instead")
        elif row[-2] != last or row[-1] != made:
            self._break(row, count, "its content or its hashes are not what was recorded")
        else:
            self.tips[partition] = (count + 1, made)
            if (partition, count + 1) in self._wanted:
                self.found[partition, count + 1] = made

    def _break(self, row: _Row, count: int, text: str) -> None:
        key = row[KEY] if row[ROW] == count + 1 else None
        self.broken[row[PARTITION]] = Broken(partition=row[PARTITION], row=count + 1, key=key, text=text)


def _rows(engine: Engine, unreadable: list[tuple[int, int]]) -> Iterator[_Row]:
    """Yield rows by id; where the database fails, go around it and note the ids."""
    query = select(*_COLUMNS).order_by(FACT.c.id)
    last = _last_id(engine)
    at = 1
    while last is None or at <= last:
        end = at + _CHUNK - 1
        try:
            with engine.connect() as connection:
                page = connection.execute(query.where(FACT.c.id.between(at, end))).all()
        except DatabaseError:
            yield from _around(engine, at, end if last is None else min(end, last), unreadable)
            if len(unreadable) >= limits.LEDGER_LOST_RANGES or last is None:
                unreadable.append((end + 1, last or end + 1))
                return
        else:
            yield from page
        at = end + 1


def _last_id(engine: Engine) -> int | None:
    try:
        with engine.connect() as connection:
            return int(connection.execute(select(func.max(FACT.c.id))).scalar() or 0)
    except DatabaseError:
        return None


def _around(engine: Engine, first: int, last: int, unreadable: list[tuple[int, int]]) -> Iterator[_Row]:
    """Yield what can be read of a range, halving it where it cannot."""
    left = [(first, last)]
    while left:
        low, high = left.pop()
        try:
            with engine.connect() as connection:
                page = connection.execute(
                    select(*_COLUMNS).where(FACT.c.id.between(low, high)).order_by(FACT.c.id)
                ).all()
        except DatabaseError:
            if low < high and len(unreadable) < limits.LEDGER_LOST_RANGES:
                middle = (low + high) // 2
                left += [(middle + 1, high), (low, middle)]
            elif unreadable and unreadable[-1][1] + 1 == low:
                unreadable[-1] = (unreadable[-1][0], high)
            else:
                unreadable.append((low, high))
        else:
            yield from page
