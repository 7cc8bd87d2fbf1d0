"""Prometheus text, with what never changes of a series made once by the library and kept.

`prometheus_client` needs about 4 us for a sample, most of it for names and labels that were the
same a second ago. Here the library makes a series' text once; after that only the number is new.
A property test holds the bytes equal to the library's own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import CollectorRegistry
from prometheus_client.utils import floatToGoString

from service.core import limits

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_NUMBER: Callable[[float], str] = floatToGoString


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family as the table knows it; `labels` stand on the wire in this order."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    counter: bool = False


Series = tuple[str, tuple[str, ...]]  # name of the family; values of its labels, in their order
Sample = tuple[str, tuple[str, ...], float]


class Plan:
    """Series in their final order with all their text; only the numbers are still to come."""

    def __init__(self, starts: list[tuple[str, int]]) -> None:
        """Take each line up to its number, heads included, and the place of its number."""
        self._starts = starts

    def write(self, numbers: Sequence[float]) -> bytes:
        """Return the text with the numbers of the series, in the order in which those were planned."""
        return "".join([f"{start}{_NUMBER(numbers[place])}\n" for start, place in self._starts]).encode()


class Exposition:
    """Writes samples of a fixed table of families; not for two threads at once."""

    def __init__(self, families: Iterable[Family]) -> None:
        """Write the heads of all families."""
        self._families = {family.name: family for family in families}
        self._heads = {name: _head(family) for name, family in self._families.items()}
        self._order = {name: place for place, name in enumerate(self._families)}
        self._known: dict[Series, str] = {}

    def write(self, samples: Iterable[Sample]) -> bytes:
        """Return whole families in the table's order, series in the order of their text.

        A family without a sample is left out: nothing is claimed of what nobody measured.

        Raises:
            KeyError: If a sample's family is not in the table.
        """
        found = list(samples)
        return self.plan([(name, labels) for name, labels, _ in found]).write([value for *_, value in found])

    def plan(self, series: Sequence[Series]) -> Plan:
        """Return the text of series, to be written again and again with new numbers.

        Raises:
            KeyError: If a family is not in the table.
        """
        order, told = self._order, set()
        lines = sorted((order[one[0]], self._start(one), one[0], place) for place, one in enumerate(series))
        starts = []
        for _, line, name, place in lines:
            starts.append((line if name in told else self._heads[name] + line, place))
            told.add(name)
        return Plan(starts)

    def _start(self, series: Series) -> str:
        known = self._known.get(series)
        if known is not None:
            return known
        if len(self._known) >= limits.SERIES_KEPT:  # labels that never come back
            self._known.clear()
        made = self._known[series] = start(self._families[series[0]], series[1])
        return made


def start(family: Family, labels: tuple[str, ...]) -> str:
    """Return a series' line up to its number; the library escapes, label by label."""
    inside = ",".join(_pair(name, value) for name, value in zip(family.labels, labels, strict=True))
    return f"{family.name}{{{inside}}} " if inside else f"{family.name} "


def _pair(name: str, value: str) -> str:
    one = GaugeMetricFamily("x", "", labels=(name,))
    one.add_metric((_encodable(value),), 0)
    line = _library(one).rsplit("\n", 2)[1]
    return line.removeprefix("x{").removesuffix("} 0.0")


def _head(family: Family) -> str:
    """Return HELP and TYPE; dcgm-exporter has counters without `_total`, which the library would add."""
    text = _library(GaugeMetricFamily(family.name, _encodable(family.text)))
    return text.removesuffix("gauge\n") + ("counter\n" if family.counter else "gauge\n")


def _encodable(text: str) -> str:
    """Return text without lone surrogates: a driver's garbage must not fail the whole scrape."""
    return text.encode("utf-8", "replace").decode()


class _One:
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def _library(metric: Metric) -> str:
    registry = CollectorRegistry()
    registry.register(_One(metric))
    return generate_latest(registry).decode()
