"""`threenines import`: history in."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import emit, is_json, say
from service.cli.sealing import sealer

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
