"""Simulated racks driven through the real path: narrator, wire, bus, ledger, projection.

Time is simulated. While a month is replayed, each tray is looked at once an hour and, around
every change, second by second; afterwards every second. The code that judges, numbers, books
and computes is what runs on real hosts. Faults of the telling lie between the two: what the
hardware did is known from the world alone.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Any

import msgspec

from collectors.device import Device
from collectors.mock import MockDevice
from collectors.narrator import Narrator, Speaker
from collectors.racks import World
from collectors.simulation.chance import stream
from collectors.simulation.telemetry import FaultyDevice, FaultyPublisher, NodeTelemetry, TelemetryKind
from service.app import Service
from service.bus.memory import MemoryBus
from service.clock import SimulatedClock
from service.core import limits
from service.core.availability import Bounds, assess, ratio_text, tallies, tally_of
from service.core.contract import Contract, Tenant
from service.core.errors import BusUnavailable, DeviceGone, DriverUnavailable
from service.core.events import Fact
from service.core.health import State
from service.core.history import LeasedTime, leased
from service.core.ports import Ledger, Publisher
from service.core.timeline import Timeline
from service.core.wire import Batch, encode
from service.statement import bounds_json

REPLAY_HEARTBEAT_MS = limits.HOUR_MS
_SECOND = limits.SECOND_MS
# seconds after a change at which a tray is looked at: to confirm, and past the tie-break
_LOOKS_S = (-1, 0, 1, 2, 3, 10, 11, 12, 13)
_BATCHES_BEFORE_COMMIT = 400


@dataclass(slots=True)
class _Actor:
    """One tray: its device, and the run that tells about it while its host is up.

    `told` is what no receipt covers yet, `sent` how much of it is on its way; `offset_ms` is
    how far the wall clock was off when the run began.
    """

    name: str
    device: Device
    publisher: Publisher
    telemetry: NodeTelemetry
    narrator: Narrator | None = None
    lives: int = 0
    offset_ms: int = 0
    told: list[Fact] = field(default_factory=list)
    sent: int = 0

    def keep(self, fact: Fact, _sync: bool) -> bool:  # noqa: FBT001 -- the narrator's port
        """Keep a fact until a receipt covers it."""
        self.told.append(fact)
        return True

    def settle(self) -> None:
        """Forget what receipts cover; what is left is sent again."""
        booked = {receipt.run: receipt.seq for receipt in self.publisher.receipts(0)}
        if booked:
            self.told = [fact for fact in self.told if fact.seq > booked.get(fact.run, 0)]
        self.sent = 0


class DemoSite:
    """All trays of a world and the service that watches them; advanced by the caller."""

    def __init__(self, world: World, contract: Contract, ledger: Ledger, *, every_second: bool = False) -> None:
        """Wire everything; nothing happens before `advance`.

        With `every_second` trays are looked at as often as real agents do, not around changes only.
        """
        self.world, self.contract, self._every_second = world, contract, every_second
        self.clock = SimulatedClock(world.window.from_ms)
        self.bus = MemoryBus(capacity=_BATCHES_BEFORE_COMMIT * 8)
        self.heartbeat_ms = REPLAY_HEARTBEAT_MS
        self.service = Service(
            contract=contract, ledger=ledger, bus=self.bus, clock=self.clock, grace_ms=2 * REPLAY_HEARTBEAT_MS
        )
        self._actors = {name: self._actor(name) for name in world.nodes}
        self._published = 0
        self.facts = 0
        self._due = heapq.merge(*(self._instants(actor) for actor in self._actors.values()))
        self._next = next(self._due, None)

    def _actor(self, name: str) -> _Actor:
        telemetry = self.world.telemetry(name)
        device: Device = MockDevice(self.world, name, self.clock)
        publisher: Publisher = self.bus.publisher(name)
        if telemetry.faults:
            chance = stream(self.world.scenario.seed, name, "publisher")
            device = FaultyDevice(device, telemetry, self.clock)
            publisher = FaultyPublisher(publisher, telemetry, self.clock, chance)
        return _Actor(name, device, publisher, telemetry)

    def _instants(self, actor: _Actor) -> Iterator[tuple[int, str]]:
        window = self.world.window
        changes = {*self.world.changes(actor.name, window), *actor.telemetry.changes()}
        regular = range(window.from_ms, window.to_ms, _SECOND if self._every_second else self.heartbeat_ms)
        around = {window.to_ms, *changes}
        for change_ms in () if self._every_second else changes:
            whole = -(-change_ms // _SECOND) * _SECOND
            around.update(whole + after * _SECOND for after in _LOOKS_S)
        inside = sorted(at_ms for at_ms in around if window.from_ms <= at_ms <= window.to_ms)
        last_ms = None
        for at_ms in heapq.merge(regular, inside):
            if at_ms != last_ms:
                yield at_ms, actor.name
            last_ms = at_ms

    def advance(self, to_ms: int) -> None:
        """Play everything that is due up to an instant, and book it."""
        while self._next is not None and self._next[0] <= to_ms:
            at_ms, name = self._next
            self._next = next(self._due, None)
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
        down = actor.telemetry.holds(TelemetryKind.AGENT_DOWN, at_ms)
        if down or not self.world.host_up(actor.name, at_ms):
            actor.narrator = None  # the agent died, with its host or alone; nobody says goodbye
            return
        self._anchor(actor, at_ms)
        narrator = actor.narrator or self._begin(actor, at_ms)
        if narrator is None:
            return
        try:
            self._listen(actor, narrator, at_ms)
        except DeviceGone:  # as the agent does: nothing is known of the GPUs until it is open again
            for gpu in narrator.inventory.gpus:
                narrator.blind(gpu.uuid, at_ms + actor.offset_ms, "driver:reloaded")
            narrator.flush(at_ms, force=True)
            actor.narrator = None

    def _anchor(self, actor: _Actor, at_ms: int) -> None:
        """End a run whose wall clock moved; the next one is placed by the new time."""
        offset_ms = actor.telemetry.offset_ms(at_ms)
        if actor.narrator is not None and abs(offset_ms - actor.offset_ms) > limits.REANCHOR_MS:
            actor.narrator.flush(at_ms, force=True)
            actor.narrator = None
        if actor.narrator is None:
            actor.offset_ms = offset_ms

    def _listen(self, actor: _Actor, narrator: Narrator, at_ms: int) -> None:
        told_ms = at_ms + actor.offset_ms
        for event in actor.device.wait_events(0):
            narrator.event(event, told_ms, at_ms)
        if at_ms % _SECOND == 0:
            for gpu in narrator.inventory.gpus:
                if actor.telemetry.holds(TelemetryKind.HANG, at_ms, gpu.position) is None:
                    narrator.reading(actor.device.read(gpu.uuid), told_ms, at_ms)
                elif actor.telemetry.overdue(gpu.position, at_ms):
                    narrator.blind(gpu.uuid, told_ms, "agent:hung_call")
            narrator.flush(at_ms, force=True)

    def _begin(self, actor: _Actor, at_ms: int) -> Narrator | None:
        try:
            inventory = actor.device.open()
        except DriverUnavailable:
            return None
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
        narrator = Narrator(speaker, inventory, actor.keep, heartbeat_ms=self.heartbeat_ms)
        narrator.start(at_ms + actor.offset_ms, at_ms)
        actor.narrator = narrator
        return narrator

    def _publish(self, actor: _Actor) -> None:
        """Send what was not sent yet, in batches of one run; keep it while nobody answers."""
        due = actor.told[actor.sent :]
        for run, facts in groupby(due, key=lambda fact: fact.run):
            of_run = list(facts)
            for first in range(0, len(of_run), limits.BATCH_MESSAGES):
                some = of_run[first : first + limits.BATCH_MESSAGES]
                raw = tuple(msgspec.Raw(encode(fact)) for fact in some)
                try:
                    actor.publisher.publish(Batch(node=actor.name, run=run, first_seq=some[0].seq, facts=raw))
                except BusUnavailable:
                    return
                actor.sent += len(some)
                self.facts += len(some)
                self._published += 1

    def book(self) -> None:
        """Let the service book everything that was published."""
        while self.service.pump():
            pass
        for actor in self._actors.values():
            if actor.told:
                actor.settle()
        self._published = 0

    def results(self) -> list[dict[str, Any]]:
        """Return each tenant's result beside the simulated truth; they differ by edges of a poll at most."""
        return [self._result(tenant) for tenant in self.contract.tenants if tenant.leases]

    def _result(self, tenant: Tenant) -> dict[str, Any]:
        pieces = leased(self.contract, tenant, self.world.window)
        objective = tenant.objectives[-1]
        by_place = tallies(pieces, lambda piece: self.service.projection.place_timeline(piece.place, piece.span))
        result = assess(objective, by_place, tenant.fee.monthly_amount if tenant.fee else None)
        true = {piece.place: tally_of(self._truth(piece)) for piece in pieces}
        truth = assess(objective, true, None)
        outside = _outside(truth.bounds, result.bounds)
        return {
            "tenant": tenant.id,
            "gpus": len(by_place),
            "availability": bounds_json(result.bounds),
            "truth": ratio_text(truth.bounds.settled) if truth.bounds else None,
            "truth_outside_bounds": ratio_text(outside),
            "agrees": outside <= Fraction(self._edges(pieces) * limits.POLL_INTERVAL_MS, max(1, truth.tally.total_ms)),
            "target": str(objective.target),
            "met": result.met,
            "down_gpu_ms": result.tally.down_ms,
            "degraded_gpu_ms": result.tally.degraded_ms,
            "unknown_gpu_ms": result.tally.unknown_ms,
            "truth_gpu_ms": {
                "down": truth.tally.down_ms,
                "degraded": truth.tally.degraded_ms,
                "unseen_by_design": self._unseen(pieces),
            },
            "credit": {"amount": str(result.credit.amount), "currency": self.contract.currency},
        }

    def _edges(self, pieces: tuple[LeasedTime, ...]) -> int:
        """Return how many edges the truth has: each may be off by a poll."""
        return sum(len(self._truth(piece)) - 1 for piece in pieces)

    def _truth(self, piece: LeasedTime) -> Timeline:
        return self.world.truth(self.world.gpu_at[piece.place], piece.span)

    def _unseen(self, pieces: tuple[LeasedTime, ...]) -> dict[str, int]:
        """Return GPU-ms of what no driver shows, by cause: corruption, slowness, the network outside."""
        found: Counter[str] = Counter()
        for piece in pieces:
            for segment in self._truth(piece):
                if segment.state in {State.DOWN, State.DEGRADED} and segment.causes <= self.world.silent:
                    found["+".join(sorted(segment.causes))] += segment.length_ms
        return dict(sorted(found.items()))


def _outside(truth: Bounds | None, result: Bounds | None) -> Fraction:
    """Return how far the truth lies outside what the ledger allows."""
    if truth is None or result is None:
        return Fraction(0)
    return max(Fraction(0), result.lo - truth.settled, truth.settled - result.hi)


def rack_rows(site: DemoSite, at_ms: int) -> dict[str, str]:
    """Return each rack as a string of 18 letters, a tray each: what a perfect observer sees now."""
    rows: dict[str, list[str]] = {}
    for node in site.world.nodes.values():
        broken = [fault for place in node.places for fault in site.world.faults_at(place, at_ms)]
        down = any(fault.shape.cause is not None for fault in broken)
        letter = "·" if not site.world.host_up(node.name, at_ms) else "x" if down else "■"
        rows.setdefault(node.rack, []).append(letter)
    return {rack: "".join(letters) for rack, letters in rows.items()}
