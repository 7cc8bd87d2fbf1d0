"""What a simulated driver answers beyond the pulse: limits, clocks, memory, ECC, PCIe, links, settings."""

from collections.abc import Callable, Iterator

from collectors.catalogue import Key, Part, Quantity, Round
from collectors.simulation import heat
from collectors.simulation import links as nvlink
from collectors.simulation.layout import C2C_LINKS, LANES, LINK_LABELS, LINKS
from collectors.simulation.power import (
    LIMIT_MIN_WATTS,
    LIMIT_WATTS,
    MODULE_LIMIT_MIN_WATTS,
    MODULE_LIMIT_WATTS,
    Now,
    Smoothing,
)
from collectors.simulation.view import GpuView

MIB = 1024.0**2
MEMORY_TOTAL, MEMORY_RESERVED = 284_208 * MIB, 947 * MIB
MEMORY_BUSY_RATIO = 0.85  # of the memory that a job takes, whatever its load
CLOCK_MAX = {"graphics": 2_070e6, "sm": 2_070e6, "memory": 3_996e6, "video": 1_912e6}
CLOCK_IDLE = {"graphics": 120e6, "sm": 120e6, "memory": 3_996e6, "video": 600e6}
ENGINES = {"graphics": 1.0, "sm": 0.92, "sm_occupancy": 0.45, "tensor": 0.6, "dram": 0.5}
LOCATIONS = ("l1", "l2", "device", "register", "texture", "cbu")  # the last has no correctable errors
SPARES = {"max": 5_952, "high": 0, "partial": 0, "low": 0, "none": 0}
PCIE_KINDS = (
    *("correctable", "naks_received", "receiver", "bad_tlp", "naks_sent", "bad_dllp", "non_fatal", "fatal"),
    *("unsupported_request", "lcrc"),
)
SRAM_KINDS = (
    *("aggregate_uncorrectable_parity", "aggregate_uncorrectable_secded", "aggregate_correctable"),
    *("volatile_uncorrectable_parity", "volatile_uncorrectable_secded", "volatile_correctable"),
)
PCIE_BYTES_PER_SECOND = 2e9  # at full load
CORRECTABLE_PER_SECOND = 1 / 86_400  # ECC errors of a healthy GPU that works

Values = dict[Key, float]


def clock_ratio(now: Now) -> float:
    """Return what is left of the clocks: power goes with about the square of the clock."""
    if now.hardware_thermal:
        return min(0.5, now.condition.clock_ratio)
    held = (now.watts / now.wanted_watts) ** 0.5 if now.wanted_watts > now.watts else 1.0
    return held * now.condition.clock_ratio


def _limits(_view: GpuView, _now: Now, _at_ms: int) -> Values:
    return {
        Quantity.POWER_LIMIT_REQUESTED_WATTS: LIMIT_WATTS,
        Quantity.POWER_LIMIT_DEFAULT_WATTS: LIMIT_WATTS,
        Quantity.MODULE_POWER_LIMIT_WATTS: MODULE_LIMIT_WATTS,
        Quantity.MODULE_POWER_LIMIT_REQUESTED_WATTS: MODULE_LIMIT_WATTS,
        Quantity.MODULE_POWER_LIMIT_DEFAULT_WATTS: MODULE_LIMIT_WATTS,
    }


def _clocks(_view: GpuView, now: Now, _at_ms: int) -> Values:
    ratio = clock_ratio(now)
    values: Values = {Quantity.PERFORMANCE_STATE: 0.0, Quantity.DECODER_UTILISATION_RATIO: 0.0}
    for domain, highest in CLOCK_MAX.items():
        busy = highest * (ratio if domain in {"graphics", "sm"} else 1.0)
        values[Part(Quantity.CLOCK_HERTZ, domain)] = busy if now.load else CLOCK_IDLE[domain]
    for engine, share in ENGINES.items():
        values[Part(Quantity.ENGINE_ACTIVE_RATIO, engine)] = now.load * share
    return values


def _used_bytes(now: Now) -> float:
    return (MEMORY_TOTAL - MEMORY_RESERVED) * MEMORY_BUSY_RATIO if now.load else 0.0


