"""What people tell the ledger: once each, never against the record, and a claim is decided by a second person."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.clock import SimulatedClock
from service.core.corrections import taken_back
from service.core.errors import FactRefused, WireError
from service.core.facts import Fact, FactKind
from service.core.health import Health
from service.core.said import Claimed, Telling, decode_telling, encode_telling, said_of
from service.desk import Booked, Desk
from service.ledger.store import SqlLedger

FROM, TO = 1_782_864_000_000, 1_782_871_200_000


def telling(said: dict[str, Any], **more: Any) -> Telling:
    """Return what a person says, as it would come over the wire."""
    body = {"by": "alice", "why": "because"} | said
    return decode_telling(json.dumps({"said": body} | more).encode())


def claim(claim_id: str = "MW-12", **changes: Any) -> Telling:
    """Return a claim of two hours of maintenance."""
    said = {"said": "claim", "claim": claim_id, "kind": "scheduled_maintenance", "places": ["r0001"]}
    return telling(said | changes, from_ms=FROM, to_ms=TO)


def decision(by: str = "bob", claim_id: str = "MW-12", *, approved: bool = True) -> Telling:
    """Return the decision of a claim."""
    return telling({"said": "decision", "claim": claim_id, "approved": approved, "by": by})


def correction(key: str, **changes: Any) -> Telling:
    """Return the correction of a fact."""
    return telling({"said": "correction"} | changes, replaces=key)


@pytest.fixture
def tell() -> Callable[[Telling], Booked]:
    """Return the desk of a ledger in memory, with one observed span in it."""
    ledger = SqlLedger("sqlite://")
    seen = Fact(
        kind=FactKind.COVERAGE,
        key="coverage/1",
        partition=18,
        from_ms=FROM,
        to_ms=TO,
        gpu="GPU-a",
        node="n",
        health=Health.DOWN,
    )
    ledger.commit([seen], [], 1)
    return Desk(ledger, SimulatedClock(TO)).tell


def test_the_same_said_twice_is_one_fact_and_something_else_is_an_error(tell: Callable[[Telling], Booked]) -> None:
    """The key is what a fact is about: repetition is no news, contradiction is refused and says the mend."""
    first, again = tell(claim()), tell(claim())
    with pytest.raises(FactRefused, match="fact correct said/claim/MW-12"):
        tell(claim(why="another reason"))

    assert (first.new, again.new) == (True, False)
    assert first.fact.partition == 64
    assert (first.fact.from_ms, first.fact.to_ms) == (FROM, TO)
    assert isinstance(said_of(first.fact), Claimed)


def test_a_claim_is_decided_once_and_not_by_who_made_it(tell: Callable[[Telling], Booked]) -> None:
    """Four eyes: the proposer's approval is refused; a second person's counts, over the claim's own time."""
    with pytest.raises(FactRefused, match="no claim MW-12 stands"):
        tell(decision())
    tell(claim())
    with pytest.raises(FactRefused, match="a second person decides"):
        tell(decision(by="alice"))
    approved = tell(decision())
    with pytest.raises(FactRefused, match="recorded with other content"):
        tell(decision(by="carol", approved=False))

    assert (approved.fact.from_ms, approved.fact.to_ms) == (FROM, TO)
    assert tell(decision()).new is False


def test_a_contract_may_waive_the_second_person() -> None:
    """Where the contract asks for no second person, the proposer decides."""
    desk = Desk(SqlLedger("sqlite://"), SimulatedClock(TO), four_eyes=False)
    desk.tell(claim())

    assert desk.tell(decision(by="alice")).new


def test_a_correction_takes_back_what_a_machine_saw_and_can_be_taken_back(tell: Callable[[Telling], Booked]) -> None:
    """A correction names the fact, which is told to whoever folds; corrected itself, it gives the fact back."""
    first = tell(correction("coverage/1"))
    again = tell(correction("coverage/1"))
    with pytest.raises(FactRefused, match="no fact coverage/9 stands"):
        tell(correction("coverage/9"))
    with pytest.raises(FactRefused, match="other content"):
        tell(correction("coverage/1", by="carol"))
    undone = tell(correction("said/correction/coverage/1"))
    once_more = tell(correction("coverage/1"))

    assert first.taken_back is not None
    assert first.taken_back.key == "coverage/1"
    assert again.new is False
    assert undone.given_back is not None
    assert undone.given_back.key == "coverage/1"
    assert (once_more.new, once_more.fact.key) == (True, "said/correction#2/coverage/1")
    assert tell(correction("coverage/1")).new is False


