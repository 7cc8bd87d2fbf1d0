"""One rack for a day: the scenario that proves the path from simulated driver to ledger.

The seed's mix at 700 times the published rate, and on top of it at least one fault of every
kind that shows, short ones that only raise a suspicion among them.
"""

from pathlib import Path

from collectors.racks import World
from collectors.scenario import parse
from service.contracts import load
from service.core.contract import Contract
from service.core.limits import DAY_MS
from service.core.model import Span
from service.demo import DemoSite
from service.ledger.store import SqlLedger

START_MS = 1_782_864_000_000  # 2026-07-01
DAY = Span(START_MS, START_MS + DAY_MS)

SCENARIO = """
name: day
summary: one rack for a day, at 700 times the published rate
racks: [r0001]
seed: 3
length: 1d
profile: gb300
rate: 700
load:
  - {at: 0s, utilisation: 0.2}
  - {at: 2h, utilisation: 0.8}
faults:
  - {at: 1h, kind: gpu_reset, target: r0001/t01/g0, lasts: 10m}
  - {at: 1h1m3s, kind: gpu_reset, target: r0001/t01/g1, lasts: 4s}        # over before the tie-break
  - {at: 1h5m, kind: gpu_hung, target: r0001/t01/g2, lasts: 7m}
  - {at: 1h10m, kind: ecc_remap, target: r0001/t02/g0, lasts: 20m}
  - {at: 1h20m, kind: ecc_failed, target: r0001/t02/g1, lasts: 10m}
  - {at: 1h30m, kind: tray_swap, target: r0001/t02, lasts: 2h}
  - {at: 2h30m, kind: gpu_lost, target: r0001/t03, lasts: 1h}
  - {at: 2h40m, kind: gsp, target: r0001/t04, lasts: 1h}
  - {at: 2h50m, kind: gsp_failed, target: r0001/t05, lasts: 1h}
  - {at: 3h, kind: nvlink_port, target: r0001/t06/g0, lasts: 45m}
  - {at: 3h10m, kind: nvlink_port, target: r0001/t06/g1, lasts: 1s}       # one reading: a suspicion
  - {at: 3h20m, kind: nvlink_storm, target: r0001/t06/g2, lasts: 5m}
  - {at: 3h30m, kind: gpu_reset, target: r0001/t06/g0, lasts: 5m}         # down while degraded, degraded again
  - {at: 3h40m, kind: row_remap, target: r0001/t15/g0, lasts: 20m}
  - {at: 4h, kind: switch_tray, target: r0001, lasts: 40m}
  - {at: 5h, kind: switch_tray_spare, target: r0001, lasts: 30m}
  - {at: 5h40m, kind: power_brake, target: r0001, lasts: 10m}
  - {at: 6h, kind: cartridge, target: r0001, lasts: 20m}
  - {at: 7h, kind: host, target: r0001/t07, lasts: 1h}
  - {at: 7h10m, kind: software, target: r0001/t08, lasts: 20m}
  - {at: 8h, kind: push, target: r0001, lasts: 10m}
  - {at: 9h, kind: power_shelf, target: r0001, lasts: 15m}
  - {at: 10h, kind: hall_power, target: r0001, lasts: 12m}
  - {at: 10h30m, kind: coolant_loss, target: r0001, lasts: 20m}          # slows GPUs down before its end
  - {at: 11h, kind: leak, target: r0001, lasts: 30m}
  - {at: 12h, kind: gpu_reset, target: r0001/t09/g0, lasts: 30m}
  - {at: 12h10m, kind: host, target: r0001/t09, lasts: 5m}                # dark inside an outage
  - {at: 13h, kind: gpu_lost, target: r0001/t10, lasts: 30m}
  - {at: 13h20m, kind: host, target: r0001/t10, lasts: 1h}                # dark beyond its end
  - {at: 14h, kind: scale_out, target: r0001/t11, lasts: 1h}              # nobody on the tray can see these
  - {at: 14h, kind: leaf_switch, target: r0001, lasts: 10m}
  - {at: 15h, kind: silent_corruption, target: r0001/t12/g0, lasts: 8h}
  - {at: 15h, kind: slow_gpu, target: r0001/t12/g1, lasts: 8h}
  - {at: 16h, kind: application, target: r0001/t13/g0, lasts: 1m}
  - {at: 16h, kind: application_stopped, target: r0001/t13/g1, lasts: 1m}
  - {at: 15h, kind: nvlink_port, target: r0001/t17/g0, lasts: 10m}
  - {at: 15h10m2s, kind: nvlink_port, target: r0001/t17/g0, lasts: 10m}   # up for two readings: not believed
  - {at: 15h, kind: nvlink_port, target: r0001/t17/g1, lasts: 2s}         # two readings: a fact
"""

CONTRACT = """
id: day
version: 1
site: mem2
landlord: Landlord
zone: UTC
currency: USD
topology: {trays_per_rack: 18, gpus_per_tray: 4}
tenants:
  - id: tenant
    objectives:
      - {name: pool-999, unit: pool, target: "0.999"}
    leases:
      - {places: [r0001], from: 2026-07-01T00:00:00Z, to: 2030-01-01T00:00:00Z}
"""


def world() -> World:
    """Return the rack's day."""
    return World(parse(SCENARIO, "day.yaml"), DAY)


def contract(directory: Path) -> Contract:
    """Return a contract that leases the rack."""
    path = directory / "contract.yaml"
    path.write_text(CONTRACT)
    return load(path)


def played(directory: Path, racks: World, *, every_second: bool) -> tuple[DemoSite, SqlLedger]:
    """Return the site after the day, with its ledger."""
    ledger = SqlLedger(f"sqlite:///{directory}/ledger.db")
    site = DemoSite(racks, contract(directory), ledger, every_second=every_second)
    site.advance(racks.window.to_ms)
    return site, ledger