def _memory(_view: GpuView, now: Now, _at_ms: int) -> Values:
    used = _used_bytes(now)
    return {
        Quantity.MEMORY_TOTAL_BYTES: MEMORY_TOTAL,
        Quantity.MEMORY_RESERVED_BYTES: MEMORY_RESERVED,
        Quantity.MEMORY_USED_BYTES: used,
        Quantity.MEMORY_FREE_BYTES: MEMORY_TOTAL - MEMORY_RESERVED - used,
    }


def _correctable(view: GpuView, from_ms: int, to_ms: int) -> float:
    return float(int(view.traffic.alike.since(from_ms, to_ms) * CORRECTABLE_PER_SECOND))


def _ecc(view: GpuView, _now: Now, at_ms: int) -> Values:
    zero_ms = view.tray.boot_ms(at_ms)
    life, before = view.uncorrectable.at(at_ms), view.uncorrectable.at(zero_ms)
    return {
        Quantity.ECC_CORRECTABLE_VOLATILE_TOTAL: _correctable(view, zero_ms, at_ms),
        Quantity.ECC_UNCORRECTABLE_VOLATILE_TOTAL: float(life - before),
        Quantity.ECC_CORRECTABLE_AGGREGATE_TOTAL: float(int(view.traffic.alike.total(at_ms) * CORRECTABLE_PER_SECOND)),
        Quantity.ECC_UNCORRECTABLE_AGGREGATE_TOTAL: float(life),
        Quantity.ROWS_REMAPPED_CORRECTABLE_TOTAL: 0.0,
        Quantity.ROWS_REMAPPED_UNCORRECTABLE_TOTAL: float(view.remapped.at(at_ms)),
    }


def _pcie(view: GpuView, _now: Now, at_ms: int) -> Values:
    sent = view.traffic.alike.since(view.tray.boot_ms(at_ms), at_ms) * PCIE_BYTES_PER_SECOND
    values: Values = {
        Quantity.PCIE_REPLAYS_TOTAL: 0.0,
        Quantity.PCIE_REPLAY_ROLLOVERS_TOTAL: 0.0,
        Quantity.PCIE_RECOVERIES_TOTAL: 0.0,
        Quantity.PCIE_TRANSMITTED_BYTES_TOTAL: sent,
        Quantity.PCIE_RECEIVED_BYTES_TOTAL: sent * 0.8,
    }
    values.update((Part(Quantity.PCIE_ERRORS_TOTAL, kind), 0.0) for kind in PCIE_KINDS)
    return values


def _links(view: GpuView, _now: Now, at_ms: int) -> Values:
    zero_ms = view.tray.boot_ms(at_ms)
    values: Values = {}
    sent = 0.0
    for number, link in enumerate(LINK_LABELS):
        count = _carried_bytes(view, number, zero_ms, at_ms)
        sent += count
        values.update((Part(quantity, link), value) for quantity, value in _link(count, view, number, zero_ms, at_ms))
    values[Quantity.NVLINK_DATA_TRANSMITTED_BYTES_TOTAL] = sent * nvlink.PAYLOAD_RATIO
    values[Quantity.NVLINK_DATA_RECEIVED_BYTES_TOTAL] = sent * nvlink.PAYLOAD_RATIO
    return values


def _carried_bytes(view: GpuView, number: int, zero_ms: int, at_ms: int) -> float:
    busy_seconds = view.traffic.busy(number).since(zero_ms, at_ms)
    return float(int(busy_seconds * nvlink.SPEED_BYTES_PER_SECOND * nvlink.BUSY_RATIO))