def test_a_claim_that_was_taken_back_cannot_be_approved(tell: Callable[[Telling], Booked]) -> None:
    """What does not stand cannot be decided, and is not said again under its old name."""
    tell(claim())
    tell(correction("said/claim/MW-12"))
    with pytest.raises(FactRefused, match="no claim MW-12 stands"):
        tell(decision())
    with pytest.raises(FactRefused, match="was taken back"):
        tell(claim())


@pytest.mark.parametrize(
    ("said", "times", "word"),
    [
        ({"said": "lease", "tenant": "t", "places": ["r0001"]}, {"from_ms": FROM}, "until which"),
        ({"said": "lease", "tenant": "t", "places": ["r0001"]}, {"to_ms": TO}, "from which"),
        ({"said": "lease", "tenant": "t", "places": ["r0001"]}, {"from_ms": TO, "to_ms": FROM}, "end after it begins"),
        ({"said": "lease", "tenant": "t", "places": ["r0001"]}, {"from_ms": FROM, "to_ms": FROM}, "end after"),
        ({"said": "lease", "tenant": "t", "places": ["r0001/g2"]}, {"from_ms": FROM, "to_ms": TO}, "selects nothing"),
        ({"said": "lease", "tenant": "t", "places": ["r9..r1"]}, {"from_ms": FROM, "to_ms": TO}, "selects nothing"),
        ({"said": "lease", "tenant": "t", "places": []}, {"from_ms": FROM, "to_ms": TO}, "names no place"),
        ({"said": "acceptance", "places": ["r1"]}, {"from_ms": FROM, "to_ms": TO}, "leave its end out"),
        ({"said": "swap", "failed": "r1/t1", "spare": "r1//"}, {"from_ms": FROM}, "selects nothing"),
        ({"said": "correction"}, {}, "no fact None stands"),
        (
            {"said": "swap", "failed": "r1/t1", "spare": "r1/t2"},
            {"from_ms": FROM, "replaces": "x"},
            "only a correction",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_mend(
    tell: Callable[[Telling], Booked], said: dict[str, Any], times: dict[str, Any], word: str
) -> None:
    """Times, places and references are judged before anything is written."""
    with pytest.raises(FactRefused, match=word):
        tell(telling(said, **times))


@pytest.mark.parametrize(
    "said",
    [
        {"said": "claim", "claim": "a b", "kind": "force_majeure", "places": ["r1"]},
        {"said": "claim", "claim": "a", "kind": "bad_luck", "places": ["r1"]},
        {"said": "assertion", "places": ["r1"], "health": "unknown"},
        {"said": "lease", "tenant": "t", "places": ["r1"], "more": 1},
        {"said": "gossip"},
        {"said": "lease", "tenant": "t", "places": ["r1"], "by": ""},
    ],
)
def test_what_is_misspelt_never_reaches_the_desk(said: dict[str, Any]) -> None:
    """Ids, kinds, health words and unknown keys are refused at the door."""
    with pytest.raises(WireError):
        telling(said, from_ms=FROM, to_ms=TO)


def test_times_before_2020_and_after_2100_are_refused() -> None:
    """A clock that is wrong cannot write history."""
    for at_ms in (-1, 0, 4_102_444_800_001):
        with pytest.raises(WireError):
            telling({"said": "acceptance", "places": ["r1"]}, from_ms=at_ms)


def test_what_is_said_survives_the_wire() -> None:
    """Encoding and decoding changes nothing."""
    assert decode_telling(encode_telling(claim())) == claim()


@given(st.lists(st.integers(0, 20), max_size=12))
def test_what_stands_after_corrections_of_corrections(choices: list[int]) -> None:
    """A fact stands when an even number of standing corrections names it, by a model that replays them in order."""
    keys = ["f0", "f1"]
    corrections: list[tuple[str, str]] = []
    for number, choice in enumerate(choices):
        standing = [key for key in keys if key not in taken_back(corrections)]
        if not standing:
            break
        corrections.append((f"c{number}", standing[choice % len(standing)]))
        keys.append(f"c{number}")

    def stands(key: str) -> bool:
        return not any(stands(by) for by, replaced in corrections if replaced == key)

    assert taken_back(corrections) == {key for key in keys if not stands(key)}
