"""A simulated NVIDIA driver for one GB300 tray, which the real pynvml loads and cannot tell."""
