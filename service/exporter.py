"""The service's `/metrics`: one custom collector over an immutable snapshot.

Families are built fresh at every scrape, so what is gone vanishes by itself. Names, types and
help stand in one catalogue.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from service.core.health import State
from service.core.seal import Seal
from service.projection import ObjectiveView, Snapshot
from service.recorder import Recorder

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# name without prefix: (help, labels)
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "gpu_seconds": ("Leased GPU time by state as known live; late evidence never rewrites it.", ("tenant", "state")),
    "reclassified_gpu_seconds": ("Leased GPU time whose state late evidence changed.", ("tenant", "from", "to")),
    "facts": ("Facts that reached the service, by what became of them.", ("outcome",)),
    "facts_refused": ("Facts and batches that could not be believed, by reason.", ("reason",)),
}
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "month_availability_ratio": (
        "Month to date, exact from the ledger: unknown time as down (lo), as up (hi), as the contract settles.",
        ("tenant", "objective", "bound"),
    ),
    "month_target_ratio": ("The objective's target.", ("tenant", "objective")),
    "month_down_seconds": ("Counted down unit-time of the month to date.", ("tenant", "objective")),
    "month_excluded_seconds": ("Unit-time of the month to date that approved claims took.", ("tenant", "objective")),
    "month_unknown_seconds": ("Unit-time of the month to date that nobody observed.", ("tenant", "objective")),
    "month_error_budget_seconds": (
        "Down unit-time that the target allows in the whole month.",
        ("tenant", "objective"),
    ),
    "month_error_budget_remaining_seconds": (
        "What is left of the month's error budget; negative when overspent.",
        ("tenant", "objective"),
    ),
    "month_units": ("Availability units by verdict, month to date.", ("tenant", "objective", "verdict")),
    "burn_rate_ratio": (
        "Speed of budget use over a window; 1 is exactly on budget.",
        ("tenant", "objective", "window"),
    ),
    "time_to_breach_seconds": (
        "Until the budget is gone if what is down now stays down; absent while nothing is down.",
        ("tenant", "objective"),
    ),
    "month_forecast_availability_ratio": (
        "Availability at the period's end if it goes on as over the last day.",
        ("tenant", "objective"),
    ),
    "next_tier_edge_seconds": (
        "Down time until the nearest tier edge of any unit; absent below the last one.",
        ("tenant", "objective"),
    ),
    "next_tier_credit": (
        "Credit of that unit beyond the edge, in the contract's currency.",
        ("tenant", "objective"),
    ),
    "credit_exposure": (
        "Credit that the month to date would cost, in the contract's currency.",
        ("tenant", "objective"),
    ),
    "leased_gpus": ("Leased GPUs by state at the coverage frontier.", ("tenant", "state")),
    "rack_gpus": ("Leased GPUs of a rack by state; what is missing to the lease is unknown.", ("rack", "state")),
    "nodes": ("Nodes that ever spoke, by whether they spoke within the grace.", ("state",)),
    "coverage_frontier_timestamp_seconds": ("Instant up to which the numbers are computed.", ()),
    "ledger_seal_timestamp_seconds": (
        "When the newest seal was made; its digest, kept outside, shows any later change of what it covers.",
        ("day", "digest"),
    ),
    "service_up": ("1 while the service has rolled up at least once.", ()),
}


def render(snapshot: Callable[[], Snapshot | None], recorder: Recorder, seal: Seal | None = None) -> bytes:
    """Return the exposition of one snapshot in Prometheus text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(snapshot(), recorder, seal))
    return generate_latest(registry)


class _Scrape:
    def __init__(self, snapshot: Snapshot | None, recorder: Recorder, seal: Seal | None) -> None:
        self._snapshot, self._recorder, self._seal = snapshot, recorder, seal

    def collect(self) -> Iterable[Metric]:
        families = _families()
        for name, labels, value in _samples(self._snapshot, self._recorder):
            families[name].add_metric(labels, value)
        if self._seal is not None:
            name, labels = "ledger_seal_timestamp_seconds", [self._seal.day, self._seal.digest]
            families[name].add_metric(labels, self._seal.at_ms / 1000)
        return families.values()


