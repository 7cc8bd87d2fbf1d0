"""Simulated racks driven through the real path: narrator, wire, bus, ledger, projection.

Time is simulated. While a month is replayed, each tray is looked at once an hour and, around
every change, second by second; afterwards every second. The code that judges, numbers, books
and computes is what runs on real hosts.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from collectors.mock import MockDevice
from collectors.narrator import Narrator, Speaker
from collectors.racks import World
from service.app import Service
from service.bus.memory import MemoryBus, MemoryPublisher
from service.clock import SimulatedClock
from service.core import limits
from service.core.availability import assess, ratio_text, tallies, tally_of
from service.core.contract import Contract, Tenant
from service.core.errors import DriverUnavailable
from service.core.events import Fact
from service.core.history import leased
from service.core.ports import Ledger
from service.core.wire import Batch, encode
from service.statement import bounds_json

REPLAY_HEARTBEAT_MS = limits.HOUR_MS
_SECOND = limits.SECOND_MS
# seconds after a change at which a tray is looked at: to confirm, and past the tie-break
_LOOKS_S = (-1, 0, 1, 2, 3, 11, 12, 13, 14)
_BATCHES_BEFORE_COMMIT = 400


@dataclass(slots=True)
class _Actor:
    """One tray: its device, and the run that tells about it while its host is up."""

    name: str
    device: MockDevice
    publisher: MemoryPublisher
    narrator: Narrator | None = None
    boot: str = ""
    lives: int = 0
    told: list[Fact] = field(default_factory=list)

    def keep(self, fact: Fact, _sync: bool) -> bool:  # noqa: FBT001 -- the narrator's port
        """Keep a fact for the next batch."""
        self.told.append(fact)
        return True


class DemoSite:
    """All trays of a world and the service that watches them; advanced by the caller."""

    def __init__(self, world: World, contract: Contract, ledger: Ledger) -> None:
        """Wire everything; nothing happens before `advance`."""
        self.world, self.contract = world, contract
        self.clock = SimulatedClock(world.window.from_ms)
        self.bus = MemoryBus(capacity=_BATCHES_BEFORE_COMMIT * 4)
        self.heartbeat_ms = REPLAY_HEARTBEAT_MS
        self.service = Service(
            contract=contract, ledger=ledger, bus=self.bus, clock=self.clock, grace_ms=2 * REPLAY_HEARTBEAT_MS
        )
        self._actors = {
            name: _Actor(name, MockDevice(world, name, self.clock), self.bus.publisher(name)) for name in world.nodes
        }
        self._published = 0
        self.facts = 0
        self._due = self._schedule()

    def _schedule(self) -> list[tuple[int, str]]:
        due = [(at_ms, name) for name in self.world.nodes for at_ms in self._instants(name)]
        heapq.heapify(due)
        return due

    def _instants(self, node: str) -> Iterator[int]:
        window = self.world.window
        instants = set(range(window.from_ms, window.to_ms, self.heartbeat_ms)) | {window.to_ms}
        for change_ms in self.world.changes(node, window):
            whole = -(-change_ms // _SECOND) * _SECOND
            instants |= {change_ms, *(whole + after * _SECOND for after in _LOOKS_S)}
        return iter(sorted(at for at in instants if window.from_ms <= at <= window.to_ms))

    def advance(self, to_ms: int) -> None:
        """Play everything that is due up to an instant, and book it."""
        while self._due and self._due[0][0] <= to_ms:
            at_ms, name = heapq.heappop(self._due)
            self.clock.advance_to(at_ms)
            self._look(self._actors[name], at_ms)
            self._publish(self._actors[name])
            if self._published >= _BATCHES_BEFORE_COMMIT:
                self.book()
        self.clock.advance_to(to_ms)
        self.book()

    def go_live(self) -> None:
        """From now on look at every tray every second and tell every few seconds."""
        self.heartbeat_ms = limits.HEARTBEAT_MS
        self.service.projection.set_grace(limits.GRACE_MS)
        for actor in self._actors.values():
            if actor.narrator is not None:
                actor.narrator.set_heartbeat(limits.HEARTBEAT_MS)

    def look_at_all(self, at_ms: int) -> None:
        """Look at every tray once, at this instant."""
        self.clock.advance_to(at_ms)
        for actor in self._actors.values():
            self._look(actor, at_ms)
            self._publish(actor)
        self.book()

    def _look(self, actor: _Actor, at_ms: int) -> None:
        if not self.world.host_up(actor.name, at_ms):
            actor.narrator = None  # the agent died with its host; nobody says goodbye
            return
        if actor.narrator is None and not self._begin(actor, at_ms):
            return
        narrator = actor.narrator
        if narrator is None:
            return
        for event in actor.device.wait_events(0):
            narrator.event(event, at_ms, at_ms)
        if at_ms % _SECOND == 0:
            for gpu in narrator.inventory.gpus:
                narrator.reading(actor.device.read(gpu.uuid), at_ms, at_ms)
            narrator.flush(at_ms, force=True)

    def _begin(self, actor: _Actor, at_ms: int) -> bool:
        try:
            inventory = actor.device.open()
        except DriverUnavailable:
            return False
        node = self.world.nodes[actor.name]
        boot, boot_ms = self.world.boot(actor.name, at_ms)
        actor.lives += 1
        speaker = Speaker(
            site=self.contract.site,
            rack=node.rack,
            node=node.name,
            tray=node.tray,
            slot=node.slot,
            boot=boot,
            boot_ms=boot_ms,
            run=f"{node.name}-{actor.lives}",
            version="demo",
        )
        actor.narrator = Narrator(speaker, inventory, actor.keep, heartbeat_ms=self.heartbeat_ms)
        actor.narrator.start(at_ms, at_ms)
        return True

    def _publish(self, actor: _Actor) -> None:
        if not actor.told:
            return
        first = actor.told[0]
        facts = tuple(msgspec.Raw(encode(fact)) for fact in actor.told)
        actor.publisher.publish(Batch(node=actor.name, run=first.run, first_seq=first.seq, facts=facts))
        self.facts += len(actor.told)
        self._published += 1
        actor.told.clear()

    def book(self) -> None:
        """Let the service book everything that was published."""
        while self.service.pump():
            pass
        self._published = 0

    def results(self) -> list[dict[str, Any]]:
        """Return each tenant's month beside the simulated truth; they differ by edges of a poll at most."""
        return [self._result(tenant) for tenant in self.contract.tenants]

    def _result(self, tenant: Tenant) -> dict[str, Any]:
        window = self.world.window
        pieces = leased(self.contract, tenant, window)
        gpu_at = {place: gpu for gpu, place in self.world.place_of.items()}
        objective = tenant.objectives[-1]
        by_place = tallies(pieces, lambda piece: self.service.projection.place_timeline(piece.place, piece.span))
        result = assess(objective, by_place, tenant.fee.monthly_amount if tenant.fee else None)
        truth = assess(
            objective,
            {piece.place: tally_of(self.world.truth(gpu_at[piece.place], piece.span)) for piece in pieces},
            None,
        )
        return {
            "tenant": tenant.id,
            "gpus": len(by_place),
            "availability": bounds_json(result.bounds),
            "truth": ratio_text(truth.bounds.settled) if truth.bounds else None,
            "target": str(objective.target),
            "met": result.met,
            "down_gpu_ms": result.tally.down_ms,
            "unknown_gpu_ms": result.tally.unknown_ms,
            "credit": {"amount": str(result.credit.amount), "currency": self.contract.currency},
        }


def rack_rows(site: DemoSite, at_ms: int) -> dict[str, str]:
    """Return each rack as a string of 18 letters, a tray each: what a perfect observer sees now."""
    rows: dict[str, list[str]] = {}
    for node in site.world.nodes.values():
        states = [site.world.state(gpu, at_ms) for gpu in node.gpus]
        broken = [fault for place in node.places for fault in site.world.faults_at(place, at_ms)]
        down = any(fault.shape.cause is not None for fault in broken)
        letter = "·" if not all(state.host_up for state in states) else "x" if down else "■"
        rows.setdefault(node.rack, []).append(letter)
    return {rack: "".join(letters) for rack, letters in rows.items()}
