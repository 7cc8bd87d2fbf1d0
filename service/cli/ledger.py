"""`threenines import` and `threenines statement`: history in, results out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import emit, is_json, say
from service.cli.sealing import sealer
from service.core.errors import ConfigurationError

if TYPE_CHECKING:
    from service.sealing import Sealer

_BREACHED = 1


def import_spans(
    file: Annotated[Path, typer.Argument(help="CSV: gpu,rack,tray,health,cause,from,to[,recorded].")],
    ledger: Annotated[str, typer.Option(help="Ledger URL.")],
    gpus_per_tray: Annotated[int, typer.Option(min=1, max=16)] = 4,
    contract: Annotated[Path | None, typer.Option(help="Contract: GPUs where it leases nothing are unknown.")] = None,
    seals: Annotated[Path | None, typer.Option(help="Seal what was imported, and export seals to here.")] = None,
    seal_key: Annotated[Path | None, typer.Option(help="Ed25519 private key (PEM) that signs the seals.")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Take history from elsewhere into a ledger; running it twice changes nothing.

    Every rejected line is listed with its reason; exit status 1 when there is one. Times are ISO
    8601 UTC, health is up, degraded, down or unknown. `recorded` is optional: when somebody else
    recorded the span; it counts for --as-of, and is marked as theirs.

    Example: threenines import spans.csv --ledger sqlite:///history.db
    """
    from service import backfill
    from service.clock import SystemClock
    from service.ledger.store import SqlLedger

    as_json = is_json(output)
    places = None if contract is None else _places(contract)
    book, clock = SqlLedger(ledger), SystemClock()
    try:
        tell = (lambda count: say(f"{count} spans")) if sys.stderr.isatty() else (lambda _: None)
        report = backfill.run(file, book, clock.now_ms(), gpus_per_tray, tell, places)
        if seals is not None or seal_key is not None:
            _sealed(sealer(book, clock, seals, seal_key))
    finally:
        book.close()
    if as_json:
        rejected = [{"line": one.line, "reason": one.reason} for one in report.rejected]
        emit({"taken": report.taken, "known": report.known, "rejected": rejected})
    else:
        for one in report.rejected:
            print(f"{file}:{one.line}: {one.reason}")
        print(f"{report.taken} taken, {report.known} known already, {len(report.rejected)} rejected")
    raise typer.Exit(_BREACHED if report.rejected else 0)


def _places(contract: Path) -> set[tuple[str, int]]:
    from service.contracts import load

    terms = load(contract)
    leases = [lease for tenant in terms.tenants for lease in tenant.leases]
    return {(place.rack, place.tray) for lease in leases for place in terms.expand(lease)}


def _sealed(sealer: "Sealer") -> None:
    day = sealer.due()
    made = sealer.seal(day) if day is not None else None
    say(f"sealed {made.day}: {made.digest}" if made else "the last whole day is sealed already; the next seal has it")


def statement(
    contract: Annotated[Path, typer.Option(help="Contract file.")],
    ledger: Annotated[str, typer.Option(help="Ledger URL; may belong to a running service.")],
    tenant: Annotated[str, typer.Option(help="Tenant id.")],
    month: Annotated[str, typer.Option(help="Calendar month of the contract's zone, YYYY-MM.")],
    up_to: Annotated[str | None, typer.Option(help="Count a running month only up to here (UTC).")] = None,
    as_of: Annotated[str | None, typer.Option(help="As the ledger was at this instant (UTC).")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Print a tenant's result for a month; exit status 1 when a target is missed or undetermined.

    Example: threenines statement --contract c.yaml --ledger sqlite:///t.db --tenant reflection --month 2026-07 -o json
    """
    from service.contracts import load
    from service.core.cut import cut_json
    from service.core.periods import parse_utc
    from service.ledger.store import SqlLedger
    from service.projection import history_of
    from service.statement import draw

    as_json = is_json(output)
    terms = load(contract)
    try:
        party = terms.tenant(tenant)
    except KeyError as error:
        known = ", ".join(one.id for one in terms.tenants)
        raise ConfigurationError(f"no tenant {tenant!r} in {contract}; there are {known}") from error
    book = SqlLedger(ledger, read_only=True)
    try:
        cut = None if as_of is None else book.cut(parse_utc(as_of))
        drawn = draw(terms, history_of(book, cut), party, month, up_to_ms=parse_utc(up_to) if up_to else None)
        if cut is not None:
            drawn["cut"] = cut_json(cut)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    finally:
        book.close()
    if as_json:
        emit(drawn)
    else:
        _table(drawn)
    met = all(one["met"] is True for one in drawn["objectives"])
    raise typer.Exit(0 if met else _BREACHED)


def _table(drawn: dict) -> None:  # type: ignore[type-arg]
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{drawn['tenant']} {drawn['period']['from']} to {drawn['period']['to']}")
    for name in ("objective", "target", "lo", "hi", "settled", "met", "down GPU-h", "unknown GPU-h", "credit"):
        table.add_column(name)
    for one in drawn["objectives"]:
        bounds = one["availability"] or dict.fromkeys(("lo", "hi", "settled"), "-")
        credit = one["credit"]
        table.add_row(
            one["objective"]["name"],
            one["objective"]["target"],
            *(str(bounds[name])[:10] for name in ("lo", "hi", "settled")),
            {True: "yes", False: "NO", None: "open"}[one["met"]],
            f"{one['down_ms'] / 3_600_000:.2f}",
            f"{one['unknown_ms'] / 3_600_000:.2f}",
            f"{credit['amount']} {credit['currency']}",
        )
    Console().print(table)
