"""Driver events and kernel lines merged: what each record means for counts, facts and health."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.device import (
    Access,
    DeviceEvent,
    DeviceEventKind,
    FabricState,
    GpuIdentity,
    Inventory,
    Reading,
)
from collectors.edges import Look
from collectors.kernel_lines import Notice, parse_message
from collectors.narrator import Narrator, Speaker
from collectors.witnesses import Witnesses, asks_for_a_reading
from service.core import limits
from service.core.events import Fact, NodeEvent, NodeObserved, RecoveryActionChanged
from service.core.health import Health
from service.core.incident import judge
from service.core.wire import decode_fact, encode
from service.core.xid import XidClass

GPU = "GPU-1"
START_MS = 1_782_864_000_000
RESET = "149, NETIR_LINK_DOWN Fatal XC0 i0 Link 09 (0x02500011 0x00000000)"


def line(text: str) -> Notice:
    """Return what a line of a GPU says."""
    found = parse_message(f"NVRM: Xid (PCI:0009:01:00): {text}".encode())
    assert isinstance(found, Notice)
    return found


def witnesses() -> Witnesses:
    """Return witnesses on a recent driver."""
    return Witnesses(driver_version="580.95.05", cuda_version=13_000)


def test_a_fault_class_takes_down_whoever_tells_it() -> None:
    """The event of the driver and the line of the kernel mean the same."""
    down = Look(Health.DOWN, "xid:79")

    assert witnesses().event(GPU, 79, START_MS).look == down
    assert witnesses().line(GPU, line("79, GPU has fallen off the bus."), START_MS).look == down


@pytest.mark.parametrize("code", [13, 31, 43, 45, 68, 63, 94, 160, 161, 162, 165, 145, 167, 168, 185, 999])
def test_codes_that_are_nobodys_fault_or_nobodys_knowledge_take_nobody_down(code: int) -> None:
    """They are counted and told."""
    it = witnesses()
    ruling = it.event(GPU, code, START_MS)

    assert (ruling.look, ruling.tell, it.xids[GPU, code]) == (None, True, 1)


def test_an_uncorrectable_error_that_was_contained_just_before_follows_the_94() -> None:
    """48 beside 94 takes nobody down; two minutes after it, it does."""
    it = witnesses()
    it.event(GPU, 94, START_MS)
    beside = it.event(GPU, 48, START_MS + 500)
    later = it.event(GPU, 48, START_MS + 120_000)

    assert beside.look is None
    assert later.look == Look(Health.DOWN, "xid:48")
    assert it.event(GPU, 94, START_MS + 120_001).releases


def test_the_words_of_154_say_how_the_gpu_is() -> None:
    """A reset that is required is down, peer traffic that must stop is degraded, none is nothing."""
    words = "154, GPU recovery action changed from 0x0 (None) to"

    assert witnesses().line(GPU, line(f"{words} 0x1 (GPU Reset Required)"), 0).look == Look(
        Health.DOWN, "recovery:reset_gpu"
    )
    assert witnesses().line(GPU, line(f"{words} 0x3 (Drain P2P)"), 0).look == Look(
        Health.DEGRADED, "recovery:drain_p2p"
    )
    assert witnesses().line(GPU, line(f"{words} 0x0 (None)"), 0).look is None
    assert witnesses().line(GPU, line("154, Something Newer"), 0).look == Look(Health.DOWN, "recovery:unknown_action")


def test_an_unknown_code_is_flagged_and_a_bad_name_is_suspicious() -> None:
    """It keeps its GPU in service, and is shown until a healthy poll and silence end it."""
    it = witnesses()
    it.event(GPU, 185, START_MS)
    it.event("GPU-2", 167, START_MS)
    flagged = it.standing()
    for gpu in (GPU, "GPU-2"):
        it.healthy(gpu, START_MS + limits.INCIDENT_SILENCE_MS)

    assert flagged == {(GPU, "unknown"): 1, ("GPU-2", "suspicious"): 1}
    assert it.standing() == {}
    assert it.incidents() == {GPU: 1, "GPU-2": 1}


def test_a_line_that_comes_second_still_says_what_the_number_meant() -> None:
    """It is no second XID, and what it was decoded to is told and followed."""
    it = witnesses()
    it.event(GPU, 149, START_MS)
    ruling = it.line(GPU, line(RESET), START_MS + 5)
    ((_, incident),) = it.open()

    assert (ruling.news, ruling.tell, ruling.outcome) == (False, True, "reset")
    assert ruling.look == Look(Health.DOWN, "xid:149")
    assert judge(incident).kind is XidClass.GPU_RESET


def test_codes_beyond_belief_are_quarantined() -> None:
    """Zero, negative or wider than any code; and a GPU that invents new ones without end."""
    it = witnesses()
    for code in (0, -1, limits.XID_MAX + 1, 2**64 - 1):
        assert not it.event(GPU, code, START_MS).tell
    for code in range(1_000, 1_000 + 2 * limits.XID_CODES):
        it.event(GPU, code, START_MS)

    assert it.quarantined == {"absurd_code": 4, "too_many_codes": limits.XID_CODES}
    assert len(it.xids) == limits.XID_CODES


def test_a_storm_of_events_is_counted_whole_and_told_in_part() -> None:
    """Every XID counts; facts of a window are bounded, per GPU, and what is not told is counted."""
    it = witnesses()
    told = sum(it.event(GPU, 13, START_MS + n // 100).tell for n in range(10_000))

    assert it.xids[GPU, 13] == 10_000
    assert told == limits.XID_FACTS_PER_WINDOW
    assert it.untold == 10_000 - told
    assert it.event("GPU-2", 13, START_MS).tell


def test_a_storm_of_correctable_errors_is_recorded_and_harms_nobody() -> None:
    """Event 0x200."""
    it = witnesses()
    ruling = it.other(GPU, DeviceEvent(kind=DeviceEventKind.OTHER, gpu=GPU, event_type=0x200), START_MS)

    assert (ruling.tell, ruling.look, it.events[GPU, 0x200]) == (True, None, 1)


def test_a_reading_is_asked_for_when_the_driver_is_about_to_name_an_action() -> None:
    """Event 0x8000, and codes after which it always does; an application's code is not worth it."""
    action = DeviceEvent(kind=DeviceEventKind.OTHER, gpu=GPU, event_type=0x8000)

    assert asks_for_a_reading(action)
    assert asks_for_a_reading(DeviceEvent(kind=DeviceEventKind.XID, gpu=GPU, event_type=8, data=95))
    assert asks_for_a_reading(line(RESET))
    assert not asks_for_a_reading(DeviceEvent(kind=DeviceEventKind.XID, gpu=GPU, event_type=8, data=31))
    assert not asks_for_a_reading(DeviceEvent(kind=DeviceEventKind.OTHER, gpu=GPU, event_type=0x200))


