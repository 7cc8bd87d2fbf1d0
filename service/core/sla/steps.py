"""How much of a thing is down, as steps over time; time without a step is up.

A weight is 0 for up, 1 for down and a fraction for degraded time that a contract counts in part.
Steps are sorted, disjoint, and equal ones that touch are one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from service.core.model import Span
from service.core.sla.spans import Spans, union

Weight = int | Fraction
NO_CAUSES: frozenset[str] = frozenset()


def worst_of(weights: list[Weight]) -> Weight:
    """Return the worst weight: all members are needed."""
    return max(weights, default=0)


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of one weight.

    `raw` is what evidence says, `down` what the clocks of the contract leave of it, `kept` what
    approved exclusions leave of that. `claim` is the rank of the claim that took the difference.
    """

    from_ms: int
    to_ms: int
    raw: Weight
    down: Weight
    kept: Weight
    causes: frozenset[str] = NO_CAUSES
    claim: int | None = None

    @property
    def length_ms(self) -> int:
        """Length in ms, at least 1."""
        return self.to_ms - self.from_ms


Steps = tuple[Step, ...]
Fold = Callable[[list[Weight]], Weight]


def extend(steps: list[Step], step: Step) -> None:
    """Append a step, joining it to the last one when both touch and say the same; all-zero ones are dropped."""
    if not (step.raw or step.down):
        return
    last = steps[-1] if steps else None
    if last is not None and last.to_ms == step.from_ms and _says(last) == _says(step):
        steps[-1] = replace(last, to_ms=step.to_ms)
    else:
        steps.append(step)


def _says(step: Step) -> tuple[Weight, Weight, Weight, frozenset[str], int | None]:
    return step.raw, step.down, step.kept, step.causes, step.claim


def clip(steps: Iterable[Step], spans: Sequence[Span]) -> Steps:
    """Return the parts of steps inside a set of time."""
    found: list[Step] = []
    for step in steps:
        for span in spans:
            from_ms, to_ms = max(step.from_ms, span.from_ms), min(step.to_ms, span.to_ms)
            if (from_ms, to_ms) == (step.from_ms, step.to_ms):
                found.append(step)
            elif from_ms < to_ms:
                found.append(replace(step, from_ms=from_ms, to_ms=to_ms))
    return tuple(found)


def change(steps: Iterable[Step], spans: Sequence[Span], inside: Callable[[Step], Step]) -> Steps:
    """Return steps with those parts changed that lie inside a set of time."""
    found: list[Step] = []
    for step in steps:
        cursor = step.from_ms
        for span in spans:
            if span.to_ms <= cursor or span.from_ms >= step.to_ms:
                continue
            begin, end = max(span.from_ms, cursor), min(span.to_ms, step.to_ms)
            if begin > cursor:
                extend(found, replace(step, from_ms=cursor, to_ms=begin))
            extend(found, inside(replace(step, from_ms=begin, to_ms=end)))
            cursor = end
        if cursor < step.to_ms:
            extend(found, replace(step, from_ms=cursor))
    return tuple(found)


def where(steps: Iterable[Step], holds: Callable[[Step], object]) -> Spans:
    """Return the time of the steps for which something holds."""
    return union(Span(step.from_ms, step.to_ms) for step in steps if holds(step))


def total(steps: Iterable[Step], weight: Callable[[Step], Weight]) -> Weight:
    """Return the sum of length times weight, in ms."""
    return sum((step.length_ms * weight(step) for step in steps), start=0)


def roll_up(members: Sequence[Steps], fold: Fold) -> Steps:
    """Return how a unit was from how its members were; members without steps need not be given.

    `fold` takes the weights above 0 of those that have one. Cost: n log n in the steps.
    """
    if len(members) > 1 and fold is worst_of and all(steps == members[0] for steps in members):
        return members[0]  # whatever happened to all alike, a whole tray for example
    points = [(step.from_ms, 1, index, step) for index, steps in enumerate(members) for step in steps]
    points += [(step.to_ms, 0, index, step) for index, steps in enumerate(members) for step in steps]
    points.sort(key=lambda point: point[:3])
    active: dict[int, Step] = {}
    found: list[Step] = []
    cursor = 0
    for at_ms, begins, index, step in points:
        if active and at_ms > cursor:
            extend(found, _folded(cursor, at_ms, active.values(), fold))
        cursor = at_ms
        if begins:
            active[index] = step
        elif active.get(index) is step:
            del active[index]
    return tuple(found)


def _folded(from_ms: int, to_ms: int, active: Iterable[Step], fold: Fold) -> Step:
    steps = list(active)
    claims = [step.claim for step in steps if step.claim is not None]
    return Step(
        from_ms,
        to_ms,
        fold([step.raw for step in steps if step.raw]),
        fold([step.down for step in steps if step.down]),
        fold([step.kept for step in steps if step.kept]),
        NO_CAUSES.union(*(step.causes for step in steps)),
        min(claims, default=None),
    )
