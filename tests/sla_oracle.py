"""The order of operations asked tick by tick: arrays and plain loops, nothing of the engine's.

A tick is the smallest time that a generated situation knows. Every rule is written the way the
contract would be read aloud; there are no spans, no sweeps and no shortcuts here.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from service.core.contract import Exclusions, Objective
from service.core.contract.measure import DEGRADED_CAUSES
from service.core.model import Place

EXPLAINED = {
    "scheduled_maintenance": ("host:maintenance", "host:reboot", "software:push", "driver:", "recovery:"),
    "force_majeure": ("hall:power",),
}
TAKES = {"hall:power": "power", "host:maintenance": "host", "fabric:unhealthy": "nvlink_domain"}


Weight = int | Fraction


@dataclass
class Tick:
    """One tick of a member or a unit."""

    raw: Weight = 0
    down: Weight = 0
    kept: Weight = 0
    claim: int | None = None


Row = list[Tick]
Look = tuple[str, frozenset[str]]  # state, causes


@dataclass
class ToldClaim:
    """A claim over ticks, as somebody made it, and what was decided."""

    id: str
    kind: str
    places: set[Place]
    begin: int
    end: int
    by: str
    decided: tuple[str, bool] | None  # by, approved


@dataclass
class Story:
    """A situation over ticks 0..ticks; the period is [begin, end)."""

    ticks: int
    tick_ms: int
    base_ms: int
    begin: int
    end: int
    trays: int
    gpus: int
    looks: dict[Place, list[Look]]  # only places to which something happened
    leases: list[tuple[set[Place], int, int]]
    accepted: dict[Place, int] = field(default_factory=dict)
    swaps: list[tuple[Place, Place, int, int]] = field(default_factory=list)
    stops: list[tuple[str, set[Place], int, int]] = field(default_factory=list)
    marks: list[tuple[str, set[Place], int]] = field(default_factory=list)
    claims: list[ToldClaim] = field(default_factory=list)


@dataclass
class Counted:
    """What one way of taking unknown time comes to, in ms."""

    n: Weight
    d: Weight
    excluded: dict[str, Weight]
    free_hours: int = 0


@dataclass
class Answer:
    """A unit's result."""

    name: str
    lo: Counted
    hi: Counted
    settled: Counted
    unknown_ms: int
    degraded_ms: int
    met: bool | None
    gpus: int
    gpu_ms: int