class Story:
    """A narrator of one GPU and the facts that it wrote."""

    def __init__(self, witnesses: Witnesses | None = None) -> None:
        self.facts: list[Fact] = []
        gpu = GpuIdentity(uuid=GPU, position=0, index=0, module="m", module_id=1, name="g", pci_bus_id="9:1:0")
        inventory = Inventory(gpus=(gpu,), driver_version="580.95.05", nvml_version="13", cuda_version=13_000)
        speaker = Speaker(site="s", rack="r", node="n", tray=1, slot=1, boot="b", boot_ms=START_MS, run="run")
        self.narrator = Narrator(speaker, inventory, self._keep, heartbeat_ms=1, witnesses=witnesses or Witnesses())
        self.narrator.start(START_MS, 0)

    def _keep(self, fact: Fact, _sync: bool) -> bool:
        self.facts.append(decode_fact(encode(fact)))  # what is written is what the service understands
        return True

    def read(self, at_ms: int, action: int = 0) -> None:
        """Tell a healthy reading."""
        reading = Reading(
            gpu=GPU, access=Access.OK, values={}, missing={}, recovery_action=action, fabric=FabricState.HEALTHY
        )
        self.narrator.reading(reading, at_ms, 0)
        self.narrator.flush(0)

    def spans(self) -> list[NodeObserved]:
        """Return the observations in order."""
        return [fact for fact in self.facts if isinstance(fact, NodeObserved)]


def test_a_line_from_before_the_run_is_told_and_moves_nothing() -> None:
    """It is evidence of its own time; of now the readings speak."""
    story = Story()
    story.read(START_MS + 100)
    story.narrator.overheard(GPU, line("79, x"), 5, START_MS - 60_000, 0)
    story.read(START_MS + 200)
    events = [fact for fact in story.facts if isinstance(fact, NodeEvent)]

    assert events[-1].at_ms == START_MS - 60_000
    assert {gpu.health for span in story.spans()[1:] for gpu in span.gpus} == {Health.UP}


def test_a_fault_of_a_gpu_that_was_never_read_is_not_lost() -> None:
    """It hangs from the first call on; the event speaks for it, and nobody for the time before."""
    story = Story()
    story.narrator.event(DeviceEvent(kind=DeviceEventKind.XID, gpu=GPU, event_type=8, data=79), START_MS + 200, 0)
    story.narrator.blind(GPU, START_MS + 3_000, "agent:hung_call")
    story.narrator.flush(0, force=True)
    told = [(span.from_ms - START_MS, span.to_ms - START_MS, span.gpus[0].cause) for span in story.spans()]

    assert told == [(0, 200, "agent:edge"), (200, 3_000, "xid:79")]


