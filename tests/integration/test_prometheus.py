"""A real Prometheus scrapes a real agent and a real service; a tenant's availability is read back."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.fakedriver.driver import FakeDriver
from tests.processes import ROOT, Prometheus, end, free_port, get, promtool_check, start, threenines, wait_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Service, agent on the simulated driver, and Prometheus, as processes."""
    directory = tmp_path_factory.mktemp("site")
    service_port, node_port = free_port(), free_port()
    contract = directory / "contract.yaml"
    text = (ROOT / "service/data/demo.yaml").read_text()
    contract.write_text(text.replace("places: [r0001, r0002]", "places: [r0001/t07]"))
    ledger = f"sqlite:///{directory / 'ledger.db'}"
    serve = threenines(
        "serve", "--contract", str(contract), "--ledger", ledger, "--listen", f"127.0.0.1:{service_port}"
    )
    agent = threenines(
        "agent",
        *("--to", f"http://127.0.0.1:{service_port}", "--rack", "r0001", "--tray", "7"),
        *("--spool", str(directory / "spool"), "--listen", f"127.0.0.1:{node_port}", "--heartbeat-ms", "500"),
    )
    with FakeDriver() as driver:
        processes = [
            start(serve, log=directory / "service.log"),
            start(agent, env=driver.environment(), log=directory / "agent.log"),
        ]
        prometheus = Prometheus(directory, {"service": service_port, "node": node_port})
        service, node = (f"http://127.0.0.1:{port}/metrics" for port in (service_port, node_port))
        wait_for("service metrics", lambda: 'leased_gpus{state="up",tenant="reflection"} 4.0' in get(service), 30)
        yield SimpleNamespace(driver=driver, prometheus=prometheus, service=service, node=node)
        prometheus.stop()
        for process in reversed(processes):
            end(process)


def test_promtool_finds_nothing_in_either_exposition(site: SimpleNamespace) -> None:
    """`promtool check metrics` accepts both expositions without a word."""
    for url in (site.service, site.node):
        checked = promtool_check(get(url))

        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_availability_is_read_back_through_promql(site: SimpleNamespace) -> None:
    """A tenant's bounds in Prometheus are those of the exposition, and lie in order."""
    query = 'threenines_month_availability_ratio{tenant="reflection",objective="pool-999"}'
    wait_for("scrape", lambda: len(site.prometheus.query(query)) == 3)
    bounds = {one["metric"]["bound"]: float(one["value"][1]) for one in site.prometheus.query(query)}

    assert 0 <= bounds["lo"] <= bounds["hi"] <= 1
    assert bounds["settled"] == bounds["lo"]


def test_a_lost_gpu_moves_the_tenants_numbers(site: SimpleNamespace) -> None:
    """An XID 79 at the driver shows in the node's counter and in the tenant's leased GPUs."""
    site.driver.raise_xid(1, 79)
    site.driver.set_gpu_error(1, 15)
    down = 'threenines_leased_gpus{tenant="reflection",state="down"} == 1'
    wait_for("one GPU down in Prometheus", lambda: bool(site.prometheus.query(down)), 30)
    counter = site.prometheus.query('threenines_gpu_xid_events_total{xid="79",gpu="1"}')

    assert [one["value"][1] for one in counter] == ["1"]
    assert site.prometheus.query('up{job="node"}')[0]["value"][1] == "1"


def test_an_application_xid_is_counted_and_is_no_downtime(site: SimpleNamespace) -> None:
    """XID 13 moves its counter and leaves the GPU's health alone."""
    site.driver.raise_xid(2, 13)
    wait_for("counter", lambda: 'xid="13"} 1.0' in get(site.node))

    assert 'threenines_gpu_health{gpu="2",state="up"} 1.0' in get(site.node)
