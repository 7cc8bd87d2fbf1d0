"""What a pass over a whole ledger finds: which rows fit their chain, and which do not."""

from dataclasses import dataclass

from service.core.cut import Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A row that does not fit its chain: the first of its partition that does not."""

    partition: int
    row: int
    key: str | None  # None when another row, or none, is in its place
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one pass found.

    `tips` are the last rows that fit, `broken` the first row of each partition that does not, by
    partition; `unreadable` are ranges of ids (order of recording), both ends included, that the
    database could not read; `damage` is what the database itself says of its file; `marks` are
    the hashes, recomputed, of the rows that were asked for.
    """

    rows: int
    tips: Cut
    broken: tuple[Broken, ...]
    unreadable: tuple[tuple[int, int], ...]
    damage: tuple[str, ...]
    marks: dict[tuple[int, int], str]
