"""The public Grafana dashboards of dcgm-exporter find their data in a real Prometheus that scrapes an agent."""

import json
import platform
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakedriver.driver import FakeDriver
from tests.processes import Prometheus, end, free_port, get, start, threenines, wait_for

# What the six panels of dashboard 12239 ask for, with the metrics of its first revision.
FAMILIES = (
    "DCGM_FI_DEV_GPU_TEMP",
    "DCGM_FI_DEV_POWER_USAGE",
    "DCGM_FI_DEV_SM_CLOCK",
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
)
# Its later revisions select by host; this one panel asks for a family more.
LATER = (*FAMILIES, "DCGM_FI_PROF_GR_ENGINE_ACTIVE")


class Site:
    """An agent with dcgm-exporter's names on the simulated driver, and Prometheus."""

    def __init__(self, directory: Path, driver: FakeDriver) -> None:
        self.directory, self.port = directory, free_port()
        command = threenines(
            "agent",
            *("--to", f"http://127.0.0.1:{free_port()}", "--rack", "r0001", "--tray", "7", "--dcgm-names"),
            *("--spool", str(directory / "spool"), "--listen", f"127.0.0.1:{self.port}"),
        )
        self._agent = start(command, env=driver.environment(), log=directory / "agent.log")
        self.prometheus = Prometheus(directory, {"node": self.port})

    def values(self, label: str, family: str) -> list[str]:
        """Return what Grafana's `label_values(FAMILY, LABEL)` offers as choices."""
        query = urllib.parse.urlencode({"match[]": family})
        text = get(f"http://127.0.0.1:{self.prometheus.port}/api/v1/label/{label}/values?{query}")
        found: list[str] = json.loads(text)["data"]
        return found

    def ask(self, promql: str, lines: int) -> list[dict[str, Any]]:
        """Return the answer to a panel's query, as soon as it has so many lines."""
        wait_for(promql, lambda: len(self.prometheus.query(promql)) == lines, 40)
        return self.prometheus.query(promql)

    def stop(self) -> None:
        """End both."""
        self.prometheus.stop()
        end(self._agent)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all panels."""
    with FakeDriver() as driver:
        made = Site(tmp_path_factory.mktemp("dashboard"), driver)
        yield made
        made.stop()


@pytest.mark.parametrize("family", FAMILIES)
def test_each_panel_has_every_gpu(site: Site, family: str) -> None:
    """With instance and gpu chosen through the dashboard's variables, each panel draws four lines."""
    site.ask(family, 4)
    instances, gpus = site.values("instance", family), site.values("gpu", family)
    chosen = f'{family}{{instance=~"{"|".join(instances)}", gpu=~"{"|".join(gpus)}"}}'
    found = site.ask(chosen, 4)

    assert instances == [f"127.0.0.1:{site.port}"]
    assert gpus == ["0", "1", "2", "3"]
    assert sorted(one["metric"]["gpu"] for one in found) == gpus
    assert {one["metric"]["instance"] for one in found} == set(instances)


def test_gauges_of_the_whole_node_have_data(site: Site) -> None:
    """Mean temperature and total power, as the two gauges ask for them, in Celsius and watts."""
    chosen = f'{{instance=~"127.0.0.1:{site.port}", gpu=~".*"}}'
    celsius = float(site.ask(f"avg(DCGM_FI_DEV_GPU_TEMP{chosen})", 1)[0]["value"][1])
    watts = float(site.ask(f"sum(DCGM_FI_DEV_POWER_USAGE{chosen})", 1)[0]["value"][1])

    assert 20 < celsius < 100
    assert 4 * 100 < watts < 4 * 1_400


@pytest.mark.parametrize("family", LATER)
def test_later_revisions_select_by_host(site: Site, family: str) -> None:
    """Newer revisions group by `Hostname` and take the host from its label values."""
    site.ask(family, 4)
    found = site.ask(f'max({family}{{Hostname=~"{platform.node()}", gpu=~".*"}}) by (Hostname, gpu)', 4)

    assert site.values("Hostname", family) == [platform.node()]
    assert sorted(one["metric"]["gpu"] for one in found) == ["0", "1", "2", "3"]


def test_clocks_scale_to_hertz(site: Site) -> None:
    """The clock panel multiplies megahertz by a million: a GB300 runs between 0.1 and 3 GHz."""
    hertz = [float(one["value"][1]) for one in site.ask("DCGM_FI_DEV_SM_CLOCK * 1000000", 4)]

    assert all(1e8 < one < 3e9 for one in hertz)
