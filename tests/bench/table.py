"""What a bench returns, and how it is printed: tables on stdout, progress on stderr."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures of one bench: a row says what, then one figure a column; the last column is the budget."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """Return the table as aligned text."""
        lines = [(self.title, *self.columns), *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns) + 1)]
        printed = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        printed.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(line.rstrip() for line in printed)


def progress(text: str) -> None:
    """Tell the person who waits what is running."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lie; the largest for a share of 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
