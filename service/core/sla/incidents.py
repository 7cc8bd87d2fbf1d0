"""From a unit's steps to incidents: short gaps joined, then the minimum outage on each whole incident.

Joining is done level by level of weight, so that taking unknown time as down never counts less:
the set of time at or above a level only grows, and so does the set with its short gaps closed.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.core.model import Span
from service.core.sla.spans import Spans, subtract
from service.core.sla.steps import Step, Steps, change, roll_up, total, where


@dataclass(frozen=True, slots=True)
class Incident:
    """A whole outage of a unit, across whatever periods; time whose clock stands still belongs to it."""

    steps: Steps

    @property
    def span(self) -> Span:
        """From the first ms to the last."""
        return Span(self.steps[0].from_ms, self.steps[-1].to_ms)


def joined(steps: Steps, gap_ms: int, stops: Spans, claims: Sequence[tuple[int, Spans]]) -> Steps:
    """Return steps with up time of at most `gap_ms` between two outages counted as down.

    Time for which the clock of any member stands still is never filled, and what is filled under a
    claim that touches the unit goes to that claim.

    Args:
        steps: Of a unit.
        gap_ms: Longest up time that is joined.
        stops: When the clock of a member stands still.
        claims: Rank and time of approved claims that touch the unit.
    """
    levels = sorted({step.down for step in steps if step.down})
    fills: list[Steps] = []
    for level in levels:
        down = where(steps, lambda step, at=level: step.down >= at)  # type: ignore[misc]
        gaps = [Span(a.to_ms, b.from_ms) for a, b in itertools.pairwise(down) if b.from_ms - a.to_ms <= gap_ms]
        filled = tuple(Step(gap.from_ms, gap.to_ms, level, level, level) for gap in subtract(gaps, stops))
        for rank, spans in claims:
            filled = change(filled, spans, lambda step, r=rank: _taken(step, r))  # type: ignore[misc]
        fills.append(filled)
    return roll_up([steps, *fills], lambda weights: max(weights, default=0)) if any(fills) else steps


def _taken(step: Step, rank: int) -> Step:
    return replace(step, kept=0, claim=rank) if step.kept else step


def incidents(steps: Steps) -> tuple[Incident, ...]:
    """Return the whole incidents: stretches of steps that touch."""
    found: list[list[Step]] = []
    for step in steps:
        if found and found[-1][-1].to_ms == step.from_ms:
            found[-1].append(step)
        else:
            found.append([step])
    return tuple(Incident(tuple(one)) for one in found)


def long_enough(incident: Incident, minimum_ms: int, *, remaining: bool) -> bool:
    """Return whether an incident reaches the minimum, by its down time or by what exclusions left of it."""
    lasted = total(incident.steps, lambda step: int(bool(step.kept if remaining else step.down)))
    return lasted >= minimum_ms and lasted > 0
