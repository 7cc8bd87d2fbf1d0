"""The life of a statement: drafted, final, restated, each once and for ever as it was issued."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.app import Service
from service.bus.memory import MemoryBus
from service.clock import SimulatedClock
from service.core import limits
from service.core.contract import Agreement
from service.core.contract.parties import Reporting
from service.core.cut import cut_of
from service.core.facts import FactKind
from service.core.health import Health
from service.core.periods import parse_utc, utc_text
from service.core.statements.canonical import canonical
from service.core.statements.difference import applied
from service.core.statements.lifecycle import Status, final_due_ms, named_in, numbers, published_by_ms
from service.issue import recompute
from service.ledger.store import SqlLedger
from service.statements.basis import Basis
from service.statements.document import Stamp, draw
from service.verify import verify
from tests.statement_stories import (
    JULY,
    MONTH,
    TENANT,
    Story,
    contract,
    missed,
    releases,
    restated,
    spotless,
    undetermined,
)

PREVIEW = Stamp(status=Status.PREVIEW, engine="1.2.3", tzdata="2026a")


@pytest.fixture(autouse=True)
def _releases(monkeypatch: pytest.MonkeyPatch) -> None:
    releases(monkeypatch)


Begin = Callable[[Callable[[Path], Story]], Story]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Begins a story in a file of its own, and closes it whatever comes."""
    with ExitStack() as stack:

        def begun(make: Callable[[Path], Story]) -> Story:
            return stack.enter_context(make(tmp_path / "l.db"))

        yield begun


@pytest.fixture
def story(begin: Begin) -> Story:
    """A spotless July that nobody has looked at yet."""
    return begin(lambda path: Story(path).month())


def test_draft_at_the_end_final_after_the_dispute_and_each_once(story: Story) -> None:
    """A turn that is repeated, or follows a restart, issues nothing twice; time alone makes a draft final."""
    early = story.at("2026-07-31T23:59:59Z").turn()
    drafted = story.at("2026-08-01T00:00:00Z").turn(), story.turn()
    disputed = story.at("2026-08-10T23:59:59Z").turn()
    final = story.at("2026-08-11T00:00:00Z").turn(), story.turn()
    later = story.at("2026-08-25T00:00:00Z").turn()
    draft, last = story.issued

    assert (early, disputed, later) == ([], [], [])
    assert drafted == ([f"statement/{TENANT}/{MONTH}/1"], [])
    assert final == ([f"statement/{TENANT}/{MONTH}/2"], [])
    assert (draft.status, last.status) == ("draft", "final")
    assert numbers(draft.document) == numbers(last.document)
    assert last.document["difference"] == []
    assert last.document["previous"]["hash"] == draft.hash


def test_spooled_minutes_after_the_final_make_a_restatement(begin: Begin) -> None:
    """Case 11 of the sheet: version 2 stays readable, version 3 says five minutes more and credits the next invoice."""
    story = begin(restated)
    again = story.turn()
    _, final, third = story.issued
    was, now = (one.document["objectives"][0] for one in (final, third))

    assert again == []
    assert (was["down_ms"], now["down_ms"]) == (40 * limits.MINUTE_MS, 45 * limits.MINUTE_MS)
    assert now["not_spotless"][0]["availability"]["settled"][:8] == "0.998991"
    assert third.document["settlement"] == {
        "amount": "1000.00",
        "credited_before": "0.00",
        "difference": "1000.00",
        "currency": "USD",
        "posts_to": "2026-08",
        "late": [],
    }
    assert applied(numbers(final.document), third.document["difference"]) == numbers(third.document)


def test_past_the_late_arrival_cutoff_there_is_no_money(begin: Begin) -> None:
    """Case 11 goes on: recorded and shown, with the credit as of the cutoff."""
    story = begin(lambda path: restated(path, days=15))
    document = story.issued[-1].document

    assert document["status"] == "restated"
    assert document["objectives"][0]["down_ms"] == 45 * limits.MINUTE_MS
    assert document["credit"]["amount"] == "1000.00"
    assert (document["settlement"]["amount"], document["settlement"]["posts_to"]) == ("0.00", None)
    late = document["settlement"]["late"][0]
    assert (late["cutoff"], late["shown"], late["settled"]) == ("2026-08-16T00:00:00Z", "1000.00", "0.00")


def test_a_claim_approved_after_the_final_is_a_restatement_that_takes_credit_back(begin: Begin) -> None:
    """What people say later counts like what machines sent later, in both directions."""
    story = begin(missed)
    story.at("2026-08-20T09:00:00Z").claim(
        "FM-2", "force_majeure", "2026-07-19T10:00:00Z", "2026-07-19T13:00:01Z",
        "2026-07-20T08:30:00Z", "the grid operator's report", ["r0001/t02"],
    )  # fmt: skip
    undecided = story.turn()
    story.at("2026-08-21T09:00:00Z").decide("FM-2", "report seen")
    decided = story.turn()
    document = story.issued[-1].document

    assert undecided == []
    assert decided == [f"statement/{TENANT}/{MONTH}/3"]
    assert (document["settlement"]["credited_before"], document["settlement"]["difference"]) == ("6000.00", "-6000.00")


