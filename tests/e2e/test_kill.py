"""kill -9 of agent and service at random instants: nothing committed is lost, nothing counts twice."""

import json
import os
import random
import signal
import struct
import subprocess
import threading
import time
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from service.core.facts import FactKind
from service.ledger.store import SqlLedger
from tests.fakedriver.driver import FakeDriver
from tests.processes import ROOT, end, free_port, get, start, threenines, wait_for

KILLS = 50
NODE = "r0001-t07"
_HEADER = struct.Struct("<IIQ")
Piece = tuple[int, int, str | None, str | None]


class Oracle:
    """Sees every record that any agent ever wrote: it links each spool segment as it appears."""

    def __init__(self, spool: Path, archive: Path) -> None:
        self._spool, self._archive = spool, archive
        archive.mkdir()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._link_all()
            self._stop.wait(0.005)

    def _link_all(self) -> None:
        for path in self._spool.glob("*.seg"):
            try:
                os.link(path, self._archive / path.name)
            except (FileExistsError, FileNotFoundError):
                continue

    def facts(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Return every whole record by run and number, read by a parser of our own."""
        self._stop.set()
        self._thread.join()
        found = {}
        for path in sorted(self._archive.glob("*.seg")):
            data, at = path.read_bytes(), 0
            while at + _HEADER.size <= len(data):
                length, checksum, seq = _HEADER.unpack_from(data, at)
                payload = data[at + _HEADER.size : at + _HEADER.size + length]
                if len(payload) < length or zlib.crc32(payload, seq & 0xFFFFFFFF) != checksum:
                    break
                found[path.name.split(".")[0], seq] = json.loads(payload)
                at += _HEADER.size + length
        return found


class Site:
    """Agent and service as processes that can be killed and started again."""

    def __init__(self, directory: Path, driver: FakeDriver) -> None:
        self.directory, self.driver = directory, driver
        self.service_port, self.node_port = free_port(), free_port()
        self.ledger = f"sqlite:///{directory / 'ledger.db'}"
        self.spool = directory / "spool"
        self.spool.mkdir(mode=0o700)
        self.service = self.start_service()
        self.agent = self.start_agent()

    def start_service(self) -> subprocess.Popen[bytes]:
        contract = str(ROOT / "service/data/demo.yaml")
        listen = f"127.0.0.1:{self.service_port}"
        arguments = threenines("serve", "--contract", contract, "--ledger", self.ledger, "--listen", listen)
        return start(arguments, log=self.directory / "service.log")

    def start_agent(self) -> subprocess.Popen[bytes]:
        arguments = threenines(
            "agent",
            *("--to", f"http://127.0.0.1:{self.service_port}", "--rack", "r0001", "--tray", "7"),
            *("--spool", str(self.spool), "--listen", f"127.0.0.1:{self.node_port}"),
            *("--interval-ms", "100", "--heartbeat-ms", "500"),
        )
        return start(arguments, env=self.driver.environment(), log=self.directory / "agent.log")

    def kill_one(self, chance: random.Random) -> str:
        """kill -9 one of the two and start it again."""
        if chance.random() < 0.5:
            self.service.send_signal(signal.SIGKILL)
            self.service.wait(10)
            self.service = self.start_service()
            return "service"
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait(10)
        self.agent = self.start_agent()
        return "agent"


def _disturb(driver: FakeDriver, chance: random.Random) -> None:
    gpu = chance.randrange(4)
    act = chance.randrange(4)
    if act == 0:
        driver.raise_xid(gpu, chance.choice([13, 31, 43, 46, 79, 119]))
    elif act == 1:
        driver.set_gpu_error(gpu, 15)
    elif act == 2:
        driver.set_gpu_error(gpu, 0)
    else:
        driver.set_recovery_action(gpu, chance.choice([0, 1]))


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Return pieces in order with touching equals joined: how they were cut must not matter."""
    joined: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: piece[:2]):
        if joined and joined[-1][1] == piece[0] and joined[-1][2:] == piece[2:]:
            joined[-1] = (joined[-1][0], piece[1], *piece[2:])
        else:
            joined.append(piece)
    return joined


