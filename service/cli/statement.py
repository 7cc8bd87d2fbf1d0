"""`threenines statement`: a tenant's month, as it is known now, was known then, or was issued."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import say
from service.core.errors import ConfigurationError

if TYPE_CHECKING:
    from service.statements.basis import Basis

_BREACHED = 1
_OUTPUTS = ("table", "json", "html", "pdf", "csv")


def statement(
    contract: Annotated[Path, typer.Option(help="Contract file.")],
    ledger: Annotated[str, typer.Option(help="Ledger URL; may belong to a running service.")],
    tenant: Annotated[str, typer.Option(help="Tenant id.")],
    month: Annotated[str, typer.Option(help="Calendar month of the contract's zone, YYYY-MM.")],
    up_to: Annotated[str | None, typer.Option(help="Count a running month only up to here (UTC).")] = None,
    as_of: Annotated[str | None, typer.Option(help="As the ledger was at this instant (UTC).")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="A version that was issued, byte for byte.")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="table, json, html, pdf or csv")] = "table",
    to: Annotated[Path | None, typer.Option(help="Write to this file; stdout by default.")] = None,
) -> None:
    """Show a tenant's result for a month; exit status 1 when a target is missed or undetermined.

    Without --version the month is drawn from the ledger as it is now (or was, --as-of) and nothing
    is issued; the service issues a draft when a month is over, the final after the days of dispute,
    and a restatement when what was recorded since changes a number. JSON is canonical: the file that
    --to writes has the SHA-256 that the next version names. HTML, PDF and CSV show the JSON.

    Example: threenines statement --contract c.yaml --ledger sqlite:///t.db --tenant reflection --month 2026-07 -o json

    Example: threenines statement --contract c.yaml --ledger sqlite:///t.db --tenant reflection --month 2026-07
    --version 2 -o pdf --to july.pdf
    """
    if output not in _OUTPUTS:
        raise ConfigurationError(f"-o {output!r}: {', '.join(_OUTPUTS[:-1])} or {_OUTPUTS[-1]}")
    if version is not None and (up_to is not None or as_of is not None):
        raise ConfigurationError("--version is what was issued; --up-to and --as-of draw anew: choose one")
    if output == "table" and to is not None:
        raise ConfigurationError("--to needs -o json, html, pdf or csv: a table is for the terminal")
    gc.disable()  # one statement and the process ends: looking for garbage among all GPUs takes a third of its time
    document = _read(contract, ledger, tenant, month, _When(up_to, as_of, version))
    if output == "table":
        _table(document)
    else:
        _write(_made(document, output), to, binary=output == "pdf")
    met = all(one["met"] is True for one in document["objectives"])
    raise typer.Exit(0 if met else _BREACHED)


class _When:
    def __init__(self, up_to: str | None, as_of: str | None, version: int | None) -> None:
        from service.cli.telling import instant

        self.up_to_ms, self.as_of_ms, self.version = instant(up_to), instant(as_of), version


def _read(contract: Path, ledger: str, tenant: str, month: str, when: _When) -> dict[str, Any]:
    with opened(contract, ledger) as basis:
        try:
            if when.version is not None:
                return _issued(basis, tenant, month, when.version)
            return _drawn(basis, tenant, month, when)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error


def _issued(basis: "Basis", tenant: str, month: str, version: int) -> dict[str, Any]:
    from service.statements.issued import versions

    found = versions(basis.ledger, tenant, month)
    for one in found:
        if one.version == version:
            return one.document
    known = ", ".join(f"{one.version} ({one.status})" for one in found) or "none"
    raise ConfigurationError(f"no version {version} of {tenant} {month} was issued; there are: {known}")


def _drawn(basis: "Basis", tenant: str, month: str, when: _When) -> dict[str, Any]:
    from service.core.statements.lifecycle import Status
    from service.statements.document import Stamp, draw
    from service.statements.environment import engine_version, tzdata_version

    cut = None if when.as_of_ms is None else basis.ledger.cut(when.as_of_ms)
    stamp = Stamp(status=Status.PREVIEW, engine=engine_version(), tzdata=tzdata_version())
    return draw(basis, tenant, month, cut, stamp, up_to_ms=when.up_to_ms)


@contextmanager
def opened(contract: Path, ledger: str) -> Iterator["Basis"]:
    """Open a contract and a ledger to be read."""
    from service.contracts import load_agreement
    from service.ledger.store import SqlLedger
    from service.statements.basis import Basis

    agreement = load_agreement((contract,))
    book = SqlLedger(ledger, read_only=True)
    try:
        yield Basis(agreement=agreement, ledger=book)
    finally:
        book.close()


def _made(document: dict[str, Any], output: str) -> bytes:
    from service.core.statements.canonical import canonical

    if output == "json":
        return canonical(document).encode()
    if output == "csv":
        from service.statements.sheet import sheet

        return sheet(document).encode()
    from service.statements.html import html

    page = html(document)
    if output == "html":
        return page.encode()
    from service.statements.pdf import pdf

    return pdf(page)


def _write(data: bytes, to: Path | None, *, binary: bool) -> None:
    if to is None:
        if binary and sys.stdout.isatty():
            raise ConfigurationError("a PDF is no text for a terminal: name a file with --to")
        sys.stdout.buffer.write(data if binary or data.endswith(b"\n") else data + b"\n")
        return
    try:
        to.write_bytes(data)
    except OSError as error:
        raise ConfigurationError(f"{to}: {error.strerror}; name a file that can be written") from error
    say(f"{to}: {len(data)} bytes")


def _table(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from service.statements.words import STATUSES, VERDICTS, duration, instant, money, percent, target

    state = STATUSES[document.get("status", "draft")].lower()
    period = document["period"]
    title = f"{document['tenant']} {instant(period['from'])} to {instant(period['to'])} UTC, version"
    table = Table(title=f"{title} {document['version']} ({state})")
    for name in ("objective", "target", "lo", "hi", "settled", "met", "down", "unknown", "excluded", "credit"):
        table.add_column(name)
    for one in document["objectives"]:
        bounds = one["availability"] or dict.fromkeys(("lo", "hi", "settled"))
        table.add_row(
            one["objective"]["name"],
            target(one["objective"]["target"]),
            *(percent(bounds[name]) for name in ("lo", "hi", "settled")),
            VERDICTS[one["met"]],
            *(duration(one[name]) for name in ("down_ms", "unknown_ms", "excluded_ms")),
            f"{money(one['credit']['amount'])} {one['credit']['currency']}",
        )
    Console().print(table)
