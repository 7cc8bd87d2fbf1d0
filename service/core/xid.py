"""What each XID means: mnemonic, class, action, and whether a GB300 can raise it.

Mnemonics are the driver's identifiers; classes and actions are ours. `listed` marks the codes
that the public catalogue names for GB200, whose list GB300 follows. A code that is not listed,
or in no table at all, is judged as `unknown`: recorded, flagged, and downtime only with other
evidence.
"""

from dataclasses import dataclass
from enum import Enum


class XidClass(Enum):
    """Who is hit by a code, and how far."""

    APPLICATION = "application"  # the workload's own fault or end: never downtime
    GPU_RESET = "gpu_reset"  # unusable until the GPU is reset
    NODE_REBOOT = "node_reboot"  # unusable until the node restarts
    HARDWARE = "hardware"  # unusable until replaced
    INFORMATIONAL = "informational"  # bookkeeping, trend, recovery
    UNKNOWN = "unknown"  # evidence decides; needs decoding or nobody knows


class Action(Enum):
    """What somebody should do about a code."""

    NONE = "none"
    RESTART_APP = "restart_app"
    RESET_GPU = "reset_gpu"
    RESET_AT_WINDOW = "reset_at_window"  # at the next convenient time
    REBOOT_NODE = "reboot_node"
    RESTART_VM = "restart_vm"
    SERVICE = "service"
    WATCH = "watch"
    REVIEW = "review"  # an unexpected code appeared: tell a person
    UPDATE_SOFTWARE = "update_software"
    DECODE = "decode"  # the kernel line says what it is
    READ_RECOVERY_ACTION = "read_recovery_action"
    CLEAR_163 = "clear_163"
    FOLLOW_48 = "follow_48"


@dataclass(frozen=True, slots=True)
class Xid:
    """One code of the table; `note` says what the class alone does not."""

    code: int
    mnemonic: str
    listed: bool
    kind: XidClass
    action: Action
    note: str = ""


_APP, _RESET, _REBOOT = XidClass.APPLICATION, XidClass.GPU_RESET, XidClass.NODE_REBOOT
_HARD, _INFO, _WHO = XidClass.HARDWARE, XidClass.INFORMATIONAL, XidClass.UNKNOWN

