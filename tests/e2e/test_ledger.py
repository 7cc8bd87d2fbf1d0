"""The ledger by its commands: facts of people, seals, verify, backup and restore, against a running service."""

import json
import subprocess
from pathlib import Path

import pytest

from service.core import limits
from service.ledger.store import SqlLedger
from tests.processes import ROOT, end, free_port, get, start, threenines, wait_for

DAY = ("--from", "2026-07-01T00:00:00Z", "--to", "2026-07-02T00:00:00Z")
CLAIM = ("fact", "claim", "MW-1", "r0001/t07", "--kind", "force_majeure", *DAY, "--why", "flood")


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run threenines to its end."""
    return subprocess.run(threenines(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def imported(tmp_path: Path) -> str:
    """A ledger of a day of one GPU."""
    spans = tmp_path / "spans.csv"
    spans.write_text(
        "gpu,rack,tray,health,cause,from,to,recorded\n"
        "GPU-0,r0001,1,up,,2026-07-01T00:00:00Z,2026-07-01T10:00:00Z,2026-07-01T10:00:01Z\n"
        "GPU-0,r0001,1,down,gpu:lost,2026-07-01T10:00:00Z,2026-07-02T00:00:00Z,2026-07-02T00:00:01Z\n"
    )
    ledger = f"sqlite:///{tmp_path / 'l.db'}"
    done = call("import", str(spans), "--ledger", ledger, "--seals", str(tmp_path / "seals"))
    assert done.returncode == 0, done.stderr
    return ledger


def test_facts_go_to_the_ledger_or_to_the_service_that_owns_it(tmp_path: Path) -> None:
    """The same command writes directly while nobody owns the ledger, and through the service while one does."""
    ledger, port = f"sqlite:///{tmp_path / 'l.db'}", free_port()
    contract = str(ROOT / "service/data/demo.yaml")
    missing = call(*CLAIM, "--ledger", ledger)
    serve = threenines("serve", "--contract", contract, "--ledger", ledger, "--listen", f"127.0.0.1:{port}")
    service = start([*serve, "--seals", str(tmp_path / "seals")], log=tmp_path / "service.log")
    to = ("--ledger", ledger, "--service", f"http://127.0.0.1:{port}")
    wait_for("service", lambda: "ready" in get(f"http://127.0.0.1:{port}/readyz"))
    first, again = call(*CLAIM, *to, "--by", "alice"), call(*CLAIM, *to, "--by", "alice")
    alone = call("fact", "approve", "MW-1", *to, "--by", "alice", "--why", "mine")
    backup = call("backup", "--ledger", ledger, "--to", str(tmp_path / "copy.db"))
    end(service)
    refused = call("fact", "approve", "MW-1", *to, "--by", "alice", "--why", "mine")
    approved = call("fact", "approve", "MW-1", *to, "--by", "bob", "--why", "seen", "--evidence", "photo.jpg")
    listed = json.loads(call("fact", "list", "--ledger", ledger, "-o", "json").stdout)

    assert missing.returncode == 2
    assert "does not exist" in missing.stderr
    assert first.stdout == "said/claim/MW-1: recorded\n", first.stderr
    assert again.stdout == "said/claim/MW-1: known already\n"
    assert (alone.returncode, refused.returncode) == (2, 2)
    assert "a second person decides" in alone.stderr
    assert "a second person decides" in refused.stderr
    assert approved.returncode == 0, approved.stderr
    assert [(one["key"], one["said"]["by"]) for one in listed] == [
        ("said/claim/MW-1", "alice"),
        ("said/decision/MW-1", "bob"),
    ]
    assert backup.returncode == 0, backup.stdout
    assert call("verify", "--ledger", f"sqlite:///{tmp_path / 'copy.db'}").returncode == 0


def test_verify_finds_a_changed_row_and_a_backup_mends_it(imported: str, tmp_path: Path) -> None:
    """Exit status 0 while nothing was touched, 1 with the row's name after, 0 again with the backup in place."""
    path, seals = tmp_path / "l.db", str(tmp_path / "seals")
    call("backup", "--ledger", imported, "--to", str(tmp_path / "copy.db"))
    taken = call("backup", "--ledger", imported, "--to", str(tmp_path / "copy.db"))
    fine = call("verify", "--ledger", imported, "--seals", seals, "-o", "json")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"gpu:lost", b"gpu:dead"))
    broken = call("verify", "--ledger", imported, "--seals", seals, "-o", "json")
    path.write_bytes(data[: len(data) // 3])
    cut = call("verify", "--ledger", imported, "--seals", seals)
    (tmp_path / "copy.db").replace(path)
    mended = call("verify", "--ledger", imported, "--seals", seals)

    assert taken.returncode == 2
    assert "never overwrites" in taken.stderr
    assert (fine.returncode, json.loads(fine.stdout)["ok"]) == (0, True), fine.stdout
    assert broken.returncode == 1
    first = json.loads(broken.stdout)["first"]
    assert (first["kind"], first["partition"], first["row"]) == ("row", limits.PARTITIONS + 1, 3)
    assert (cut.returncode, mended.returncode) == (1, 0), cut.stdout + mended.stdout


def test_as_of_shows_the_month_as_it_was_known(imported: str, tmp_path: Path) -> None:
    """Before the outage was recorded its time was unknown; a correction takes it back from then on."""
    contract = tmp_path / "c.yaml"
    contract.write_text(
        (ROOT / "service/data/demo.yaml").read_text().replace("places: [r0001, r0002]", "places: [r0001/t01]")
    )
    base = ("statement", "--contract", str(contract), "--ledger", imported, "--tenant", "reflection", "-o", "json")

    def down_ms(*more: str) -> int:
        return int(json.loads(call(*base, "--month", "2026-07", *more).stdout)["objectives"][1]["down_ms"])

    before, after = down_ms("--as-of", "2026-07-01T12:00:00Z"), down_ms("--as-of", "2026-07-03T00:00:00Z")
    key = "import/GPU-0/1782900000000"
    done = call("fact", "correct", key, "--ledger", imported, "--why", "wrong GPU", "--by", "carol")

    assert before == 0
    assert after >= 14 * limits.HOUR_MS
    assert done.returncode == 0, done.stderr
    assert down_ms() == 0
    assert down_ms("--as-of", "2026-07-03T00:00:00Z") == after


def test_a_token_of_a_person_speaks_for_that_person_alone(tmp_path: Path) -> None:
    """With tokens, a fact needs a person's token, and its name must be theirs; a node's token says nothing."""
    import hashlib

    for name in ("alice", "node"):
        (tmp_path / name).write_text(f"{name}-secret\n")
    digests = {name: hashlib.sha256(f"{name}-secret".encode()).hexdigest() for name in ("alice", "node")}
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(
        f"- {{person: alice, sha256: {digests['alice']}}}\n- {{node: r0001-t07, sha256: {digests['node']}}}\n"
    )
    ledger, port = f"sqlite:///{tmp_path / 'l.db'}", free_port()
    contract = str(ROOT / "service/data/demo.yaml")
    serve = threenines("serve", "--contract", contract, "--ledger", ledger, "--listen", f"127.0.0.1:{port}")
    service = start([*serve, "--tokens", str(tokens)], log=tmp_path / "service.log")
    wait_for("service", lambda: "ready" in get(f"http://127.0.0.1:{port}/readyz"))
    to = ("--ledger", ledger, "--service", f"http://127.0.0.1:{port}")
    without = call(*CLAIM, *to, "--by", "alice")
    node = call(*CLAIM, *to, "--by", "alice", "--token-file", str(tmp_path / "node"))
    other = call(*CLAIM, *to, "--by", "bob", "--token-file", str(tmp_path / "alice"))
    right = call(*CLAIM, *to, "--by", "alice", "--token-file", str(tmp_path / "alice"))
    end(service)
    book = SqlLedger(ledger, read_only=True)
    keys = [fact.key for fact in book.facts(kinds=["operator"])]
    book.close()

    assert [one.returncode for one in (without, node, other, right)] == [2, 2, 2, 0], right.stderr
    assert "bearer token" in without.stderr
    assert "this token is alice's" in other.stderr
    assert keys == ["said/claim/MW-1"]