def test_rows_that_change_no_number_issue_nothing(begin: Begin) -> None:
    """Evidence that says again what is known, and rows of other months, leave a final statement alone."""
    story = begin(spotless)
    story.at("2026-08-20T09:00:00Z").saw("GPU-0", Health.UP, "2026-07-05T00:00:00Z", "2026-07-05T01:00:00Z")
    story.saw("GPU-0", Health.DOWN, "2026-08-19T00:00:00Z", "2026-08-19T01:00:00Z", "gpu:lost")
    issued = story.turn()

    assert issued == []


def test_where_the_contract_asks_for_it_a_person_makes_a_statement_final(begin: Begin) -> None:
    """Without the decision a draft stays one, however late."""
    terms = contract({"reporting": {"dispute_days": 10, "finalise": "decided"}})
    story = begin(lambda path: Story(path, terms).month())
    story.at("2026-08-01T00:00:00Z").turn()
    waiting = story.at("2026-08-30T00:00:00Z").turn()
    said = {"said": "finalised", "tenant": TENANT, "month": MONTH, "by": "bob", "why": "agreed"}
    story.tell(said, "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z")
    final = story.turn()

    assert waiting == []
    assert final == [f"statement/{TENANT}/{MONTH}/2"]


def test_months_that_passed_while_nobody_ran_are_drafted_too(story: Story) -> None:
    """A service that was away for two months issues what it owes, in order; not what was before its first."""
    story.at("2026-08-01T00:00:00Z").turn()
    keys = story.at("2026-11-02T00:00:00Z").turn()

    assert [key for key in keys if key.endswith("/1")] == [
        f"statement/{TENANT}/2026-{month}/1" for month in ("08", "09", "10")
    ]


def test_nothing_to_measure_is_no_result_and_no_credit(begin: Begin) -> None:
    """Case 16: accepted at the period's end, there is a statement that says so."""
    items = [{"unit_id": "r0001", "accepted": "2026-08-01T00:00:00Z"}]
    terms = contract({"inventory": items}, denominator="accepted_time")
    story = begin(lambda path: Story(path, terms).month())
    story.at("2026-08-01T00:00:00Z").turn()
    document = story.issued[0].document

    assert [one["met"] for one in document["objectives"]] == [None, None]
    assert [one["availability"] for one in document["objectives"]] == [None, None]
    assert document["settlement"]["amount"] == "0.00"


@pytest.mark.parametrize("make", [spotless, missed, undetermined, restated])
def test_what_was_issued_is_drawn_again_byte_for_byte(begin: Begin, make: Any) -> None:
    """Twice, after later facts, and by `verify`: the cut decides, not what came since."""
    story = begin(make)
    bodies = [one.body for one in story.issued]
    story.at("2026-09-01T00:00:00Z").saw(
        "GPU-1", Health.DOWN, "2026-07-02T00:00:00Z", "2026-07-03T00:00:00Z", "gpu:lost"
    )
    story.tell({"said": "acceptance", "places": ["r0001"], "by": "eve", "why": "late"}, "2026-07-15T00:00:00Z")
    again = recompute(story.terms, story.ledger)
    rows = list(story.ledger.facts(kinds=[FactKind.STATEMENT.value]))
    drawn = [again(row) for row in rows]
    report = verify(story.ledger, recompute=again)

    assert drawn == bodies
    assert (report.statements, report.findings) == (len(bodies), ())


def test_verify_names_a_statement_that_does_not_follow_and_where_it_differs(begin: Begin) -> None:
    """Under other terms, or issued with another number: the row's key and the parts that differ."""
    story = begin(missed)
    other = verify(story.ledger, recompute=recompute(contract(target="0.9", tiers=[]), story.ledger))
    body = story.issued[0].document | {"version": 3}
    body["objectives"][0]["credit"]["amount"] = "0.00"
    forged = next(story.ledger.facts(kinds=[FactKind.STATEMENT.value]))
    import msgspec

    row = msgspec.structs.replace(forged, key=f"statement/{TENANT}/{MONTH}/3", body=canonical(body))
    story.commit([row])
    lied = verify(story.ledger, recompute=recompute(story.terms, story.ledger))

    assert other.findings[0].key == f"statement/{TENANT}/{MONTH}/1"
    assert "contract" in other.findings[0].text
    assert [finding.key for finding in lied.findings] == [row.key]
    assert "objectives" in lied.findings[0].text


def test_a_later_version_of_the_contract_changes_no_hash_and_no_statement(begin: Begin) -> None:
    """An amendment has a date; before it nothing is drawn otherwise."""
    story = begin(missed)
    first = story.terms.model_copy(update={"version": 3})
    later = contract(target="0.99", tiers=[]).model_copy(
        update={"version": 4, "effective_from": parse_utc("2026-08-01T00:00:00Z")}
    )
    both = Agreement.of((first, later))
    row = next(story.ledger.facts(kinds=[FactKind.STATEMENT.value]))
    drawn = recompute(both, story.ledger)(row)

    assert drawn == row.body


