"""A month of a large fleet: faults drawn from a seed, the truth of every GPU, its ledger as the recorder leaves it."""

import itertools
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from collectors.simulation.faults import Fault
from collectors.simulation.layout import RackShape
from collectors.simulation.process import Site, draw
from collectors.simulation.profiles import PROFILES
from service.clock import SimulatedClock
from service.core.events import GpuPlaced, GpuSeen, NodeEvent, NodeObserved, RunStarted, XidRaised
from service.core.health import Health
from service.core.limits import DAY_MS, MINUTE_MS, SECOND_MS
from service.core.model import Place, Span
from service.core.periods import month_span, utc_text, zone_of
from service.core.ports import Delivery
from service.core.wire import Batch, encode
from service.ledger.store import SqlLedger
from service.recorder import Recorder
from service.sealing import Sealer, day_of
from tests.bench.table import progress

MONTH = "2026-09"  # 30 days, so that `[30d]` is all of it
EVERYTHING = "everything"  # the tenant that leases the whole fleet
SEED = 4
SHAPE = RackShape()
_SITE = "mem2"
_NODES_AT_ONCE = 500
_TENANTS = 100
_WORST = (Health.DOWN, Health.DEGRADED)
Tray = tuple[str, int]


def gpu_name(place: Place) -> str:
    """Return the GPU that sits at a place all month."""
    return f"GPU-{place.rack}-{place.tray:02d}-{place.position}"


