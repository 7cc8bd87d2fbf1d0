"""Months that end in a statement: four GPUs of one rack, their ledger, and what people said of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from service.clock import SimulatedClock
from service.core import limits
from service.core.contract import Agreement, Contract
from service.core.cut import Cut
from service.core.facts import Fact, FactKind
from service.core.health import Health
from service.core.periods import parse_utc
from service.core.said import Telling, decode_telling
from service.desk import Desk
from service.ledger.store import SqlLedger
from service.statements import keeper as keeping
from service.statements.basis import Basis
from service.statements.issued import Issued, versions
from service.statements.keeper import Keeper

MONTH, TENANT = "2026-07", "reflection"
JULY, AUGUST = parse_utc("2026-07-01T00:00:00Z"), parse_utc("2026-08-01T00:00:00Z")
GPUS = {f"GPU-{number}": f"r0001/t0{1 + number // 2}/g{number % 2}" for number in range(4)}
TIERS = [
    {"below": "0.999", "at_least": "0.99", "pct": "10"},
    {"below": "0.99", "at_least": "0.95", "pct": "25"},
    {"below": "0.95", "at_least": "0", "pct": "100"},
]


def contract(tenant: dict[str, Any] | None = None, **objective: Any) -> Contract:
    """Return the contract of the rack: every GPU and the pool at 99.9 %."""
    terms = {"target": "0.999", "tiers": TIERS} | objective
    return Contract.model_validate(
        {
            "id": "colossus2",
            "version": 3,
            "site": "mem2",
            "landlord": "Landlord of the reference site",
            "topology": {"trays_per_rack": 2, "gpus_per_tray": 2},
            "tenants": [
                {
                    "id": TENANT,
                    "fee": {"monthly_amount": "40000.00"},
                    "objectives": [
                        {"name": "gpu-999", "unit": "gpu", **terms},
                        {"name": "pool-999", "unit": "pool", **terms},
                    ],
                    "leases": [{"places": ["r0001"], "from": "2026-07-01T00:00:00Z", "to": "2030-01-01T00:00:00Z"}],
                    "exclusions": {
                        "kinds": [
                            {"kind": "scheduled_maintenance", "notice_min_ms": 5 * limits.DAY_MS},
                            {"kind": "force_majeure", "notice_within_ms": 2 * limits.DAY_MS},
                        ],
                        "but_for": True,
                    },
                    "reporting": {"dispute_days": 10},
                    **(tenant or {}),
                }
            ],
        }
    )


@dataclass(slots=True)
class Story:
    """A ledger that is written as time goes by, and the keeper of its statements."""

    path: Path
    terms: Contract = field(default_factory=contract)
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(JULY))
    ledger: SqlLedger = field(init=False)

    def __post_init__(self) -> None:
        """Place the GPUs."""
        self.ledger = SqlLedger(f"sqlite:///{self.path}")
        placed = [
            Fact(kind=FactKind.PLACEMENT, key=f"place/{gpu}", partition=3, from_ms=JULY, gpu=gpu, body=place)
            for gpu, place in GPUS.items()
        ]
        self.commit(placed)

    def __enter__(self) -> Self:
        """Leave it to `with` to close the ledger."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the ledger."""
        self.ledger.close()

    @property
    def basis(self) -> Basis:
        """What statements are drawn from."""
        return Basis(agreement=Agreement.of((self.terms,)), ledger=self.ledger)

    def commit(self, facts: Sequence[Fact]) -> None:
        """Record rows now."""
        self.ledger.commit(facts, (), self.clock.now_ms())

    def at(self, text: str) -> "Story":
        """Let time pass."""
        self.clock.advance_to(parse_utc(text))
        return self

    def saw(self, gpu: str, health: Health | None, begin: str, end: str, cause: str | None = None) -> "Story":
        """Record that a GPU was seen over a span."""
        from_ms, to_ms = parse_utc(begin), parse_utc(end)
        fact = Fact(
            kind=FactKind.COVERAGE,
            key=f"seen/{gpu}/{from_ms}",
            partition=3,
            from_ms=from_ms,
            to_ms=to_ms,
            rack="r0001",
            node=f"r0001-t0{1 + int(gpu[-1]) // 2}",
            run="run-1",
            gpu=gpu,
            health=health,
            cause=cause,
        )
        self.commit([fact])
        return self

    def month(
        self, *bad: tuple[str, Health | None, str, str, str | None], but: Sequence[tuple[str, str, str]] = ()
    ) -> "Story":
        """Record July of every GPU: up, except where it was seen otherwise or (`but`) not seen at all."""
        for gpu in GPUS:
            cursor = "2026-07-01T00:00:00Z"
            holes = [(begin, end) for who, _, begin, end, _ in bad if who == gpu]
            holes += [(begin, end) for who, begin, end in but if who == gpu]
            for begin, end in sorted(holes):
                if cursor < begin:
                    self.saw(gpu, Health.UP, cursor, begin)
                cursor = end
            self.saw(gpu, Health.UP, cursor, "2026-08-01T00:00:00Z")
        for gpu, health, begin, end, cause in bad:
            self.saw(gpu, health, begin, end, cause)
        return self

    def tell(self, said: dict[str, Any], begin: str | None = None, end: str | None = None) -> "Story":
        """Let a person say something."""
        import json

        body = {"said": said, "from_ms": begin and parse_utc(begin), "to_ms": end and parse_utc(end)}
        telling: Telling = decode_telling(json.dumps(body).encode())
        Desk(self.ledger, self.clock).tell(telling)
        return self

    def claim(
        self, name: str, kind: str, begin: str, end: str, announced: str, why: str, places: Sequence[str]
    ) -> "Story":
        """Let alice claim time."""
        said = {
            "said": "claim",
            "claim": name,
            "kind": kind,
            "places": list(places),
            "announced_ms": parse_utc(announced),
            "by": "alice",
            "why": why,
            "evidence": [f"CHG-{name}"],
        }
        return self.tell(said, begin, end)

    def decide(self, name: str, why: str, *, approved: bool = True) -> "Story":
        """Let bob decide a claim."""
        return self.tell({"said": "decision", "claim": name, "approved": approved, "by": "bob", "why": why})

    def keeper(self) -> Keeper:
        """Return a keeper as it is after a restart."""

        def book(fact: Fact, at_ms: int) -> None:
            self.ledger.commit((fact,), (), at_ms)

        cut: Callable[[], Cut] = self.ledger.cut
        return Keeper(agreement=self.basis.agreement, ledger=self.ledger, clock=self.clock, cut=cut, book=book)

    def turn(self) -> list[str]:
        """Let the keeper issue what is due; return the keys."""
        return [fact.key for fact in self.keeper().turn()]

    @property
    def issued(self) -> tuple[Issued, ...]:
        """Every version of July."""
        return versions(self.ledger, TENANT, MONTH)


