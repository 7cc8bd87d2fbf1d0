"""Reading rows by cut: which ids can matter, which rows no longer hold, page by page."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, func, or_, select

from service.core.corrections import taken_back
from service.core.cut import Cut
from service.core.errors import LedgerError
from service.core.facts import FactKind
from service.ledger.schema import FACT

_PAGE_ROWS = 5_000
_TIPS = 200  # tips asked for at once


def last_id(connection: Connection, cut: Cut) -> int:
    """Return the greatest id within a cut, 0 for an empty one.

    Raises:
        LedgerError: If the ledger has not exactly the rows that the cut names.
    """
    found: dict[int, tuple[int, str]] = {}
    items = list(cut.items())
    for start in range(0, len(items), _TIPS):
        named = [and_(FACT.c.partition == p, FACT.c.row == row) for p, (row, _) in items[start : start + _TIPS]]
        for partition, number, digest in connection.execute(
            select(FACT.c.partition, FACT.c.id, FACT.c.hash).where(or_(*named))
        ):
            found[partition] = (number, digest)
    for partition, (row, digest) in items:
        if partition not in found or found[partition][1] != digest:
            have = "no such row" if partition not in found else "that row with another hash"
            msg = f"a cut names row {row} of partition {partition}, the ledger has {have}: run `threenines verify`"
            raise LedgerError(msg)
    return max((number for number, _ in found.values()), default=0)


def first_id_beyond(connection: Connection, cut: Cut, partitions: Sequence[int]) -> int | None:
    """Return the least id beyond a cut, None when there is none; within a partition ids rise with rows."""
    least = [
        connection.execute(
            select(FACT.c.id).where(FACT.c.partition == p, FACT.c.row == cut.get(p, (0, ""))[0] + 1)
        ).scalar()
        for p in partitions
    ]
    return min((number for number in least if number is not None), default=None)


def newest_notes(connection: Connection, cut: Cut | None) -> tuple[int, ...]:
    """Return the id of the newest note of what was open, for each partition."""
    query = select(FACT.c.partition, FACT.c.row, FACT.c.id).where(FACT.c.kind == FactKind.OPEN.value)
    newest = {
        partition: number
        for partition, row, number in connection.execute(query.order_by(FACT.c.id))
        if cut is None or row <= cut.get(partition, (0, ""))[0]
    }
    return tuple(newest.values())


def void_keys(connection: Connection, cut: Cut | None) -> frozenset[str]:
    """Return the keys that corrections within a cut took back."""
    query = select(FACT.c.partition, FACT.c.row, FACT.c.key, FACT.c.replaces).where(FACT.c.replaces.is_not(None))
    return taken_back(
        (key, replaces)
        for partition, row, key, replaces in connection.execute(query.order_by(FACT.c.id))
        if cut is None or row <= cut.get(partition, (0, ""))[0]
    )


def pages(engine: Engine, query: Select[Any], first: int, last: int | None) -> Iterator[Sequence[Any]]:
    """Yield rows by id from first to last; their first column is the id. No connection is held between pages."""
    query = query.order_by(FACT.c.id).limit(_PAGE_ROWS)
    if last is not None:
        query = query.where(FACT.c.id <= last)
    while True:
        with engine.connect() as connection:
            page = connection.execute(query.where(FACT.c.id >= first)).all()
        yield from page
        if len(page) < _PAGE_ROWS:
            return
        first = page[-1][0] + 1


def tips(connection: Connection) -> Iterator[tuple[int, int, str, int]]:
    """Yield partition, row, hash and recorded time of the last row of every partition."""
    tops = select(FACT.c.partition, func.max(FACT.c.row).label("row")).group_by(FACT.c.partition).subquery()
    on = (FACT.c.partition == tops.c.partition) & (FACT.c.row == tops.c.row)
    query = select(FACT.c.partition, FACT.c.row, FACT.c.hash, FACT.c.recorded_ms).join(tops, on)
    for partition, row, digest, recorded_ms in connection.execute(query):
        yield int(partition), int(row), str(digest), int(recorded_ms)


def tip_as_of(connection: Connection, partition: int, last: int, as_of_ms: int) -> tuple[int, str] | None:
    """Return row and hash of a partition's last row recorded by an instant; recorded time never goes back in it."""
    low, high, found = 1, last, None
    while low <= high:
        middle = (low + high) // 2
        row = connection.execute(
            select(FACT.c.recorded_ms, FACT.c.hash).where(FACT.c.partition == partition, FACT.c.row == middle)
        ).one_or_none()
        if row is None:
            msg = f"row {middle} of partition {partition} is missing: run `threenines verify`"
            raise LedgerError(msg)
        if row[0] <= as_of_ms:
            low, found = middle + 1, (middle, str(row[1]))
        else:
            high = middle - 1
    return found
