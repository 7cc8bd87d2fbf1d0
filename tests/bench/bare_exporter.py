"""A bare exporter: the least that shows a tray's counters. A yardstick, not a product.

Per GPU one prebuilt batch of field values, asked for on each scrape and written as text. No health,
no reasons, no deadline, no events: what an agent costs above this is what it does above this.
"""

import struct
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pynvml

LINKS = range(18)
PLAIN = (3, 4, 5, 6, 74, 75, 82, 83, 94, 142, 143, 144, 145, 170, 185, 186, 190, 197, 198, 230, 269, 270, 271)
OF_LINK = (165, 202, 204, 206, 207, 208, 209, 210, 211, 212, 213, 215)
WANTED = [(field, 0) for field in PLAIN] + [(field, link) for link in LINKS for field in OF_LINK]
ENTRY = struct.Struct("<IIqqII8s")  # id, scope, timestamp, latency, value type, result, value
VALUE = [struct.Struct(code) for code in ("<d", "<I4x", "<Q", "<Q", "<q", "<i4x", "<H6x")]


class Gpu:
    """One GPU and the batch that is asked of it."""

    def __init__(self, index: int) -> None:
        self.handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        self.names = [f'bare_field_{field}{{gpu="{index}",scope="{scope}"}}' for field, scope in WANTED]
        self.batch = (pynvml.c_nvmlFieldValue_t * (len(WANTED) + 1))()  # one more: drivers may step over
        for entry, (field, scope) in zip(self.batch, WANTED, strict=False):
            entry.fieldId, entry.scopeId = field, scope

    def lines(self) -> Iterator[str]:
        """Yield a line for each value that the driver has."""
        if pynvml.nvmlLib.nvmlDeviceGetFieldValues(self.handle, len(WANTED), self.batch) != 0:
            return
        entries = ENTRY.iter_unpack(memoryview(self.batch).cast("B"))
        for name, (_, _, _, _, kind, result, value) in zip(self.names, entries, strict=False):
            if result == 0:
                yield f"{name} {VALUE[kind].unpack(value)[0]}"


class Page(BaseHTTPRequestHandler):
    """Answers every path with the values of all GPUs."""

    gpus: tuple[Gpu, ...] = ()

    def do_GET(self) -> None:
        """Collect and write."""
        body = ("\n".join(line for gpu in self.gpus for line in gpu.lines()) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write no log."""


if __name__ == "__main__":
    pynvml.nvmlInit()
    Page.gpus = tuple(Gpu(index) for index in range(pynvml.nvmlDeviceGetCount()))
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
