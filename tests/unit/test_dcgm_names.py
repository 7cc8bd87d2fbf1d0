"""dcgm-exporter's words for what our GPUs say: names, label order, types and vendor units."""

import re
from dataclasses import replace

import pytest

from collectors.catalogue import METRICS, Key, Part, Quantity, Round, quantity_of
from collectors.dcgm_names import NOT_OFFERED, ROWS, DcgmNames
from collectors.device import Missing
from collectors.exporter import Exporter
from collectors.shown import Shown
from tests.trays import GPUS, INVENTORY, LABELS, full, hear_xid, put, series, values

# What dcgm-exporter emits with the counters file that it ships.
DEFAULT = {
    *("DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_MEM_CLOCK", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_MEMORY_TEMP"),
    *("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_PCIE_REPLAY_COUNTER"),
    *("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_ENC_UTIL", "DCGM_FI_DEV_DEC_UTIL"),
    *("DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_RESERVED"),
    *("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "DCGM_FI_DEV_VGPU_LICENSE_STATUS"),
    *("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS"),
    *("DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"),
    *("DCGM_FI_PROF_DRAM_ACTIVE", "DCGM_FI_PROF_PCIE_TX_BYTES", "DCGM_FI_PROF_PCIE_RX_BYTES"),
}
COUNTERS = {
    *("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_PCIE_REPLAY_COUNTER"),
    *("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS"),
}
LABELS_OF_0 = (
    '{gpu="0",UUID="GPU-0",pci_bus_id="00000008:06:00.0",device="nvidia0",modelName="NVIDIA GB300",'
    'Hostname="tray7",DCGM_FI_DRIVER_VERSION="580.173.02"'
)


def _text(shown: Shown, label: str = "Hostname") -> str:
    return Exporter(shown, dcgm=DcgmNames("tray7", label=label)).render(0).decode()


def _of_0(shown: Shown) -> dict[str, float]:
    """Return the values of the first GPU by name; every label is checked on the way."""
    found = {name: value for name, value in series(_text(shown)).items() if 'UUID="GPU-0"' in name}
    named = {name.partition("{")[0]: value for name, value in found.items() if name.startswith("DCGM_")}
    assert all(name.partition("{")[2].startswith(LABELS_OF_0[1:]) for name in found if name.startswith("DCGM_"))
    return named


def test_every_default_family_is_there_or_has_a_reason() -> None:
    """What their default counters file promises is served; the rest is named with why not."""
    names = {row.name for row in ROWS} | {"DCGM_FI_DEV_XID_ERRORS"}

    assert DEFAULT - names == set(NOT_OFFERED)
    assert not names & set(NOT_OFFERED)
    assert set(_of_0(full())) == names


def test_rows_point_at_parts_that_devices_have() -> None:
    """A typing slip in a part would be a family that never has a value."""
    for row in ROWS:
        label = METRICS[quantity_of(row.key)].part

        assert row.summed or (label is None) == (not isinstance(row.key, Part))
        assert not isinstance(row.key, Part) or row.key.label in LABELS[str(label)]


def test_types_are_theirs() -> None:
    """Their counters are counters although they lack `_total`; HELP and TYPE come once, in this order."""
    text = _text(full())
    kinds = dict(re.findall(r"^# TYPE (DCGM_\S+) (\S+)$", text, re.MULTILINE))
    helps = re.findall(r"^# HELP (DCGM_\S+) \S.*\n# TYPE (DCGM_\S+) ", text, re.MULTILINE)

    assert {name for name in DEFAULT - set(NOT_OFFERED) if kinds[name] == "counter"} == COUNTERS
    assert [one for one, other in helps if one == other] == list(kinds)


def test_values_come_in_vendor_units() -> None:
    """MHz, MiB, mJ, % and ns from hertz, bytes, joules, ratios and seconds, without a trace of arithmetic."""
    shown = full()
    pulse: dict[Key, float] = {
        Quantity.TEMPERATURE_CELSIUS: 38.0,
        Quantity.POWER_AVERAGE_WATTS: 180.4,
        Quantity.ENERGY_JOULES_TOTAL: 123_456.789,
        Quantity.UTILISATION_RATIO: 0.07,
        Part(Quantity.THROTTLE_SECONDS_TOTAL, "sw_power_cap"): 1.000000001,
    }
    status: dict[Key, float] = {
        Part(Quantity.CLOCK_HERTZ, "sm"): 2_070e6,
        Part(Quantity.CLOCK_HERTZ, "memory"): 3_996e6,
        Quantity.MEMORY_USED_BYTES: 947 * 2.0**20,
        Part(Quantity.ENGINE_ACTIVE_RATIO, "tensor"): 0.25,
    }
    put(shown, "GPU-0", Round.PULSE, pulse, {})
    put(shown, "GPU-0", Round.STATUS, status, {})
    put(shown, "GPU-0", Round.LINKS, {}, {})
    put(shown, "GPU-0", Round.DETAIL, {}, {})

    assert _of_0(shown) == {
        "DCGM_FI_DEV_GPU_TEMP": 38,
        "DCGM_FI_DEV_POWER_USAGE": 180.4,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 123_456_789,
        "DCGM_FI_DEV_GPU_UTIL": 7,
        "DCGM_FI_DEV_POWER_VIOLATION": 1_000_000_001,
        "DCGM_FI_DEV_SM_CLOCK": 2_070,
        "DCGM_FI_DEV_MEM_CLOCK": 3_996,
        "DCGM_FI_DEV_FB_USED": 947,
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": 0.25,
        "DCGM_FI_DEV_XID_ERRORS": 0,
    }


def test_links_are_summed_only_when_all_of_them_answered() -> None:
    """A sum that leaves a link out would look like a counter that went back."""
    shown, quantity = full(), Quantity.NVLINK_RECOVERIES_TOTAL
    all_links = _of_0(shown)["DCGM_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS"]
    kept = {key: value for key, value in values(Round.LINKS).items() if key != Part(quantity, "5")}
    put(shown, "GPU-0", Round.LINKS, kept, {Part(quantity, "5"): Missing.FAILED})
    found = _of_0(shown)

    assert all_links == 18
    assert "DCGM_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS" not in found
    assert found["DCGM_FI_DEV_NVLINK_COUNT_RX_ERRORS"] == 18


def test_the_xid_gauge_is_theirs_and_says_what_it_is() -> None:
    """The newest code with its labels, sticky; HELP names the counter that tells the truth."""
    shown = full()
    hear_xid(shown, "GPU-0", 13, 1_000)
    hear_xid(shown, "GPU-0", 79, 2_000)
    text = _text(shown)

    assert f'DCGM_FI_DEV_XID_ERRORS{LABELS_OF_0},err_code="79",err_msg="node_reboot"}} 79.0\n' in text
    assert 'UUID="GPU-1"' in text
    assert 'err_code="0",err_msg="none"} 0.0\n' in text
    assert re.search(r"# HELP DCGM_FI_DEV_XID_ERRORS .*last-value gauge.*threenines_gpu_xid_events_total", text)


@pytest.mark.parametrize("label", ["Hostname", "hostname"])
def test_both_spellings_of_the_host_name(label: str) -> None:
    """Dashboards of either age find their label."""
    other = {"Hostname": "hostname", "hostname": "Hostname"}[label]
    text = _text(full(), label)

    assert f',{label}="tray7",' in text
    assert f",{other}=" not in text


def test_a_hung_gpu_has_no_series_but_its_xid() -> None:
    """Compatibility does not bring stale values back."""
    shown = full()
    shown.overdue = ("GPU-0",)

    assert set(_of_0(shown)) == {"DCGM_FI_DEV_XID_ERRORS"}


def test_native_families_are_untouched_beside_theirs() -> None:
    """The flag adds families and changes none."""
    shown = full()
    native = series(Exporter(shown).render(0).decode())
    both = series(_text(shown))

    assert {name: value for name, value in both.items() if not name.startswith("DCGM_")} == native


def test_short_pci_addresses_get_their_domain() -> None:
    """Eight digits of domain whatever the driver spelt."""
    shown = full()
    gpus = (replace(GPUS[0], pci_bus_id="9d:00.0"), replace(GPUS[1], pci_bus_id="0000:9d:00.0", minor=None, index=5))
    shown.inventory = replace(INVENTORY, gpus=gpus)
    text = _text(shown)

    assert 'UUID="GPU-0",pci_bus_id="00000000:9d:00.0",device="nvidia0"' in text
    assert 'gpu="5",UUID="GPU-1",pci_bus_id="00000000:9d:00.0",device="nvidia5"' in text
