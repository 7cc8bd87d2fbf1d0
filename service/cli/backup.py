"""`threenines backup`: a checked copy of a ledger while the service runs."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import emit, is_json

_BROKEN = 1


def backup(
    ledger: Annotated[str, typer.Option(help="Ledger URL; may belong to a running service.")],
    to: Annotated[Path, typer.Option(help="File to write; must not be there yet.")],
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Copy a ledger, of one instant, and verify the copy's chain; exit status 1 when that is broken.

    To restore: stop the service, move the damaged file and its -wal and -shm away, copy the
    backup to the ledger's place, start the service once with --restored. Agents send again what
    no receipt covered; what receipts covered comes from the backup, and what was recorded after
    it stays unknown.

    Example: threenines backup --ledger sqlite:///threenines.db --to /mnt/backup/2026-07-01.db
    """
    from service.ledger.backup import backup as copy

    as_json = is_json(output)
    found = copy(ledger, to)
    broken = [f"partition {one.partition} row {one.row}: {one.text}" for one in found.broken]
    broken += [f"rows {first} to {last} cannot be read" for first, last in found.unreadable]
    broken += found.damage
    if as_json:
        emit({"file": str(to), "rows": found.rows, "bytes": to.stat().st_size, "broken": broken})
    else:
        for text in broken:
            print(text)
        print(f"{to}: {found.rows} rows, {to.stat().st_size} bytes, {len(broken)} findings")
    raise typer.Exit(_BROKEN if broken else 0)
