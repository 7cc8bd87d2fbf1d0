"""Kernel log records to what they say of a GPU: bytes in, notices or a reason why not out.

A record of /dev/kmsg is `priority,sequence,microseconds,flags[,…];message`, control characters
escaped, followed by lines that begin with a space. Only what the kernel itself wrote is
believed, and only where a line begins: a process may be named like a fault, and whoever may
write to the log may write anything.
"""

import re
from dataclasses import dataclass, replace

from service.core import limits
from service.core.nvlink_xid import NvlinkDetail
from service.core.nvlink_xid import parse as parse_nvlink
from service.core.xid import NVLINK, RECOVERY_ACTION_CHANGED

Address = tuple[int, int, int]  # PCI domain, bus and device

UNKNOWN_ACTION = 255  # a recovery action that is named in words nobody knows

_HEADER = re.compile(rb"^(\d{1,4}),(\d{1,19}),(\d{1,19}),[^;]{0,200};")
_ADDRESS = r"(?:PCI:)?([0-9a-fA-F]{1,8}):([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})(?:\.[0-7])?"
_XID = re.compile(rf"NVRM: Xid \({_ADDRESS}(?: [^)]{{0,32}})?\): (\d{{1,20}})(?:,\s*|\s*$)")
_BUS_ID = re.compile(rf"^{_ADDRESS}$")
_NAMED = re.compile(rf"NVRM:.{{0,80}}?\b{_ADDRESS}\b")
_FALLEN = "fallen off the bus"
_ACTION = re.compile(r"action changed.{0,80}?\bto 0x([0-9a-fA-F]{1,8})\b")
_ACTION_WORDS = {
    "None": 0,
    "GPU Reset Required": 1,
    "Node Reboot Required": 2,
    "Drain P2P": 3,
    "Drain and Reset": 4,
}
_FACILITY_KERNEL = 0
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is not believed; `reason` is one of a few words, fit for counting."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Where a record stands in the log: a number and a time of the kernel's own clock."""

    seq: int
    at_us: int
    kernel: bool  # written by the kernel itself, not by a process


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a line says of the GPU at an address.

    `code` is None for a GPU that fell off the bus without an XID. `action` is what XID 154
    names, as field 230 would give it.
    """

    address: Address
    code: int | None
    detail: NvlinkDetail | None = None
    action: int | None = None
    text: str = ""


def parse_address(bus_id: str) -> Address | None:
    """Return a PCI bus id as numbers, whatever the width of its domain and the case of its digits."""
    found = _BUS_ID.match(bus_id.strip())
    return _address(found.groups()) if found else None


def parse_header(record: bytes) -> tuple[Header, bytes] | None:
    """Return the header of a record and its message, or None when it has no header."""
    found = _HEADER.match(record)
    if found is None:
        return None
    priority, seq, at_us = (int(number) for number in found.groups())
    header = Header(seq=seq, at_us=at_us, kernel=priority >> 3 == _FACILITY_KERNEL)
    return header, record[found.end() :]


def parse_message(message: bytes) -> Notice | Rejected | None:
    """Return what a message says of a GPU; None when it says nothing of one."""
    text = _ESCAPE.sub(_unescaped, message[: limits.KERNEL_LINE_BYTES].decode("ascii", "replace"))
    if not text.startswith("NVRM:"):
        return None
    found = _XID.match(text)
    if found is not None:
        *address, code = found.groups()
        return _xid(_address(address), int(code), text[found.end() :], shown(text))
    if text.startswith("NVRM: Xid"):
        return Rejected("malformed")
    if _FALLEN not in text:
        return None
    named = _NAMED.match(text)
    if named is None:
        return Rejected("no_address")
    return Notice(address=_address(named.groups()), code=None, text=shown(text))


def parse_named(message: bytes) -> Address | None:
    """Return the address of a line that names a GPU and nothing else, as before a fall off the bus."""
    text = message[: limits.KERNEL_LINE_BYTES].decode("ascii", "replace")
    found = re.match(rf"NVRM: The NVIDIA GPU {_ADDRESS}", text)
    return _address(found.groups()) if found else None


def parse_action(text: str) -> int | None:
    """Return the recovery action that an XID 154 names, None when it names none."""
    found = _ACTION.search(text)
    if found is not None:
        return int(found[1], 16)
    for words, action in _ACTION_WORDS.items():
        if text.rstrip(" )").endswith(words):
            return action
    return UNKNOWN_ACTION if text.strip() else None


def fallen(address: Address, message: bytes) -> Notice:
    """Return the notice of a fall off the bus whose address stood in the line before."""
    return Notice(address=address, code=None, text=shown(message.decode("ascii", "replace")))


def shown(text: str) -> str:
    """Return a line fit for keeping: printable and short."""
    return _UNPRINTABLE.sub("?", text)[: limits.REASON_LENGTH * 2]


def same(notice: Notice) -> Notice:
    """Return the notice without its words: what two equal lines share."""
    return replace(notice, text="")


def _xid(address: Address, code: int, tail: str, text: str) -> Notice | Rejected:
    if not 0 < code <= limits.XID_MAX:
        return Rejected("absurd_code")
    detail = parse_nvlink(code, tail) if code in NVLINK else None
    action = parse_action(tail) if code == RECOVERY_ACTION_CHANGED else None
    return Notice(address=address, code=code, detail=detail, action=action, text=text)


def _address(groups: tuple[str, ...] | list[str]) -> Address:
    domain, bus, device = (int(group, 16) for group in groups)
    return domain, bus, device


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))
