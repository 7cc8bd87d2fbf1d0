"""The pages of a node: `/metrics`, `/healthz` and `/`, and the server that has them."""

from collections.abc import Callable, Mapping

from collectors.exporter import Exporter
from collectors.exposition import CONTENT_TYPE
from collectors.web import Guard, Page, PageServer
from service.core.ports import Clock

_LANDING = b"""<!doctype html>
<html lang="en"><head><title>threenines agent</title></head><body>
<h1>threenines agent</h1>
<ul><li><a href="/metrics">/metrics</a></li><li><a href="/healthz">/healthz</a></li></ul>
</body></html>
"""


def node_pages(exporter: Exporter, clock: Clock) -> Mapping[str, Callable[[], Page]]:
    """Return the pages by path.

    `/healthz` says how many GPUs have a live reading, and answers 503 when none has: an agent
    that runs and sees nothing is not healthy. `/` answers 200 as long as the agent runs.
    """

    def metrics() -> Page:
        return Page(200, CONTENT_TYPE, exporter.render(clock.monotonic_ms()))

    def healthz() -> Page:
        live, expected = exporter.live(clock.monotonic_ms())
        text = f"{live} of {expected} GPUs have a live reading\n"
        return Page(200 if live else 503, "text/plain; charset=utf-8", text.encode())

    def landing() -> Page:
        return Page(200, "text/html; charset=utf-8", _LANDING)

    return {"/": landing, "/healthz": healthz, "/metrics": metrics}


def serve(
    exporter: Exporter, clock: Clock, host: str, port: int, guard: Guard | None = None
) -> tuple[int, Callable[[], None]]:
    """Serve a node's pages; return the port and a function that stops it.

    Raises:
        ConfigurationError: If the port cannot be had.
    """
    server = PageServer(host, port, node_pages(exporter, clock), clock, guard)
    server.start()
    return server.port, server.stop
