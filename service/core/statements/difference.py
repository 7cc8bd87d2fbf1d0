"""What differs between two documents, exactly: applied to the first it gives the second.

A change is `{"path", "was", "is"}`; without `was` the value is new, without `is` it is gone. Lists
that grew or shrank change by one splice `{"path", "at", "removed", "added"}`; in lists as long as
before each item is compared with the one in its place. Paths are JSON pointers (RFC 6901).
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

Change = dict[str, Any]


def difference(was: Any, now: Any, path: str = "") -> list[Change]:  # noqa: ANN401 -- any JSON value
    """Return what must change in one JSON value to make it another, in order of path."""
    return list(_changes(was, now, path))


def _changes(was: Any, now: Any, path: str) -> Iterator[Change]:  # noqa: ANN401
    if isinstance(was, dict) and isinstance(now, dict):
        yield from _of_objects(was, now, path)
    elif isinstance(was, list) and isinstance(now, list):
        yield from _of_lists(was, now, path)
    elif not same(was, now):
        yield {"path": path, "was": was, "is": now}


def same(was: Any, now: Any) -> bool:  # noqa: ANN401
    """Return whether two JSON values are spelt alike: 1 is neither true nor 1.0."""
    if type(was) is not type(now):
        return False
    if isinstance(was, dict):
        return was.keys() == now.keys() and all(same(was[key], now[key]) for key in was)
    if isinstance(was, list):
        return len(was) == len(now) and all(map(same, was, now))
    return bool(was == now)


def _of_objects(was: dict[str, Any], now: dict[str, Any], path: str) -> Iterator[Change]:
    for key in sorted({*was, *now}):
        at = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in was:
            yield {"path": at, "is": now[key]}
        elif key not in now:
            yield {"path": at, "was": was[key]}
        else:
            yield from _changes(was[key], now[key], at)


def _of_lists(was: Sequence[Any], now: Sequence[Any], path: str) -> Iterator[Change]:
    if len(was) == len(now):
        for index, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from _changes(one, other, f"{path}/{index}")
        return
    shorter = min(len(was), len(now))
    head = next((at for at in range(shorter) if not same(was[at], now[at])), shorter)
    tail = next((at for at in range(shorter - head) if not same(was[-1 - at], now[-1 - at])), shorter - head)
    removed, added = list(was[head : len(was) - tail]), list(now[head : len(now) - tail])
    yield {"path": path, "at": head, "removed": removed, "added": added}


def applied(was: Any, changes: Sequence[Change]) -> Any:  # noqa: ANN401
    """Return a JSON value with changes made.

    Raises:
        ValueError: If a change does not fit: it is of another document.
    """
    made = [deepcopy(was)]  # so that the whole has a place in which it can be replaced
    for change in changes:
        try:
            _apply(made, change)
        except (KeyError, IndexError, TypeError) as error:
            msg = f"the change at {change.get('path')!r} does not fit"
            raise ValueError(msg) from error
    return made[0]


def _apply(root: list[Any], change: Change) -> None:
    pointer: list[str] = ["0", *change["path"].split("/")[1:]]
    holder: Any = root
    for part in pointer[:-1]:
        holder = holder[_key(holder, part)]
    key = _key(holder, pointer[-1])
    if "at" in change:
        end = change["at"] + len(change["removed"])
        _expect(holder[key][change["at"] : end], change["removed"])
        holder[key][change["at"] : end] = deepcopy(change["added"])
        return
    if "was" in change:
        _expect(holder[key], change["was"])
    if "is" in change:
        holder[key] = deepcopy(change["is"])
    else:
        del holder[key]


def _key(holder: Any, part: str) -> str | int:  # noqa: ANN401
    return int(part) if isinstance(holder, list) else part.replace("~1", "/").replace("~0", "~")


def _expect(found: Any, expected: Any) -> None:  # noqa: ANN401
    if not same(found, expected):
        raise KeyError(expected)
