"""Random contracts and histories for the oracle, and the same handed to the engine."""

import random
from typing import Any

from service.core.contract import Exclusions, Objective, Places, Topology
from service.core.health import State
from service.core.model import Place, Span
from service.core.sla.evaluate import Terms
from service.core.sla.given import Acceptance, Claim, Decision, Given, Held, Mark, Stop, Swap
from service.core.timeline import Segment, Timeline, extend
from tests.sla_oracle import Look, Story, ToldClaim

BASE = 1_782_864_000_000
TRAYS, GPUS = 3, 2
TOPOLOGY = Topology(trays_per_rack=TRAYS, gpus_per_tray=GPUS)
RACKS = ("r1", "r2")
ALL = [Place(rack, tray, gpu) for rack in RACKS for tray in range(1, TRAYS + 1) for gpu in range(GPUS)]
LOOKS: tuple[Look, ...] = (
    ("down", frozenset()),
    ("down", frozenset({"gpu:lost"})),
    ("down", frozenset({"host:maintenance"})),
    ("down", frozenset({"hall:power"})),
    ("down", frozenset({"hall:power", "gpu:lost"})),
    ("down", frozenset({"fabric:unhealthy"})),
    ("degraded", frozenset({"slowdown:thermal"})),
    ("degraded", frozenset({"nvlink:link_down"})),
    ("degraded", frozenset({"network:scale_out"})),
    ("unknown", frozenset()),
    ("unknown", frozenset({"agent:edge"})),
    ("unknown", frozenset()),
)