def test_a_reset_that_took_the_driver_along_ends_what_was_open_before_it() -> None:
    """Demand and action are known in the run after the reload: the incident closes, and what changed is told once."""
    before = Story()
    it = before.narrator.witnesses
    before.read(START_MS + 100)
    before.narrator.event(DeviceEvent(kind=DeviceEventKind.XID, gpu=GPU, event_type=8, data=95), START_MS + 200, 0)
    wants = Reading(gpu=GPU, access=Access.RESET_REQUIRED, values={}, missing={}, recovery_action=1)
    before.narrator.reading(wants, START_MS + 300, 0)
    after = Story(it)
    after.read(START_MS + 900)
    after.read(START_MS + 1_000)
    told = [fact.event for fact in after.facts if isinstance(fact, NodeEvent)]

    assert it.open() == ()
    assert told[1:] == [RecoveryActionChanged(action=0)]


def test_a_gpu_that_demanded_a_reset_and_answers_again_had_one() -> None:
    """Its open incidents close with the next healthy poll."""
    story = Story()
    story.read(START_MS + 100)
    story.narrator.event(DeviceEvent(kind=DeviceEventKind.XID, gpu=GPU, event_type=8, data=95), START_MS + 200, 0)
    wants = Reading(gpu=GPU, access=Access.RESET_REQUIRED, values={}, missing={})
    story.narrator.reading(wants, START_MS + 300, 0)
    before = len(story.narrator.witnesses.open())
    story.read(START_MS + 400)

    assert (before, len(story.narrator.witnesses.open())) == (1, 0)


def test_a_fault_ends_by_the_evidence_of_action_none_and_healthy_polls() -> None:
    """Not before the driver had its time to name an action, and from the first reading of the streak on."""
    story = Story()
    for second in range(1, 30):
        if second == 5:
            story.narrator.event(
                DeviceEvent(kind=DeviceEventKind.XID, gpu=GPU, event_type=8, data=95), START_MS + 4_500, 0
            )
        story.read(START_MS + second * 1_000)
    down = [span for span in story.spans() if span.gpus[0].health is Health.DOWN]

    assert down[0].from_ms == START_MS + 4_500
    assert START_MS + 4_500 + limits.TIE_BREAK_MS - 1_000 <= down[-1].to_ms <= START_MS + 4_500 + limits.TIE_BREAK_MS
    assert story.spans()[-1].gpus[0].health is Health.UP


def xid_event(code: int) -> DeviceEvent:
    """Return the driver's event of an XID."""
    return DeviceEvent(kind=DeviceEventKind.XID, gpu=GPU, event_type=8, data=code)


def test_smoothing_that_disengaged_degrades_the_gpu_exactly_and_until_it_is_back() -> None:
    """From the event of 163 on, through every good poll, up again by the polls after 162."""
    story = Story()
    for second in range(1, 60):
        if second == 5:
            story.narrator.event(xid_event(163), START_MS + 4_500, 0)
        if second == 50:
            story.narrator.event(xid_event(162), START_MS + 49_500, 0)
        story.read(START_MS + second * 1_000)
    rough = [span for span in story.spans() if span.gpus[0].health is Health.DEGRADED]
    (edge,) = [span for span in story.spans() if span.gpus[0].cause == "agent:edge" and span.from_ms > START_MS + 9_000]

    assert {span.gpus[0].cause for span in rough} == {"smoothing:disengaged"}
    assert (rough[0].from_ms, rough[0].gpus[0].not_before_ms) == (START_MS + 4_500, None)
    assert (rough[-1].to_ms, edge.to_ms) == (START_MS + 49_000, START_MS + 50_000)
    assert story.spans()[-1].gpus[0].health is Health.UP


def test_smoothing_that_was_lost_before_the_run_degrades_it_from_the_first_reading() -> None:
    """The log of this boot says that it is off, and nothing says that it is back."""
    off, back = Story(), Story()
    for story in (off, back):
        story.narrator.overheard(GPU, line("163, x"), 1, START_MS - 60_000, 0)
    back.narrator.overheard(GPU, line("162, x"), 2, START_MS - 50_000, 0)
    for story in (off, back):
        story.read(START_MS + 100)

    assert off.narrator.looks()[GPU] == Look(Health.DEGRADED, "smoothing:disengaged")
    assert back.narrator.looks()[GPU].health is Health.UP


