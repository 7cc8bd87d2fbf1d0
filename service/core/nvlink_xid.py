"""XIDs 144 to 150: what the kernel line says beyond the number, and what follows from it.

The key is (XID, unit code, error status); of a link that went down the reason replaces the
status. Text in, an outcome out; a line that no row knows follows the fallback order: promoted
bit, then the line's own word Fatal, else unknown. The driver's recovery action stands above
all of it and is judged elsewhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

_DETAIL = re.compile(
    r"(?:^|[\s,])([A-Z][A-Z0-9_]{1,31})\s+(Fatal|Nonfatal)(?:\s+XC(\d))?(?:\s+i(\d))?\s+Link\s+(-?\d{1,3})"
    r"\s*\(\s*0x([0-9a-fA-F]{1,8})((?:\s+0x[0-9a-fA-F]{1,8}){0,7})\s*\)\s*$"
)
_UNIT_BITS_SINCE = 575  # the driver branch that moved the unit code to the lowest bits
_LINK_DOWN = 0x11


class Outcome(Enum):
    """What a decoded line asks for."""

    RESET = "reset"
    ACTION = "action"  # follow the driver's recovery action; without one the application restarts
    IGNORE = "ignore"  # count and trend
    UNKNOWN = "unknown"  # nobody knows: the GPU stays in service, with a warning


@dataclass(frozen=True, slots=True, kw_only=True)
class NvlinkDetail:
    """What the kernel line of an NVLink XID carries beside its number."""

    xid: int
    sub_unit: str
    fatal: bool
    cross_contained: bool = False
    injected: bool = False  # a test of somebody's, not a fault
    link: int | None = None  # None when it is not tied to one link
    info: int = 0  # IntrInfo
    status: int | None = None  # ErrorStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a line means; `known` is False when no row fitted and the fallback order decided."""

    outcome: Outcome
    known: bool
    promoted: bool
    reason: int | None = None  # why a link went down


@dataclass(frozen=True, slots=True)
class Unit:
    """The rows of one sub-unit; `always` decides when the status does not matter."""

    xid: int
    code: int
    names: tuple[str, ...]
    reset: frozenset[int] = frozenset()
    action: frozenset[int] = frozenset()
    ignore: frozenset[int] = frozenset()
    promoted_reset: frozenset[int] = frozenset()  # a second rule for the same status
    always: Outcome | None = None
    outcomes: Mapping[int, Outcome] = field(init=False)

    def __post_init__(self) -> None:
        """Lay the sets out as one table by status."""
        table = dict.fromkeys(self.reset, Outcome.RESET) | dict.fromkeys(self.action, Outcome.ACTION)
        object.__setattr__(self, "outcomes", table | dict.fromkeys(self.ignore, Outcome.IGNORE))


def _bits(*values: int) -> frozenset[int]:
    return frozenset(values)


_TOP = 0x80000000
_PIPE_RESET, _PIPE_IGNORE = _bits(0x4), _bits(0x1, 0x2, _TOP)
_LINK_DOWN_IGNORE = _bits(0x26, 0x28)
_LINK_DOWN_RESET = _bits(
    *(0x00, 0x01, 0x02, 0x04, 0x0A, 0x0F, 0x10, 0x11, 0x12, 0x15, 0x16),
    *(0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x2A, 0x2B),
)
PEER_REASONS = _bits(0x20, 0x21, 0x22, 0x23, 0x24, 0x25)  # the fault is at the other end of the link