@dataclass(frozen=True)
class Fleet:
    """Racks over a month, and what happens to them at the published rates."""

    racks: tuple[str, ...]
    month: Span = field(default_factory=lambda: month_span(MONTH, zone_of("UTC")))

    @classmethod
    def of(cls, gpus: int) -> "Fleet":
        """Return a fleet of at least so many GPUs, in whole racks."""
        count = -(-gpus // (SHAPE.trays * SHAPE.gpus))
        return cls(tuple(f"r{number:04d}" for number in range(1, count + 1)))

    @property
    def places(self) -> Iterator[Place]:
        """Every place, rack by rack."""
        return (place for rack in self.racks for place in SHAPE.places(rack))

    @property
    def gpus(self) -> int:
        """How many GPUs there are."""
        return len(self.racks) * SHAPE.trays * SHAPE.gpus

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """All faults; none outlasts the month, so that every reboot is seen."""
        end_ms = self.month.to_ms - MINUTE_MS
        drawn = draw(Site(racks=self.racks, window=self.month, seed=SEED, profile=PROFILES["gb300"], shape=SHAPE))
        return tuple(
            Fault(one.from_ms, min(one.to_ms, end_ms), one.kind, one.places) for one in drawn if one.from_ms < end_ms
        )

    @cached_property
    def by_tray(self) -> dict[Tray, list[Fault]]:
        """The faults that hit some GPU of a tray, in order of their begin."""
        found: dict[Tray, list[Fault]] = defaultdict(list)
        for fault in self.faults:
            for tray in {(place.rack, place.tray) for place in fault.places}:
                found[tray].append(fault)
        return found

    def down(self, place: Place) -> list[Span]:
        """Return when the GPU at a place was down, by the drawn faults alone: touching and disjoint spans joined."""
        spans: list[Span] = []
        for fault in self.by_tray.get((place.rack, place.tray), ()):
            if fault.shape.health is not Health.DOWN or place not in fault.places:
                continue
            if spans and fault.from_ms <= spans[-1].to_ms:
                spans[-1] = Span(spans[-1].from_ms, max(spans[-1].to_ms, fault.to_ms))
            else:
                spans.append(Span(fault.from_ms, fault.to_ms))
        return spans

    def down_ms(self, places: Sequence[Place], window: Span) -> int:
        """Return the summed down time of places inside a window."""
        inside = (span.clip(window) for place in places for span in self.down(place))
        return sum(span.length_ms for span in inside if span is not None)

    def write_contract(self, path: Path, *, shared: bool = False) -> None:
        """Write a contract: one tenant leases everything, or many share it in unequal parts."""
        parts = _shares(self.racks) if shared else {EVERYTHING: self.racks}
        contract = {
            "id": "bench",
            "version": 1,
            "site": _SITE,
            "landlord": "bench",
            "zone": "UTC",
            "currency": "USD",
            "topology": {"trays_per_rack": SHAPE.trays, "gpus_per_tray": SHAPE.gpus},
            "tenants": [_tenant(name, racks) for name, racks in parts.items()],
        }
        path.write_text(json.dumps(contract))


def _shares(racks: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return disjoint parts, most of them small: sizes as unequal as customers are."""
    chance, first = random.Random(SEED), 0
    weights = [chance.paretovariate(1.0) for _ in range(_TENANTS)]
    parts: dict[str, Sequence[str]] = {}
    for number, weight in enumerate(weights, start=1):
        count = max(1, int(weight / sum(weights) * (len(racks) - _TENANTS)))
        if part := racks[first : first + count]:
            parts[f"t{number:03d}"] = part
        first += count
    return parts


def _tenant(name: str, racks: Sequence[str]) -> dict[str, Any]:
    tiers = [
        {"below": "0.999", "at_least": "0.99", "pct": "10"},
        {"below": "0.99", "at_least": "0.95", "pct": "25"},
        {"below": "0.95", "at_least": "0", "pct": "100"},
    ]
    promise = {"target": "0.999", "tiers": tiers}
    return {
        "id": name,
        "fee": {"monthly_amount": f"{len(racks) * 150_000}.00"},
        "objectives": [
            {"name": "gpu-999", "unit": "gpu", **promise},
            {"name": "pool-999", "unit": "pool", **promise},
        ],
        "leases": [
            {"places": [f"{racks[0]}..{racks[-1]}"], "from": "2026-01-01T00:00:00Z", "to": "2030-01-01T00:00:00Z"}
        ],
    }


def record(fleet: Fleet, path: Path) -> None:
    """Write the ledger through the recorder: a batch a day from every tray, open coverage noted, days sealed."""
    clock = SimulatedClock(fleet.month.from_ms)
    ledger = SqlLedger(f"sqlite:///{path}")
    recorder, sealer = Recorder(ledger, clock, _SITE), Sealer(ledger, clock)
    trays = [_Tray(fleet, (rack, tray)) for rack in fleet.racks for tray in range(1, SHAPE.trays + 1)]
    for from_ms in range(fleet.month.from_ms, fleet.month.to_ms, DAY_MS):
        progress(f"sla: recording {utc_text(from_ms)[:10]} of {fleet.gpus} GPUs")
        clock.advance_to(from_ms + DAY_MS + SECOND_MS)
        day = Span(from_ms, from_ms + DAY_MS)
        for first in range(0, len(trays), _NODES_AT_ONCE):
            told = [tray.batches(day) for tray in trays[first : first + _NODES_AT_ONCE]]
            recorder.record(
                [Delivery(batch=one, speaker=None, token=one.first_seq) for batches in told for one in batches]
            )
        recorder.note_open()
        sealer.seal(day_of(from_ms))
    ledger.close()


class _Tray:
    """What the agent of one tray says, day by day."""

    def __init__(self, fleet: Fleet, tray: Tray) -> None:
        self._rack, self._tray = tray
        self._node = f"{tray[0]}-t{tray[1]:02d}"
        self._places = SHAPE.places(tray[0], tray=tray[1])
        self._gpus = tuple(map(gpu_name, self._places))
        self._well = tuple(GpuSeen(gpu=gpu, health=Health.UP) for gpu in self._gpus)
        self._faults = fleet.by_tray.get(tray, [])
        self._boot, self._seq = 0, 0
        self._silent = True  # until the agent first starts

    def batches(self, day: Span) -> list[Batch]:
        """Return a batch for each run of the agent in a day."""
        batches: list[Batch] = []
        facts: list[bytes] = []
        first = self._seq + 1
        for from_ms, to_ms in self._stretches(day):
            active = [one for one in self._faults if one.from_ms <= from_ms < one.to_ms]
            if any(one.shape.dark for one in active):
                self._silent = True
                continue
            if self._silent:
                batches += self._batch(facts, first)
                facts, first = [self._started(from_ms)], 1
            facts += [self._raised(one) for one in self._faults if one.from_ms == from_ms and one.shape.xids]
            facts.append(self._observed(from_ms, to_ms, active))
        return batches + self._batch(facts, first)

    def _stretches(self, day: Span) -> list[tuple[int, int]]:
        edges = {day.from_ms, day.to_ms}
        for fault in self._faults:
            edges |= {at for at in (fault.from_ms, fault.to_ms) if day.from_ms < at < day.to_ms}
        ordered = sorted(edges)
        return list(itertools.pairwise(ordered))

    def _batch(self, facts: list[bytes], first: int) -> list[Batch]:
        if not facts:
            return []
        return [Batch(node=self._node, run=self._run, first_seq=first, facts=tuple(map(msgspec.Raw, facts)))]

    @property
    def _run(self) -> str:
        return f"{self._node}-{self._boot}"

    def _head(self) -> dict[str, Any]:
        self._seq += 1
        names = {"site": _SITE, "rack": self._rack, "node": self._node, "boot": f"boot-{self._boot}", "run": self._run}
        return {**names, "slot": self._tray, "seq": self._seq, "mono_ms": 0}

    def _started(self, at_ms: int) -> bytes:
        self._boot, self._seq, self._silent = self._boot + 1, 0, False
        placed = tuple(
            GpuPlaced(gpu=gpu, position=place.position) for gpu, place in zip(self._gpus, self._places, strict=True)
        )
        started = RunStarted(tray=self._tray, boot_ms=at_ms, gpus=placed, driver="580.95.05", version="1")
        return encode(NodeEvent(**self._head(), at_ms=at_ms, sent_ms=at_ms, event=started))

    def _raised(self, fault: Fault) -> bytes:
        hit = next(gpu for gpu, place in zip(self._gpus, self._places, strict=True) if place in fault.places)
        event = XidRaised(xid=fault.shape.xids[0][1])
        return encode(NodeEvent(**self._head(), at_ms=fault.from_ms, sent_ms=fault.from_ms, gpu=hit, event=event))

    def _observed(self, from_ms: int, to_ms: int, active: Sequence[Fault]) -> bytes:
        seen = (
            self._well if not active else tuple(map(self._seen, self._places, self._gpus, [active] * len(self._gpus)))
        )
        return encode(NodeObserved(**self._head(), from_ms=from_ms, to_ms=to_ms, sent_ms=to_ms, gpus=seen))

    @staticmethod
    def _seen(place: Place, gpu: str, active: Sequence[Fault]) -> GpuSeen:
        hit = [one.shape for one in active if place in one.places]
        for health in _WORST:
            for kind in hit:
                if kind.health is health:
                    return GpuSeen(gpu=gpu, health=health, cause=kind.cause)
        return GpuSeen(gpu=gpu, health=Health.UP)


def write_spans(fleet: Fleet, path: Path, pieces: int) -> int:
    """Write the month as a CSV of spans, the up time of every GPU in so many pieces; return how many spans."""
    count, step_ms = 0, fleet.month.length_ms // pieces
    edges = [utc_text(fleet.month.from_ms + number * step_ms) for number in range(pieces + 1)]
    with path.open("w") as file:
        file.write("gpu,rack,tray,health,cause,from,to\n")
        for place in fleet.places:
            head = f"{gpu_name(place)},{place.rack},{place.tray},up,,"
            file.writelines(f"{head}{edges[at]},{edges[at + 1]}\n" for at in range(pieces))
            count += pieces
    return count
