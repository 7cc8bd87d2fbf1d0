"""`threenines verify`: does the ledger still hold what was sealed, and do its statements follow from it?"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import emit, is_json
from service.core.errors import LedgerError

if TYPE_CHECKING:
    from service.core.ports import Ledger
    from service.verify import Report

_BROKEN = 1


def verify(
    ledger: Annotated[str, typer.Option(help="Ledger URL; may belong to a running service.")],
    seals: Annotated[Path | None, typer.Option(help="Directory of exported seals, best from elsewhere.")] = None,
    public_key: Annotated[Path | None, typer.Option(help="Ed25519 public key (PEM) that must have signed.")] = None,
    contract: Annotated[Path | None, typer.Option(help="Contract file: statements are drawn again by it.")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Recompute chains, seals and statements; exit status 1 when something does not fit, named first row first.

    Without --seals the ledger's own seals are used: they show accidents, not a landlord who
    rewrote the ledger and sealed it anew. A damaged ledger: stop the service, keep the file,
    put a backup of it (`threenines backup`) in its place, `serve --restored`; agents send again
    what they still keep. `verify` the backup against the same seals: it names what is missing.

    Example: threenines verify --ledger sqlite:///threenines.db --seals /mnt/notary --public-key seal.pub
    """
    as_json = is_json(output)
    report = _report(ledger, seals, public_key, contract)
    if as_json:
        emit({"ok": not report.findings, "first": _first(report), **asdict(report)})
    else:
        _print(report)
    raise typer.Exit(_BROKEN if report.findings else 0)


def _report(url: str, seals: Path | None, public_key: Path | None, contract: Path | None) -> "Report":
    from service.contracts import load_agreement
    from service.issue import recompute
    from service.ledger.opening import path_of
    from service.ledger.seal_files import load as load_seals
    from service.ledger.signing import Verifier
    from service.ledger.store import SqlLedger
    from service.verify import Finding, Report, verify

    exported = None if seals is None else load_seals(seals)
    judge = None if public_key is None else Verifier.load(public_key).fault_of
    terms = None if contract is None else load_agreement((contract,))
    path = path_of(url)
    book: Ledger | None = None
    try:
        book = SqlLedger(url, read_only=True)
        return verify(book, exported, judge, None if terms is None else recompute(terms, book))
    except LedgerError as error:
        if path is None or not path.exists():
            raise
        return Report(findings=(Finding(kind="file", text=f"{error}; nothing of it could be read"),))
    finally:
        if book is not None:
            book.close()


def _first(report: "Report") -> dict[str, object] | None:
    return asdict(report.findings[0]) if report.findings else None


def _print(report: "Report") -> None:
    for one in report.findings:
        where = "" if one.partition is None else f" partition {one.partition}"
        if one.row is not None:
            where += f" row {one.row}" if one.last_row in {None, one.row} else f" rows {one.row} to {one.last_row}"
        print(f"{one.kind}{where}{f' ({one.key})' if one.key else ''}: {one.text}")
    sealed = f"{report.seals} seals to {report.sealed_to}" if report.seals else "no seal"
    drawn = f"{report.statements} statements drawn again, {report.not_recomputed} not (give --contract)"
    print(f"{report.rows} rows in {report.partitions} partitions, {sealed}, {drawn}, {len(report.findings)} findings")
