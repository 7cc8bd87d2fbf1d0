"""`threenines check FILE`: everything wrong with a contract, at once."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import emit, is_json

_WRONG = 1


def check(
    file: Annotated[Path, typer.Argument(help="Contract file.")],
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Check a contract file: every error at once, with line, key and what is allowed.

    Keys: id, version, site, landlord, zone, currency, topology{trays_per_rack, gpus_per_tray},
    tenants[]{id, kind, fee{monthly_amount}, objectives[]{name, unit, target, degraded_weight,
    settle, gap_after_down, tiers[]{below, at_least, pct}}, leases[]{places[], from, to}}.

    Example: threenines check deploy/examples/demo.yaml
    """
    from service.contracts import inspect

    as_json = is_json(output)
    contract, findings = inspect(file)
    if as_json:
        emit(
            {
                "file": str(file),
                "ok": contract is not None,
                "findings": [{"line": one.line, "key": one.key, "text": one.text} for one in findings],
            }
        )
    else:
        for one in findings:
            print(f"{file}:{one.line}: {one.key}: {one.text}")
        if contract is not None:
            print(f"{file}: fine: {len(contract.tenants)} tenants, zone {contract.zone}")
    raise typer.Exit(0 if contract is not None else _WRONG)
