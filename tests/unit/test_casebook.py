"""What is remembered of a GPU: its memory, its repair, and what the tray's fabric had."""

from collections.abc import Mapping

from collectors.casebook import Casebook
from collectors.catalogue import Key, Quantity, Round
from collectors.device import Access, Reading, Survey
from collectors.fabric_faults import FabricFaults
from collectors.witnesses import Witnesses
from service.core import limits
from tests.trays import INVENTORY

GPU, GIB = "GPU-1", 2**30


def told(total: float | None) -> dict[str, dict[Round, Survey]]:
    """Return a survey that tells how much memory a GPU has."""
    values: Mapping[Key, float] = {} if total is None else {Quantity.MEMORY_TOTAL_BYTES: total}
    return {GPU: {Round.STATUS: Survey(gpu=GPU, round=Round.STATUS, values=values, missing={})}}


def after(*totals: float | None, book: Casebook | None = None) -> Casebook:
    """Return the book after a row of surveys."""
    book = book or Casebook()
    for total in totals:
        book.surveyed(told(total))
    return book


def test_less_memory_than_ever_before_is_missing() -> None:
    """As many bytes as the largest total exceeds the newest."""
    assert after(288 * GIB, 288 * GIB).memory_missing() == {GPU: 0}
    assert after(288 * GIB, 288 * GIB, 280 * GIB, 280 * GIB).memory_missing() == {GPU: 8 * GIB}
    assert after(280 * GIB, 280 * GIB, book=Casebook(largest={GPU: 288 * GIB})).memory_missing() == {GPU: 8 * GIB}


def test_one_survey_alone_proves_no_memory() -> None:
    """A lie that is told once neither raises the largest nor takes memory away; one looked at twice is still one."""
    book = after(288 * GIB, 288 * GIB, 9_000 * GIB, 288 * GIB, 288 * GIB, 0, 288 * GIB, None)
    once = Casebook()
    survey = told(288 * GIB)
    once.surveyed(survey)
    once.surveyed(survey)

    assert book.memory_missing() == {GPU: 0}
    assert (once.memory_missing(), once.largest) == ({}, {})


def test_without_a_driver_nothing_is_said_of_memory() -> None:
    """What was measured is not live; what was there once is not forgotten."""
    book = after(288 * GIB, 288 * GIB)
    book.surveyed({})

    assert (book.memory_missing(), book.largest) == ({}, {GPU: 288 * GIB})


def test_a_flag_of_a_failed_remap_is_a_reason_while_it_is_read() -> None:
    """The driver tells it again at each poll; a reading without the flag says nothing."""
    book = Casebook()
    flag: Mapping[Key, float] = {Quantity.REMAP_FAILED: 1.0}
    book.polled(Reading(gpu=GPU, access=Access.OK, values=flag, missing={}), 0)
    book.polled(Reading(gpu=GPU, access=Access.LOST, values={}, missing={}), 1)
    held = book.candidates(1)
    book.polled(Reading(gpu=GPU, access=Access.OK, values={Quantity.REMAP_FAILED: 0.0}, missing={}), 2)

    assert held == {(GPU, "remap_failed")}
    assert book.candidates(2) == frozenset()


def test_a_gpu_that_is_lost_fails_until_a_reboot_remedies_it() -> None:
    """Two readings in a row say so; one between good ones is a suspicion."""
    lost = Reading(gpu=GPU, access=Access.LOST, values={}, missing={})
    good = Reading(gpu=GPU, access=Access.OK, values={}, missing={})
    book = Casebook()
    for at_ms, reading in enumerate((lost, good, lost)):
        book.polled(reading, at_ms)
    suspected = dict(book.histories)
    book.polled(lost, 3)
    book.rebooted(10)

    assert suspected == {}
    assert [one.at_ms for one in book.histories[GPU].remedies] == [10]


def test_link_faults_of_a_tray_are_one_fabric_incident() -> None:
    """Counted once however often it is looked at and whoever joins; the next after silence is another."""
    faults, it = FabricFaults(), Witnesses()
    faults.attach(INVENTORY)
    counts = []
    for at_ms, gpu in ((0, "GPU-0"), (1_000, "GPU-1"), (2_000, "GPU-2"), (10**6, "GPU-0"), (10**6, "GPU-3")):
        it.event(gpu, 150, at_ms)
        faults.note(it.open())
        faults.note(it.open())
        counts.append(faults.count)
        for one in ("GPU-0", "GPU-1", "GPU-2"):
            it.healthy(one, at_ms - 10**5 if at_ms < 10**6 else at_ms)

    assert counts == [0, 1, 1, 1, 2]
    assert limits.INCIDENT_SILENCE_MS < 10**6
