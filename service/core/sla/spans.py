"""Sets of time as sorted, disjoint spans."""

from collections.abc import Iterable, Sequence

from service.core.model import Span

Spans = tuple[Span, ...]


def union(spans: Iterable[Span]) -> Spans:
    """Return the spans as a set: sorted, and touching or overlapping ones joined."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.from_ms <= found[-1].to_ms:
            found[-1] = Span(found[-1].from_ms, max(found[-1].to_ms, span.to_ms))
        else:
            found.append(span)
    return tuple(found)


def intersect(one: Sequence[Span], two: Sequence[Span]) -> Spans:
    """Return the time that is in both sets."""
    found = []
    left, right = 0, 0
    while left < len(one) and right < len(two):
        common = one[left].clip(two[right])
        if common is not None:
            found.append(common)
        if one[left].to_ms <= two[right].to_ms:
            left += 1
        else:
            right += 1
    return tuple(found)


def subtract(one: Sequence[Span], two: Sequence[Span]) -> Spans:
    """Return the time of the first set that is not in the second."""
    found = []
    for span in one:
        cursor = span.from_ms
        for other in two:
            if other.to_ms <= cursor or other.from_ms >= span.to_ms:
                continue
            if other.from_ms > cursor:
                found.append(Span(cursor, other.from_ms))
            cursor = max(cursor, other.to_ms)
        if cursor < span.to_ms:
            found.append(Span(cursor, span.to_ms))
    return tuple(found)


def length(spans: Iterable[Span]) -> int:
    """Return how long a set is, in ms."""
    return sum(span.length_ms for span in spans)


def first(spans: Sequence[Span], limit_ms: int) -> Spans:
    """Return the first so many ms of a set."""
    found = []
    for span in spans:
        if limit_ms <= 0:
            break
        to_ms = min(span.to_ms, span.from_ms + limit_ms)
        found.append(Span(span.from_ms, to_ms))
        limit_ms -= to_ms - span.from_ms
    return tuple(found)