def _told(facts: dict[tuple[str, int], dict[str, Any]]) -> dict[tuple[str, str], list[Piece]]:
    pieces: dict[tuple[str, str], list[Piece]] = defaultdict(list)
    for (run, _), fact in facts.items():
        if fact["type"] == "node.observed":
            for seen in fact["gpus"]:
                pieces[run, seen["gpu"]].append((fact["from_ms"], fact["to_ms"], seen["health"], seen.get("cause")))
    return {key: _joined(value) for key, value in pieces.items()}


def _booked(ledger: SqlLedger) -> dict[tuple[str, str], list[Piece]]:
    pieces: dict[tuple[str, str], list[Piece]] = defaultdict(list)
    for fact in ledger.facts(kinds=[FactKind.COVERAGE.value]):
        assert fact.to_ms is not None
        health = fact.health.value if fact.health else None
        pieces[fact.run, fact.gpu].append((fact.from_ms, fact.to_ms, health, fact.cause))
    for progress in ledger.progress():
        for entry in progress.open:
            health = entry.health.value if entry.health else None
            pieces[progress.run, entry.gpu].append((entry.from_ms, entry.to_ms, health, entry.cause))
    return {key: _joined(value) for key, value in pieces.items()}


def test_fifty_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    """After 50 kill -9 of agent or service the ledger equals an oracle that saw every record."""
    kill_and_compare(tmp_path, KILLS, seed=20260701)


def kill_and_compare(tmp_path: Path, kills: int, seed: int) -> None:
    """Kill so many times at random instants, let all settle, and compare ledger and oracle."""
    chance = random.Random(seed)
    killed = {"agent": 0, "service": 0}
    with FakeDriver() as driver:
        site = Site(tmp_path, driver)
        oracle = Oracle(site.spool, tmp_path / "archive")
        for _ in range(kills):
            time.sleep(chance.uniform(0.3, 2.0))
            _disturb(driver, chance)
            killed[site.kill_one(chance)] += 1
        for gpu in range(4):
            driver.set_gpu_error(gpu, 0)
            driver.set_recovery_action(gpu, 0)
        wait_for("service ready", lambda: "ready" in get(f"http://127.0.0.1:{site.service_port}/readyz"))
        wait_for("agent alive", lambda: "agent_driver_up 1.0" in get(f"http://127.0.0.1:{site.node_port}/metrics"))
        _wait_covered(site)
        assert end(site.agent) == 0
        assert end(site.service) == 0

    facts = oracle.facts()
    ledger = SqlLedger(site.ledger, read_only=True)
    events = sorted((fact.run, fact.seq) for fact in ledger.facts(kinds=[FactKind.EVENT.value]))
    refused = list(ledger.facts(kinds=[FactKind.REFUSED.value]))
    runs = {run for run, _ in facts}
    last = {run: max(seq for other, seq in facts if other == run) for run in runs}

    assert min(killed.values()) >= kills // 5, killed
    assert refused == []
    assert ledger.first_broken() is None
    assert events == sorted(key for key, fact in facts.items() if fact["type"] == "node.event")
    assert _booked(ledger) == _told(facts)
    assert {progress.run: progress.seq for progress in ledger.progress()} == last
    print(f"{sum(killed.values())} kills {killed}, {len(runs)} runs, {len(facts)} facts: 0 lost, 0 counted twice")
    ledger.close()


def _wait_covered(site: Site) -> None:
    """Wait until the running agent's facts are all committed: its spool holds one run, the live one."""

    def covered() -> bool:
        return len({path.name.split(".")[0] for path in site.spool.glob("*.seg")}) == 1

    wait_for("older runs trimmed", covered, 60)
