"""The node's exposition over a tray made by hand: what is live, what is missing, and in which words."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors.catalogue import METRICS, Key, Part, Quantity, Round
from collectors.dcgm_names import DcgmNames
from collectors.device import Access, Missing, Reading
from collectors.exporter import CATALOGUE, Exporter
from collectors.settling import Refused
from collectors.shown import Shown
from collectors.witnesses import FaultsShown
from service.core import limits
from service.core.events import GpuPlaced
from service.core.xid import CLASS_OF
from tests.trays import GPUS, full, hear_xid, put, series, values

# What a name may end in: a base unit, a kind, or a word for which there is no unit.
UNITS = ("_seconds", "_celsius", "_watts", "_joules", "_bytes", "_hertz", "_ratio", "_bytes_per_second")
KINDS = ("_total", "_info", "_timestamp_seconds")
UNITLESS = {
    *("agent_driver_up", "gpu_present", "gpu_health", "gpu_access", "gpu_fabric", "gpu_recovery_action"),
    *("gpu_call_overdue", "gpu_value_missing", "gpu_frozen", "gpu_incidents_open"),
    *("agent_xid_source_up", "agent_gpus_refused", "gpu_replacement_candidate"),
    *("gpu_smoothing_enabled", "gpu_smoothing_privilege_level", "gpu_smoothing_ramp_down_immediate"),
    *("gpu_smoothing_active_profile", "gpu_performance_state", "gpu_clock_event", "gpu_compute_processes"),
    *("gpu_ecc_enabled", "gpu_ecc_pending", "gpu_sram_threshold_exceeded", "gpu_remap_pending"),
    *("gpu_remap_failed", "gpu_remap_banks", "gpu_channel_repair_pending", "gpu_tpc_repair_pending"),
    *("gpu_memory_unrepairable", "gpu_nvlink_links", "gpu_nvlink_state", "gpu_nvlink_power_state"),
    *("gpu_c2c_link_active", "gpu_c2c_power_state", "gpu_pcie_link_generation"),
    *("gpu_pcie_link_generation_max", "gpu_pcie_link_width"),
}


def _render(shown: Shown, mono_ms: int = 0) -> dict[str, float]:
    return series(Exporter(shown).render(mono_ms).decode())


def test_every_name_ends_in_a_base_unit_or_in_a_word_that_needs_none() -> None:
    """Names carry their unit; promtool would let `gpu_temp_C` pass."""
    names = {family.name.removeprefix("threenines_") for family in CATALOGUE}

    assert {name for name in names if not name.endswith((*UNITS, *KINDS))} == UNITLESS


def test_only_counters_end_in_total() -> None:
    """A name that ends in `_total` is a counter, and no other is."""
    assert all(family.counter == family.name.endswith("_total") for family in CATALOGUE)


def test_every_family_of_the_table_is_rendered_and_no_other() -> None:
    """A tray that tells everything fills the whole table; each family appears once, unsplit."""
    shown = full()
    hear_xid(shown, "GPU-0", 79, 5_000)
    put(shown, "GPU-3", Round.DETAIL, {}, {Quantity.ECC_ENABLED: Missing.FAILED})
    shown.refused = (Refused("GPU-?", "uuid_twice"),)
    one = {("GPU-0", 79): 1}
    shown.faults = FaultsShown(
        records=one, folded=one, injected=one, quarantined={"malformed": 1}, memory_missing={"GPU-0": 0}
    )
    text = Exporter(shown).render(0).decode()
    heads = re.findall(r"^# TYPE (\S+) \S+$", text, re.MULTILINE)
    parsed = [sample.name for family in text_string_to_metric_families(text) for sample in family.samples]
    runs = [name for at, name in enumerate(parsed) if at == 0 or parsed[at - 1] != name]

    assert len(heads) == len(set(heads)) == len(runs)
    assert set(heads) == {family.name for family in CATALOGUE}


def test_a_candidate_for_replacement_is_shown_by_reason() -> None:
    """Each reason is 0 or 1 for each GPU; memory that is missing is told only where it was measured."""
    shown = full()
    shown.faults = FaultsShown(
        candidates=frozenset({("GPU-2", "remap_failed")}), memory_missing={"GPU-2": 1024}, fabric_incidents=3
    )
    found = _render(shown)
    flags = {name: value for name, value in found.items() if "replacement_candidate" in name}

    assert len(flags) == 4 * 3
    assert [name for name, value in flags.items() if value] == [
        'threenines_gpu_replacement_candidate{gpu="2",reason="remap_failed"}'
    ]
    assert {name: value for name, value in found.items() if "memory_missing" in name} == {
        'threenines_gpu_memory_missing_bytes{gpu="2"}': 1024
    }
    assert found["threenines_agent_fabric_incidents_total"] == 3


def test_a_full_tray_has_some_three_thousand_series() -> None:
    """What the budget of a scrape is about: at least 900, and no explosion."""
    assert 2_500 <= len(_render(full())) <= 3_500


def test_equal_input_gives_equal_bytes_whatever_was_rendered_before() -> None:
    """Neither the order of a device's answers nor what is kept between scrapes shows in the bytes."""
    shown, other = full(), full()
    for gpu in GPUS:
        for one in Round:
            put(other, gpu.uuid, one, dict(reversed(values(one).items())), {})
    used = Exporter(shown)
    used.render(0)
    put(shown, "GPU-1", Round.STATUS, values(Round.STATUS, 7.0), {})
    changed = used.render(500)
    put(shown, "GPU-1", Round.STATUS, values(Round.STATUS), {})

    assert used.render(500) == Exporter(other).render(500)
    assert changed != used.render(500)


