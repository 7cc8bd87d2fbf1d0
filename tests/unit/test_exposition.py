"""Text of Prometheus: ours is the library's, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from collectors.exposition import Exposition, Family

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBER = st.one_of(st.floats(), st.integers(-(2**64), 2**64).map(float))


class _Fixed:
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _library(metrics: list[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Fixed(metrics))
    return generate_latest(registry)


@given(TEXT, st.dictionaries(st.tuples(TEXT, TEXT), NUMBER, min_size=1, max_size=8))
def test_our_bytes_are_the_librarys(text: str, found: dict[tuple[str, str], float]) -> None:
    """For any help, label text and number, gauges and counters come out as `generate_latest` writes them."""
    families = [Family("a_ratio", text, ("gpu", "name")), Family("b_total", text, ("gpu", "name"), counter=True)]
    ours = Exposition(families)
    samples = [(family.name, labels, value) for family in families for labels, value in found.items()]
    gauge = GaugeMetricFamily("a_ratio", text, labels=("gpu", "name"))
    counter = CounterMetricFamily("b", text, labels=("gpu", "name"))
    one = Exposition(families[:1])
    for labels, value in sorted(found.items(), key=lambda item: one.write([("a_ratio", *item)])):
        gauge.add_metric(labels, value)
        counter.add_metric(labels, value)

    assert ours.write(samples) == ours.write(reversed(samples)) == _library([gauge, counter])


def test_label_order_is_the_tables() -> None:
    """dcgm-exporter's labels keep their order, which is not that of the alphabet."""
    ours = Exposition([Family("X", "Text.", ("gpu", "UUID"))])

    assert ours.write([("X", ("0", "GPU-0"), 1)]).endswith(b'\nX{gpu="0",UUID="GPU-0"} 1.0\n')


def test_a_counter_without_total_keeps_its_name() -> None:
    """dcgm-exporter's counters have no suffix, in HELP, TYPE and series alike."""
    ours = Exposition([Family("X", "Text.", (), counter=True)])

    assert ours.write([("X", (), 1)]) == b"# HELP X Text.\n# TYPE X counter\nX 1.0\n"


def test_garbage_in_a_label_fails_nothing() -> None:
    """A lone surrogate, which no UTF-8 can carry, comes out as a question mark."""
    ours = Exposition([Family("x", "Text.", ("name",))])

    assert ours.write([("x", ("a\udc80b",), 1)]).endswith(b'x{name="a?b"} 1.0\n')


def test_families_without_samples_are_left_out_and_unknown_ones_are_a_bug() -> None:
    """Nothing is said of what nobody measured; a family outside the table is ours to mend."""
    ours = Exposition([Family("x", "Text.", ())])

    assert ours.write([]) == b""
    with pytest.raises(KeyError):
        ours.write([("y", (), 1)])


def test_series_that_come_and_go_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many series there were, only so many texts are kept."""
    monkeypatch.setattr("service.core.limits.SERIES_KEPT", 4)
    ours = Exposition([Family("x", "Text.", ("name",))])
    for number in range(20):
        ours.write([("x", (str(number),), 1)])

    assert len(ours._known) <= 4
