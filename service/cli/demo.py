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

    from collectors.scenario import Scenario
    from service.core.contract import Contract
    from service.demo import DemoSite

_START = "2026-07-01T00:00:00Z"
_REPLAY_SECONDS = 60.0
_FRAME_SECONDS = 0.25
_DEMO_RACKS = ["r0001", "r0002", "r0003", "r0004"]  # those of the demo's contract


def demo(
    scenario: Annotated[str, typer.Option(help="A scenario's name or file; `list` shows them.")] = "demo",
    headless: Annotated[bool, typer.Option("--headless", help="Replay as fast as possible, then end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    listen: Annotated[str, typer.Option(help="Where to serve /metrics while it runs.")] = "127.0.0.1:9909",
    replay_seconds: Annotated[float, typer.Option(help="How long the scenario takes.", min=1)] = _REPLAY_SECONDS,
    live_seconds: Annotated[float, typer.Option(help="End after this long live; 0 is until Ctrl-C.", min=0)] = 0,
) -> None:
    """Replay simulated racks through the real path, then run live.

    Each tenant's availability stands beside the simulated truth in the JSON of the end. A scenario of your own is a
    YAML file; a small one:

    \b
      name: mine
      racks: [r0001, r0002]
      length: 1d
      profile: gb300
      rate: 100
      load: [{at: 0s, utilisation: 0.8}]
      faults: [{at: 2h, kind: gpu_lost, target: r0001/t07, lasts: 30m}]

    \b
    Examples:
      threenines demo
      threenines demo --headless --json
      threenines demo --scenario list
      threenines demo --scenario ./mine.yaml --headless
    """  # noqa: D301 -- typer reads \b as: keep these lines
    if scenario == "list":
        _list(as_json=json)
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


def _list(*, as_json: bool) -> None:
    from collectors.scenario import load, shipped

    known = [load(name) for name in shipped()]
    if as_json:
        emit(
            [{"name": o.name, "racks": len(o.racks), "length": _length(o.length), "summary": o.summary} for o in known]
        )
        return
    print(f"{'name':<16} {'racks':>5} {'length':>6}  summary")
    for one in known:
        print(f"{one.name:<16} {len(one.racks):>5} {_length(one.length):>6}  {one.summary}")


def _length(length_ms: int) -> str:
    from service.core.limits import DAY_MS, HOUR_MS, MINUTE_MS

    for unit_ms, letter in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m")):
        if length_ms % unit_ms == 0:
            return f"{length_ms // unit_ms}{letter}"
    return f"{length_ms / 1000:g}s"


def _site(name: str, directory: Path) -> "DemoSite":
    import logging

    import structlog

    from collectors.racks import World
    from collectors.scenario import load
    from service.core.model import Span
    from service.core.periods import parse_utc
    from service.demo import DemoSite
    from service.ledger.store import SqlLedger

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    scenario = load(name)
    start_ms = parse_utc(_START)
    world = World(scenario, Span(start_ms, start_ms + scenario.length))
    return DemoSite(world, _contract(scenario, directory), SqlLedger(f"sqlite:///{directory}/ledger.db"))


def _contract(scenario: "Scenario", directory: Path) -> "Contract":
    """Return the demo's contract for the demo's racks, and for others one tenant and the landlord."""
    from service.contracts import load

    if scenario.racks == _DEMO_RACKS and (scenario.trays_per_rack, scenario.gpus_per_tray) == (18, 4):
        return load(Path(str(files("service") / "data" / "demo.yaml")))
    template = (files("service") / "data" / "scenario.yaml").read_text()
    leased = scenario.racks[:-1] or scenario.racks
    rest = scenario.racks[len(leased) :]
    template = template if rest else template.partition("  - id: landlord")[0]  # one rack has no room for two
    path = directory / "contract.yaml"
    path.write_text(
        template.replace("@site", scenario.site)
        .replace("@trays", str(scenario.trays_per_rack))
        .replace("@gpus", str(scenario.gpus_per_tray))
        .replace("@tenant", f"[{', '.join(leased)}]")
        .replace("@landlord", f"[{', '.join(rest)}]")
    )
    return load(path)


def _replay_headless(site: "DemoSite") -> None:
    from service.core.limits import DAY_MS

    window = site.world.window
    terminal = sys.stderr.isatty()
    for at_ms in [*range(window.from_ms + DAY_MS, window.to_ms, DAY_MS), window.to_ms]:
        site.advance(at_ms)
        site.service.roll_up_now()
        if terminal:
            say(f"replayed {(at_ms - window.from_ms) / DAY_MS:.1f} days")
    _close(site)


def _close(site: "DemoSite") -> None:
    from service.core.periods import month_span

    if site.world.window.to_ms >= month_span("2026-07", site.contract.zone_info).to_ms:
        site.service.close_month()


def _watch(site: "DemoSite", listen: str, replay_seconds: float, live_seconds: float) -> None:
    from rich.live import Live

    from service.api import HttpInbox, Listen, Server, Views, create_api
    from service.cli.options import address

    host, port = address(listen)
    views = Views(metrics=site.service.metrics, ready=site.service.ready)
    server = Server(create_api(HttpInbox(), views, None), Listen(host=host, port=port), authenticated=False)
    url = f"http://{host}:{server.port}/metrics"
    replaying = f"replaying {site.world.scenario.name}"
    say(f"serving {url}")
    try:
        with Live(_view(site, url, replaying), refresh_per_second=4, transient=False) as live:
            _replay(site, replay_seconds, lambda: live.update(_view(site, url, replaying)))
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
    _close(site)


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

    world, window = site.world, site.world.window
    results = site.results()
    site.service.stop()
    if as_json:
        emit(
            {
                "scenario": scenario,
                "seed": world.scenario.seed,
                "simulated": True,
                "period": {"from": utc_text(window.from_ms), "to": utc_text(window.to_ms)},
                "racks": len(world.scenario.racks),
                "gpus": len(world.place_of),
                "facts": site.facts,
                "faults": world.counts(),
                "telemetry_faults": world.telemetry_counts(),
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