UNITS: tuple[Unit, ...] = (
    Unit(144, 0x01, ("SAW_MVB",), reset=_bits(0x2, 0x10), ignore=_bits(0x1, 0x4, 0x8, 0x20)),
    Unit(145, 0x03, ("RLW_CTRL",), ignore=_bits(_TOP)),
    Unit(
        145,
        0x04,
        ("RLW_REMAP",),
        reset=_bits(0x40, 0x80),
        action=_bits(0x1, 0x2, 0x4, 0x8, 0x10, 0x20),
        ignore=_bits(0x100, 0x200, _TOP),
    ),
    Unit(145, 0x05, ("RLW_RSPCOL",), reset=_bits(0x2), ignore=_bits(0x1, _TOP)),
    Unit(
        145,
        0x06,
        ("RLW_RXPIPE",),
        ignore=_bits(0x1, 0x2, 0x4, 0x8, _TOP),
        promoted_reset=_bits(0x1, 0x2, 0x4),
    ),
    Unit(
        145,
        0x07,
        ("RLW_SRC_TRACK",),
        reset=_bits(0x1, 0x10, 0x20),
        action=_bits(0x4, 0x8),
        ignore=_bits(0x2, _TOP),
    ),
    Unit(145, 0x08, ("RLW_TAGSTATE",), reset=_bits(0x2, 0x20000, 0x100000), ignore=_bits(0x1, 0x10000, _TOP)),
    Unit(146, 0x09, ("TLW_CTRL",), reset=_PIPE_RESET, ignore=_PIPE_IGNORE),
    Unit(146, 0x0A, ("TLW_RX_PIPE0",), reset=_PIPE_RESET, ignore=_PIPE_IGNORE),
    Unit(146, 0x0B, ("TLW_RX_PIPE1",), reset=_PIPE_RESET, ignore=_PIPE_IGNORE),
    Unit(146, 0x0C, ("TLW_TX_PIPE0",), reset=_PIPE_RESET, ignore=_PIPE_IGNORE),
    Unit(146, 0x0D, ("TLW_TX_PIPE1",), reset=_PIPE_RESET, ignore=_PIPE_IGNORE),
    Unit(147, 0x0E, ("TREX",), ignore=_bits(0x1, _TOP)),
    Unit(148, 0x0F, ("NVLPW",), ignore=_bits(_TOP)),
    Unit(149, 0x18, ("NETIR_INT",), always=Outcome.RESET),
    Unit(149, _LINK_DOWN, ("NETIR_LINK_DOWN", "NETIR_LINK_EVT"), reset=_LINK_DOWN_RESET, ignore=_LINK_DOWN_IGNORE),
    Unit(149, 0x13, ("NETIR_BER_EVENT",), ignore=_bits(0x0, 0x1, 0x2, 0x3)),
    Unit(149, 0x14, ("NETIR_MFDE_EVENT",), reset=_bits(0x1, 0x4, 0x5, 0x7), ignore=_bits(0x3)),
    Unit(150, 0x00, ("MSE", "MSE_DEGRADED"), always=Outcome.RESET),
    Unit(150, 0x00, ("MSE_WATCHDOG",), always=Outcome.RESET),
)


def parse(xid: int, text: str) -> NvlinkDetail | None:
    """Return what the tail of a kernel line says of an NVLink XID, or None when it says nothing.

    Args:
        xid: The number, 144 to 150.
        text: What follows the number; a process id and name before the details are skipped.
    """
    found = _DETAIL.search(text)
    if found is None:
        return None
    sub_unit, severity, contained, injected, link, info, words = found.groups()
    status = words.split()
    return NvlinkDetail(
        xid=xid,
        sub_unit=sub_unit,
        fatal=severity == "Fatal",
        cross_contained=contained == "1",
        injected=injected not in {None, "0"},
        link=int(link) if int(link) >= 0 else None,
        info=int(info, 16),
        status=int(status[0], 16) if status else None,
    )


def decode(detail: NvlinkDetail, driver_version: str) -> Decoded:
    """Return what a line asks for.

    Args:
        detail: The parsed line.
        driver_version: Of the driver that wrote it, as "580.95.05"; it says where the bits are.
    """
    recent = _branch(driver_version) >= _UNIT_BITS_SINCE
    unit, recent = _unit(detail, recent=recent)
    promoted = bool(detail.info & (0x80 if recent else 0x400))
    reason = detail.info >> 20 & 0x3F if unit is not None and unit.code == _LINK_DOWN else None
    outcome = None if unit is None else _outcome(unit, detail.status if reason is None else reason, promoted=promoted)
    if outcome is None:
        return Decoded(outcome=_fallback(detail, promoted=promoted), known=False, promoted=promoted, reason=reason)
    return Decoded(outcome=outcome, known=True, promoted=promoted, reason=reason)


def _branch(driver_version: str) -> int:
    major = driver_version.partition(".")[0]
    return int(major) if major.isascii() and major.isdigit() and len(major) < 6 else _UNIT_BITS_SINCE  # noqa: PLR2004


def _unit(detail: NvlinkDetail, *, recent: bool) -> tuple[Unit | None, bool]:
    """Find the sub-unit by its code, and let its name contradict.

    The codes of the two forms overlap, so the form of the driver's branch comes first, the other
    one second, and each counts only when the name agrees; last the name alone.
    """
    for form in (recent, not recent):
        code = detail.info & 0x7F if form else detail.info >> 5 & 0x1F
        for unit in UNITS:
            if (unit.xid, unit.code) == (detail.xid, code) and detail.sub_unit in unit.names:
                return unit, form
    named = (unit for unit in UNITS if unit.xid == detail.xid and detail.sub_unit in unit.names)
    return next(named, None), recent


def _outcome(unit: Unit, status: int | None, *, promoted: bool) -> Outcome | None:
    if unit.always is not None:
        return unit.always
    if status is None:
        return None
    if promoted and status in unit.promoted_reset:
        return Outcome.RESET
    return unit.outcomes.get(status)


def _fallback(detail: NvlinkDetail, *, promoted: bool) -> Outcome:
    return Outcome.RESET if promoted or detail.fatal else Outcome.UNKNOWN
