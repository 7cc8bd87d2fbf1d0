"""`threenines demo`: simulated GB300 racks fail and recover; no GPU, root, container or network."""

import shutil
import signal
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import emit, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from service.demo import DemoSite

_START = "2026-07-01T00:00:00Z"
_REPLAY_SECONDS = 60.0
_FRAME_SECONDS = 0.25


def demo(
    scenario: Annotated[str, typer.Option(help="A scenario's name or file; `list` shows them.")] = "demo",
    headless: Annotated[bool, typer.Option("--headless", help="Replay as fast as possible, then end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    listen: Annotated[str, typer.Option(help="Where to serve /metrics while it runs.")] = "127.0.0.1:9909",
    replay_seconds: Annotated[float, typer.Option(help="How long the month takes.", min=1)] = _REPLAY_SECONDS,
    live_seconds: Annotated[float, typer.Option(help="End after this long live; 0 is until Ctrl-C.", min=0)] = 0,
) -> None:
    """Replay a month of simulated racks through the real path, then run live.

    Examples:
      threenines demo
      threenines demo --headless --json
      threenines demo --scenario list
    """
    if scenario == "list":
        _list()
        return
    for number in (signal.SIGINT, signal.SIGTERM):  # a background shell may have switched Ctrl-C off
        signal.signal(number, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="threenines-demo-"))
    try:
        site = _site(scenario, directory)
        if headless:
            _replay_headless(site)
        else:
            _watch(site, listen, replay_seconds, live_seconds)
        _finish(site, scenario, as_json=json or headless)
    except KeyboardInterrupt:
        say("stopped; nothing is left behind")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _list() -> None:
    from collectors.scenario import load, shipped

    for name in shipped():
        print(f"{name:<12} {load(name).summary}")


def _site(scenario: str, directory: Path) -> "DemoSite":
    import logging

    import structlog

    from collectors.racks import World
    from collectors.scenario import load
    from service.contracts import load as load_contract
    from service.core.model import Span
    from service.core.periods import month_span, parse_utc
    from service.demo import DemoSite
    from service.ledger.store import SqlLedger

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    contract = load_contract(Path(str(files("service") / "data" / "demo.yaml")))
    start_ms = parse_utc(_START)
    month = month_span("2026-07", contract.zone_info)
    world = World(load(scenario), Span(start_ms, month.to_ms))
    return DemoSite(world, contract, SqlLedger(f"sqlite:///{directory}/ledger.db"))


def _replay_headless(site: "DemoSite") -> None:
    from service.core.limits import DAY_MS

    window = site.world.window
    terminal = sys.stderr.isatty()
    for at_ms in range(window.from_ms + DAY_MS, window.to_ms + 1, DAY_MS):
        site.advance(at_ms)
        site.service.roll_up_now()
        if terminal:
            say(f"replayed {(at_ms - window.from_ms) // DAY_MS} days")
    site.service.close_month()


def _watch(site: "DemoSite", listen: str, replay_seconds: float, live_seconds: float) -> None:
    from rich.live import Live

    from service.api import HttpInbox, Listen, Server, Views, create_api
    from service.cli.options import address

    host, port = address(listen)
    views = Views(metrics=site.service.metrics, ready=site.service.ready)
    server = Server(create_api(HttpInbox(), views, None), Listen(host=host, port=port), authenticated=False)
    url = f"http://{host}:{server.port}/metrics"
    say(f"serving {url}")
    try:
        with Live(_view(site, url, "replaying July 2026"), refresh_per_second=4, transient=False) as live:
            _replay(site, replay_seconds, lambda: live.update(_view(site, url, "replaying July 2026")))
            site.go_live()
            _run_live(site, live_seconds, lambda: live.update(_view(site, url, "live")))
    finally:
        server.stop()


def _replay(site: "DemoSite", seconds: float, show: Any) -> None:  # noqa: ANN401 -- a callback without arguments
    window = site.world.window
    began = time.monotonic()
    share = 0.0
    while share < 1.0:
        share = min(1.0, (time.monotonic() - began) / seconds)
        site.advance(window.from_ms + round(window.length_ms * share))
        site.service.roll_up_now()
        show()
        time.sleep(_FRAME_SECONDS)
    site.service.close_month()


def _run_live(site: "DemoSite", seconds: float, show: Any) -> None:  # noqa: ANN401
    began, start_ms = time.monotonic(), site.clock.now_ms()
    second = 0
    while not seconds or second < seconds:
        second += 1
        time.sleep(max(0.0, began + second - time.monotonic()))
        site.look_at_all(start_ms + second * 1000)
        site.service.roll_up_now()
        show()


def _finish(site: "DemoSite", scenario: str, *, as_json: bool) -> None:
    from service.core.periods import utc_text

    window = site.world.window
    results = site.results()
    site.service.stop()
    if as_json:
        emit(
            {
                "scenario": scenario,
                "seed": site.world.scenario.seed,
                "simulated": True,
                "period": {"from": utc_text(window.from_ms), "to": utc_text(window.to_ms)},
                "racks": len(site.world.scenario.racks),
                "gpus": len(site.world.place_of),
                "facts": site.facts,
                "tenants": results,
            }
        )


def _view(site: "DemoSite", url: str, phase: str) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table

    from service.core.periods import utc_text
    from service.demo import rack_rows

    now_ms = site.clock.now_ms()
    racks = Table(title=f"{phase}: {utc_text(now_ms)[:19]} (simulated time)   {url}")
    racks.add_column("rack")
    racks.add_column("18 trays: ■ up  x fault  · dark")
    for rack, row in rack_rows(site, now_ms).items():
        racks.add_row(rack, row)
    tenants = Table()
    for name in ("tenant", "objective", "availability", "lo..hi", "budget left", "burn 1h", "credit"):
        tenants.add_column(name)
    snapshot = site.service.snapshot()
    for view in snapshot.objectives if snapshot else ():
        bounds = view.result.bounds
        if bounds is None:
            continue
        left = float(view.budget_left_ms / view.budget_ms) if view.budget_ms else 0.0
        tenants.add_row(
            view.tenant,
            view.result.objective.name,
            f"{float(bounds.settled):.6f}",
            f"{float(bounds.lo):.5f}..{float(bounds.hi):.5f}",
            f"{left:+.0%}",
            f"{float(view.burn['1h']):.1f}",
            f"{view.result.credit.amount}",
        )
    return Group(racks, tenants)
