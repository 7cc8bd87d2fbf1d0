"""When a GPU is one to replace: what was done to it, and whether that helped. Pure; bounded.

A GPU was remedied when a reset or a reboot was asked for and it serves again without that
demand, or when its node was restarted while it failed. A remedy did not help when the GPU fails
again within a day of it. Both are judged over seven days; a failed row remap stands for ever.
Times are ms UTC on the scale of one node.
"""

from dataclasses import dataclass, replace
from enum import Enum

from service.core import limits
from service.core.xid import REMAP_FAILURE


class Reason(Enum):
    """Why somebody should look at the hardware."""

    REMAP_FAILED = "remap_failed"  # at once: a row could not be remapped
    REMEDIES_IN_VAIN = "remedies_in_vain"  # two resets or reboots did not help
    REMEDIED_OFTEN = "remedied_often"  # five remedies, whether they helped or not


@dataclass(frozen=True, slots=True)
class Remedy:
    """A reset or reboot, and whether the GPU failed again soon after it."""

    at_ms: int
    in_vain: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """What befell one GPU: its newest remedies in order, and whether it fails now.

    `demanded` says that the driver asks for a reset or a reboot.
    """

    remedies: tuple[Remedy, ...] = ()
    is_failing: bool = False
    demanded: bool = False
    remap_failed: bool = False


def failed(history: History, at_ms: int, *, code: int | None = None, demanded: bool = False) -> History:
    """Take in evidence that the GPU fails: an XID that takes it down, or a demand of the driver."""
    history = replace(history, remap_failed=history.remap_failed or code == REMAP_FAILURE)
    last = history.remedies[-1] if history.remedies else None
    if last is not None and at_ms <= last.at_ms:  # told late: it is what the remedy was for
        return history
    if last is not None and not history.is_failing and at_ms - last.at_ms < limits.REMEDY_HOLDS_MS:
        history = replace(history, remedies=(*history.remedies[:-1], replace(last, in_vain=True)))
    return replace(history, is_failing=True, demanded=history.demanded or demanded)


def served(history: History, at_ms: int, *, is_open: bool) -> History:
    """Take in a poll that found the GPU serving without a demand; `is_open` while an incident says that it fails."""
    if history.demanded:
        return _remedied(history, at_ms)
    return history if is_open or not history.is_failing else replace(history, is_failing=False)


def rebooted(history: History, at_ms: int) -> History:
    """Take in that the node was restarted; only for a GPU that failed this is a remedy."""
    return _remedied(history, at_ms) if history.is_failing else history


def _remedied(history: History, at_ms: int) -> History:
    remedies = (*history.remedies, Remedy(at_ms))[-limits.REMEDIES_KEPT :]
    return replace(history, remedies=remedies, is_failing=False, demanded=False)


def reasons(history: History, now_ms: int) -> frozenset[Reason]:
    """Return why the GPU is one to replace or to review, empty when it is not."""
    late = [one for one in history.remedies if now_ms - limits.ESCALATION_MS < one.at_ms <= now_ms]
    found = {
        Reason.REMAP_FAILED: history.remap_failed,
        Reason.REMEDIES_IN_VAIN: sum(one.in_vain for one in late) >= limits.REMEDIES_IN_VAIN,
        Reason.REMEDIED_OFTEN: len(late) >= limits.REMEDIES_OFTEN,
    }
    return frozenset(reason for reason, holds in found.items() if holds)
