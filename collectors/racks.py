"""Simulated racks as a function of time: who sits where, what is broken, what is drawn.

Nothing here has a state that moves but injected faults and hangs: any instant can be asked
for, in any order, and the answer is the same. That makes the racks an oracle. What each part
of it computes is in `collectors.simulation`; here it is joined and remembered.
"""

import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable

from collectors.scenario import Scenario
from collectors.simulation import condition, heat, links, power
from collectors.simulation.condition import Condition
from collectors.simulation.faults import KINDS, Fault
from collectors.simulation.layout import Node, nodes
from collectors.simulation.power import Course
from collectors.simulation.steps import Steps, steps
from collectors.simulation.telemetry import NodeTelemetry, TelemetryFault
from collectors.simulation.tray import Tray, Xid, tray
from collectors.simulation.view import GpuView, view
from service.core.health import Health
from service.core.model import Place, Span
from service.core.timeline import Evidence, Timeline, merge

UNDELIVERED = "undelivered"


class World:
    """All racks of a scenario from an instant on."""

    def __init__(self, scenario: Scenario, window: Span) -> None:
        """Lay the racks out and draw their faults for the window."""
        self.scenario, self.window = scenario, window
        self.nodes = {node.name: node for node in nodes(scenario.racks, scenario.shape)}
        self.node_of = {gpu: node for node in self.nodes.values() for gpu in node.gpus}
        self.place_of = {
            gpu: place for node in self.nodes.values() for gpu, place in zip(node.gpus, node.places, strict=True)
        }
        self.gpu_at = {place: gpu for gpu, place in self.place_of.items()}
        self.silent = frozenset(kind.cause for kind in KINDS.values() if kind.cause is not None and not kind.words)
        self._lock = threading.RLock()
        self._faults: dict[Place, tuple[Fault, ...]] = {}
        self._hangs: dict[str, threading.Event] = {}
        self._coolant: dict[str, Steps[float]] = {}
        self._courses: dict[str, Course] = {}
        self._trays: dict[str, Tray] = {}
        self._views: dict[str, GpuView] = {}
        self._load = steps([(window.from_ms, 0.0), *scenario.phases(scenario.load, window, None)])
        self._add(scenario.all_faults(window))
        self._telemetry: dict[str, list[TelemetryFault]] = defaultdict(list)
        for fault in scenario.all_telemetry(window):
            self._telemetry[fault.node].append(fault)

    # Faults

    def _add(self, faults: Iterable[Fault]) -> None:
        hit: dict[Place, list[Fault]] = defaultdict(list)
        for fault in faults:
            for place in fault.places:
                hit[place].append(fault)
        for place, more in hit.items():
            self._faults[place] = tuple(sorted((*self._faults.get(place, ()), *more)))

    def inject(self, fault: Fault) -> None:
        """Let a fault happen that the scenario does not know."""
        with self._lock:
            self._add([fault])
            racks = {place.rack for place in fault.places}
            for remembered in (self._courses, self._views):
                for gpu in [gpu for gpu in remembered if self.place_of[gpu].rack in racks]:
                    del remembered[gpu]
            for node in [node for node in self._trays if self.nodes[node].rack in racks]:
                del self._trays[node]
            for rack in racks:
                self._coolant.pop(rack, None)

    def faults_of(self, gpu: str) -> tuple[Fault, ...]:
        """Return every fault that hits a GPU, in order of their starts."""
        return self._faults.get(self.place_of[gpu], ())

    def faults_at(self, place: Place, at_ms: int) -> list[Fault]:
        """Return the faults that hold at an instant."""
        return [fault for fault in self._faults.get(place, ()) if fault.from_ms <= at_ms < fault.to_ms]

    def telemetry(self, node: str) -> NodeTelemetry:
        """Return what goes wrong with the telling of a node, the hardware apart."""
        return NodeTelemetry(tuple(sorted(self._telemetry.get(node, ()))))

    def counts(self) -> dict[str, int]:
        """Return how many faults of each kind there are, sorted by kind."""
        known = {fault for faults in self._faults.values() for fault in faults}
        return dict(sorted(Counter(fault.kind for fault in known).items()))

    def telemetry_counts(self) -> dict[str, int]:
        """Return how many faults of the telling of each kind there are, a node each, sorted by kind."""
        every = (fault.kind.value for faults in self._telemetry.values() for fault in faults)
        return dict(sorted(Counter(every).items()))

    # Calls that hang

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

    # What shows

    def state(self, gpu: str, at_ms: int) -> Condition:
        """Return what the driver would show of a GPU's faults at an instant."""
        return self.course(gpu).now.at(at_ms).condition

    def host_up(self, node: str, at_ms: int) -> bool:
        """Return whether a tray's host runs at an instant."""
        return self.tray(node).up.at(at_ms)

    def boot(self, node: str, at_ms: int) -> tuple[str, int]:
        """Return the boot id of a host at an instant, and when that boot began."""
        boot_ms = self.tray(node).boot_ms(at_ms)
        digest = hashlib.sha256(f"{node}/{boot_ms}".encode()).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:24]}", boot_ms

    def changes(self, node: str, window: Span) -> tuple[int, ...]:
        """Return the instants at which anything about a tray changes that shows, sorted."""
        return self.tray(node).changes(window)

    def xids(self, node: str, after_ms: int, up_to_ms: int) -> tuple[Xid, ...]:
        """Return (instant, GPU, code) of XIDs raised in `(after_ms, up_to_ms]`, in order."""
        return self.tray(node).xids(after_ms, up_to_ms)

    # What is true

    def truth(self, gpu: str, window: Span) -> Timeline:
        """Return how a GPU really was, silent faults included; unknown before it was delivered."""
        known = condition.true_evidence(self.faults_of(gpu))
        return merge((*self._delivered(gpu, window), *known, *self._heat(gpu)), window)

    def visible(self, gpu: str, window: Span) -> Timeline:
        """Return what an honest agent can tell of a GPU, every word that would be true as a cause."""
        seen = condition.visible_evidence(self.faults_of(gpu))
        return merge((*self._delivered(gpu, window), *seen, *self._heat(gpu)), window)

    def _delivered(self, gpu: str, window: Span) -> list[Evidence]:
        absent = [fault.to_ms for fault in self.faults_of(gpu) if fault.kind == UNDELIVERED]
        from_ms = max([window.from_ms, *absent])
        return [Evidence(from_ms, window.to_ms, Health.UP)] if from_ms < window.to_ms else []

    def _heat(self, gpu: str) -> Iterable[Evidence]:
        now = self.course(gpu).now
        ends = (*now.starts[1:], max(self.window.to_ms, now.starts[-1]) + 1)
        for (from_ms, one), to_ms in zip(now.pieces(), ends, strict=True):
            if one.throttled and one.condition.host_up:
                yield Evidence(from_ms, to_ms, Health.DEGRADED, "slowdown:thermal")

    # Power

    def utilisation(self, at_ms: int) -> float:
        """Return the scenario's load at an instant, 0 to 1."""
        return self._load.at(at_ms)

    def power_watts(self, gpu: str, at_ms: int) -> float:
        """Return a GPU's power."""
        return self.course(gpu).power.at(at_ms)

    def energy_joules(self, gpu: str, at_ms: int) -> float:
        """Return the exact integral of a GPU's power since the window began."""
        return self.course(gpu).power.total(at_ms)

    def module_watts(self, gpu: str, at_ms: int) -> float:
        """Return the power of the superchip that a GPU belongs to: its GPUs and Grace."""
        mates = self.node_of[gpu].module(gpu)
        return self.course(gpu).grace.at(at_ms) + sum(self.power_watts(mate, at_ms) for mate in mates)

    # Joined and remembered

    def coolant(self, rack: str) -> Steps[float]:
        """Return the temperature of a rack's coolant supply over time."""
        with self._lock:
            if rack not in self._coolant:
                scenario, window = self.scenario, self.window
                first = self._faults.get(Place(rack, 1, 0), ())  # a rack's faults of cooling hit all of it
                phases = scenario.phases(scenario.coolant, window, rack)
                self._coolant[rack] = heat.coolant(phases, first, window.from_ms)
            return self._coolant[rack]

    def course(self, gpu: str) -> Course:
        """Return a GPU's states and power over time."""
        known = self._courses.get(gpu)
        return known if known is not None else self._course(gpu)

    def _course(self, gpu: str) -> Course:
        with self._lock:
            node = self.node_of[gpu]
            mates = node.module(gpu)
            known = [condition.conditions(self.faults_of(mate), self.window.from_ms) for mate in mates]
            found = power.courses(mates, known, self._supply(node))
            self._courses.update(zip(mates, found, strict=True))
            return self._courses[gpu]

    def _supply(self, node: Node) -> power.Supply:
        scenario, window = self.scenario, self.window
        return power.Supply(
            load=steps([(window.from_ms, 0.0), *scenario.phases(scenario.load, window, node.rack)]),
            coolant=self.coolant(node.rack),
            cap=steps([(window.from_ms, power.LIMIT_WATTS), *scenario.phases(scenario.caps, window, node.rack)]),
            smoothing=power.Smoothing(enabled=scenario.smoothing),
        )

    def tray(self, node: str) -> Tray:
        """Return a tray's host over time."""
        known = self._trays.get(node)
        if known is None:
            with self._lock:
                gpus = self.nodes[node].gpus
                faults = {gpu: self.faults_of(gpu) for gpu in gpus}
                known = tray(faults, {gpu: self.course(gpu).now for gpu in gpus}, self.window.from_ms)
                self._trays[node] = known
        return known

    def view(self, gpu: str) -> GpuView:
        """Return everything of a GPU from which its values follow."""
        known = self._views.get(gpu)
        if known is None:
            with self._lock:
                node = self.node_of[gpu]
                course = self.course(gpu)
                mates = tuple(self.course(mate) for mate in node.module(gpu))
                known = view(course, mates, links.traffic(course.now), self.tray(node.name), self.faults_of(gpu))
                self._views[gpu] = known
        return known
