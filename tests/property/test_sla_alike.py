"""GPUs that failed alike are evaluated once; nobody may be able to tell."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.core.health import Health
from service.core.limits import HOUR_MS
from service.core.model import Span
from service.core.periods import month_span, zone_of
from service.core.sla.evaluate import evaluate
from service.core.sla.given import Claim, Decision, Given, Held
from service.core.sla.result import UnitResult
from service.core.timeline import Evidence
from tests.sla import objective_of, places, terms_of, timeline

MONTH = month_span("2026-09", zone_of("UTC"))
TERMS = terms_of({"exclusions": {"kinds": [{"kind": "scheduled_maintenance", "causes": ["xid:"]}]}})
TRAY = places("r0001/t01")
hours = st.integers(0, 5).map(lambda hour: Span(MONTH.from_ms + hour * HOUR_MS, MONTH.from_ms + (hour + 2) * HOUR_MS))
happened = st.tuples(st.lists(hours, max_size=2), st.lists(hours, max_size=1))  # when down, when not seen


def told(leased: str, happened: dict[str, tuple[list[Span], list[Span]]], claimed: str | None) -> dict[str, UnitResult]:
    """Return the result of each GPU of a lease, by its name."""
    timelines = {
        place: timeline([Evidence(s.from_ms, s.to_ms, Health.DOWN, "xid:79") for s in down], holes, MONTH)
        for place in TRAY
        for down, holes in [happened[str(place)]]
        if place in places(leased)
    }
    claims = (
        ()
        if claimed is None
        else (Claim(id="c", kind="scheduled_maintenance", places=places(claimed), span=MONTH, by="a"),)
    )
    known = Given(
        held=(Held(places(leased), MONTH),),
        timelines=timelines,
        claims=claims,
        decisions=tuple(Decision(claim=one.id, approved=True, by="b", at_ms=MONTH.from_ms) for one in claims),
    )
    objective = objective_of({"unit": "gpu", "target": "0.999"})
    return {one.name: one for one in evaluate(objective, TERMS, known, MONTH).all_units}


@given(
    st.tuples(happened, happened).flatmap(lambda two: st.lists(st.sampled_from(two), min_size=4, max_size=4)),
    st.sampled_from([None, "r0001/t01/g1", "r0001/t01"]),
)
def test_a_gpu_among_others_is_told_as_it_is_alone(
    every: list[tuple[list[Span], list[Span]]], claimed: str | None
) -> None:
    """Counts, outages with their places, claims and verdicts of a GPU do not depend on which others failed alike."""
    by_place = dict(zip(map(str, TRAY), every, strict=True))
    together = told("r0001/t01", by_place, claimed)

    for name in by_place:
        alone = told(name, by_place, claimed)
        assert {name: replace(together[name], money=alone[name].money)} == alone