def _link(count: float, view: GpuView, number: int, zero_ms: int, at_ms: int) -> Iterator[tuple[Quantity, float]]:
    noise = view.traffic.noise.get(number)
    seconds = noise.since(zero_ms, at_ms) if noise else 0.0
    failures = view.link_failures.get(number)
    failed = float(failures.at(at_ms) - failures.at(zero_ms)) if failures else 0.0
    succeeded = float(int(seconds * nvlink.RECOVERIES_PER_SECOND))
    packets = float(int(count / nvlink.PACKET_BYTES))
    yield Quantity.NVLINK_TRANSMITTED_BYTES_TOTAL, count
    yield Quantity.NVLINK_RECEIVED_BYTES_TOTAL, count
    yield Quantity.NVLINK_TRANSMITTED_PACKETS_TOTAL, packets
    yield Quantity.NVLINK_RECEIVED_PACKETS_TOTAL, packets
    yield Quantity.NVLINK_RECOVERIES_SUCCEEDED_TOTAL, succeeded
    yield Quantity.NVLINK_RECOVERIES_FAILED_TOTAL, failed
    yield Quantity.NVLINK_RECOVERIES_TOTAL, succeeded + failed
    yield Quantity.NVLINK_RECEIVE_ERRORS_TOTAL, float(int(seconds * nvlink.ERRORS_PER_SECOND))
    yield Quantity.NVLINK_INTEGRITY_ERRORS_TOTAL, succeeded
    for quantity in _NEVER_ON_LINKS:
        yield quantity, 0.0


_NEVER_ON_LINKS = (
    Quantity.NVLINK_MALFORMED_PACKETS_TOTAL,
    Quantity.NVLINK_BUFFER_OVERRUNS_TOTAL,
    Quantity.NVLINK_REMOTE_ERRORS_TOTAL,
    Quantity.NVLINK_HEADER_ERRORS_TOTAL,
    Quantity.NVLINK_TRANSMIT_DISCARDS_TOTAL,
)


def _c2c(_view: GpuView, _now: Now, _at_ms: int) -> Values:
    values: Values = {}
    for number in range(C2C_LINKS):
        link = str(number)
        values[Part(Quantity.C2C_LINK_ACTIVE, link)] = 1.0
        for quantity in (
            Quantity.C2C_ERRORS_TOTAL,
            Quantity.C2C_REPLAYS_TOTAL,
            Quantity.C2C_BACK_TO_BACK_REPLAYS_TOTAL,
        ):
            values[Part(quantity, link)] = 0.0
    return values


def _settings(_view: GpuView, now: Now, _at_ms: int) -> Values:
    values: Values = {
        Quantity.POWER_LIMIT_MIN_WATTS: LIMIT_MIN_WATTS,
        Quantity.POWER_LIMIT_MAX_WATTS: LIMIT_WATTS,
        Quantity.MODULE_POWER_LIMIT_MIN_WATTS: MODULE_LIMIT_MIN_WATTS,
        Quantity.MODULE_POWER_LIMIT_MAX_WATTS: MODULE_LIMIT_WATTS,
        Quantity.COMPUTE_PROCESSES: float(now.load > 0),
        Quantity.COMPUTE_PROCESSES_MEMORY_BYTES: _used_bytes(now),
        Quantity.PCIE_LINK_GENERATION: 4.0,  # the host's best; the GPU alone could do 6
        Quantity.PCIE_LINK_GENERATION_MAX: 4.0,
        Quantity.PCIE_LINK_WIDTH: float(LANES),
        Quantity.NVLINK_LINKS: float(LINKS),
    }
    offsets = {
        "shutdown": heat.SHUTDOWN_OFFSET,
        "slowdown": heat.SLOWDOWN_OFFSET,
        "memory_max": heat.MEMORY_MAX_OFFSET,
        "gpu_max": heat.GPU_MAX_OFFSET,
    }
    values.update((Part(Quantity.TEMPERATURE_LIMIT_OFFSET_CELSIUS, limit), at) for limit, at in offsets.items())
    values.update((Part(Quantity.CLOCK_MAX_HERTZ, domain), at) for domain, at in CLOCK_MAX.items())
    values.update((Part(Quantity.PCIE_LANE_ERRORS_TOTAL, str(lane)), 0.0) for lane in range(LANES))
    return values


def _smoothing(view: GpuView, _now: Now, _at_ms: int) -> Values:
    set_to: Smoothing = view.course.smoothing
    return {
        Quantity.SMOOTHING_ENABLED: float(set_to.enabled),
        Quantity.SMOOTHING_PRIVILEGE_LEVEL: 1.0,
        Quantity.SMOOTHING_RAMP_DOWN_IMMEDIATE: 0.0,
        Quantity.SMOOTHING_CEILING_WATTS: set_to.ceiling_watts,
        Quantity.SMOOTHING_FLOOR_WATTS: set_to.floor_watts,
        Quantity.SMOOTHING_LIFETIME_REMAINING_RATIO: 1.0,
        Quantity.SMOOTHING_ACTIVE_PROFILE: 0.0,
    }


