"""How an agent's runs begin: who speaks, on which scale of time, to which spool."""

from dataclasses import dataclass

from collectors.clock import Anchor, HostBoot, new_run
from collectors.device import Inventory
from collectors.keeper import Keeper, gap_of
from collectors.narrator import Narrator, Speaker
from collectors.spool import LostRange
from collectors.witnesses import Witnesses
from service.core import limits
from service.core.events import GpuPlaced
from service.core.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Where this agent stands and how it works; the chassis slot is the driver's to tell."""

    site: str
    rack: str
    node: str
    tray: int
    version: str = ""
    interval_ms: int = limits.POLL_INTERVAL_MS
    heartbeat_ms: int = limits.HEARTBEAT_MS


@dataclass(slots=True)
class Runs:
    """Begins run after run; the first one that the spool takes tells what it could not read back.

    `damaged` is what is still to be told of it, `witnesses` what outlives a run.
    """

    settings: AgentSettings
    boot: HostBoot
    clock: Clock
    keeper: Keeper
    witnesses: Witnesses
    damaged: list[LostRange]
    _slot: int = 0  # until a driver names it

    def begin(self, inventory: Inventory, missing: tuple[GpuPlaced, ...] = ()) -> tuple[Narrator, Anchor]:
        """Announce a run of this inventory; return who tells it, and its scale of time."""
        anchor = Anchor.take(self.clock)
        self._slot = self._slot if inventory.slot is None else inventory.slot
        narrator = Narrator(
            self._speaker(new_run(anchor.wall_ms)),
            inventory,
            self.keeper.write,
            heartbeat_ms=self.settings.heartbeat_ms,
            missing=missing,
            witnesses=self.witnesses,
        )
        narrator.start(anchor.wall_ms, anchor.mono_ms)
        self.damaged = [one for one in self.damaged if not narrator.tell(gap_of(one), anchor.wall_ms, anchor.mono_ms)]
        return narrator, anchor

    def _speaker(self, run: str) -> Speaker:
        it = self.settings
        return Speaker(
            site=it.site,
            rack=it.rack,
            node=it.node,
            tray=it.tray,
            slot=self._slot,
            boot=self.boot.boot,
            boot_ms=self.boot.boot_ms,
            run=run,
            version=it.version,
        )
