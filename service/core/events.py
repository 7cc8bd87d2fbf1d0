"""The three messages that leave a node, and what each event among them carries.

`node.observed` and `node.event` are durable and numbered without gaps within a run;
`node.reading` is lossy, newest wins, and never reaches the ledger. Unknown keys are refused:
a sender of another version must be told, not half understood.
"""

from typing import Annotated, Literal

import msgspec

from service.core import limits
from service.core.health import Health
from service.core.model import GPU, NAME

Name = Annotated[str, msgspec.Meta(pattern=rf"^{NAME}\Z")]
GpuId = Annotated[str, msgspec.Meta(pattern=rf"^{GPU}\Z")]
Cause = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_:.-]{0,63}\Z")]
TimeMs = Annotated[int, msgspec.Meta(ge=limits.EARLIEST_MS, le=limits.LATEST_MS)]
Seq = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Text = Annotated[str, msgspec.Meta(max_length=limits.TEXT_LENGTH)]


class GpuSeen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one GPU was throughout an observation.

    `health` is None when the agent lives but cannot tell; `cause` then says why.
    `not_before_ms` is the last instant at which the change to this health had surely not
    happened yet: the true edge lies in `(not_before_ms, from_ms]`.
    """

    gpu: GpuId
    health: Health | None
    cause: Cause | None = None
    not_before_ms: TimeMs | None = None


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who speaks: site, rack, node, chassis slot, boot of the host and run of the agent."""

    v: Literal[1] = 1
    site: Name
    rack: Name
    node: Name
    slot: Annotated[int, msgspec.Meta(ge=0, le=255)]
    boot: Name
    run: Name


class NodeObserved(
    _Envelope, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="node.observed"
):
    """An observation: the agent saw each GPU in this health throughout `[from_ms, to_ms)`.

    `mono_ms` is the monotonic clock at `to_ms`; `sent_ms` the wall clock when it was written.
    """

    seq: Seq
    from_ms: TimeMs
    to_ms: TimeMs
    sent_ms: TimeMs
    mono_ms: Count
    gpus: Annotated[tuple[GpuSeen, ...], msgspec.Meta(max_length=limits.GPUS_PER_NODE)]


class _Detail(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """Base of what an event carries; the tag is the event's kind."""


class GpuPlaced(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A GPU of the inventory: its UUID, position on the tray and the serial of its module."""

    gpu: GpuId
    position: Annotated[int, msgspec.Meta(ge=0, lt=limits.GPUS_PER_NODE)]
    module: Text = ""


class RunStarted(_Detail, frozen=True, kw_only=True, tag="run_started"):
    """The agent began a run: what sits on the tray, and since when the host is up."""

    tray: Annotated[int, msgspec.Meta(ge=1, le=255)]
    boot_ms: TimeMs
    gpus: Annotated[tuple[GpuPlaced, ...], msgspec.Meta(max_length=limits.GPUS_PER_NODE)]
    driver: Text = ""
    version: Text = ""


class CleanStop(_Detail, frozen=True, kw_only=True, tag="clean_stop"):
    """The agent stopped on purpose; the silence that follows is announced."""

    reason: Text = ""


Unstated = msgspec.UnsetType
UNSTATED = msgspec.UNSET  # a field that is not sent at all, so that whoever never heard of it is not troubled


class XidRaised(_Detail, frozen=True, kw_only=True, tag="xid"):
    """The driver raised an XID for a GPU; `source` is the witness that saw it first.

    What only a kernel line tells is not stated where an event of the driver came first: a
    `KernelLine` then follows. `outcome` is what the line was decoded to; an injected XID is a test
    of somebody's. `kernel_seq` is the line's number in the log of this boot: the same line is
    never two XIDs, however often an agent that was killed reads it.
    """

    xid: Annotated[int, msgspec.Meta(ge=0, le=limits.XID_MAX)]
    source: Literal["nvml", "kernel", "mock", "import"] = "nvml"
    sub_unit: Text | Unstated = UNSTATED
    link: Annotated[int, msgspec.Meta(ge=0, le=999)] | Unstated = UNSTATED
    outcome: Literal["reset", "action", "ignore", "unknown"] | Unstated = UNSTATED
    injected: bool | Unstated = UNSTATED
    kernel_seq: Count | Unstated = UNSTATED


class DriverEvent(_Detail, frozen=True, kw_only=True, tag="driver_event"):
    """Another event type of the driver, by its bit (0x4000 = GPU unavailable, …)."""

    event_type: Count
    data: Count = 0


class RecoveryActionChanged(_Detail, frozen=True, kw_only=True, tag="recovery_action"):
    """The driver asks for another recovery action (field 230); the raw number is kept."""

    action: Count


class DriverReloaded(_Detail, frozen=True, kw_only=True, tag="driver_reload"):
    """The driver went away under the agent, or came back."""

    text: Text = ""


class SpoolGap(_Detail, frozen=True, kw_only=True, tag="spool_gap"):
    """Facts were lost on the node: which, and why; their time stays unknown.

    With `first_seq` and `last_seq` numbered facts of `lost_run` are gone for ever, so nobody
    need wait for them. Without, facts were never numbered because the spool was full.
    """

    lost_run: Name
    facts: Count
    reason: Text
    first_seq: Seq | None = None
    last_seq: Seq | None = None
    from_ms: TimeMs | None = None
    to_ms: TimeMs | None = None


class KernelLine(_Detail, frozen=True, kw_only=True, tag="kernel_line"):
    """A raw line of the kernel log that concerns a GPU."""

    text: Text


Detail = (
    RunStarted | CleanStop | XidRaised | DriverEvent | RecoveryActionChanged | DriverReloaded | SpoolGap | KernelLine
)


class NodeEvent(_Envelope, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="node.event"):
    """Something happened at an instant; durable, numbered in the same row as observations."""

    seq: Seq
    at_ms: TimeMs
    sent_ms: TimeMs
    mono_ms: Count
    gpu: GpuId | None = None
    event: Detail


class NodeReading(
    _Envelope, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="node.reading"
):
    """Newest values of a node, by GPU and catalogue name, in base units; may be lost."""

    at_ms: TimeMs
    values: dict[GpuId, dict[Name, float]]


Fact = NodeObserved | NodeEvent
Message = NodeObserved | NodeEvent | NodeReading
