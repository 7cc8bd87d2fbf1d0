"""NVLink of one GPU over time: which links are down, what they carry, how they err."""

from collections.abc import Callable
from dataclasses import dataclass

from collectors.simulation.power import Now
from collectors.simulation.steps import Curve, Steps, rate

SPEED_BYTES_PER_SECOND = 53_125e6
BUSY_RATIO = 0.35  # of a link's speed, at full load
PACKET_BYTES = 256.0
PAYLOAD_RATIO = 0.9
BLOCKS_PER_SECOND = 50e6  # of forward error correction, over all links
ERRORS_PER_SECOND = 4.0  # of a noisy link
RECOVERIES_PER_SECOND = 0.2


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the links of a GPU carried: seconds at full load, alike for all but links that failed."""

    alike: Curve
    failed: dict[int, Curve]
    noise: dict[int, Curve]  # seconds during which a link erred

    def busy(self, link: int) -> Curve:
        """Return the curve whose integral is a link's seconds at full load."""
        return self.failed.get(link, self.alike)


def traffic(now: Steps[Now]) -> Traffic:
    """Return the traffic of a GPU that goes through these states."""
    down = {link for one in now.values for link in one.condition.links_down}
    noisy = {link for one in now.values for link in one.condition.noisy_links}
    return Traffic(
        rate(now, lambda one: one.load),
        {link: rate(now, _carried(link)) for link in down},
        {link: rate(now, _erring(link)) for link in noisy},
    )


def _carried(link: int) -> Callable[[Now], float]:
    return lambda one: 0.0 if link in one.condition.links_down else one.load


def _erring(link: int) -> Callable[[Now], float]:
    return lambda one: float(link in one.condition.noisy_links)