def releases(monkeypatch: Any) -> None:
    """Let statements be computed by releases that do not change with this machine."""
    monkeypatch.setattr(keeping, "engine_version", lambda: "1.2.3")
    monkeypatch.setattr(keeping, "tzdata_version", lambda: "2026a")


def spotless(path: Path) -> Story:
    """Return a month in which nothing happened, drafted and final."""
    story = Story(path).month().at("2026-08-01T00:05:00Z")
    story.turn()
    story.at("2026-08-11T00:05:00Z").turn()
    return story


def missed(path: Path) -> Story:
    """Return a month with an excluded outage, one that counts, and a claim that was refused."""
    story = Story(path)
    story.at("2026-07-03T08:00:00Z").claim(
        "MW-1", "scheduled_maintenance", "2026-07-10T02:00:00Z", "2026-07-10T04:00:00Z",
        "2026-07-03T08:00:00Z", "driver 580.95 on tray 1", ["r0001/t01"],
    )  # fmt: skip
    story.at("2026-07-04T09:00:00Z").decide("MW-1", "window agreed with the tenant")
    story.at("2026-07-20T09:00:00Z").claim(
        "FM-1", "force_majeure", "2026-07-19T10:00:00Z", "2026-07-19T13:00:00Z",
        "2026-07-20T08:30:00Z", "utility outage, by the landlord's account", ["r0001/t02"],
    )  # fmt: skip
    story.at("2026-07-21T09:00:00Z").decide("FM-1", "the substation log shows no outage", approved=False)
    story.at("2026-08-01T00:00:00Z").month(
        ("GPU-0", Health.DOWN, "2026-07-10T02:10:00Z", "2026-07-10T04:35:00Z", "host:maintenance"),
        ("GPU-1", Health.DOWN, "2026-07-10T02:10:00Z", "2026-07-10T04:35:00Z", "host:maintenance"),
        ("GPU-2", Health.DOWN, "2026-07-19T10:00:00Z", "2026-07-19T13:00:00.250Z", "hall:power"),
        ("GPU-3", Health.DOWN, "2026-07-19T10:00:00Z", "2026-07-19T13:00:00.250Z", "hall:power"),
        ("GPU-3", Health.DEGRADED, "2026-07-25T06:00:00Z", "2026-07-25T09:00:00Z", "slowdown:thermal"),
    )
    story.at("2026-08-01T00:05:00Z").turn()
    story.at("2026-08-11T00:05:00Z").turn()
    return story


def undetermined(path: Path) -> Story:
    """Return a month in which the time of which nobody knows decides."""
    story = Story(path, contract(settle="dispute", gap_after_down="unknown")).at("2026-08-01T00:00:00Z")
    story.month(
        ("GPU-1", Health.DOWN, "2026-07-12T10:00:00Z", "2026-07-12T10:40:00Z", "gpu:lost"),
        ("GPU-2", None, "2026-07-14T11:00:00Z", "2026-07-14T12:00:00Z", "hung"),
        but=[("GPU-1", "2026-07-12T10:40:00Z", "2026-07-12T11:30:00Z")],
    )
    story.at("2026-08-01T00:05:00Z").turn()
    return story


def restated(path: Path, days: int | None = None) -> Story:
    """Return April's case of the sheet in July: five spooled minutes arrive after the final and tip the target."""
    gap = {"monitoring_gap": {"settle": "hi", "witnesses": {"late_arrival_cutoff_days": days}}}
    story = Story(path, contract(gap_after_down="unknown", **gap)).at("2026-08-01T00:00:00Z")
    story.month(
        ("GPU-0", Health.DOWN, "2026-07-12T10:00:00Z", "2026-07-12T10:40:00Z", "gpu:lost"),
        but=[("GPU-0", "2026-07-12T10:40:00Z", "2026-07-12T10:45:00Z")],
    )
    story.at("2026-08-01T00:05:00Z").turn()
    story.at("2026-08-11T00:05:00Z").turn()
    story.at("2026-08-20T07:00:00Z")
    story.saw("GPU-0", Health.DOWN, "2026-07-12T10:40:00Z", "2026-07-12T10:45:00Z", "gpu:lost")
    story.at("2026-08-20T07:05:00Z").turn()
    return story
