"""What a GPU says of its NVLink domain, decided by four questions at once.

Healthy means: registration completed AND it succeeded AND the GPU is in a clique of a cluster
AND no field of the health mask holds a bad value. Weaker checks have passed nodes that could
not run. All fields zero is "no verdict", not healthy; no fabric at all is not a fault.
"""

from dataclasses import dataclass

from collectors.device import FabricState

_NOT_SUPPORTED, _NOT_STARTED, _IN_PROGRESS, _COMPLETED = range(4)

# (shift, mask, values that are no fault); a two-bit field is 0 n/a, 1 yes, 2 no
_DEGRADED_BANDWIDTH = (0, 0x3, {0, 2})
_DEGRADING = (
    _DEGRADED_BANDWIDTH,
    (2, 0x3, {0, 2}),  # route recovery running
    (6, 0x3, {0, 2}),  # access-timeout recovery running
)
_BREAKING = (
    (4, 0x3, {0, 2}),  # route unhealthy
    (8, 0xF, {0, 1}),  # incorrect configuration
    (12, 0x3, {0, 1}),  # partition assigned
    (14, 0x3, {0, 1}),  # global fabric manager connected
)
_SUMMARY_UNHEALTHY, _SUMMARY_LIMITED = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricInfo:
    """The raw answer: state and status codes, clique, cluster, health mask and summary.

    `mask` and `summary` are None where the driver's struct is too old to have them.
    """

    state: int
    status: int
    clique: int
    cluster: bytes
    mask: int | None
    summary: int | None


def judge(info: FabricInfo) -> FabricState:
    """Return the one word for a raw answer."""
    if info.state == _NOT_SUPPORTED:
        return FabricState.UNSUPPORTED
    if info.state in {_NOT_STARTED, _IN_PROGRESS} or info.status != 0:
        return FabricState.NOT_READY
    if info.state != _COMPLETED:
        return FabricState.UNKNOWN
    if info.clique == 0 or not any(info.cluster):
        return FabricState.NOT_READY
    return _judge_health(info)


def _judge_health(info: FabricInfo) -> FabricState:
    mask, summary = info.mask or 0, info.summary or 0
    if summary == _SUMMARY_UNHEALTHY or any(_bad(mask, field) for field in _BREAKING):
        return FabricState.UNHEALTHY
    if summary == _SUMMARY_LIMITED or any(_bad(mask, field) for field in _DEGRADING):
        return FabricState.DEGRADED
    return FabricState.HEALTHY if mask or summary else FabricState.UNKNOWN


def _bad(mask: int, field: tuple[int, int, set[int]]) -> bool:
    shift, width, good = field
    return (mask >> shift) & width not in good
