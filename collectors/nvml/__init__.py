"""The NVIDIA driver behind the device port; only `library` imports pynvml."""

from collectors.nvml.device import NvmlDevice

__all__ = ["NvmlDevice"]
