"""The running service and its ledger: seals cover what is open, statements can be drawn again, corrections count."""

import json
from typing import Any

import msgspec

from service import issue
from service.app import Service
from service.bus.memory import MemoryBus
from service.clock import SimulatedClock
from service.contracts import load
from service.core import limits
from service.core.events import GpuPlaced, GpuSeen, NodeEvent, NodeObserved, RunStarted
from service.core.facts import FactKind
from service.core.health import Health
from service.core.model import Place, Span
from service.core.periods import month_span
from service.core.said import decode_telling
from service.core.wire import Batch, encode
from service.ledger.store import SqlLedger
from service.projection import history_of
from service.sealing import Sealer
from service.verify import verify
from tests.processes import ROOT

CONTRACT = load(ROOT / "service/data/demo.yaml")
JULY = month_span("2026-07", CONTRACT.zone_info)
HEAD: dict[str, Any] = {
    "site": CONTRACT.site,
    "rack": "r0001",
    "node": "r0001-t01",
    "slot": 1,
    "boot": "boot",
    "run": "run",
}


def _service(ledger: SqlLedger, bus: MemoryBus, clock: SimulatedClock) -> Service:
    return Service(contract=CONTRACT, ledger=ledger, bus=bus, clock=clock, sealer=Sealer(ledger, clock))


def _say(bus: MemoryBus, service: Service, *messages: NodeEvent | NodeObserved) -> None:
    facts = tuple(msgspec.Raw(encode(message)) for message in messages)
    bus.publisher().publish(Batch(node=HEAD["node"], run="run", first_seq=messages[0].seq, facts=facts))
    service.pump()


def _seen(seq: int, from_ms: int, to_ms: int, health: Health = Health.UP) -> NodeObserved:
    cause = None if health is Health.UP else "gpu:lost"
    gpus = (GpuSeen(gpu="GPU-a", health=health, cause=cause),)
    return NodeObserved(**HEAD, seq=seq, from_ms=from_ms, to_ms=to_ms, sent_ms=to_ms, mono_ms=0, gpus=gpus)


def _july(bus: MemoryBus, service: Service) -> None:
    """Tell of one GPU in July: up, ten minutes down, up beyond the month's end and still open."""
    placed = (GpuPlaced(gpu="GPU-a", position=0),)
    started = RunStarted(tray=1, boot_ms=JULY.from_ms - 1, gpus=placed)
    down_ms = JULY.from_ms + limits.DAY_MS
    up_ms = down_ms + 10 * limits.MINUTE_MS
    _say(
        bus,
        service,
        NodeEvent(**HEAD, seq=1, at_ms=JULY.from_ms, sent_ms=JULY.from_ms, mono_ms=0, event=started),
        _seen(2, JULY.from_ms, down_ms),
        _seen(3, down_ms, up_ms, Health.DOWN),
        _seen(4, up_ms, JULY.to_ms + limits.HOUR_MS),
    )


def test_a_statement_can_be_drawn_again_from_the_cut_that_it_names() -> None:
    """Late evidence, a correction and later seals change what holds, and not what was issued; a forged one is found."""
    ledger, bus, clock = SqlLedger("sqlite://"), MemoryBus(), SimulatedClock(JULY.to_ms + 2 * limits.HOUR_MS)
    service = _service(ledger, bus, clock)
    _july(bus, service)
    service.close_month()
    service.seal_day()
    said = {"said": "correction", "by": "alice", "why": "wrong GPU"}
    (down,) = [fact for fact in ledger.facts(kinds=["coverage"]) if fact.health is Health.DOWN]
    service.tell(decode_telling(json.dumps({"said": said, "replaces": down.key}).encode()))
    end_ms = JULY.to_ms + limits.HOUR_MS
    _say(bus, service, _seen(5, end_ms, end_ms + 5_000, Health.DOWN))
    clock.sleep(86_400)
    service.close_month()
    service.seal_day()
    again = issue.recompute(CONTRACT, ledger)
    report = verify(ledger, recompute=again)
    forged = verify(ledger, recompute=lambda fact: again(fact).replace("down_ms", "up_ms"))

    issued = list(ledger.facts(kinds=[FactKind.STATEMENT.value]))
    pools = [json.loads(fact.body)["objectives"] for fact in issued]
    assert len(issued) == len([tenant for tenant in CONTRACT.tenants if tenant.objectives])
    assert report.findings == ()
    assert (report.statements, report.seals) == (len(issued), 2)
    assert any(one["down_ms"] >= 10 * limits.MINUTE_MS for objectives in pools for one in objectives)
    assert forged.findings[0].kind == "statement"
    assert "objectives" in forged.findings[0].text


def test_a_seal_covers_what_is_open_and_a_live_correction_counts_at_once() -> None:
    """The cut of a seal holds the open coverage; after a correction live fold and restarted fold say the same."""
    ledger, bus, clock = SqlLedger("sqlite://"), MemoryBus(), SimulatedClock(JULY.to_ms + 2 * limits.HOUR_MS)
    service = _service(ledger, bus, clock)
    _july(bus, service)
    service.seal_day()
    service.seal_day()
    (one,) = ledger.seals()
    place, window = Place("r0001", 1, 0), Span(JULY.from_ms, JULY.to_ms)
    before = service.projection.place_timeline(place, window)
    (down,) = [fact for fact in ledger.facts(kinds=["coverage"]) if fact.health is Health.DOWN]
    said = {"said": "correction", "by": "alice", "why": "wrong GPU"}
    service.tell(decode_telling(json.dumps({"said": said, "replaces": down.key}).encode()))
    after = service.projection.place_timeline(place, window)
    restarted = _service(ledger, bus, clock).projection.place_timeline(place, window)
    at_the_seal = history_of(ledger, one.cut).timeline(place, window)
    metrics = service.metrics().decode()

    assert [segment.state.value for segment in before] == ["up", "down", "up"]
    assert at_the_seal == before
    assert [segment.state.value for segment in after] == ["up", "unknown", "up"]
    assert restarted == after
    assert f'threenines_ledger_seal_timestamp_seconds{{day="{one.day}",digest="{one.digest}"}}' in metrics
