"""What a pass over a whole ledger finds: which rows fit their chain, and which do not."""

from dataclasses import dataclass

from service.core.cut import Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Rows that do not fit their chain: the first of a partition that does not, and up to which any does not.

    What follows `last` fits again, by the hash that it says was before it: a seal beyond tells
    whether that is true.
    """

    partition: int
    row: int
    last: int
    key: str | None  # None when another row, or none, is in its place
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one pass found.

    `tips` are the last rows, `broken` the first row of each partition that does not, by
    partition; `unreadable` are ranges of ids (order of recording), both ends included, that the
    database could not read; `damage` is what the database itself says of its file. Of the cuts
    that were asked about, `marks` are the recomputed hashes of their last rows, and `orders` what
    `core.seal.order_of` says of the rows that each adds to the one before.
    """

    rows: int
    tips: Cut
    broken: tuple[Broken, ...]
    unreadable: tuple[tuple[int, int], ...]
    damage: tuple[str, ...]
    marks: dict[tuple[int, int], str]
    orders: tuple[str, ...]
