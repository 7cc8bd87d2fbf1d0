"""Cuts: exactly which rows of a ledger count, whatever was appended later.

A cut names for every partition its last row and that row's hash; as each hash covers all rows
before it, a cut cannot be met by other rows. A partition that is not named counts nothing.
"""

from collections.abc import Mapping
from typing import Any

Tip = tuple[int, str]  # the number of a partition's row, 1.., and its hash
Cut = Mapping[int, Tip]


def cut_json(cut: Cut) -> dict[str, list[Any]]:
    """Return a cut as it stands in statements and seals: `{"18": [412, "9f…"]}`, partitions in order."""
    return {str(partition): list(cut[partition]) for partition in sorted(cut)}


def cut_of(value: object) -> Cut:
    """Return the cut of its JSON value.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(value, dict):
        msg = "a cut is an object of partitions"
        raise ValueError(msg)  # noqa: TRY004 -- whoever reads a file expects one kind of error
    return {int(partition): _tip(tip) for partition, tip in value.items()}


def _tip(value: object) -> Tip:
    match value:
        case [int(row), str(digest)] if row > 0:
            return row, digest
    msg = f"a tip is [row, hash], not {value!r}"
    raise ValueError(msg)