def _families() -> dict[str, CounterMetricFamily | GaugeMetricFamily]:
    counters = {
        name: CounterMetricFamily(f"threenines_{name}", text, labels=labels)
        for name, (text, labels) in COUNTERS.items()
    }
    gauges = {
        name: GaugeMetricFamily(f"threenines_{name}", text, labels=labels) for name, (text, labels) in GAUGES.items()
    }
    return counters | gauges


Sample = tuple[str, list[str], float]


def _samples(snapshot: Snapshot | None, recorder: Recorder) -> Iterator[Sample]:
    for outcome, count in recorder.outcomes.items():
        yield "facts", [outcome], count
    for reason, count in recorder.refused.items():
        yield "facts_refused", [reason], count
    yield "service_up", [], 0 if snapshot is None else 1
    if snapshot is None:
        return
    yield "coverage_frontier_timestamp_seconds", [], snapshot.frontier_ms / 1000
    yield "nodes", ["live"], snapshot.nodes_live
    yield "nodes", ["silent"], snapshot.nodes_silent
    yield from _counted(snapshot)
    for view in snapshot.objectives:
        yield from _objective(view)


def _counted(snapshot: Snapshot) -> Iterator[Sample]:
    for (tenant, state), length_ms in snapshot.gpu_ms.items():
        yield "gpu_seconds", [tenant, state.value], length_ms / 1000
    for (tenant, was, is_), length_ms in snapshot.reclassified_ms.items():
        yield "reclassified_gpu_seconds", [tenant, was.value, is_.value], length_ms / 1000
    for tenant in {tenant for tenant, _ in snapshot.tenant_gpus}:
        for state in State:
            yield "leased_gpus", [tenant, state.value], snapshot.tenant_gpus.get((tenant, state), 0)
    for rack in {rack for rack, _ in snapshot.rack_gpus}:
        for state in (State.UP, State.DEGRADED, State.DOWN):  # three a rack, within the series budget
            yield "rack_gpus", [rack, state.value], snapshot.rack_gpus.get((rack, state), 0)


def _objective(view: ObjectiveView) -> Iterator[Sample]:
    result = view.result
    labels = [view.tenant, result.objective.name]
    yield "month_target_ratio", labels, float(result.objective.target)
    if result.bounds is not None:
        for bound in ("lo", "hi", "settled"):
            yield "month_availability_ratio", [*labels, bound], float(getattr(result.bounds, bound))
    yield "month_down_seconds", labels, float(result.down_ms) / 1000
    yield "month_unknown_seconds", labels, result.unknown_ms / 1000
    yield "month_excluded_seconds", labels, float(result.excluded_ms) / 1000
    yield "month_error_budget_seconds", labels, float(view.budget_ms) / 1000
    yield "month_error_budget_remaining_seconds", labels, float(view.budget_left_ms) / 1000
    for verdict in ("met", "missed", "undetermined"):
        yield "month_units", [*labels, verdict], getattr(result.verdicts, verdict)
    for window, burn in view.burn.items():
        yield "burn_rate_ratio", [*labels, window], float(burn)
    if view.time_to_breach_ms is not None:
        yield "time_to_breach_seconds", labels, float(view.time_to_breach_ms) / 1000
    if view.forecast_ratio is not None:
        yield "month_forecast_availability_ratio", labels, float(view.forecast_ratio)
    if view.next_edge is not None:
        yield "next_tier_edge_seconds", labels, float(view.next_edge.left_ms) / 1000
        yield "next_tier_credit", labels, float(view.next_edge.owed)
    yield "credit_exposure", labels, float(result.credit.amount)