def test_a_reset_ends_a_lost_smoothing_and_a_worse_state_goes_before_it() -> None:
    """Down is down while it lasts; without a reset the GPU comes back degraded."""
    story = Story()
    lost = Reading(gpu=GPU, access=Access.LOST, values={}, missing={})
    wants = Reading(gpu=GPU, access=Access.RESET_REQUIRED, values={}, missing={})
    story.read(START_MS + 1_000)
    story.narrator.event(xid_event(163), START_MS + 1_500, 0)
    looks = []
    for second, reading in enumerate((lost, lost, None, None, None, wants, wants, None, None, None), start=20):
        if reading is None:
            story.read(START_MS + second * 1_000)
        else:
            story.narrator.reading(reading, START_MS + second * 1_000, 0)
        looks.append(story.narrator.looks()[GPU].cause)

    assert looks[1::3] == ["gpu:lost", "smoothing:disengaged", "gpu:reset_required"]
    assert looks[-1] is None


def test_an_injected_xid_leaves_no_fault_when_its_line_comes_after_its_event() -> None:
    """Nobody was down, no incident stays open; a counter does not fall, so that both count it."""
    story = Story()
    test = line("149, NETIR_INT Fatal XC0 i1 Link -1 (0x00000018 0x00000000)")
    story.read(START_MS + 100)
    story.narrator.event(xid_event(149), START_MS + 200, 0)
    story.narrator.overheard(GPU, test, 1, START_MS + 1_900, 0)
    story.narrator.overheard(GPU, test, 2, START_MS + 1_901, 0)
    story.read(START_MS + 2_000)
    it = story.narrator.witnesses

    assert {span.gpus[0].health for span in story.spans()[1:]} == {Health.UP}
    assert it.open() == ()
    assert (it.xids, it.injected) == ({(GPU, 149): 1}, {(GPU, 149): 1})
    assert it.line(GPU, test, START_MS + 60_000).news
    assert not it.event(GPU, 149, START_MS + 60_001).news
    assert (it.open(), it.xids[GPU, 149], it.injected[GPU, 149]) == ((), 1, 2)


def test_resets_that_did_not_help_make_a_candidate_for_replacement() -> None:
    """Demanded by the driver, met, and the fault was back within the hour, twice; 64 needs no more than itself."""
    story = Story()
    for hour in range(3):
        begun_ms = START_MS + hour * limits.HOUR_MS
        story.narrator.event(xid_event(95), begun_ms + 500, 0)
        story.read(begun_ms + 1_000, action=1)
        found = story.narrator.witnesses.cases.candidates(begun_ms + 1_000)
        story.read(begun_ms + 60_000)
    it = story.narrator.witnesses
    it.event("GPU-2", 64, START_MS)

    assert found == {(GPU, "remedies_in_vain")}
    assert len(it.cases.histories[GPU].remedies) == 3
    assert it.cases.candidates(START_MS) == {("GPU-2", "remap_failed")}


tails = st.sampled_from(
    ["", "x", "RLW_REMAP Fatal XC0 i0 Link 4 (0x00000004 0x00000040)", "to 0x2 (a)", "y" * 3_000, "\x00\xff\n"]
)
happenings = st.one_of(
    st.builds(
        DeviceEvent,
        kind=st.sampled_from(DeviceEventKind),
        gpu=st.sampled_from([GPU, None, "GPU-other"]),
        event_type=st.sampled_from([0x2, 0x8, 0x200, 0x2000, 0x4000, 0x8000, 2**63]),
        data=st.integers(-1, 2**64 - 1) | st.integers(0, 200),
    ),
    st.builds(
        lambda code, tail: parse_message(f"NVRM: Xid (PCI:9:1:0): {code}, {tail}".encode()),
        st.integers(0, 10**6),
        tails,
    ),
)


@given(st.lists(st.tuples(st.integers(0, 5_000), happenings), max_size=40))
def test_whatever_witnesses_say_the_facts_can_be_read_and_coverage_touches(
    row: list[tuple[int, DeviceEvent | Notice | None]],
) -> None:
    """No record is too strange to tell, none makes a hole, and numbers have no gaps."""
    story, at_ms = Story(), START_MS + 1
    for wait_ms, what in row:
        at_ms += wait_ms
        story.read(at_ms)
        if isinstance(what, DeviceEvent):
            story.narrator.event(what, at_ms, 0)
        elif isinstance(what, Notice):
            story.narrator.overheard(GPU, what, 1, at_ms, 0)
    story.narrator.stop("end", at_ms, 0)
    spans = story.spans()

    assert [fact.seq for fact in story.facts] == list(range(1, len(story.facts) + 1))
    assert all(one.to_ms == two.from_ms for one, two in pairwise(spans))
