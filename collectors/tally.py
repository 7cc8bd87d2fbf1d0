"""What must survive an agent: XID counters, and how far the kernel log was taken in.

Both in one small file beside the spool, replaced as a whole: whatever instant an agent is
killed at, the lines after the cursor are those that the counters do not hold yet.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from service.core import limits

log = structlog.get_logger(__name__)

Counts = Counter[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counters by GPU and code, when each was last seen, and the cursor in the log of a boot."""

    xids: Mapping[tuple[str, int], int] = field(default_factory=dict)
    injected: Mapping[tuple[str, int], int] = field(default_factory=dict)
    seen_ms: Mapping[tuple[str, int], int] = field(default_factory=dict)
    boot: str = ""
    cursor: int | None = None

    def cursor_of(self, boot: str) -> int | None:
        """Return the cursor in the log of this boot; another boot's log begins anew."""
        return self.cursor if boot == self.boot else None


def load(path: Path) -> Tally:
    """Return what an earlier life left; nothing when there was none or the file is damaged."""
    try:
        with path.open("rb") as file:
            kept = json.loads(file.read(limits.TALLY_BYTES))
        cursor = kept["cursor"]
        return Tally(
            xids=_rows(kept["xids"]),
            injected=_rows(kept["injected"]),
            seen_ms=_rows(kept["seen_ms"]),
            boot=str(kept["boot"]),
            cursor=None if cursor is None else int(cursor),
        )
    except FileNotFoundError:
        return Tally()
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("tally_file_damaged", path=str(path), error=str(error))
        return Tally()


def save(path: Path, tally: Tally) -> None:
    """Replace the file at once and as a whole.

    Raises:
        OSError: If the disk refuses; the old file is as it was.
    """
    kept = {
        "v": 1,
        "boot": tally.boot,
        "cursor": tally.cursor,
        "xids": _listed(tally.xids),
        "injected": _listed(tally.injected),
        "seen_ms": _listed(tally.seen_ms),
    }
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(kept, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _listed(counts: Mapping[tuple[str, int], int]) -> list[tuple[str, int, int]]:
    return [(gpu, code, count) for (gpu, code), count in sorted(counts.items())]


def _rows(rows: object) -> dict[tuple[str, int], int]:
    if not isinstance(rows, list):
        raise TypeError("rows are a list")
    return {(str(gpu), int(code)): max(int(count), 0) for gpu, code, count in rows}
