"""`threenines scan`: what this node's driver says, read-only, once."""

import sys
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import emit, is_json, say

if TYPE_CHECKING:
    from collectors.device import Device, GpuIdentity, Inventory, Reading, Survey
    from collectors.edges import Look

_UNHEALTHY = 1
_WIDE = 160
_BETWEEN_SECONDS = 0.15


def scan(
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
    capture: Annotated[
        Path | None, typer.Option(help="Also write the driver's raw answers to this file, identifiers masked.")
    ] = None,
    replay: Annotated[Path | None, typer.Option(help="Read a capture instead of this host's driver.")] = None,
    note: Annotated[str, typer.Option(help="What the captured machine is and what it is doing.")] = "",
) -> None:
    """Read every GPU once; changes nothing. Exit status 1 unless every GPU is up.

    Examples:
      threenines scan -o json
      threenines scan --capture gb300-idle.json --note "GB300 tray, idle, driver 580.173.02"
      threenines scan --replay gb300-idle.json
    """
    from collectors.judgement import look
    from collectors.nvml import NvmlDevice
    from collectors.nvml.capture import Recorder, load, save
    from collectors.nvml.library import DriverLibrary
    from collectors.nvml.replay import ReplayLibrary

    as_json = is_json(output)
    library = Recorder(DriverLibrary()) if replay is None else Recorder(ReplayLibrary(load(replay)), is_masking=False)
    device = NvmlDevice(library=library)
    inventory = device.open()
    try:
        readings, surveys = _collect(device, inventory)
    finally:
        device.close()
    if capture is not None:
        save(library.taken(note), capture)
        say(f"{capture}: captured; identifiers are masked, look it over before you pass it on")
    looks = [look(reading, inventory.cuda_version) for reading in readings]
    rows = [
        _row(gpu, one, reading, others)
        for gpu, reading, others, one in zip(inventory.gpus, readings, surveys, looks, strict=True)
    ]
    node = {name: value for name, value in asdict(inventory).items() if name not in {"gpus", "event_types"}}
    if as_json:
        emit({"node": node, "gpus": _plain(rows)})
    else:
        _table(node, rows)
    raise typer.Exit(0 if rows and all(row["health"] == "up" for row in rows) else _UNHEALTHY)


def _row(gpu: "GpuIdentity", look: "Look", reading: "Reading", surveys: "list[Survey]") -> dict[str, Any]:
    from collectors.catalogue import spelt

    said: tuple[Reading | Survey, ...] = (reading, *surveys)
    return {
        **asdict(gpu),
        "health": look.health.value if look.health else None,
        "cause": look.cause,
        "access": reading.access.value,
        "fabric": reading.fabric.value,
        "recovery_action": reading.recovery_action,
        "values": {spelt(key): value for one in said for key, value in one.values.items()},
        "missing": {spelt(key): why.value for one in said for key, why in one.missing.items()},
    }


def _collect(device: "Device", inventory: "Inventory") -> tuple[list["Reading"], list[list["Survey"]]]:
    """Return the pulse of each GPU and its other rounds; engines need a second look to compare with."""
    from collectors.catalogue import Round
    from collectors.clock import SystemClock

    rounds = [one for one in Round if one is not Round.PULSE]
    for gpu in inventory.gpus:
        device.survey(gpu.uuid, Round.STATUS)
    SystemClock().sleep(_BETWEEN_SECONDS)
    readings = [device.read(gpu.uuid) for gpu in inventory.gpus]
    return readings, [[device.survey(gpu.uuid, one) for one in rounds] for gpu in inventory.gpus]


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
