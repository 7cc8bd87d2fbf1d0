"""`threenines agent`: watch this node's GPUs, keep the evidence, send it."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.lean import shed
from service.cli.options import address, secret
from service.core import limits
from service.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collectors.dcgm_names import DcgmNames
    from collectors.device import Device
    from collectors.web import Guard


def agent(
    to: Annotated[str, typer.Option(help="URL of the service.")],
    rack: Annotated[str, typer.Option(help="Rack that this node is in, for example r0001.", envvar="THREENINES_RACK")],
    tray: Annotated[int, typer.Option(help="Tray number from the bottom, 1..18.", envvar="THREENINES_TRAY")],
    site: Annotated[str, typer.Option(help="Site name, as in the contract.", envvar="THREENINES_SITE")] = "mem2",
    node: Annotated[str | None, typer.Option(help="Node name; default RACK-tTRAY.")] = None,
    spool: Annotated[Path, typer.Option(help="Directory of the spool.")] = Path("/var/lib/threenines/spool"),
    listen: Annotated[str, typer.Option(help="Where to serve the node's /metrics.")] = "127.0.0.1:9908",
    web_config: Annotated[
        Path | None,
        typer.Option(
            "--web.config.file",
            "--web-config-file",
            help="TLS and basic auth of /metrics, as exporter-toolkit has it.",
        ),
    ] = None,
    dcgm_names: Annotated[
        bool, typer.Option("--dcgm-names", help="Serve dcgm-exporter's families beside our own.")
    ] = False,
    dcgm_hostname_label: Annotated[
        str, typer.Option(help="Hostname (dcgm-exporter up to 4.8) or hostname (since).")
    ] = "Hostname",
    token_file: Annotated[Path | None, typer.Option(help="File with this node's bearer token.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificate authority of the service.")] = None,
    kernel_log: Annotated[Path, typer.Option(help="Kernel log to hear faults from.")] = Path("/dev/kmsg"),
    mock: Annotated[str | None, typer.Option(help="Simulate: a scenario name or file instead of the driver.")] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Show the machine of a capture (scan --capture) instead of the driver's.")
    ] = None,
    interval_ms: Annotated[
        int, typer.Option(help="Poll interval.", min=limits.POLL_INTERVAL_MIN_MS, max=limits.POLL_INTERVAL_MAX_MS)
    ] = limits.POLL_INTERVAL_MS,
    heartbeat_ms: Annotated[
        int,
        typer.Option(
            help="Longest observation while nothing changes.", min=limits.HEARTBEAT_MIN_MS, max=limits.HEARTBEAT_MAX_MS
        ),
    ] = limits.HEARTBEAT_MS,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Watch this node's GPUs through NVML and send what was seen.

    Facts are kept in the spool until the service's ledger has committed them.

    Examples:
      threenines agent --to http://127.0.0.1:9909 --rack r0001 --tray 7 --spool ./spool
      threenines agent --to http://127.0.0.1:9909 --rack r0001 --tray 7 --dcgm-names
      threenines agent --to http://127.0.0.1:9909 --rack r0001 --tray 7 --listen 0.0.0.0:9908 --web.config.file web.yml
      threenines agent --mock xid79 --to http://127.0.0.1:9909 --rack r0001 --tray 7 --spool ./spool
    """
    shed("agent", locals())
    from collectors.agent import Agent
    from collectors.clock import SystemClock, host_boot
    from collectors.exporter import Exporter
    from collectors.isolated import IsolatedDevice
    from collectors.runs import AgentSettings
    from collectors.spool import DiskSpool
    from collectors.web_pages import serve as serve_pages
    from service.bus.http import HttpPublisher
    from service.logs import configure

    configure(verbose=verbose)
    host, port = address(listen)
    guard = _guard(host, listen, web_config)
    names = _dcgm_names(dcgm_hostname_label) if dcgm_names else None
    clock = SystemClock()
    name = node or f"{rack}-t{tray:02d}"
    device = _device(mock, replay, name, clock.now_ms())
    is_real = mock is None and replay is None
    settings = AgentSettings(
        site=site,
        rack=rack,
        node=name,
        tray=tray,
        interval_ms=interval_ms,
        heartbeat_ms=heartbeat_ms,
    )
    publisher = HttpPublisher(to, token=secret(token_file), ca_file=ca_file)
    counter = IsolatedDevice() if is_real else None
    running = Agent(
        settings,
        device,
        DiskSpool(spool),
        publisher,
        clock,
        host_boot(),
        counter=counter,
        kernel_log=kernel_log if is_real else None,
    )
    exporter = Exporter(running.shown, interval_ms=interval_ms, dcgm=names)
    _, end_metrics = serve_pages(exporter, clock, host, port, guard)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.stop())
    try:
        running.run()
    finally:
        end_metrics()
        publisher.close()


def _guard(host: str, listen: str, web_config: Path | None) -> "Guard | None":
    exposed = host not in {"127.0.0.1", "localhost", "::1"}
    if web_config is not None:
        from collectors.web_guard import WebGuard

        return WebGuard(web_config, exposed=exposed)
    if exposed:
        raise ConfigurationError(
            f"--listen {listen}: the node's /metrics has no authentication; listen on 127.0.0.1,"
            " or ask for TLS and passwords with --web.config.file"
        )
    return None


def _dcgm_names(label: str) -> "DcgmNames":
    import platform

    from collectors.dcgm_names import HOSTNAME_LABELS, DcgmNames

    if label not in HOSTNAME_LABELS:
        raise ConfigurationError(f"--dcgm-hostname-label {label!r}: one of {', '.join(HOSTNAME_LABELS)}")
    return DcgmNames(platform.node(), label=label)


def _device(mock: str | None, replay: Path | None, node: str, now_ms: int) -> "Device":
    if mock is not None and replay is not None:
        raise ConfigurationError("--mock and --replay: choose one of them")
    if replay is not None:
        from collectors.nvml import NvmlDevice
        from collectors.nvml.capture import load as load_capture
        from collectors.nvml.replay import ReplayLibrary

        return NvmlDevice(library=ReplayLibrary(load_capture(replay)))
    if mock is None:
        from collectors.isolated import IsolatedDevice

        return IsolatedDevice()
    from collectors.clock import SystemClock
    from collectors.mock import MockDevice
    from collectors.racks import World
    from collectors.scenario import load
    from service.core.model import Span

    world = World(load(mock), Span(now_ms, now_ms + 366 * limits.DAY_MS))
    if node not in world.nodes:
        raise ConfigurationError(f"--mock {mock}: has no node {node}; its racks are {', '.join(world.scenario.racks)}")
    return MockDevice(world, node, SystemClock())