_TABLE: tuple[Xid, ...] = (
    Xid(1, "ROBUST_CHANNEL_FIFO_ERROR_FIFO_METHOD", False, _WHO, Action.REVIEW),
    Xid(2, "ROBUST_CHANNEL_FIFO_ERROR_SW_METHOD", False, _WHO, Action.REVIEW),
    Xid(3, "ROBUST_CHANNEL_FIFO_ERROR_UNK_METHOD", False, _WHO, Action.REVIEW),
    Xid(4, "ROBUST_CHANNEL_FIFO_ERROR_CHANNEL_BUSY", False, _WHO, Action.REVIEW),
    Xid(5, "ROBUST_CHANNEL_FIFO_ERROR_RUNOUT_OVERFLOW", False, _WHO, Action.REVIEW),
    Xid(6, "ROBUST_CHANNEL_FIFO_ERROR_PARSE_ERR", False, _WHO, Action.REVIEW),
    Xid(7, "ROBUST_CHANNEL_FIFO_ERROR_PTE_ERR", False, _WHO, Action.REVIEW),
    Xid(8, "ROBUST_CHANNEL_FIFO_ERROR_IDLE_TIMEOUT", True, _APP, Action.RESTART_APP),
    Xid(9, "ROBUST_CHANNEL_GR_ERROR_INSTANCE", False, _WHO, Action.REVIEW),
    Xid(10, "ROBUST_CHANNEL_GR_ERROR_SINGLE_STEP", False, _WHO, Action.REVIEW),
    Xid(11, "ROBUST_CHANNEL_GR_ERROR_MISSING_HW", True, _APP, Action.RESTART_APP),
    Xid(12, "ROBUST_CHANNEL_GR_ERROR_SW_METHOD", False, _WHO, Action.REVIEW),
    Xid(13, "ROBUST_CHANNEL_GR_EXCEPTION", True, _APP, Action.RESTART_APP),
    Xid(14, "ROBUST_CHANNEL_FAKE_ERROR", True, _INFO, Action.NONE),
    Xid(15, "ROBUST_CHANNEL_SCANLINE_TIMEOUT", False, _WHO, Action.REVIEW),
    Xid(16, "ROBUST_CHANNEL_VBLANK_CALLBACK_TIMEOUT", False, _WHO, Action.REVIEW),
    Xid(17, "ROBUST_CHANNEL_PARAMETER_ERROR", False, _WHO, Action.REVIEW),
    Xid(18, "ROBUST_CHANNEL_BUS_MASTER_TIMEOUT_ERROR", False, _WHO, Action.REVIEW),
    Xid(19, "ROBUST_CHANNEL_DISP_MISSED_NOTIFIER", False, _WHO, Action.REVIEW),
    Xid(20, "ROBUST_CHANNEL_MPEG_ERROR_SW_METHOD", False, _WHO, Action.REVIEW),
    Xid(21, "ROBUST_CHANNEL_ME_ERROR_SW_METHOD", False, _WHO, Action.REVIEW),
    Xid(22, "ROBUST_CHANNEL_VP_ERROR_SW_METHOD", False, _WHO, Action.REVIEW),
    Xid(23, "ROBUST_CHANNEL_RC_LOGGING_ENABLED", False, _WHO, Action.REVIEW),
    Xid(24, "ROBUST_CHANNEL_GR_SEMAPHORE_TIMEOUT", False, _WHO, Action.REVIEW),
    Xid(25, "ROBUST_CHANNEL_GR_ILLEGAL_NOTIFY", True, _APP, Action.RESTART_APP),
    Xid(26, "ROBUST_CHANNEL_FIFO_ERROR_FBISTATE_TIMEOUT", False, _WHO, Action.REVIEW),
    Xid(27, "ROBUST_CHANNEL_VP_ERROR", False, _WHO, Action.REVIEW),
    Xid(28, "ROBUST_CHANNEL_VP2_ERROR", False, _WHO, Action.REVIEW),
    Xid(29, "ROBUST_CHANNEL_BSP_ERROR", False, _WHO, Action.REVIEW),
    Xid(30, "ROBUST_CHANNEL_BAD_ADDR_ACCESS", False, _WHO, Action.REVIEW),
    Xid(31, "ROBUST_CHANNEL_FIFO_ERROR_MMU_ERR_FLT", True, _APP, Action.RESTART_APP),
    Xid(32, "ROBUST_CHANNEL_PBDMA_ERROR", True, _APP, Action.RESTART_APP),
    Xid(33, "ROBUST_CHANNEL_SEC_ERROR", False, _WHO, Action.REVIEW),
    Xid(34, "ROBUST_CHANNEL_MSVLD_ERROR", False, _WHO, Action.REVIEW),
    Xid(35, "ROBUST_CHANNEL_MSPDEC_ERROR", False, _WHO, Action.REVIEW),
    Xid(36, "ROBUST_CHANNEL_MSPPP_ERROR", False, _WHO, Action.REVIEW),
    Xid(37, "ROBUST_CHANNEL_FECS_ERR_UNIMP_FIRMWARE_METHOD", True, _INFO, Action.NONE),
    Xid(38, "ROBUST_CHANNEL_FECS_ERR_WATCHDOG_TIMEOUT", True, _INFO, Action.NONE),
    Xid(39, "ROBUST_CHANNEL_CE0_ERROR", True, _APP, Action.RESTART_APP),
    Xid(40, "ROBUST_CHANNEL_CE1_ERROR", True, _APP, Action.RESTART_APP),
    Xid(41, "ROBUST_CHANNEL_CE2_ERROR", True, _APP, Action.RESTART_APP),
    Xid(42, "ROBUST_CHANNEL_VIC_ERROR", False, _WHO, Action.REVIEW),
    Xid(43, "ROBUST_CHANNEL_RESETCHANNEL_VERIF_ERROR", True, _APP, Action.NONE),
    Xid(44, "ROBUST_CHANNEL_GR_FAULT_DURING_CTXSW", True, _INFO, Action.NONE),
    Xid(
        45,
        "ROBUST_CHANNEL_PREEMPTIVE_REMOVAL",
        True,
        _APP,
        Action.NONE,
        "with another code: follow that; alone and persistent: check the fabric manager",
    ),
    Xid(46, "ROBUST_CHANNEL_GPU_TIMEOUT_ERROR", True, _RESET, Action.RESET_GPU),
    Xid(47, "ROBUST_CHANNEL_NVENC0_ERROR", False, _WHO, Action.REVIEW),
    Xid(
        48,
        "ROBUST_CHANNEL_GPU_ECC_DBE",
        True,
        _RESET,
        Action.RESET_GPU,
        "with 94 the fault was contained: follow 94; with 63 or 64 drain first",
    ),
    Xid(49, "SILENT_RUNNING_CONSTANT_LEVEL_SET_BY_REGISTRY", False, _WHO, Action.REVIEW),
    Xid(50, "SILENT_RUNNING_LEVEL_TRANSITION_DUE_TO_RC_ERROR", False, _WHO, Action.REVIEW),
    Xid(51, "SILENT_RUNNING_STRESS_TEST_FAILURE", False, _WHO, Action.REVIEW),
    Xid(52, "SILENT_RUNNING_LEVEL_TRANS_DUE_TO_TEMP_RISE", False, _WHO, Action.REVIEW),
    Xid(53, "SILENT_RUNNING_TEMP_REDUCED_CLOCKING", False, _WHO, Action.REVIEW),
    Xid(54, "SILENT_RUNNING_PWR_REDUCED_CLOCKING", False, _HARD, Action.SERVICE),
    Xid(55, "SILENT_RUNNING_TEMPERATURE_READ_ERROR", False, _WHO, Action.REVIEW),
    Xid(56, "DISPLAY_CHANNEL_EXCEPTION", False, _WHO, Action.REVIEW),
    Xid(57, "FB_LINK_TRAINING_FAILURE_ERROR", False, _WHO, Action.REVIEW),
    Xid(58, "FB_MEMORY_ERROR", False, _WHO, Action.REVIEW),
    Xid(59, "PMU_ERROR", False, _WHO, Action.REVIEW),
    Xid(60, "ROBUST_CHANNEL_SEC2_ERROR", True, _APP, Action.RESTART_APP),
    Xid(61, "PMU_BREAKPOINT", False, _WHO, Action.REVIEW),
    Xid(62, "PMU_HALT_ERROR", True, _RESET, Action.RESET_GPU),
    Xid(
        63,
        "INFOROM_DRAM_RETIREMENT_EVENT",
        True,
        _INFO,
        Action.RESET_AT_WINDOW,
        "row remap recorded, effective at the next reset: memory:remap_pending",
    ),
    Xid(
        64,
        "INFOROM_DRAM_RETIREMENT_FAILURE",
        True,
        _RESET,
        Action.RESET_GPU,
        "row remap failed: a candidate for replacement, memory:remap_failed",
    ),
    Xid(65, "ROBUST_CHANNEL_NVENC1_ERROR", False, _WHO, Action.REVIEW),
    Xid(66, "ROBUST_CHANNEL_FECS_ERR_REG_ACCESS_VIOLATION", True, _INFO, Action.NONE),
    Xid(67, "ROBUST_CHANNEL_FECS_ERR_VERIF_VIOLATION", True, _INFO, Action.NONE),
    Xid(68, "ROBUST_CHANNEL_NVDEC0_ERROR", True, _APP, Action.RESTART_APP),
    Xid(69, "ROBUST_CHANNEL_GR_CLASS_ERROR", True, _APP, Action.RESTART_APP),
    Xid(70, "ROBUST_CHANNEL_CE3_ERROR", True, _APP, Action.RESTART_APP),
    Xid(71, "ROBUST_CHANNEL_CE4_ERROR", True, _APP, Action.RESTART_APP),
    Xid(72, "ROBUST_CHANNEL_CE5_ERROR", True, _APP, Action.RESTART_APP),
    Xid(73, "ROBUST_CHANNEL_NVENC2_ERROR", False, _WHO, Action.REVIEW),
    Xid(74, "NVLINK_ERROR", False, _WHO, Action.DECODE, "NVLink before generation 5"),
    Xid(75, "ROBUST_CHANNEL_CE6_ERROR", True, _APP, Action.RESTART_APP),
    Xid(76, "ROBUST_CHANNEL_CE7_ERROR", True, _APP, Action.RESTART_APP),
    Xid(77, "ROBUST_CHANNEL_CE8_ERROR", True, _APP, Action.RESTART_APP),
    Xid(78, "VGPU_START_ERROR", True, _WHO, Action.UPDATE_SOFTWARE, "vGPU start: not expected on bare metal"),
    Xid(
        79,
        "ROBUST_CHANNEL_GPU_HAS_FALLEN_OFF_THE_BUS",
        True,
        _REBOOT,
        Action.REBOOT_NODE,
        "expect NVML error 15; may arrive without an XID at all",
    ),
    Xid(80, "PBDMA_PUSHBUFFER_CRC_MISMATCH", False, _APP, Action.RESTART_APP),
    Xid(81, "ROBUST_CHANNEL_VGA_SUBSYSTEM_ERROR", False, _WHO, Action.REVIEW),
    Xid(82, "ROBUST_CHANNEL_NVJPG0_ERROR", True, _APP, Action.RESTART_APP),
    Xid(83, "ROBUST_CHANNEL_NVDEC1_ERROR", True, _APP, Action.RESTART_APP),
    Xid(84, "ROBUST_CHANNEL_NVDEC2_ERROR", True, _APP, Action.RESTART_APP),
    Xid(85, "ROBUST_CHANNEL_CE9_ERROR", True, _APP, Action.RESTART_APP),
    Xid(86, "ROBUST_CHANNEL_OFA0_ERROR", True, _APP, Action.RESTART_APP),
    Xid(87, "NVTELEMETRY_DRIVER_REPORT", False, _WHO, Action.REVIEW),
    Xid(88, "ROBUST_CHANNEL_NVDEC3_ERROR", True, _APP, Action.RESTART_APP),
    Xid(89, "ROBUST_CHANNEL_NVDEC4_ERROR", True, _APP, Action.RESTART_APP),
    Xid(90, "LTC_ERROR", False, _WHO, Action.REVIEW),
    Xid(91, "RESERVED_XID", False, _WHO, Action.REVIEW),
    Xid(92, "EXCESSIVE_SBE_INTERRUPTS", True, _INFO, Action.WATCH, "trend correctable ECC"),
    Xid(93, "INFOROM_ERASE_LIMIT_EXCEEDED", False, _WHO, Action.REVIEW),
    Xid(94, "ROBUST_CHANNEL_CONTAINED_ERROR", True, _APP, Action.RESTART_APP, "only the named process is hit"),
    Xid(95, "ROBUST_CHANNEL_UNCONTAINED_ERROR", True, _RESET, Action.RESET_GPU, "every process on the GPU is hit"),
    Xid(96, "ROBUST_CHANNEL_NVDEC5_ERROR", True, _APP, Action.RESTART_APP),
    Xid(97, "ROBUST_CHANNEL_NVDEC6_ERROR", True, _APP, Action.RESTART_APP),
    Xid(98, "ROBUST_CHANNEL_NVDEC7_ERROR", True, _APP, Action.RESTART_APP),
    Xid(99, "ROBUST_CHANNEL_NVJPG1_ERROR", True, _APP, Action.RESTART_APP),
    Xid(100, "ROBUST_CHANNEL_NVJPG2_ERROR", True, _APP, Action.RESTART_APP),
    Xid(101, "ROBUST_CHANNEL_NVJPG3_ERROR", True, _APP, Action.RESTART_APP),
    Xid(102, "ROBUST_CHANNEL_NVJPG4_ERROR", True, _APP, Action.RESTART_APP),
    Xid(103, "ROBUST_CHANNEL_NVJPG5_ERROR", True, _APP, Action.RESTART_APP),
    Xid(104, "ROBUST_CHANNEL_NVJPG6_ERROR", True, _APP, Action.RESTART_APP),
    Xid(105, "ROBUST_CHANNEL_NVJPG7_ERROR", True, _APP, Action.RESTART_APP),
    Xid(106, "SMBPBI_TEST_MESSAGE", True, _INFO, Action.NONE),
    Xid(107, "SMBPBI_TEST_MESSAGE_SILENT", True, _INFO, Action.NONE),
    Xid(108, "NVLINK_REMOTE_TRANSLATION_ERROR", True, _INFO, Action.NONE),
    Xid(
        109,
        "ROBUST_CHANNEL_CTXSW_TIMEOUT_ERROR",
        True,
        _RESET,
        Action.RESET_GPU,
        "workload or driver: reset, and see whether it returns",
    ),
    Xid(110, "SEC_FAULT_ERROR", True, _RESET, Action.RESET_GPU, "may need a cold reset"),
    Xid(111, "BUNDLE_ERROR_EVENT", False, _WHO, Action.REVIEW),
    Xid(112, "DISP_SUPERVISOR_ERROR", False, _WHO, Action.REVIEW),
    Xid(113, "DP_LT_FAILURE", False, _WHO, Action.REVIEW),
    Xid(114, "HEAD_RG_UNDERFLOW", False, _WHO, Action.REVIEW),
    Xid(115, "CORE_CHANNEL_REGS", False, _WHO, Action.REVIEW),
    Xid(116, "WINDOW_CHANNEL_REGS", False, _WHO, Action.REVIEW),
    Xid(117, "CURSOR_CHANNEL_REGS", False, _WHO, Action.REVIEW),
    Xid(118, "HEAD_REGS", False, _WHO, Action.REVIEW),
    Xid(119, "GSP_RPC_TIMEOUT", True, _RESET, Action.RESET_GPU),
    Xid(120, "GSP_ERROR", True, _RESET, Action.RESET_GPU),
    Xid(121, "C2C_ERROR", True, _INFO, Action.RESET_AT_WINDOW, "corrected error of the link to Grace"),
    Xid(122, "SPI_PMU_RPC_READ_FAIL", False, _WHO, Action.REVIEW),
    Xid(123, "SPI_PMU_RPC_WRITE_FAIL", False, _WHO, Action.REVIEW),
    Xid(124, "SPI_PMU_RPC_ERASE_FAIL", False, _WHO, Action.REVIEW),
    Xid(125, "INFOROM_FS_ERROR", False, _WHO, Action.REVIEW),
    Xid(126, "ROBUST_CHANNEL_CE10_ERROR", True, _APP, Action.RESTART_APP),
    Xid(127, "ROBUST_CHANNEL_CE11_ERROR", True, _APP, Action.RESTART_APP),
    Xid(128, "ROBUST_CHANNEL_CE12_ERROR", True, _APP, Action.RESTART_APP),
    Xid(129, "ROBUST_CHANNEL_CE13_ERROR", True, _APP, Action.RESTART_APP),
    Xid(130, "ROBUST_CHANNEL_CE14_ERROR", True, _APP, Action.RESTART_APP),
    Xid(131, "ROBUST_CHANNEL_CE15_ERROR", True, _APP, Action.RESTART_APP),
    Xid(132, "ROBUST_CHANNEL_CE16_ERROR", True, _APP, Action.RESTART_APP),
    Xid(133, "ROBUST_CHANNEL_CE17_ERROR", True, _APP, Action.RESTART_APP),
    Xid(134, "ROBUST_CHANNEL_CE18_ERROR", True, _APP, Action.RESTART_APP),
    Xid(135, "ROBUST_CHANNEL_CE19_ERROR", True, _APP, Action.RESTART_APP),
    Xid(136, "ALI_TRAINING_FAIL", False, _RESET, Action.RESET_GPU),
    Xid(137, "NVLINK_PRIV_ERR", True, _APP, Action.NONE, "look at the peer GPU too"),
    Xid(138, "ROBUST_CHANNEL_DLA_ERROR", False, _WHO, Action.REVIEW),
    Xid(139, "ROBUST_CHANNEL_OFA1_ERROR", True, _APP, Action.RESTART_APP),
    Xid(140, "UNRECOVERABLE_ECC_ERROR_ESCAPE", True, _RESET, Action.RESET_GPU),
    Xid(141, "ROBUST_CHANNEL_FAST_PATH_ERROR", True, _INFO, Action.NONE),
    Xid(142, "ROBUST_CHANNEL_NVENC3_ERROR", True, _HARD, Action.SERVICE),
    Xid(143, "GPU_INIT_ERROR", True, _RESET, Action.RESET_GPU),
    Xid(144, "NVLINK_SAW_ERROR", True, _WHO, Action.DECODE, "decode the kernel line"),
    Xid(145, "NVLINK_RLW_ERROR", True, _WHO, Action.DECODE, "decode the kernel line"),
    Xid(146, "NVLINK_TLW_ERROR", True, _WHO, Action.DECODE, "decode the kernel line"),
    Xid(147, "NVLINK_TREX_ERROR", True, _WHO, Action.DECODE, "decode the kernel line"),
    Xid(148, "NVLINK_NVLPW_CTRL_ERROR", True, _WHO, Action.DECODE, "decode the kernel line"),
    Xid(149, "NVLINK_NETIR_ERROR", True, _WHO, Action.DECODE, "decode the kernel line"),
    Xid(150, "NVLINK_MSE_ERROR", True, _WHO, Action.DECODE, "decode the kernel line"),
    Xid(
        151,
        "ROBUST_CHANNEL_KEY_ROTATION_ERROR",
        True,
        _REBOOT,
        Action.RESTART_VM,
        "key rotation of a confidential VM; on bare metal the node",
    ),
    Xid(152, "ROBUST_CHANNEL_DLA_SMMU_ERROR", False, _WHO, Action.REVIEW),
    Xid(153, "ROBUST_CHANNEL_DLA_TIMEOUT", False, _WHO, Action.REVIEW),
    Xid(
        154, "GPU_RECOVERY_ACTION_CHANGED", True, _INFO, Action.READ_RECOVERY_ACTION, "the tie-breaker: read field 230"
    ),
    Xid(155, "NVLINK_SW_DEFINED_ERROR", True, _RESET, Action.RESET_GPU),
    Xid(
        156,
        "RESOURCE_RETIREMENT_EVENT",
        True,
        _RESET,
        Action.RESET_AT_WINDOW,
        "a resource was retired: schedule the reset",
    ),
    Xid(157, "RESOURCE_RETIREMENT_FAILURE", True, _INFO, Action.WATCH, "spares are used up"),
    Xid(158, "GPU_FATAL_TIMEOUT", True, _RESET, Action.RESET_GPU),
    Xid(159, "ROBUST_CHANNEL_CHI_NON_DATA_ERROR", True, _WHO, Action.DECODE, "a reset when UVM faulted, else nothing"),
    Xid(
        160, "CHANNEL_RETIREMENT_EVENT", True, _INFO, Action.WATCH, "health follows the recovery action that comes next"
    ),
    Xid(161, "CHANNEL_RETIREMENT_FAILURE", True, _INFO, Action.WATCH, "health follows the action that comes next"),
    Xid(162, "PSHC_REENGAGED", True, _INFO, Action.CLEAR_163, "power smoothing is back: closes 163"),
    Xid(163, "PSHC_DISENGAGED", True, _INFO, Action.WATCH, "power smoothing is off until 162: smoothing:disengaged"),
    Xid(164, "PSHC_LOW_LIFETIME", True, _INFO, Action.WATCH, "smoothing circuit wears out"),
    Xid(165, "PSHC_ZERO_LIFETIME", True, _HARD, Action.SERVICE, "a fault only where power smoothing is required"),
    Xid(166, "NVLINK_SECURE_CRYPTO_ERR", True, _WHO, Action.REVIEW, "suspicious"),
    Xid(167, "PCIE_FATAL_TIMEOUT", True, _WHO, Action.REVIEW, "suspicious"),
    Xid(168, "REDUCED_GPU_MEMORY_CAPACITY", True, _WHO, Action.REVIEW, "compare the memory total with the inventory"),
    Xid(169, "SEC2_HALT_ERROR", True, _WHO, Action.REVIEW, "suspicious"),
    Xid(170, "NVLINK_SECURE_OTHER", True, _WHO, Action.REVIEW, "suspicious"),
    Xid(171, "UNCORRECTABLE_DRAM_ERROR", True, _RESET, Action.FOLLOW_48, "same incident as 48"),
    Xid(172, "UNCORRECTABLE_SRAM_ERROR", True, _RESET, Action.FOLLOW_48, "same incident as 48"),
)

