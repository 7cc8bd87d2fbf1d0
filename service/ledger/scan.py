"""Recompute every chain in one pass: which rows do not fit, and which cannot be read at all."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, func, select

from service.core import limits
from service.core.cut import Cut
from service.core.scanned import Broken, Scan
from service.core.seal import order_of
from service.ledger.chain import GENESIS, canonical, digest
from service.ledger.opening import FAILURES
from service.ledger.rows import FACT_SELECTED, KEY, PARTITION, ROW
from service.ledger.schema import FACT

_CHUNK = 4_096
_NO_TIP = (0, "")
_MOVED = -1  # no partition: a row that an earlier cut has, after one that it has not
_DAMAGES = 20  # as many are told
_Row = Sequence[Any]
_COLUMNS = (*FACT_SELECTED, FACT.c.previous_hash, FACT.c.hash)


def scan(engine: Engine, cuts: Sequence[Cut] = ()) -> Scan:
    """Return what a pass over all rows finds.

    Args:
        engine: The ledger's database.
        cuts: Each within the next; of each its tips are recomputed, and the order of what it adds.
    """
    pass_ = _Pass(cuts)
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
        orders=tuple(map(order_of, pass_.added)),
    )


def _damage(engine: Engine) -> tuple[str, ...]:
    """Return what the database says of its own file: pages and indices that no row would show."""
    if engine.dialect.name != "sqlite":
        return ()
    try:
        with engine.connect() as connection:
            told = [str(text) for (text,) in connection.exec_driver_sql(f"PRAGMA integrity_check({_DAMAGES})")]
    except FAILURES as error:
        return (str(getattr(error, "orig", None) or error),)
    return () if told == ["ok"] else tuple(told)


class _Pass:
    def __init__(self, cuts: Sequence[Cut]) -> None:
        self.rows = 0
        self.added = [array("q") for _ in cuts]  # the partitions of the rows that each cut adds, in order
        self.tips: dict[int, tuple[int, str]] = {}
        self.broken: dict[int, Broken] = {}
        self.found: dict[tuple[int, int], str] = {}
        self._cuts, self._at = cuts, 0
        self._wanted = {(partition, row) for cut in cuts for partition, (row, _) in cut.items()}

    def take(self, row: _Row) -> None:
        self.rows += 1
        partition, number = row[PARTITION], row[ROW]
        count, last = self.tips.get(partition, (0, GENESIS))
        try:
            text = canonical(*row[1:-2])
        except (TypeError, ValueError) as error:
            self._break(partition, count + 1, count + 1, row, f"a value is of another type than its column: {error}")
            return
        if number != count + 1:
            what = f"it is missing or not in its place: row {number} comes instead"
            self._break(partition, count + 1, max(number - 1, count + 1), None, what)
            if number <= count:
                return
            last = row[-2]  # go on from what it says was before it
        made = digest(last, text)
        if row[-2] != last or row[-1] != made:
            self._break(partition, number, number, row, "its content or its hashes are not what was recorded")
            made = row[-1]
        self.tips[partition] = (number, made)
        self._place(partition, number)
        if (partition, number) in self._wanted:
            self.found[partition, number] = made

    def _place(self, partition: int, number: int) -> None:
        """Put a row to the first cut that has it: that of the row before, or a later one, unless rows moved."""
        at = self._at
        if at and number <= self._cuts[at - 1].get(partition, _NO_TIP)[0]:
            self.added[at - 1].append(_MOVED)
            return
        while at < len(self._cuts) and number > self._cuts[at].get(partition, _NO_TIP)[0]:
            at += 1
        if at < len(self._cuts):
            self.added[at].append(partition)
        self._at = at

    def _break(self, partition: int, first: int, last: int, row: _Row | None, text: str) -> None:
        known = self.broken.get(partition)
        if known is not None:
            self.broken[partition] = replace(known, last=max(known.last, last))
            return
        key = row[KEY] if row is not None else None
        self.broken[partition] = Broken(partition=partition, row=first, last=last, key=key, text=text)


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
        except FAILURES:
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
    except FAILURES:
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
        except FAILURES:
            if low < high and len(unreadable) < limits.LEDGER_LOST_RANGES:
                middle = (low + high) // 2
                left += [(middle + 1, high), (low, middle)]
            elif unreadable and unreadable[-1][1] + 1 == low:
                unreadable[-1] = (unreadable[-1][0], high)
            else:
                unreadable.append((low, high))
        else:
            yield from page