@pytest.mark.parametrize("one", list(Round))
def test_a_change_in_any_round_shows_at_the_next_scrape(one: Round) -> None:
    """What is kept between scrapes is never older than its input."""
    shown = full()
    exporter = Exporter(shown)
    before = series(exporter.render(0).decode())
    put(shown, "GPU-2", one, values(one, 0.5), {})
    after = series(exporter.render(0).decode())
    changed = {name for name in before if before[name] != after[name]}

    assert changed
    assert all('gpu="2"' in name for name in changed)
    assert len(changed) == len(values(one))


def test_a_hung_gpus_values_vanish_and_its_age_grows() -> None:
    """What was good before the call hung is not live; its neighbours' values stay."""
    shown = full()
    exporter = Exporter(shown)
    exporter.render(0)
    shown.overdue = ("GPU-1",)
    found = series(exporter.render(2_600).decode())
    left = {name.split("{")[0].removeprefix("threenines_") for name in found if 'gpu="1"' in name}

    assert left == {
        *("gpu_present", "gpu_health", "gpu_call_overdue", "gpu_reading_age_seconds", "gpu_read_duration_seconds"),
        *("gpu_survey_age_seconds", "gpu_info", "gpu_xid_events_total", "gpu_frozen"),
        *("gpu_incidents_open", "gpu_incidents_total", "gpu_replacement_candidate"),
    }
    assert found['threenines_gpu_call_overdue{gpu="1"}'] == 1
    assert found['threenines_gpu_reading_age_seconds{gpu="1"}'] == 2.6
    assert found['threenines_gpu_power_watts{gpu="0"}'] == 1


def test_without_a_driver_nothing_is_live() -> None:
    """After the driver went, health is unknown and no value or presence is left; counters of XIDs stay."""
    shown = full()
    shown.gone()
    found = _render(shown)

    assert 'threenines_gpu_present{gpu="0"}' not in found
    assert found['threenines_gpu_health{gpu="0",state="unknown"}'] == 1
    assert found['threenines_gpu_health{gpu="0",state="up"}'] == 0
    assert not any("power" in name for name in found)
    assert found['threenines_gpu_xid_events_total{class="node_reboot",gpu="0",xid="79"}'] == 0