XIDS: dict[int, Xid] = {row.code: row for row in _TABLE}
CLASS_OF: dict[int, XidClass] = {row.code: row.kind for row in _TABLE if row.listed}

FAULT_CLASSES = frozenset({XidClass.GPU_RESET, XidClass.NODE_REBOOT, XidClass.HARDWARE})
FLOOR = frozenset({13, 31, 43, 45, 68})  # alone never out of service, never against the tenant's budget
STICKY = frozenset({74, 79, 95, 109, 119})  # a repeat hours later belongs to the same incident
SUSPICIOUS = frozenset({166, 167, 169, 170})  # nobody says what they mean, and their names sound bad
CONTAINED = 94
UNCONTAINED = 95
DETAILS_OF_48 = frozenset({48, 171, 172})  # 171 and 172 say where the error of a 48 was
NVLINK = frozenset(range(144, 151))  # number alone means nothing: decode the kernel line
SMOOTHING_BACK, SMOOTHING_LOST, SMOOTHING_WORN = 162, 163, 165
MEMORY_REDUCED = 168
REMAP_FAILURE = 64
RECOVERY_ACTION_CHANGED = 154
# Codes after which the driver is expected to name a recovery action.
NAMES_ACTION = NVLINK | {48, 62, 63, 64, 79, 94, 95, 109, 110, 120, 143, 155, 156, 158, 159, 160, 161}


def classify(code: int) -> XidClass:
    """Return the class by which an XID is judged; `unknown` for a code that is not listed."""
    return CLASS_OF.get(code, XidClass.UNKNOWN)


def takes_down(code: int, *, smoothing_required: bool = False) -> bool:
    """Return whether a code by itself, undecoded, takes its GPU out of service.

    Args:
        code: The XID.
        smoothing_required: Whether the site demands power smoothing; only then a worn-out
            smoothing circuit (165) is a fault of the GPU.
    """
    if code == SMOOTHING_WORN and not smoothing_required:
        return False
    return classify(code) in FAULT_CLASSES