def _repairs(view: GpuView, now: Now, at_ms: int) -> Values:
    remapped = view.remapped.at(at_ms)
    zero_ms = view.tray.boot_ms(at_ms)
    life, before = view.uncorrectable.at(at_ms), view.uncorrectable.at(zero_ms)
    values: Values = {
        Quantity.ECC_ENABLED: 1.0,
        Quantity.ECC_PENDING: 1.0,
        Quantity.SRAM_THRESHOLD_EXCEEDED: 0.0,
        Quantity.CHANNEL_REPAIR_PENDING: 0.0,
        Quantity.TPC_REPAIR_PENDING: 0.0,
        Quantity.MEMORY_UNREPAIRABLE: float(now.condition.remap_failed),
    }
    banks = {**SPARES, "max": SPARES["max"] - remapped, "high": SPARES["high"] + remapped}
    values.update((Part(Quantity.REMAP_BANKS, spare), float(count)) for spare, count in banks.items())
    values.update((Part(Quantity.SRAM_ERRORS_TOTAL, kind), 0.0) for kind in SRAM_KINDS)
    counts = {
        Quantity.ECC_LOCATION_UNCORRECTABLE_VOLATILE_TOTAL: float(life - before),
        Quantity.ECC_LOCATION_UNCORRECTABLE_AGGREGATE_TOTAL: float(life),
        Quantity.ECC_LOCATION_CORRECTABLE_VOLATILE_TOTAL: _correctable(view, zero_ms, at_ms),
        Quantity.ECC_LOCATION_CORRECTABLE_AGGREGATE_TOTAL: _correctable(view, view.course.now.starts[0], at_ms),
    }
    for quantity, count in counts.items():  # all of it in the memory itself
        for location in LOCATIONS if "uncorrectable" in quantity.value else LOCATIONS[:-1]:
            values[Part(quantity, location)] = count if location == "device" else 0.0
    return values


def _link_details(view: GpuView, now: Now, at_ms: int) -> Values:
    zero_ms = view.tray.boot_ms(at_ms)
    values: Values = {}
    for number, link in enumerate(LINK_LABELS):
        down = number in now.condition.links_down
        noise = view.traffic.noise.get(number)
        errors = float(int((noise.since(zero_ms, at_ms) if noise else 0.0) * nvlink.ERRORS_PER_SECOND))
        noisy = number in now.condition.noisy_links
        for quantity, value in (
            (Quantity.NVLINK_SPEED_BYTES_PER_SECOND, 0.0 if down else nvlink.SPEED_BYTES_PER_SECOND),
            (Quantity.NVLINK_POWER_STATE, 0.0 if now.load else 1.0),
            (Quantity.NVLINK_EFFECTIVE_ERRORS_TOTAL, errors),
            (Quantity.NVLINK_EFFECTIVE_BIT_ERROR_RATIO, 1e-9 if noisy else 1e-15),
            (Quantity.NVLINK_SYMBOL_ERRORS_TOTAL, errors * 10),
            (Quantity.NVLINK_SYMBOL_BIT_ERROR_RATIO, 1e-8 if noisy else 1e-12),
            (Quantity.NVLINK_RETRY_BLOCKS_TOTAL, errors * 2),
        ):
            values[Part(quantity, link)] = value
    blocks = view.traffic.alike.since(zero_ms, at_ms) * nvlink.BLOCKS_PER_SECOND
    for symbols in range(16):  # each symbol more is a thousand times rarer
        values[Part(Quantity.NVLINK_FEC_BLOCKS_TOTAL, str(symbols))] = float(int(blocks * 1000.0**-symbols))
    values.update((Part(Quantity.C2C_POWER_STATE, str(link)), 0.0 if now.load else 1.0) for link in range(C2C_LINKS))
    return values


ROUNDS: dict[Round, tuple[Callable[[GpuView, Now, int], Values], ...]] = {
    Round.STATUS: (_limits, _clocks, _memory, _ecc, _pcie),
    Round.LINKS: (_links, _c2c),
    Round.DETAIL: (_settings, _smoothing, _repairs, _link_details),
}
