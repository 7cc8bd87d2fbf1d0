"""What must survive an agent: XID counters, cases, and how far the kernel log was taken in.

All in one small file beside the spool, replaced as a whole: whatever instant an agent is
killed at, the lines after the cursor are those that the counters do not hold yet.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from service.core import limits
from service.core.escalation import History, Remedy

log = structlog.get_logger(__name__)

Counts = Counter[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counters by GPU and code, when each was last seen, and the cursor in the log of a boot.

    Since when power smoothing is off belongs to the boot, too; histories and the largest memory
    belong to the GPU.
    """

    xids: Mapping[tuple[str, int], int] = field(default_factory=dict)
    injected: Mapping[tuple[str, int], int] = field(default_factory=dict)
    seen_ms: Mapping[tuple[str, int], int] = field(default_factory=dict)
    boot: str = ""
    cursor: int | None = None
    smoothing_ms: Mapping[str, int] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    largest: Mapping[str, int] = field(default_factory=dict)

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
            smoothing_ms=_numbers(kept.get("smoothing_ms", {})),  # an older agent wrote none of these
            histories={str(gpu): _history(one) for gpu, one in dict(kept.get("histories", {})).items()},
            largest=_numbers(kept.get("memory_bytes", {})),
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
        "smoothing_ms": dict(tally.smoothing_ms),
        "histories": {gpu: _told(history) for gpu, history in tally.histories.items()},
        "memory_bytes": dict(tally.largest),
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


def _numbers(rows: object) -> dict[str, int]:
    if not isinstance(rows, dict):
        raise TypeError("numbers are by GPU")
    return {str(gpu): int(number) for gpu, number in rows.items()}


def _told(history: History) -> dict[str, object]:
    return {
        "remedies": [(one.at_ms, one.in_vain) for one in history.remedies],
        "is_failing": history.is_failing,
        "demanded": history.demanded,
        "remap_failed": history.remap_failed,
    }


def _history(told: dict[str, Any]) -> History:
    remedies = tuple(Remedy(int(at_ms), bool(in_vain)) for at_ms, in_vain in told["remedies"])
    return History(
        remedies=remedies[-limits.REMEDIES_KEPT :],
        is_failing=bool(told["is_failing"]),
        demanded=bool(told["demanded"]),
        remap_failed=bool(told["remap_failed"]),
    )
