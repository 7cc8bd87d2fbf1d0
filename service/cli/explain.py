"""`threenines explain`: why a number is what it is, down to the rows of the ledger."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import emit, is_json
from service.cli.statement import opened
from service.core.errors import ConfigurationError


def explain(
    tenant: Annotated[str, typer.Argument(help="Tenant id.")],
    month: Annotated[str, typer.Argument(help="Calendar month of the contract's zone, YYYY-MM.")],
    contract: Annotated[Path, typer.Option(help="Contract file.")],
    ledger: Annotated[str, typer.Option(help="Ledger URL; may belong to a running service.")],
    objective: Annotated[str | None, typer.Option(help="Only this objective.")] = None,
    unit: Annotated[str | None, typer.Option(help="Only this unit and what is in it: r0001, r0001/t07.")] = None,
    as_of: Annotated[str | None, typer.Option(help="As the ledger was at this instant (UTC).")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Drill from a month's number down: objective, units, incidents, steps, and the rows that say so.

    Each step says why it counts, is excluded or does not run; each row who saw what, and since when
    it is recorded. Claims follow with who made and who decided them.

    Example: threenines explain reflection 2026-07 --contract c.yaml --ledger sqlite:///t.db --unit r0001/t07
    """
    from service.cli.telling import instant
    from service.statements.aloud import aloud
    from service.statements.explain import Asked
    from service.statements.explain import explain as told

    as_json, at_ms = is_json(output), instant(as_of)
    with opened(contract, ledger) as basis:
        try:
            cut = None if at_ms is None else basis.ledger.cut(at_ms)
            found = told(basis, Asked(tenant=tenant, month=month, objective=objective, unit=unit), cut)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
    if as_json:
        emit(found)
        return
    for line in aloud(found):
        print(line)
