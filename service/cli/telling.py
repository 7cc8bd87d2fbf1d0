"""How a person's fact gets from the command line to the ledger."""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.cli.options import say, secret
from service.core.errors import ConfigurationError, LedgerError, WireError

if TYPE_CHECKING:
    from service.core.said import Telling


@dataclass(frozen=True, slots=True)
class Way:
    """How a fact reaches the ledger: written to it, or handed to the service that owns it."""

    ledger: str
    service: str
    token_file: Path | None
    ca_file: Path | None


def instant(text: str | None) -> int | None:
    """Return the ms of a UTC time.

    Raises:
        ConfigurationError: If it is misspelt or outside 2020 to 2100.
    """
    from service.core.periods import parse_utc

    try:
        return None if text is None else parse_utc(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def tell(
    said: dict[str, Any],
    way: Way,
    why: str,
    by: str | None,
    evidence: list[str] | None,
    from_: str | None = None,
    to: str | None = None,
    *,
    replaces: str | None = None,
) -> None:
    """Say something, and print its key and whether it was new.

    Args:
        said: What is said, without who, why and evidence.
        way: How it reaches the ledger.
        why: The reason.
        by: Who says it; whoever runs the command by default.
        evidence: What proves it.
        from_: From when it holds, UTC; None when it is about another fact.
        to: Until when it holds, UTC; None without an end.
        replaces: The key of the fact that a correction takes back.

    Raises:
        ConfigurationError: If something is misspelt.
        FactRefused: If it contradicts the record or the rules.
    """
    from service.core.said import decode_telling
    from service.core.telling import key_of

    who = by or getpass.getuser()
    body = said | {"by": who, "why": why, "evidence": evidence or []}
    spoken = {"said": body, "from_ms": instant(from_), "to_ms": instant(to), "replaces": replaces}
    try:
        telling = decode_telling(json.dumps(spoken).encode())
    except WireError as error:
        raise ConfigurationError(f"{said['said']}: {error}") from error
    new = _handed_over(telling, way)
    say(f"by {who}" + ("" if by else " (you; --by names another)"))
    print(f"{key_of(telling)}: {'recorded' if new else 'known already'}")


def _handed_over(telling: "Telling", way: Way) -> bool:
    """Write directly when nobody owns the ledger, else hand it to who does."""
    from service.bus.desk import HttpDesk
    from service.clock import SystemClock
    from service.desk import Desk

    with _owned(way.ledger) as book:
        if book is not None:
            return Desk(book, SystemClock()).tell(telling).new
    desk = HttpDesk(way.service, token=secret(way.token_file), ca_file=way.ca_file)
    try:
        return desk.tell(telling)
    finally:
        desk.close()


@contextmanager
def _owned(url: str) -> Iterator[Any]:
    """Yield the ledger for writing, None when a service owns it.

    Raises:
        LedgerError: If there is no such ledger: a misspelt URL makes no new one.
    """
    from service.ledger.opening import LedgerOwned, path_of
    from service.ledger.store import SqlLedger

    path = path_of(url)
    if path is None or not path.exists():
        raise LedgerError(f"{path or 'in memory'} does not exist; name the ledger of a running or stopped service")
    try:
        book = SqlLedger(url)
    except LedgerOwned:
        yield None
        return
    try:
        yield book
    finally:
        book.close()