def test_what_the_agent_decided_without_a_driver_is_what_is_shown() -> None:
    """A module that is not loaded is an outage of everybody: ledger and metric say the same."""
    shown = full()
    shown.gone()
    shown.health = {"GPU-0": "down"}
    found = _render(shown)

    assert found['threenines_gpu_health{gpu="0",state="down"}'] == 1
    assert found['threenines_gpu_health{gpu="1",state="unknown"}'] == 1


def test_a_scrape_may_come_between_any_two_steps_of_the_agent() -> None:
    """A reading whose time is not there yet is not live, and breaks no scrape."""
    shown = full()
    shown.read_mono_ms, shown.surveyed_mono_ms = {}, {}

    assert not any("power" in name for name in _render(shown))


def test_a_reopened_driver_starts_without_values() -> None:
    """Values of a driver's last life are not passed off as those of the new one."""
    shown = full()
    shown.opened(full().inventory)  # type: ignore[arg-type]

    assert not any("power" in name for name in _render(shown))


@pytest.mark.parametrize("one", list(Round))
def test_a_value_lives_for_some_rounds_and_no_longer(one: Round) -> None:
    """A round that is not collected any more ends by age alone, whoever failed to say why."""
    interval_ms = {Round.PULSE: 4_000, Round.DETAIL: limits.DETAIL_INTERVAL_MS}.get(one, limits.STATUS_INTERVAL_MS)
    shown, at_ms = full(), limits.STALE_ROUNDS * interval_ms
    name = next(q.value for q in METRICS if METRICS[q].round is one)

    def shows(mono_ms: int) -> bool:
        shown.read_mono_ms = dict.fromkeys(shown.read_mono_ms, 0 if one is Round.PULSE else mono_ms)
        return any(found.startswith(f"threenines_gpu_{name}{{") for found in _render(shown, mono_ms))

    assert shows(at_ms)
    assert not shows(at_ms + 1)


def test_what_could_not_be_read_has_a_reason_and_no_series() -> None:
    """Forbidden and failed are told by part; what the GPU has not is told once a quantity."""
    shown = full()
    missing: dict[Key, Missing] = {
        Quantity.MEMORY_POWER_WATTS: Missing.UNSUPPORTED,
        Quantity.POWER_WATTS: Missing.FORBIDDEN,
        Part(Quantity.NVLINK_STATE, "3"): Missing.FAILED,
        Part(Quantity.NVLINK_STATE, "4"): Missing.FAILED,
        Part(Quantity.CLOCK_EVENT, "board_limit"): Missing.UNSUPPORTED,
        Part(Quantity.CLOCK_EVENT, "reliability"): Missing.UNSUPPORTED,
    }
    kept = {key: value for key, value in values(Round.PULSE).items() if key not in missing}
    put(shown, "GPU-0", Round.PULSE, kept, missing)
    found = _render(shown)
    why = sorted(name.split("{")[1] for name in found if name.startswith("threenines_gpu_value_missing"))

    assert why == [
        'gpu="0",part="",reason="forbidden",value="power_watts"}',
        'gpu="0",part="",reason="unsupported",value="clock_event"}',
        'gpu="0",part="",reason="unsupported",value="memory_power_watts"}',
        'gpu="0",part="3",reason="failed",value="nvlink_state"}',
        'gpu="0",part="4",reason="failed",value="nvlink_state"}',
    ]
    assert 'threenines_gpu_power_watts{gpu="0"}' not in found
    assert 'threenines_gpu_nvlink_state{gpu="0",link="3"}' not in found


