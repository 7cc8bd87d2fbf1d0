"""What a GPU says of its NVLink domain, decided by four questions at once.

Healthy means: registration completed AND it succeeded AND the GPU is in a clique of a cluster
AND neither a field of the health mask nor the summary holds a bad value. Weaker checks have
passed nodes that could not run. All fields zero is "no verdict", not healthy; no fabric at all
is not a fault. GPUs whose NVLink ends at their own host (HGX) complete with no cluster: the
membership question is not put to them.
"""

import struct
from dataclasses import dataclass

from collectors.device import FabricState

_STRUCT = struct.Struct("<4x16sIIB3xI")  # version, cluster, status, clique, state, health mask
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
_KNOWN_MASK = 0xFFFF
_SUMMARY_NONE, _SUMMARY_HEALTHY, _SUMMARY_UNHEALTHY, _SUMMARY_LIMITED = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricInfo:
    """The raw answer: state and status codes, clique, cluster, health mask and summary.

    `status` means something in state 3 only. `mask` and `summary` are None where the driver's
    struct is too old to have them. `is_multi_node` says whether this GPU belongs to a domain
    that spans hosts, so that having no cluster is a fault.
    """

    state: int
    status: int
    clique: int
    cluster: bytes
    mask: int | None
    summary: int | None
    is_multi_node: bool = True


def unpack(raw: bytes, *, is_multi_node: bool) -> FabricInfo:
    """Return the raw answer from the bytes of NVML's struct, version 3 or 2.

    The state is one byte followed by padding, which drivers leave as it was; bindings read four.
    """
    cluster, status, clique, state, mask = _STRUCT.unpack_from(raw)
    return FabricInfo(
        state=state,
        status=status,
        clique=clique,
        cluster=cluster,
        mask=mask,
        summary=raw[_STRUCT.size] if len(raw) > _STRUCT.size else None,
        is_multi_node=is_multi_node,
    )


def judge(info: FabricInfo) -> FabricState:
    """Return the one word for a raw answer."""
    if info.state == _NOT_SUPPORTED:
        return FabricState.UNSUPPORTED
    if info.state in {_NOT_STARTED, _IN_PROGRESS}:
        return FabricState.NOT_READY
    if info.state != _COMPLETED:
        return FabricState.UNKNOWN
    if info.status != 0 or (info.is_multi_node and not _is_member(info)):
        return FabricState.NOT_READY
    return _judge_health(info)


def _is_member(info: FabricInfo) -> bool:
    return info.clique != 0 and any(info.cluster)


def _judge_health(info: FabricInfo) -> FabricState:
    mask, summary = (info.mask or 0) & _KNOWN_MASK, info.summary or _SUMMARY_NONE
    if summary == _SUMMARY_UNHEALTHY or any(_is_bad(mask, field) for field in _BREAKING):
        return FabricState.UNHEALTHY
    if summary == _SUMMARY_LIMITED or any(_is_bad(mask, field) for field in _DEGRADING):
        return FabricState.DEGRADED
    if summary not in {_SUMMARY_NONE, _SUMMARY_HEALTHY}:
        return FabricState.UNKNOWN
    return FabricState.HEALTHY if mask or summary else FabricState.UNKNOWN


def _is_bad(mask: int, field: tuple[int, int, set[int]]) -> bool:
    shift, width, good = field
    return (mask >> shift) & width not in good