class Maker:
    """One random situation; the same seed makes the same one."""

    def __init__(self, seed: int, ticks: int = 120) -> None:
        self.chance = random.Random(seed)
        self.ticks = ticks
        self.tick_ms = self.chance.choice([1, 20_000, 300_000])

    def some_span(self, longest: int) -> tuple[int, int]:
        """Return a span within the story."""
        begin = self.chance.randrange(self.ticks - 1)
        return begin, min(self.ticks, begin + 1 + self.chance.randrange(longest))

    def some_places(self) -> set[Place]:
        """Return a rack, a tray, or a GPU."""
        one = self.chance.choice(ALL)
        level = self.chance.randrange(3)
        if level == 0:
            return {one}
        return {place for place in ALL if place.rack == one.rack and (level == 2 or place.tray == one.tray)}

    def maybe(self, value: Any, otherwise: Any, odds: float = 0.3) -> Any:
        """Return the first now and then."""
        return value if self.chance.random() < odds else otherwise

    def looks(self) -> list[Look]:
        """Return how a place was: up, with stretches of something else."""
        row: list[Look] = [("up", frozenset())] * self.ticks
        for _ in range(self.chance.randrange(1, 7)):
            begin, end = self.some_span(self.chance.choice([3, 10, 30]))
            row[begin:end] = [self.chance.choice(LOOKS)] * (end - begin)
        return row

    def story(self, objective: Objective) -> Story:
        """Return a situation that suits an objective."""
        begin = self.chance.randrange(self.ticks // 4)
        end = self.ticks - self.chance.randrange(self.ticks // 4)
        touched = self.chance.sample(ALL, self.chance.randrange(1, 8))
        story = Story(
            ticks=self.ticks,
            tick_ms=self.tick_ms,
            base_ms=BASE + self.chance.randrange(100) * self.tick_ms,
            begin=begin,
            end=end,
            trays=TRAYS,
            gpus=GPUS,
            looks={place: self.looks() for place in touched},
            leases=self._leases(whole=objective.up_rule.k is not None),
        )
        self._say(story, objective)
        return story

    def _leases(self, *, whole: bool) -> list[tuple[set[Place], int, int]]:
        found = []
        for rack in RACKS:
            inside = {place for place in ALL if place.rack == rack}
            change = self.chance.randrange(1, self.ticks)
            how = self.chance.randrange(3 if whole else 5)
            bottom = {place for place in inside if place.tray <= self.chance.choice([1, 2])}
            if how == 0:
                found.append((inside, 0, self.ticks))
            elif how == 1:
                found.append((inside, change // 2, change + 1))
            elif how == 2:
                found += [(inside, 0, change), (inside, change, self.ticks)]
            elif how == 3:
                found += [(bottom, 0, self.ticks), (inside - bottom, change, self.ticks)]
            else:
                found += [(bottom, 0, change), (inside, change, self.ticks)]
        return found

    def _say(self, story: Story, objective: Objective) -> None:
        for _ in range(self.maybe(2, 0, 0.4)):
            story.accepted |= dict.fromkeys(self.some_places(), self.chance.randrange(self.ticks))
        if self.chance.random() < 0.4:
            failed = self.chance.choice(list(story.looks))
            spare = self.chance.choice([place for place in ALL if place != failed])
            story.swaps.append((failed, spare, *self.some_span(40)))
        for _ in range(self.maybe(2, 0, 0.4)):
            reason = self.chance.choice(["tenant_access_denied", "tenant_defers_repair"])
            story.stops.append((reason, self.some_places(), *self.some_span(30)))
        if objective.clock_start != "fault_onset" or objective.clock_end != "service_restored":
            for _ in range(12):
                kind = self.chance.choice([objective.clock_start, objective.clock_end])
                story.marks.append((kind, self.some_places(), self.chance.randrange(self.ticks)))
        for number in range(self.maybe(self.chance.randrange(1, 4), 0, 0.6)):
            story.claims.append(self._claim(number))

    def _claim(self, number: int) -> ToldClaim:
        begin, end = self.some_span(60)
        return ToldClaim(
            id=f"C{number}",
            kind=self.chance.choice(["scheduled_maintenance", "force_majeure", "beta"]),
            places=self.some_places(),
            begin=begin,
            end=end,
            by="a",
            decided=self.chance.choice([("b", True), ("b", True), ("b", True), ("a", True), ("b", False), None]),
        )

    # --- contracts --------------------------------------------------------------------------------------------------

    def exclusions(self) -> Exclusions:
        """Return random exclusion terms."""
        kinds: list[dict[str, Any]] = [{"kind": kind} for kind in ("scheduled_maintenance", "force_majeure")]
        if self.chance.random() < 0.3:
            kinds[0]["max_per_event_ms"] = self.chance.randrange(1, 40) * self.tick_ms
        if self.chance.random() < 0.3:
            kinds[self.chance.randrange(2)]["max_per_period_ms"] = self.chance.randrange(1, 60) * self.tick_ms
        self.chance.shuffle(kinds)
        return Exclusions.model_validate(
            {
                "kinds": kinds,
                "mode": self.chance.choice(["as_up", "from_denominator"]),
                "extent": self.chance.choice(["downtime", "window"]),
                "but_for": self.chance.random() < 0.5,
                "review": {"four_eyes": self.chance.random() < 0.7},
            }
        )

    def objective(self, exclusions: Exclusions, unit: str | None = None) -> Objective:
        """Return a random objective whose denominator agrees with the exclusions."""
        unit = unit or self.chance.choice(["gpu", "tray", "node", "rack", "nvlink_domain", "site", "pool"])
        shrinks = exclusions.mode == "from_denominator"
        rule = self._rule(unit)
        pooled = unit in {"site", "pool"} and rule.get("kind", "weighted") == "weighted"
        terms: dict[str, Any] = {
            "name": "x",
            "unit": unit,
            "target": self.chance.choice(["0.5", "0.9", "0.99", "0.333"]),
            "up_rule": rule,
            "requires": self.maybe(
                self.chance.choice([["nvlink_domain"], ["host", "power", "scale_out_net"]]),
                ["power", "host", "gpu_healthy", "nvlink_domain"],
                0.25,
            ),
            "degraded_weight": self.chance.choice(["0", "0", "0.5", "0.3", "1"]),
            "degraded": self.maybe(self._degraded(), [], 0.4),
            "measure": self._measure(pooled=pooled),
            "clock_start": self.maybe(
                self.chance.choice(["detection", "notice_received", "ticket_ack"]), "fault_onset", 0.2
            ),
            "clock_end": self.maybe("tenant_confirms", "service_restored", 0.15),
            "clock_stop": {"on": self.maybe(["tenant_access_denied"], [], 0.6)},
            "denominator": self.maybe("accepted_time", "period_minus_excluded" if shrinks else "total_period", 0.4),
            "settle": self.chance.choice(["lo", "hi", "midpoint", "dispute"]),
            "monitoring_gap": self._gap(),
            "tiers": [],
        }
        if not pooled and self.chance.random() < 0.3:
            terms["hourly_rule"] = {"bad_over_ms": self.chance.randrange(0, 20) * self.tick_ms}
        return Objective.model_validate(terms)

    def _rule(self, unit: str) -> dict[str, Any]:
        spare = {
            "counts": self.chance.choice(["contracted_only", "any_healthy_in_rack", "any_in_pool"]),
            "swap_grace_ms": self.maybe(self.chance.randrange(1, 20) * self.tick_ms, 0, 0.5),
            "same_domain_required": self.chance.random() < 0.5,
        }
        if unit == "gpu":
            kind, members = "all_of", "gpu"
        else:
            kind = self.chance.choice(["all_of", "k_of_n", "weighted", "capacity_at_least"])
            allowed = {"tray": ["gpu"], "node": ["gpu"], "rack": ["tray", "gpu"], "nvlink_domain": ["tray", "gpu"]}
            members = self.chance.choice(allowed.get(unit, ["gpu", "tray", "rack"]))
        rule: dict[str, Any] = {"kind": kind, "members": members, "spare_policy": spare}
        most = {"gpu": TRAYS * GPUS, "tray": TRAYS, "rack": 1}[members]
        most = GPUS if unit in {"tray", "node"} else most
        if kind in {"k_of_n", "capacity_at_least"}:
            rule["k"] = self.chance.randrange(1, most + 1)
        if kind != "weighted" and self.chance.random() < 0.3:
            rule["below_k"] = "pro_rata"
        small = unit in {"gpu", "tray", "node"} and kind == "all_of"
        if (small or (unit in {"pool", "site"} and kind == "weighted")) and self.chance.random() < 0.3:
            rule |= {"below_k": "rack_down", "k": self.chance.randrange(1, TRAYS + 1)}
        return rule

    def _degraded(self) -> list[dict[str, Any]]:
        states = self.chance.sample(["throttled", "one_nvlink_lost", "slow_net"], self.chance.randrange(1, 4))
        found = []
        for state in states:
            how = self.chance.choice(["up", "down", "fraction"])
            rule: dict[str, Any] = {
                "state": state,
                "counts_as": how,
                "after_ms": self.chance.choice([0, 2, 5]) * self.tick_ms,
            }
            found.append(rule | ({"weight": self.chance.choice(["0.25", "0.5"])} if how == "fraction" else {}))
        return found

    def _measure(self, *, pooled: bool) -> dict[str, Any]:
        grain = self.chance.choice(["none", "none", "floor_minute", "ceil_minute", "slice"])
        found: dict[str, Any] = {
            "join_gap_ms": self.maybe(self.chance.randrange(1, 8) * self.tick_ms, 0, 0.4),
            "quantise": grain,
            "filter_order": self.maybe("after_exclusions", "before_exclusions", 0.3),
        }
        if grain == "slice":
            rule = self.chance.choice(["any", "majority", "ratio"])
            found["slice"] = {"ms": self.chance.randrange(2, 12) * self.tick_ms, "bad_if": rule}
        if self.chance.random() < 0.5:
            found |= {"min_outage_ms": self.chance.randrange(1, 12) * self.tick_ms, "min_outage_mode": "filter"}
        elif not pooled and self.chance.random() < 0.4:
            found |= {"min_outage_ms": self.chance.randrange(1, 12) * self.tick_ms, "min_outage_mode": "deductible"}
        if not pooled and self.chance.random() < 0.2:
            found["buffer_ms"] = self.chance.randrange(1, 12) * self.tick_ms
        return found

    def _gap(self) -> dict[str, Any]:
        policy = self.chance.choice(["bounded"] * 5 + ["count_up", "count_down", "exclude", "last_state_up_to_ms"])
        found: dict[str, Any] = {"policy": policy}
        if policy == "last_state_up_to_ms":
            found["last_state_up_to_ms"] = self.chance.randrange(1, 12) * self.tick_ms
        if self.chance.random() < 0.3:
            found["max_unknown_per_period_ms"] = self.chance.randrange(0, 20) * self.tick_ms
        return found


# --- the same for the engine ----------------------------------------------------------------------------------------


def at(story: Story, tick: int) -> int:
    """Return the instant of a tick."""
    return story.base_ms + tick * story.tick_ms


def span_of(story: Story, begin: int, end: int) -> Span:
    """Return ticks as a span of time."""
    return Span(at(story, begin), at(story, end))


def places_of(some: set[Place] | frozenset[Place]) -> Places:
    """Return a set of places as the engine keeps it."""
    return Places.of([str(place) for place in sorted(some)], TOPOLOGY)


def timeline_of(story: Story, looks: list[Look]) -> Timeline:
    """Return a row of ticks as a timeline."""
    found: list[Segment] = []
    for tick, (state, causes) in enumerate(looks):
        extend(found, Segment(at(story, tick), at(story, tick + 1), State(state), causes))
    return tuple(found)


def given_of(story: Story) -> Given:
    """Return a story as the engine is given it."""
    return Given(
        held=tuple(Held(places_of(places), span_of(story, begin, end)) for places, begin, end in story.leases),
        timelines={place: timeline_of(story, looks) for place, looks in story.looks.items()},
        acceptances=tuple(Acceptance(places_of({place}), at(story, tick)) for place, tick in story.accepted.items()),
        swaps=tuple(
            Swap(places_of({failed}), places_of({spare}), span_of(story, begin, end))
            for failed, spare, begin, end in story.swaps
        ),
        claims=tuple(
            Claim(id=c.id, kind=c.kind, places=places_of(c.places), span=span_of(story, c.begin, c.end), by=c.by)  # type: ignore[arg-type]
            for c in story.claims
        ),
        decisions=tuple(
            Decision(claim=c.id, approved=c.decided[1], by=c.decided[0], at_ms=at(story, c.end))
            for c in story.claims
            if c.decided is not None
        ),
        stops=tuple(
            Stop(reason, places_of(places), span_of(story, begin, end))  # type: ignore[arg-type]
            for reason, places, begin, end in story.stops
        ),
        marks=tuple(Mark(kind, places_of(places), at(story, tick)) for kind, places, tick in story.marks),  # type: ignore[arg-type]
    )


def terms_of(exclusions: Exclusions) -> Terms:
    """Return terms without money."""
    return Terms(exclusions=exclusions, topology=TOPOLOGY)
