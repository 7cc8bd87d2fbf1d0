"""Simulated racks as a function of time: who sits where, what is broken, what is drawn.

Nothing here has a state that moves but injected faults and hangs: any instant can be asked
for, in any order, and the answer is the same. That makes the racks an oracle.
"""

import hashlib
import itertools
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from collectors.device import Access, FabricState
from collectors.faults import Fault
from collectors.scenario import Scenario
from service.core.health import Health
from service.core.model import Place, Span
from service.core.timeline import Evidence, Timeline, merge

IDLE_WATTS, FULL_WATTS = 178.0, 1_390.0
MODULE_BASE_WATTS, MODULE_MAX_WATTS = 131.0, 2_900.0  # Grace and the rest of a superchip


@dataclass(frozen=True, slots=True)
class Node:
    """A simulated tray."""

    name: str
    rack: str
    tray: int
    slot: int
    places: tuple[Place, ...]
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GpuState:
    """What is wrong with a GPU at an instant, as its driver would show it."""

    access: Access
    fabric: FabricState
    recovery_action: int
    host_up: bool


class World:
    """All racks of a scenario from an instant on."""

    def __init__(self, scenario: Scenario, window: Span) -> None:
        """Lay the racks out and draw their faults for the window."""
        self.scenario, self.window = scenario, window
        self.nodes = {node.name: node for node in _nodes(scenario)}
        self.node_of = {gpu: node for node in self.nodes.values() for gpu in node.gpus}
        self.place_of = {
            gpu: place for node in self.nodes.values() for gpu, place in zip(node.gpus, node.places, strict=True)
        }
        self._lock = threading.Lock()
        self._faults: dict[Place, list[Fault]] = defaultdict(list)
        self._hangs: dict[str, threading.Event] = {}
        self._add(scenario.all_faults(window))
        self._phases = [(window.from_ms + phase.at, phase.utilisation) for phase in scenario.load]

    def _add(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            for place in fault.places:
                self._faults[place].append(fault)
                self._faults[place].sort()

    def inject(self, fault: Fault) -> None:
        """Let a fault happen that the scenario does not know."""
        with self._lock:
            self._add([fault])

    def hang(self, gpu: str) -> None:
        """Let every read of a GPU block until `release`."""
        self._hangs.setdefault(gpu, threading.Event())

    def release(self, gpu: str) -> None:
        """End a hang."""
        waiting = self._hangs.pop(gpu, None)
        if waiting is not None:
            waiting.set()

    def wait_hang(self, gpu: str, limit_seconds: float) -> None:
        """Block while a GPU hangs, bounded."""
        waiting = self._hangs.get(gpu)
        if waiting is not None:
            waiting.wait(limit_seconds)

    def faults_at(self, place: Place, at_ms: int) -> list[Fault]:
        """Return the faults that hold at an instant."""
        with self._lock:
            known = self._faults.get(place, [])
            return [fault for fault in known if fault.from_ms <= at_ms < fault.to_ms]

    def state(self, gpu: str, at_ms: int) -> GpuState:
        """Return what the driver would show of a GPU at an instant."""
        shapes = [fault.shape for fault in self.faults_at(self.place_of[gpu], at_ms)]
        return GpuState(
            access=next((shape.access for shape in shapes if shape.access is not Access.OK), Access.OK),
            fabric=next(
                (shape.fabric for shape in shapes if shape.fabric is not FabricState.HEALTHY), FabricState.HEALTHY
            ),
            recovery_action=max((shape.recovery_action for shape in shapes), default=0),
            host_up=not any(shape.dark for shape in shapes),
        )

    def host_up(self, node: str, at_ms: int) -> bool:
        """Return whether a tray's host runs at an instant."""
        return all(self.state(gpu, at_ms).host_up for gpu in self.nodes[node].gpus)

    def boot(self, node: str, at_ms: int) -> tuple[str, int]:
        """Return the boot id of a host at an instant, and when that boot began."""
        ends = [f.to_ms for f in self._node_faults(node) if f.shape.dark and f.to_ms <= at_ms]
        boot_ms = max(ends, default=self.window.from_ms - 86_400_000)
        digest = hashlib.sha256(f"{node}/{boot_ms}".encode()).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:24]}", boot_ms

    def _node_faults(self, node: str) -> list[Fault]:
        with self._lock:
            return sorted({fault for place in self.nodes[node].places for fault in self._faults.get(place, ())})

    def changes(self, node: str, window: Span) -> tuple[int, ...]:
        """Return the instants at which anything about a tray changes, sorted."""
        edges = {edge for fault in self._node_faults(node) for edge in (fault.from_ms, fault.to_ms)}
        return tuple(sorted(edge for edge in edges if window.from_ms <= edge < window.to_ms))

    def xids(self, node: str, after_ms: int, up_to_ms: int) -> tuple[tuple[int, str, int], ...]:
        """Return (instant, GPU, code) of XIDs raised in `(after_ms, up_to_ms]`, in order."""
        tray = self.nodes[node]
        found = []
        for gpu, place in zip(tray.gpus, tray.places, strict=True):
            with self._lock:
                faults = list(self._faults.get(place, ()))
            found += [
                (fault.from_ms, gpu, fault.shape.xid)
                for fault in faults
                if fault.shape.xid is not None and after_ms < fault.from_ms <= up_to_ms
            ]
        return tuple(sorted(found))

    def truth(self, gpu: str, window: Span) -> Timeline:
        """Return how a GPU really was: the oracle that evidence is compared with."""
        with self._lock:
            faults = list(self._faults.get(self.place_of[gpu], ()))
        evidence = [Evidence(window.from_ms, window.to_ms, Health.UP)]
        for fault in faults:
            shape = fault.shape
            if shape.cause is not None:
                evidence.append(Evidence(fault.from_ms, fault.to_ms, shape.health, shape.cause))
        return merge(evidence, window)

    def utilisation(self, at_ms: int) -> float:
        """Return the scenario's load at an instant, 0 to 1."""
        index = bisect_right(self._phases, (at_ms, 2.0)) - 1
        return self._phases[index][1] if index >= 0 else 0.0

    def power_watts(self, gpu: str, at_ms: int) -> float:
        """Return a GPU's power: idle plus load, with an offset of its own of at most 2 %."""
        return _power(self.utilisation(at_ms), _offset(gpu))

    def energy_joules(self, gpu: str, at_ms: int) -> float:
        """Return the exact integral of a GPU's power since the window began."""
        edges = [self.window.from_ms, *(edge for edge, _ in self._phases if edge < at_ms), at_ms]
        edges = sorted(set(edges))
        offset = _offset(gpu)
        return sum(
            _power(self.utilisation(from_ms), offset) * (to_ms - from_ms) / 1000
            for from_ms, to_ms in itertools.pairwise(edges)
        )

    def module_watts(self, gpu: str, at_ms: int) -> float:
        """Return the power of the superchip that a GPU belongs to: both GPUs and Grace, capped."""
        gpus = self.node_of[gpu].gpus
        first = gpus.index(gpu) // 2 * 2
        total = MODULE_BASE_WATTS + sum(self.power_watts(one, at_ms) for one in gpus[first : first + 2])
        return min(total, MODULE_MAX_WATTS)


def _power(utilisation: float, offset: float) -> float:
    return (IDLE_WATTS + (FULL_WATTS - IDLE_WATTS) * utilisation) * (1 + offset)


@lru_cache(maxsize=65_536)
def _offset(gpu: str) -> float:
    return int.from_bytes(hashlib.sha256(gpu.encode()).digest()[:2]) / 65_535 * 0.02 - 0.01


def _nodes(scenario: Scenario) -> Iterable[Node]:
    for rack in scenario.racks:
        for tray in range(1, scenario.trays_per_rack + 1):
            places = scenario.shape.places(rack, tray=tray)
            # compute trays sit below and above the nine switch trays
            slot = tray if tray <= scenario.trays_per_rack // 2 else tray + 9
            yield Node(f"{rack}-t{tray:02d}", rack, tray, slot, places, tuple(map(_uuid, places)))


def _uuid(place: Place) -> str:
    digest = hashlib.sha256(f"simulated {place}".encode()).hexdigest()
    return f"GPU-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