def test_xids_are_counted_from_zero_and_dated_once_seen() -> None:
    """Every known code has its counter at 0, an unknown code gets one; equal codes in a row add up."""
    shown = full()
    for at_ms in (1_000, 2_500):
        hear_xid(shown, "GPU-2", 79, at_ms)
    hear_xid(shown, "GPU-2", 9_999, 3_000)
    found = _render(shown)
    counters = {name: value for name, value in found.items() if "xid_events_total" in name}
    dated = {name: value for name, value in found.items() if "xid_last_seen" in name}

    assert len(counters) == 4 * len(CLASS_OF) + 1
    assert {name: value for name, value in counters.items() if value} == {
        'threenines_gpu_xid_events_total{class="node_reboot",gpu="2",xid="79"}': 2,
        'threenines_gpu_xid_events_total{class="unknown",gpu="2",xid="9999"}': 1,
    }
    assert dated == {
        'threenines_gpu_xid_last_seen_timestamp_seconds{gpu="2",xid="79"}': 2.5,
        'threenines_gpu_xid_last_seen_timestamp_seconds{gpu="2",xid="9999"}': 3.0,
    }


def test_a_gpu_that_is_gone_keeps_its_place_and_its_verdict() -> None:
    """A vanished GPU does not just vanish: it is absent, and down."""
    shown = full()
    shown.absent, shown.health["GPU-9"] = (GpuPlaced(gpu="GPU-9", position=4),), "down"
    found = _render(shown)

    assert found['threenines_gpu_present{gpu="4"}'] == 0
    assert found['threenines_gpu_health{gpu="4",state="down"}'] == 1
    assert Exporter(shown).live(0) == (4, 5)


def test_a_lost_gpu_is_told_by_state() -> None:
    """Access and fabric are sets of states, exactly one of them 1."""
    shown = full()
    shown.readings["GPU-0"] = Reading(gpu="GPU-0", access=Access.LOST, values={}, missing={}, error="lost")
    found = _render(shown)
    true = {name for name, value in found.items() if value == 1 and re.search(r'(access|fabric)\{gpu="0"', name)}

    assert true == {
        'threenines_gpu_access{gpu="0",state="lost"}',
        'threenines_gpu_fabric{gpu="0",state="unknown"}',
    }


def test_info_says_which_gpu_and_which_driver() -> None:
    """What joins a position to a UUID, a module, a board and an NVLink domain."""
    found = _render(full())

    assert (
        found[
            'threenines_node_info{chassis_serial="1821225190000",cuda="13.0",driver="580.173.02",'
            'nvml="13.580.173.02",slot="25",tray="15"}'
        ]
        == 1
    )
    assert (
        found[
            'threenines_gpu_info{board="900-2G548-0081-000",clique="32766",'
            'cluster="c0ffee00-0000-0000-0000-000000000001",gpu="1",module="module-0",name="NVIDIA GB300",'
            'pci_bus_id="0009:06:00.0",uuid="GPU-1",vbios="97.10.4A.00.1A"}'
        ]
        == 1
    )


def test_before_the_first_open_only_the_agent_speaks() -> None:
    """No inventory, no GPU: the agent says that the driver is not up."""
    shown = Shown()

    assert _render(shown)["threenines_agent_driver_up"] == 0
    assert Exporter(shown, dcgm=DcgmNames("host")).live(0) == (0, 0)


def test_a_health_that_changes_in_place_is_seen() -> None:
    """What is compared with the last scrape is a copy, not the thing itself."""
    shown = full()
    exporter = Exporter(shown)
    exporter.render(0)
    shown.health["GPU-0"] = "down"

    assert series(exporter.render(0).decode())['threenines_gpu_health{gpu="0",state="down"}'] == 1


def test_parts_that_come_and_go_take_their_series_with_them() -> None:
    """Text that was planned for other series is not used for these."""
    shown = full()
    exporter = Exporter(shown)
    whole = exporter.render(0)
    few = {key: 2.0 for key in values(Round.LINKS) if not isinstance(key, Part) or key.label < "1"}
    put(shown, "GPU-1", Round.LINKS, few, {})
    less = exporter.render(0)
    put(shown, "GPU-1", Round.LINKS, values(Round.LINKS), {})

    assert less == Exporter(shown_with(few)).render(0)
    assert exporter.render(0) == whole


def shown_with(links: dict[Key, float]) -> Shown:
    """Return a full tray whose second GPU answers only this of its links."""
    shown = full()
    put(shown, "GPU-1", Round.LINKS, links, {})
    return shown