class Oracle:
    """Ask every tick of a story under an objective."""

    def __init__(self, story: Story, objective: Objective, exclusions: Exclusions) -> None:
        self.story, self.objective, self.exclusions = story, objective, exclusions
        self.approved = self._approve()

    # --- claims -----------------------------------------------------------------------------------------------------

    def _approve(self) -> list[tuple[ToldClaim, set[int]]]:
        used: dict[str, int] = {}
        found = []
        for claim in sorted(self.story.claims, key=lambda c: (c.begin, c.end, c.id)):
            rule = self.exclusions.rule(claim.kind)  # type: ignore[arg-type]
            if rule is None or claim.decided is None or not claim.decided[1]:
                continue
            if self.exclusions.review.four_eyes and claim.decided[0] == claim.by:
                continue
            ticks = list(range(claim.begin, claim.end))
            if rule.max_per_event_ms is not None:
                ticks = ticks[: rule.max_per_event_ms // self.story.tick_ms]
            granted = set()
            for tick in ticks:
                inside = self.story.begin <= tick < self.story.end
                if inside and rule.max_per_period_ms is not None:
                    if used.get(claim.kind, 0) >= rule.max_per_period_ms // self.story.tick_ms:
                        continue
                    used[claim.kind] = used.get(claim.kind, 0) + 1
                granted.add(tick)
            if granted:
                found.append((claim, granted))
        order = list(self.exclusions.order)
        return sorted(found, key=lambda one: (order.index(one[0].kind), one[0].begin, one[0].end, one[0].id))  # type: ignore[arg-type]

    def _covers(self, claim: ToldClaim, causes: frozenset[str]) -> bool:
        if not self.exclusions.but_for:
            return True
        return all(cause.startswith(EXPLAINED.get(claim.kind, ("?",))) for cause in causes)

    # --- members ----------------------------------------------------------------------------------------------------

    def served(self, place: Place) -> list[Look]:
        """Return how a place was served at every tick, by itself or by a spare."""
        up: list[Look] = [("up", frozenset())] * self.story.ticks
        own = list(self.story.looks.get(place, up))
        policy = self.objective.up_rule.spare_policy
        for failed, spare, begin, end in self.story.swaps:
            if failed != place or not self._may_serve(failed, spare):
                continue
            other = self.story.looks.get(spare, up)
            for tick in range(begin, end):
                own[tick] = other[tick]
        assert policy is not None
        return own

    def _may_serve(self, failed: Place, spare: Place) -> bool:
        policy = self.objective.up_rule.spare_policy
        if policy.counts == "contracted_only":
            return False
        if failed.rack == spare.rack:
            return True
        return policy.counts == "any_in_pool" and not policy.same_domain_required

    def _forgiven(self, place: Place) -> set[int]:
        grace = self.objective.up_rule.spare_policy.swap_grace_ms // self.story.tick_ms
        own = self.story.looks.get(place)
        found: set[int] = set()
        for failed, spare, begin, _ in self.story.swaps:
            if own is None or failed != place or not self._may_serve(failed, spare):
                continue
            onset = begin
            while onset > 0 and own[onset - 1][0] in {"down", "unknown"}:
                onset -= 1
            if onset < begin and begin - onset <= grace:
                found.update(range(onset, begin))
        return found

    def member(self, place: Place, *, as_down: bool) -> Row:
        """Return a place's ticks: evidence, clocks and claims."""
        row, causes = self._observed(place, as_down=as_down)
        self._start_clock(place, row)
        self._stop_clock(place, row)
        self._claim(place, row, causes)
        return row

    def _observed(self, place: Place, *, as_down: bool) -> tuple[Row, list[frozenset[str]]]:
        looks = self._carried(self.served(place))
        forgiven = self._forgiven(place)
        row = [Tick() for _ in looks]
        since: dict[str, int] = {}
        causes: list[frozenset[str]] = []
        for tick, (state, why) in enumerate(looks):
            weight: Weight = 0
            if state == "degraded":
                weight = self._degraded(why, since, tick)
            else:
                since.clear()
            if state == "down":
                weight = int(not why or any(self._takes(c) in self.objective.requires for c in why))
            if state == "unknown" and as_down:
                weight = 1
            row[tick].raw = 0 if tick in forgiven else weight
            causes.append(frozenset() if state == "unknown" else why)
        self._end_clock(place, row, causes)
        if as_down and self.objective.clock_end != "service_restored":
            for tick, (known, why) in enumerate(zip(*self._observed(place, as_down=False), strict=True)):
                if known.raw:
                    row[tick].raw = max(row[tick].raw, known.raw)
                    causes[tick] |= why
        return row, causes

    def _carried(self, looks: list[Look]) -> list[Look]:
        limit_ms = self.objective.monitoring_gap.last_state_up_to_ms
        if limit_ms is None:
            return looks
        found = list(looks)
        for tick, (state, _) in enumerate(looks):
            if state != "unknown":
                continue
            back = tick
            while back >= 0 and looks[back][0] == "unknown":
                back -= 1
            if back >= 0 and (tick - back - 1) * self.story.tick_ms < limit_ms:
                found[tick] = looks[back]
        return found

    @staticmethod
    def _takes(cause: str) -> str:
        return "scale_out_net" if cause.startswith("network:") else TAKES.get(cause, "gpu_healthy")

    def _degraded(self, causes: frozenset[str], since: dict[str, int], tick: int) -> Weight:
        if "scale_out_net" in self.objective.requires and any(c.startswith("network:") for c in causes):
            since.clear()
            return 1
        rules = [r for r in self.objective.degraded if any(c.startswith(DEGRADED_CAUSES[r.state]) for c in causes)]
        for state in list(since):
            if state not in {rule.state for rule in rules}:
                del since[state]
        if not rules:
            return Fraction(self.objective.degraded_weight)
        weights: list[Weight] = [0]
        for rule in rules:
            since.setdefault(rule.state, tick)
            if (tick - since[rule.state]) * self.story.tick_ms >= rule.after_ms:
                weights.append({"up": 0, "down": 1}.get(rule.counts_as, Fraction(rule.weight or 0)))
        return max(weights)

    def _end_clock(self, place: Place, row: Row, causes: list[frozenset[str]]) -> None:
        if self.objective.clock_end == "service_restored":
            return
        ends = [at for kind, places, at in self.story.marks if kind == self.objective.clock_end and place in places]
        before = [tick.raw for tick in row]
        for begin, end in runs([raw > 0 for raw in before]):
            mark = min((at for at in ends if at >= end), default=end)
            for tick in range(end, mark):
                if tick >= len(row) or before[tick] > 0:
                    break
                row[tick].raw = max(before[begin:end])
                causes[tick] = frozenset().union(*causes[begin:end])

    def _start_clock(self, place: Place, row: Row) -> None:
        kind = self.objective.clock_start
        starts = [at for what, places, at in self.story.marks if what == kind and place in places]
        for one in row:
            one.down = one.raw
        if kind == "fault_onset":
            return
        whose = self._observed(place, as_down=False)[0] if kind == "detection" else row
        for begin, end in runs([tick.raw > 0 for tick in whose]):
            none = begin if kind == "detection" else end
            for tick in range(begin, min((at for at in starts if begin <= at < end), default=none)):
                row[tick].down = 0

    def stopped(self, place: Place) -> set[int]:
        """Return the ticks at which the clock of a place stands still."""
        found: set[int] = set()
        for reason, places, begin, end in self.story.stops:
            if reason in self.objective.clock_stop.on and place in places:
                found.update(range(begin, end))
        return found

    def _stop_clock(self, place: Place, row: Row) -> None:
        for tick in self.stopped(place):
            row[tick].down = 0

    def _claim(self, place: Place, row: Row, causes: list[frozenset[str]]) -> None:
        for tick, one in enumerate(row):
            one.kept = one.down
            for rank, (claim, ticks) in enumerate(self.approved):
                if place in claim.places and tick in ticks and one.kept and self._covers(claim, causes[tick]):
                    one.kept, one.claim = 0, rank

    # --- units ------------------------------------------------------------------------------------------------------

    def answers(self) -> list[Answer]:
        """Return every unit's result; of a weighted pool those of its members."""
        unit, _ = self._level()
        found = []
        for name, rack in self._names():
            leased = {tick: self._leased(name, unit, tick) for tick in range(self.story.begin, self.story.end)}
            every = frozenset(place for places in leased.values() for place in places)
            parts = [leased]
            if self.pooled:  # a member weighs what it has at the time
                parts = [{t: leased[t] if t in ticks else frozenset() for t in leased} for _, ticks in epochs(leased)]
            found += [self._answer(name, rack, part, every) for part in parts]
        return found

    def _level(self) -> tuple[str, str]:
        rule, unit = self.objective.up_rule, self.objective.unit
        tested = {"node": "tray", "nvlink_domain": "rack", "site": "pool"}.get(unit, unit)
        members = rule.members or ("tray" if tested == "rack" else "gpu")
        if self.pooled:
            return members, "tray" if members == "rack" else "gpu"
        return tested, members

    @property
    def pooled(self) -> bool:
        """Whether the objective tests a weighted sum."""
        return self.objective.unit in {"pool", "site"} and (self.objective.up_rule.kind or "weighted") == "weighted"

    @staticmethod
    def _key(place: Place, level: str) -> str:
        names = {"gpu": str(place), "tray": f"{place.rack}/t{place.tray:02d}", "rack": place.rack, "pool": "pool"}
        return names[level]

    def _names(self) -> list[tuple[str, str]]:
        unit, _ = self._level()
        now = {place for places, begin, end in self.story.leases for place in places if self._in_period(begin, end)}
        return sorted({(self._key(place, unit), place.rack if unit != "pool" else "") for place in now})

    def _in_period(self, begin: int, end: int) -> bool:
        return max(begin, self.story.begin) < min(end, self.story.end)

    def _leased(self, name: str, unit: str, tick: int) -> frozenset[Place]:
        return frozenset(
            place
            for places, begin, end in self.story.leases
            if begin <= tick < end
            for place in places
            if self._key(place, unit) == name
        )

    def _answer(self, name: str, rack: str, leased: dict[int, frozenset[Place]], every: frozenset[Place]) -> Answer:
        story, objective = self.story, self.objective
        held = {tick for tick, places in leased.items() if places}
        accepted = {tick for tick in held if all(tick >= story.accepted.get(place, -1) for place in every)}
        measured = accepted if objective.denominator == "accepted_time" else held
        up = self._count(leased, rack, measured, accepted, as_down=False)
        down = self._count(leased, rack, measured, accepted, as_down=True)
        unknown = self._unknown(leased, rack, accepted) * story.tick_ms
        lo, hi = self._bounded(down, up, unknown)
        settled = self._settle(lo, hi, unknown)
        target = Fraction(objective.target)
        verdicts = [one.d <= (1 - target) * one.n if one.n else None for one in (lo, hi)]
        return Answer(
            name=name,
            lo=lo,
            hi=hi,
            settled=settled,
            unknown_ms=unknown,
            degraded_ms=self._degraded_ticks(leased, rack, accepted) * story.tick_ms,
            met=verdicts[0] if verdicts[0] == verdicts[1] else None,
            gpus=max(len(places) for places in leased.values()),
            gpu_ms=sum(len(leased[tick]) for tick in measured) * story.tick_ms,
        )

    def _bounded(self, down: Counted, up: Counted, unknown_ms: int) -> tuple[Counted, Counted]:
        policy = self.objective.monitoring_gap.policy
        if policy == "count_up":
            return up, up
        if policy == "count_down":
            return down, down
        if policy == "exclude":
            less = Counted(up.n - unknown_ms, min(up.d, up.n - unknown_ms), up.excluded, up.free_hours)
            return less, less
        return down, up

    def _settle(self, lo: Counted, hi: Counted, unknown_ms: int) -> Counted:
        gap = self.objective.monitoring_gap
        if lo == hi:
            return lo
        over = gap.max_unknown_per_period_ms is not None and unknown_ms > gap.max_unknown_per_period_ms
        rule = "lo" if over else (gap.settle or self.objective.settle)
        if rule == "midpoint" and lo.n and hi.n:
            middle = (Fraction(lo.d) / lo.n + Fraction(hi.d) / hi.n) / 2
            return Counted(hi.n, middle * hi.n, hi.excluded, hi.free_hours)
        return lo if rule == "lo" else hi

    # --- one way of taking unknown time -----------------------------------------------------------------------------

    def rolled(self, members: frozenset[Place], rack: str, *, as_down: bool, cordon: bool = True) -> Row:
        """Return how a unit of these places was, at every tick of the story."""
        rows = self._member_rows(members, as_down=as_down)
        found = []
        for tick in range(self.story.ticks):
            at = [row[tick] for row in rows]
            claims = [one.claim for one in at if one.claim is not None]
            parts = [self._fold([getattr(one, what) for one in at]) for what in ("raw", "down", "kept")]
            found.append(Tick(parts[0], parts[1], parts[2], min(claims, default=None)))
        return self._cordoned(found, rack, as_down=as_down) if cordon else found

    def _member_rows(self, members: frozenset[Place], *, as_down: bool) -> list[Row]:
        _, level = self._level()
        if self.pooled:
            level = "gpu"
        groups: dict[str, list[Row]] = {}
        for place in sorted(members):
            groups.setdefault(self._key(place, level), []).append(self._cached(place, as_down=as_down))
        return [self._worst(rows) for rows in groups.values()]

    def _cached(self, place: Place, *, as_down: bool) -> Row:
        memory: dict[tuple[Place, bool], Row] = self.__dict__.setdefault("_memory", {})
        if (place, as_down) not in memory:
            memory[place, as_down] = self.member(place, as_down=as_down)
        return memory[place, as_down]

    @staticmethod
    def _worst(rows: list[Row]) -> Row:
        found = []
        for at in zip(*rows, strict=True):
            claims = [one.claim for one in at if one.claim is not None]
            weights = [max(getattr(one, what) for one in at) for what in ("raw", "down", "kept")]
            found.append(Tick(weights[0], weights[1], weights[2], min(claims, default=None)))
        return found

    def _fold(self, weights: list[Weight]) -> Weight:
        rule = self.objective.up_rule
        kind = rule.kind or ("weighted" if self.objective.unit in {"pool", "site"} else "all_of")
        if self.pooled:
            return max(weights)
        if kind == "weighted":
            return Fraction(sum(weights), len(weights))
        k = rule.k if kind != "all_of" and rule.k else len(weights)
        kth_best = sorted(weights)[k - 1]
        if rule.below_k == "pro_rata":
            return Fraction(sum(weights), len(weights)) if kth_best else 0
        return kth_best

    def _cordoned(self, row: Row, rack: str, *, as_down: bool) -> Row:
        rule = self.objective.up_rule
        if rule.below_k != "rack_down" or self.objective.unit in {"rack", "nvlink_domain"}:
            return row
        sets = {self._leased(rack, "rack", tick) for tick in range(self.story.begin, self.story.end)} - {frozenset()}
        found = []
        for tick, one in enumerate(row):
            held = next(iter(sets)) if len(sets) == 1 else self._leased_in_period(rack, tick)
            trays = self._trays(held, as_down=as_down)
            if not trays or rule.k is None:
                found.append(one)
                continue
            at = [tray[tick] for tray in trays]
            raw, down, kept = (
                sorted(getattr(other, what) for other in at)[rule.k - 1] for what in ("raw", "down", "kept")
            )
            claims = [other.claim for other in at if other.claim is not None] if raw or down else []
            claims += [one.claim] if one.claim is not None and (one.raw or one.down) else []
            found.append(
                Tick(max(raw, one.raw), max(down, one.down), max(kept, one.kept), claim=min(claims, default=None))
            )
        return found

    def _leased_in_period(self, rack: str, tick: int) -> frozenset[Place]:
        inside = self.story.begin <= tick < self.story.end
        return self._leased(rack, "rack", tick) if inside else frozenset()

    def _trays(self, held: frozenset[Place], *, as_down: bool) -> list[Row]:
        groups: dict[int, list[Row]] = {}
        for place in sorted(held):
            groups.setdefault(place.tray, []).append(self._cached(place, as_down=as_down))
        memory: dict[tuple[frozenset[Place], bool], list[Row]] = self.__dict__.setdefault("_tray_memory", {})
        if (held, as_down) not in memory:
            memory[held, as_down] = [self._worst(rows) for rows in groups.values()]
        return memory[held, as_down]

    def _unit_row(self, members: frozenset[Place], every: frozenset[Place], rack: str, *, as_down: bool) -> Row:
        row = self.rolled(members, rack, as_down=as_down)
        gap = self.objective.measure.join_gap_ms // self.story.tick_ms
        if gap:
            self._join(row, every, gap)
        return row

    def _join(self, row: Row, every: frozenset[Place], gap: int) -> None:
        active = [p for p in every if any(tick.raw or tick.down for tick in self._cached(p, as_down=True))]
        frozen = {tick for place in active for tick in self.stopped(place)}
        levels = sorted({tick.down for tick in row if tick.down})
        before = [tick.down for tick in row]
        for level in levels:
            at = [down >= level for down in before]
            for begin, end in runs([not one for one in at]):
                if begin == 0 or end == len(row) or end - begin > gap:
                    continue
                for tick in range(begin, end):
                    if tick not in frozen:
                        self._fill(row[tick], tick, level, active)

    def _fill(self, one: Tick, tick: int, level: Weight, active: list[Place]) -> None:
        ranks = [
            rank
            for rank, (claim, ticks) in enumerate(self.approved)
            if tick in ticks and any(place in claim.places for place in active)
        ]
        one.raw, one.down = max(one.raw, level), max(one.down, level)
        if ranks:
            one.claim = ranks[0] if one.claim is None else min(one.claim, ranks[0])
        else:
            one.kept = max(one.kept, level)

    def _count(
        self, leased: dict[int, frozenset[Place]], rack: str, measured: set[int], accepted: set[int], *, as_down: bool
    ) -> Counted:
        story, measure = self.story, self.objective.measure
        every = frozenset(place for places in leased.values() for place in places)
        counted: dict[int, Tick] = {}
        floor: Weight = 0
        for members, ticks in epochs(leased):
            row = self._unit_row(members, every, rack, as_down=as_down)
            for begin, end in runs([tick.raw > 0 or tick.down > 0 for tick in row]):
                last = sum(1 for t in range(begin, end) if (row[t].kept if self._after else row[t].down))
                if last == 0 or last * story.tick_ms < measure.filter_ms:
                    continue
                inside = [t for t in range(begin, end) if t in accepted and t in ticks]
                counted |= {t: row[t] for t in inside}
                floor += sum((row[t].kept for t in inside), start=0) * story.tick_ms // 60_000 * 60_000
        excluded: dict[str, Weight] = {}
        for one in counted.values():
            if one.claim is not None and one.down > one.kept:
                name = self.approved[one.claim][0].id
                excluded[name] = excluded.get(name, 0) + (one.down - one.kept) * story.tick_ms
        down = floor if measure.quantise == "floor_minute" else self._grain(counted, accepted)
        n = Fraction(len(measured) * story.tick_ms) - self._shrink(counted, leased, measured)
        free = self._free(counted)
        return Counted(n, min(max(down - measure.deductible_ms, 0), n), excluded, free)

    @property
    def _after(self) -> bool:
        return self.objective.measure.filter_order == "after_exclusions"

    def _grain(self, counted: dict[int, Tick], accepted: set[int]) -> Weight:
        story, measure = self.story, self.objective.measure
        plain = sum((one.kept for one in counted.values()), start=0) * story.tick_ms
        if measure.quantise == "ceil_minute":
            return self._bucketed(counted, accepted, 60_000, 0, "any")
        if measure.quantise == "slice" and measure.slice is not None and measure.slice.bad_if != "ratio":
            origin = story.base_ms + story.begin * story.tick_ms
            return self._bucketed(counted, accepted, measure.slice.ms, origin, measure.slice.bad_if)
        return plain

    def _bucket(self, tick: int, size_ms: int, origin_ms: int) -> int:
        return (self.story.base_ms + tick * self.story.tick_ms - origin_ms) // size_ms

    def _bucketed(self, counted: dict[int, Tick], accepted: set[int], size: int, origin: int, rule: str) -> Weight:
        sizes: dict[int, int] = {}
        weights: dict[int, list[Weight]] = {}
        for tick in accepted:
            bucket = self._bucket(tick, size, origin)
            sizes[bucket] = sizes.get(bucket, 0) + 1
        for tick, one in counted.items():
            if one.kept:
                weights.setdefault(self._bucket(tick, size, origin), []).append(one.kept)
        found: Weight = 0
        for bucket, inside in weights.items():
            if rule == "any":
                found += sizes[bucket] * max(inside)
            elif 2 * sum(inside, start=0) > sizes[bucket]:
                found += sizes[bucket]
        return found * self.story.tick_ms

    def _free(self, counted: dict[int, Tick]) -> int:
        if self.objective.hourly_rule is None:
            return 0
        hours: dict[int, Weight] = {}
        for tick, one in counted.items():
            hour = self._bucket(tick, 3_600_000, 0)
            hours[hour] = hours.get(hour, 0) + one.kept * self.story.tick_ms
        return sum(1 for down in hours.values() if down > self.objective.hourly_rule.bad_over_ms)

    def _shrink(self, counted: dict[int, Tick], leased: dict[int, frozenset[Place]], measured: set[int]) -> Weight:
        if self.exclusions.mode != "from_denominator":
            return 0
        found: Weight = 0
        windows = {
            tick
            for claim, ticks in self.approved
            for tick in ticks
            if self.exclusions.extent == "window" and tick in measured and leased[tick] <= claim.places
            if tick not in counted or not counted[tick].kept
        }
        for tick, one in counted.items():
            if tick not in windows:
                found += one.down - one.kept
        return (found + len(windows)) * self.story.tick_ms

    def _unknown(self, leased: dict[int, frozenset[Place]], rack: str, accepted: set[int]) -> int:
        found = 0
        for members, ticks in epochs(leased):
            low = self.rolled(members, rack, as_down=True)
            high = self.rolled(members, rack, as_down=False)
            for tick in ticks & accepted:
                excused = low[tick].claim is not None and low[tick].down > low[tick].kept
                found += low[tick].raw > high[tick].raw and not excused
        return found

    def _degraded_ticks(self, leased: dict[int, frozenset[Place]], rack: str, accepted: set[int]) -> int:
        found = 0
        for members, ticks in epochs(leased):
            row = self.rolled(members, rack, as_down=False)
            served = [self.served(place) for place in sorted(members)]
            for tick in ticks & accepted:
                some = any(looks[tick][0] == "degraded" for looks in served)
                found += some and (self.objective.unit == "gpu" or row[tick].raw != 1)
        return found


def runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Return the stretches of truth as [begin, end)."""
    found = []
    begin = None
    for at, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = at
        if not flag and begin is not None:
            found.append((begin, at))
            begin = None
    return found


def epochs(leased: dict[int, frozenset[Place]]) -> list[tuple[frozenset[Place], set[int]]]:
    """Return the stretches of a period over which the same places make a unit."""
    found: list[tuple[frozenset[Place], set[int]]] = []
    last: frozenset[Place] = frozenset()
    for tick in sorted(leased):
        if leased[tick] and leased[tick] != last:
            found.append((leased[tick], set()))
        if leased[tick]:
            found[-1][1].add(tick)
        last = leased[tick]
    return found
