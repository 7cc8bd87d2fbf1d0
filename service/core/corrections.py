"""Which facts still stand: a correction takes back the fact it names, another gives it back."""

from collections.abc import Iterable


def taken_back(corrections: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the keys that do not hold, corrections taken back among them.

    Args:
        corrections: (key of the correction, key that it replaces), in order of recording; a
            correction can only name what was recorded before it.
    """
    void: set[str] = set()
    for key, replaced in reversed(list(corrections)):
        if key not in void:
            void.add(replaced)
    return frozenset(void)
