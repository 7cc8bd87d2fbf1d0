"""`threenines doctor`: can an agent work here? Each check with its mend."""

import os
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import emit, is_json
from service.core.errors import ThreeninesError

_UNWELL = 1
_BINDINGS = (13, 580)
_FREE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One check's outcome: what was looked at, whether it is fine, what was seen, how to mend it."""

    name: str
    ok: bool
    seen: str
    mend: str = ""


def doctor(
    spool: Annotated[Path, typer.Option(help="Directory of the spool.")] = Path("/var/lib/threenines/spool"),
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Check driver, library, permissions, clock and disk; exit status 1 when something is wrong.

    Example: threenines doctor --spool ./spool
    """
    as_json = is_json(output)
    checks = [run() for run in (_bindings, _driver, _kernel_log, _clock, lambda: _disk(spool))]
    if as_json:
        emit([{"name": one.name, "ok": one.ok, "seen": one.seen, "mend": one.mend} for one in checks])
    else:
        for one in checks:
            print(f"{'✓' if one.ok else '✗'} {one.name}: {one.seen}" + ("" if one.ok else f"\n    {one.mend}"))
    raise typer.Exit(0 if all(one.ok for one in checks) else _UNWELL)


def _bindings() -> Check:
    found = version("nvidia-ml-py")
    new_enough = tuple(int(part) for part in found.split(".")[:2]) >= _BINDINGS
    return Check("bindings", ok=new_enough, seen=f"nvidia-ml-py {found}", mend="install nvidia-ml-py 13.580 or newer")


def _driver() -> Check:
    from collectors.nvml import NvmlDevice

    device = NvmlDevice()
    try:
        inventory = device.open()
    except ThreeninesError as error:
        return Check(
            "driver", ok=False, seen=str(error), mend="without a driver: threenines demo, or agent --mock quiet"
        )
    device.close()
    return Check("driver", ok=True, seen=f"{inventory.driver_version}, {len(inventory.gpus)} GPUs")


def _kernel_log() -> Check:
    readable = os.access("/dev/kmsg", os.R_OK)
    mend = "give the agent CAP_SYSLOG; NVLink details and some falls off the bus are told there alone"
    return Check("kernel log", ok=readable, seen="readable" if readable else "not readable", mend=mend)


def _clock() -> Check:
    synchronised = Path("/run/systemd/timesync/synchronized").exists() or shutil.which("chronyc") is not None
    seen = "a time service is there" if synchronised else "no time service seen (systemd-timesyncd or chrony)"
    return Check("clock", ok=synchronised, seen=seen, mend="install chrony; a clock off by seconds is quarantined")


def _disk(spool: Path) -> Check:
    where = spool
    while not where.exists() and where != where.parent:
        where = where.parent
    free = shutil.disk_usage(where).free
    writable = os.access(where, os.W_OK)
    ok = writable and free >= _FREE_BYTES
    seen = f"{where}: {free // 2**20} MiB free, {'writable' if writable else 'not writable'}"
    return Check("spool disk", ok=ok, seen=seen, mend=f"make {spool} writable with 512 MiB free, or choose --spool")
