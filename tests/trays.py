"""A tray as the agent would show it, made by hand: four GPUs that answer everything."""

from collections.abc import Mapping

from collectors.catalogue import METRICS, Key, Part, Round
from collectors.device import Access, FabricState, GpuIdentity, Inventory, Missing, Reading, Survey
from collectors.shown import Shown

_LINKS, _LANES = tuple(map(str, range(18))), tuple(map(str, range(16)))
LABELS: dict[str, tuple[str, ...]] = {
    "c2c_link": tuple(map(str, range(14))),
    "domain": ("graphics", "sm", "memory", "video"),
    "engine": ("graphics", "sm", "sm_occupancy", "tensor", "dram"),
    "kind": ("correctable", "fatal", "lcrc"),
    "lane": _LANES,
    "limit": ("shutdown", "slowdown", "memory_max", "gpu_max"),
    "link": _LINKS,
    "location": ("l1", "l2", "device", "register", "texture", "cbu"),
    "reason": (
        *("sw_power_cap", "thermal", "sync_boost", "board_limit", "low_utilisation", "reliability"),
        *("application_clocks", "base_clocks", "sw_thermal", "hw_thermal", "hw_power_brake"),
    ),
    "spare": ("max", "high", "partial", "low", "none"),
    "symbols": _LANES,
}
GPUS = tuple(
    GpuIdentity(
        uuid=f"GPU-{at}",
        position=at,
        index=at,
        module=f"module-{at // 2}",
        module_id=(2, 1, 4, 3)[at],
        name="NVIDIA GB300",
        pci_bus_id=f"{(0x8, 0x9, 0x18, 0x19)[at]:04X}:06:00.0",
        minor=at,
        board_part_number="900-2G548-0081-000",
        vbios_version="97.10.4A.00.1A",
        cluster="c0ffee00-0000-0000-0000-000000000001",
        clique=32766,
    )
    for at in range(4)
)
INVENTORY = Inventory(
    gpus=GPUS,
    driver_version="580.173.02",
    nvml_version="13.580.173.02",
    cuda_version=13_000,
    chassis_serial="1821225190000",
    slot=25,
    tray=15,
)


def values(one: Round, value: float = 1.0) -> dict[Key, float]:
    """Return a value for every quantity and part of a round."""
    found: dict[Key, float] = {}
    for quantity, metric in METRICS.items():
        if metric.round is one:
            keys = (quantity,) if metric.part is None else [Part(quantity, label) for label in LABELS[metric.part]]
            found.update(dict.fromkeys(keys, value))
    return found


def reading(gpu: str, of: Mapping[Key, float], missing: Mapping[Key, Missing] | None = None) -> Reading:
    """Return a pulse of a GPU that answered."""
    return Reading(
        gpu=gpu, access=Access.OK, values=of, missing=missing or {}, recovery_action=0, fabric=FabricState.HEALTHY
    )


def full(mono_ms: int = 0) -> Shown:
    """Return what is shown of four GPUs of which every round was collected at an instant."""
    shown = Shown()
    shown.opened(INVENTORY)
    for gpu in GPUS:
        shown.readings[gpu.uuid] = reading(gpu.uuid, values(Round.PULSE))
        shown.read_mono_ms[gpu.uuid], shown.took_ms[gpu.uuid], shown.health[gpu.uuid] = mono_ms, 2, "up"
        for one in (Round.STATUS, Round.LINKS, Round.DETAIL):
            shown.surveyed(Survey(gpu=gpu.uuid, round=one, values=values(one), missing={}), mono_ms)
    return shown


def put(shown: Shown, gpu: str, one: Round, of: Mapping[Key, float], missing: Mapping[Key, Missing]) -> None:
    """Replace a round of a GPU."""
    if one is Round.PULSE:
        shown.readings[gpu] = reading(gpu, of, missing)
    else:
        shown.surveys[gpu][one] = Survey(gpu=gpu, round=one, values=of, missing=missing)


def hear_xid(shown: Shown, gpu: str, code: int, at_ms: int) -> None:
    """Let an XID of a GPU have been counted, raised at a wall-clock instant."""
    shown.xids[gpu, code] += 1
    shown.xid_seen_ms[gpu, code] = at_ms


def series(text: str) -> dict[str, float]:
    """Return the value of each series of an exposition, by its text up to the value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