@settings(max_examples=12)
@given(data=st.data())
def test_a_statement_at_a_cut_is_independent_of_later_facts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is recorded later, in any order, the document of an earlier cut keeps its bytes."""
    with Story(tmp_path_factory.mktemp("cut") / "l.db").month() as story:
        _check_cut(story, data)


def _check_cut(story: Story, data: st.DataObject) -> None:
    cut = story.ledger.cut()
    before = canonical(draw(story.basis, TENANT, MONTH, cut, PREVIEW))
    for number in range(data.draw(st.integers(1, 4))):
        begin_ms = JULY + data.draw(st.integers(0, 30 * 24)) * limits.HOUR_MS + number + 1
        end_ms = begin_ms + data.draw(st.integers(1, 400)) * limits.MINUTE_MS
        health = data.draw(st.sampled_from([Health.DOWN, Health.DEGRADED, None]))
        gpu = f"GPU-{data.draw(st.integers(0, 3))}"
        story.saw(gpu, health, utc_text(begin_ms), utc_text(end_ms), "gpu:lost")
    after = canonical(draw(story.basis, TENANT, MONTH, cut, PREVIEW))

    assert before == after
    assert cut_of(json.loads(after)["cut"]) == cut


def test_dispute_days_begin_when_the_draft_is_out_or_must_be() -> None:
    """The fifth business day of August 2026 (a Saturday begins it) ends on the 8th, in the contract's zone."""
    ends = parse_utc("2026-08-01T05:00:00Z")
    chicago = ZoneInfo("America/Chicago")
    rules = Reporting(statement_by_business_day=5, dispute_days=30)
    due = parse_utc("2026-08-08T05:00:00Z")

    assert published_by_ms(ends, 5, chicago) == due
    assert published_by_ms(ends, None, chicago) == ends
    assert final_due_ms(ends, ends, rules, chicago) == due + 30 * limits.DAY_MS
    assert final_due_ms(ends, due + limits.DAY_MS, rules, chicago) == due + 31 * limits.DAY_MS


@pytest.mark.parametrize("key", ["statement/a/2026-07", "said/a/2026-07/1", "statement/a/2026-07/x", ""])
def test_a_key_that_names_no_statement_is_refused(key: str) -> None:
    """Only keys of statements name tenant, month and version."""
    with pytest.raises(ValueError, match="names no statement"):
        named_in(key)


def test_an_unknown_tenant_is_named_with_those_that_there_are(story: Story) -> None:
    """The text says what would be right."""
    basis = Basis(agreement=story.basis.agreement, ledger=story.ledger)

    with pytest.raises(ValueError, match=f"no tenant nobody; there are {TENANT}"):
        draw(basis, "nobody", MONTH, None, PREVIEW)


def test_a_running_service_issues_what_is_due(tmp_path: Path) -> None:
    """Its job writes down what is open first, so that the draft's cut has it; a repetition does nothing."""
    ledger, clock = SqlLedger(f"sqlite:///{tmp_path / 'l.db'}"), SimulatedClock(parse_utc("2026-08-01T00:00:10Z"))
    service = Service(contract=contract(), ledger=ledger, bus=MemoryBus(), clock=clock)
    service.close_month()
    service.close_month()
    rows = list(ledger.facts(kinds=[FactKind.STATEMENT.value]))
    drawn = recompute(contract(), ledger)(rows[0])
    service.stop()

    assert [row.key for row in rows] == [f"statement/{TENANT}/{MONTH}/1"]
    assert drawn == rows[0].body
    assert json.loads(drawn)["objectives"][0]["unknown_ms"] == 4 * 31 * limits.DAY_MS


def test_evidence_is_read_without_coverage_of_up(story: Story) -> None:
    """Most rows of a ledger say that a GPU was up: none of them is read for an incident."""
    story.saw("GPU-0", Health.DOWN, "2026-08-02T00:00:00Z", "2026-08-02T01:00:00Z", "gpu:lost")
    story.saw("GPU-1", None, "2026-08-02T00:00:00Z", "2026-08-02T01:00:00Z", "hung")
    found = list(story.ledger.facts(kinds=[FactKind.COVERAGE.value], but_up=True))

    assert [fact.health for fact in found] == [Health.DOWN, None]


def test_unknown_time_is_listed_where_an_objective_counts_it_as_unknown(begin: Begin) -> None:
    """Silence right after down is unknown or down as the contract says, in the list as in the number."""
    document = begin(undetermined).issued[0].document
    listed = {(place, span["from"]) for one in document["unknown"] for place in one["places"] for span in one["spans"]}

    assert document["objectives"][0]["unknown_ms"] == 110 * limits.MINUTE_MS
    assert listed == {("r0001/t01/g1", "2026-07-12T10:40:00Z"), ("r0001/t02/g0", "2026-07-14T11:00:00Z")}
