"""`threenines scan`: what this node's driver says, read-only, once."""

import sys
from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import typer

from service.cli.options import emit, is_json

_UNHEALTHY = 1
_WIDE = 160


def scan(output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table") -> None:
    """Read every GPU once; changes nothing. Exit status 1 unless every GPU is up.

    Example: threenines scan -o json
    """
    from collectors.catalogue import spelt
    from collectors.judgement import look
    from collectors.nvml import NvmlDevice

    as_json = is_json(output)
    device = NvmlDevice()
    inventory = device.open()
    try:
        readings = [device.read(gpu.uuid) for gpu in inventory.gpus]
    finally:
        device.close()
    looks = [look(reading, inventory.cuda_version) for reading in readings]
    rows = [
        {
            **asdict(gpu),
            "health": one.health.value if one.health else None,
            "cause": one.cause,
            "access": reading.access.value,
            "fabric": reading.fabric.value,
            "recovery_action": reading.recovery_action,
            "values": {spelt(key): value for key, value in reading.values.items()},
            "missing": {spelt(key): why.value for key, why in reading.missing.items()},
        }
        for gpu, reading, one in zip(inventory.gpus, readings, looks, strict=True)
    ]
    node = {name: value for name, value in asdict(inventory).items() if name not in {"gpus", "event_types"}}
    if as_json:
        emit({"node": node, "gpus": _plain(rows)})
    else:
        _table(node, rows)
    raise typer.Exit(0 if rows and all(row["health"] == "up" for row in rows) else _UNHEALTHY)


def _plain(value: Any) -> Any:  # noqa: ANN401 -- any nest of values
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.value if isinstance(value, Enum) else value


def _table(node: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    console.print(" ".join(f"{name}={value}" for name, value in node.items() if value is not None), highlight=False)
    table = Table()
    for name in ("pos", "uuid", "module", "health", "cause", "fabric", "action", "W", "°C", "load"):
        table.add_column(name)
    for row in rows:
        values = row["values"]
        table.add_row(
            str(row["position"]),
            row["uuid"],
            row["module"],
            row["health"] or "unknown",
            row["cause"] or "",
            row["fabric"],
            "-" if row["recovery_action"] is None else str(row["recovery_action"]),
            _number(values.get("power_watts")),
            _number(values.get("temperature_celsius")),
            _number(values.get("utilisation_ratio"), 2),
        )
    console.print(table)


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
