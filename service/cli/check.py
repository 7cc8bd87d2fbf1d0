"""`threenines check FILE`: everything wrong with a contract, at once."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import emit, is_json
from service.core.errors import ConfigurationError

_WRONG = 1


def check(
    file: Annotated[Path | None, typer.Argument(help="Contract file.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of contract files.")] = False,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Check a contract file: every error at once, with line, key and what is allowed.

    `--schema` prints every key that a contract may have. What the schema knows and this version
    does not compute is refused with its key, never silently ignored.

    Example: threenines check deploy/examples/demo.yaml
    """
    from service import contracts
    from service.contracts import inspect

    as_json = is_json(output)
    if schema:
        emit(contracts.schema())
        return
    if file is None:
        raise ConfigurationError("name a contract file, or ask for --schema")
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
