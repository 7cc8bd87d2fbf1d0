"""What each XID means for a tenant: its class, by code.

The classes are ours; which codes a GB300 can raise and how they differ follows the public XID
catalogue for GB200. Codes outside the table are `unknown`: recorded, flagged, and downtime
only with other evidence.
"""

from enum import Enum


class XidClass(Enum):
    """Who is hit by a code, and how far."""

    APPLICATION = "application"  # the workload's own fault or end: never downtime
    GPU_RESET = "gpu_reset"  # unusable until the GPU is reset
    NODE_REBOOT = "node_reboot"  # unusable until the node restarts
    HARDWARE = "hardware"  # unusable until replaced
    INFORMATIONAL = "informational"  # bookkeeping, trend, recovery
    UNKNOWN = "unknown"  # evidence decides; needs decoding or nobody knows


_CODES: dict[XidClass, tuple[int, ...]] = {
    XidClass.APPLICATION: (
        *(8, 11, 13, 25, 31, 32, 39, 40, 41, 43, 45, 60, 68, 69, 70, 71, 72, 75, 76, 77),
        *(82, 83, 84, 85, 86, 88, 89, 94, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105),
        *(126, 127, 128, 129, 130, 131, 132, 133, 134, 135, 137, 139),
    ),
    XidClass.GPU_RESET: (46, 48, 62, 64, 95, 109, 110, 119, 120, 140, 143, 155, 156, 158, 171, 172),
    XidClass.NODE_REBOOT: (79, 151),
    XidClass.HARDWARE: (142, 165),
    XidClass.INFORMATIONAL: (
        *(14, 37, 38, 44, 63, 66, 67, 92, 106, 107, 108, 121, 141, 154, 157, 160, 161, 162),
        *(163, 164),
    ),
    XidClass.UNKNOWN: (78, 144, 145, 146, 147, 148, 149, 150, 159, 166, 167, 168, 169, 170),
}

CLASS_OF: dict[int, XidClass] = {code: kind for kind, codes in _CODES.items() for code in codes}


def classify(code: int) -> XidClass:
    """Return the class of an XID; `unknown` for a code that no table knows."""
    return CLASS_OF.get(code, XidClass.UNKNOWN)
