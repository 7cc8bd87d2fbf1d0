"""Versions of a contract over time: which terms were in force when.

An amended contract never changes how the past was computed: a period is computed under the
version in force at its start. Where a version changes within a period, the period is cut there
and each part is a period of its own, under its own terms, with its own budget; an outage across
the cut stays one incident for the minimum-outage filter of either part.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service.core import limits
from service.core.contract.site import Contract
from service.core.model import Span


@dataclass(frozen=True, slots=True)
class Agreement:
    """Versions of one contract, oldest first, none overlapping another."""

    versions: tuple[Contract, ...]

    @classmethod
    def of(cls, versions: Sequence[Contract]) -> Self:
        """Return the agreement that versions make, in any order.

        Raises:
            ValueError: If they are of different contracts or sites, overlap, or supersede what is not there.
        """
        ordered = tuple(sorted(versions, key=_begin))
        if len({(one.id, one.site) for one in ordered}) != 1:
            msg = "versions of one contract share its id and site"
            raise ValueError(msg)
        numbers = [one.version for one in ordered]
        for one in ordered:
            if one.supersedes is not None and one.supersedes not in numbers and len(ordered) > 1:
                msg = f"version {one.version} supersedes version {one.supersedes}, which is not there"
                raise ValueError(msg)
        for earlier, later in itertools.pairwise(ordered):
            _check_pair(earlier, later)
        return cls(ordered)

    @property
    def newest(self) -> Contract:
        """The version that came into force last."""
        return self.versions[-1]

    def in_force(self, period: Span) -> tuple[tuple[Span, Contract], ...]:
        """Return the parts of a period with the version in force in each; time without one is left out."""
        parts = []
        for one, ends_ms in zip(self.versions, self._ends(), strict=True):
            part = Span(_begin(one), ends_ms).clip(period)
            if part is not None:
                parts.append((part, one))
        return tuple(parts)

    def at(self, at_ms: int) -> Contract | None:
        """Return the version in force at an instant."""
        parts = self.in_force(Span(at_ms, at_ms + 1))
        return parts[0][1] if parts else None

    def _ends(self) -> list[int]:
        nexts = [_begin(one) for one in self.versions[1:]] + [limits.LATEST_MS]
        return [one.effective_to or begins for one, begins in zip(self.versions, nexts, strict=True)]


def _begin(contract: Contract) -> int:
    return contract.effective_from if contract.effective_from is not None else limits.EARLIEST_MS


def _check_pair(earlier: Contract, later: Contract) -> None:
    if _begin(earlier) == _begin(later) or (earlier.effective_to or 0) > _begin(later):
        msg = f"versions {earlier.version} and {later.version} overlap: one ends where the next begins"
        raise ValueError(msg)
    if earlier.version >= later.version:
        msg = f"version {later.version} comes into force after version {earlier.version}: numbers must grow with time"
        raise ValueError(msg)
