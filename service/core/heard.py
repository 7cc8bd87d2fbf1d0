"""What people told the ledger and nobody took back."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from service.core import limits
from service.core.facts import Fact
from service.core.model import Span
from service.core.said import Asserted, Said, said_of


@dataclass(frozen=True, slots=True)
class Heard:
    """One thing that a person said and that still stands."""

    said: Said
    from_ms: int
    to_ms: int | None

    @property
    def span(self) -> Span:
        """The valid time; what has no end lasts."""
        end_ms = self.to_ms if self.to_ms is not None else limits.LATEST_MS
        return Span(self.from_ms, max(end_ms, self.from_ms + 1))


def standing(facts: Iterable[Fact]) -> tuple[Heard, ...]:
    """Return what people said and nobody took back, in order of valid time.

    A correction takes back the fact that it names, and may itself be taken back.
    """
    by_key = {fact.key: fact for fact in facts}
    corrections: dict[str, set[str]] = defaultdict(set)
    for fact in by_key.values():
        if fact.replaces is not None:
            corrections[fact.replaces].add(fact.key)
    void: dict[str, bool] = {}
    found = [
        Heard(said_of(fact), fact.from_ms, fact.to_ms)
        for key, fact in sorted(by_key.items())
        if not _is_void(key, corrections, void)
    ]
    return tuple(sorted(found, key=lambda one: one.from_ms))


def _is_void(key: str, corrections: Mapping[str, set[str]], void: dict[str, bool]) -> bool:
    if key not in void:
        void[key] = False  # a circle of corrections cannot be recorded; it would end here
        void[key] = any(not _is_void(one, corrections, void) for one in corrections.get(key, ()))
    return void[key]


def asserted(heard: Iterable[Heard]) -> tuple[tuple[Asserted, Span], ...]:
    """Return what people say of how places were: evidence like any other."""
    return tuple((one.said, one.span) for one in heard if isinstance(one.said, Asserted))
