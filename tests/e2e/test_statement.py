"""Statements by the command line: as issued, as drawn, as explained, as verified."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import ROOT, threenines
from tests.statement_stories import MONTH, TENANT, Story, missed, restated


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run threenines to its end."""
    return subprocess.run(threenines(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def _on_disk(directory: Path, make: Callable[[Path], Story]) -> tuple[str, ...]:
    with make(directory / "l.db") as story:
        terms = story.terms.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    contract = directory / "contract.yaml"
    contract.write_text(json.dumps(terms))  # JSON is YAML
    return ("--contract", str(contract), "--ledger", f"sqlite:///{directory / 'l.db'}")


@pytest.fixture
def late(tmp_path: Path) -> tuple[str, ...]:
    """The options that name the contract and the ledger of the month that was restated."""
    return _on_disk(tmp_path, restated)


def test_a_version_is_the_bytes_that_the_next_one_names(late: tuple[str, ...], tmp_path: Path) -> None:
    """The hash of the file is in the restatement, in the page and in the explanation; every form says the same."""
    base = ("statement", *late, "--tenant", TENANT, "--month", MONTH)
    file, page, printed = tmp_path / "v2.json", tmp_path / "v3.html", tmp_path / "v3.pdf"
    second = call(*base, "--version", "2", "-o", "json", "--to", str(file))
    third = call(*base, "--version", "3", "-o", "json")
    made = call(*base, "--version", "3", "-o", "html", "--to", str(page))
    paper = call(*base, "--version", "3", "-o", "pdf", "--to", str(printed))
    cells = call(*base, "--version", "3", "-o", "csv")
    name = hashlib.sha256(file.read_bytes()).hexdigest()
    document = json.loads(third.stdout)

    assert [one.returncode for one in (second, third, made, paper, cells)] == [1] * 5, made.stderr + paper.stderr
    assert document["previous"]["hash"] == name
    assert hashlib.sha256(third.stdout.rstrip("\n").encode()).hexdigest() in page.read_text()
    assert printed.read_bytes().startswith(b"%PDF-")
    assert "settlement,,difference,,,1000.00,USD,posted to the invoice of 2026-08" in cells.stdout
    assert name in call("explain", TENANT, MONTH, *late).stdout


def test_as_of_draws_the_month_as_it_was_known(late: tuple[str, ...]) -> None:
    """Before the late minutes the target could still have been met; now it is missed."""
    base = ("statement", *late, "--tenant", TENANT, "--month", MONTH, "-o", "json")
    before = json.loads(call(*base, "--as-of", "2026-08-15T00:00:00Z").stdout)
    now = json.loads(call(*base).stdout)

    assert (before["objectives"][0]["met"], now["objectives"][0]["met"]) == (None, False)
    assert (before["status"], before["version"], now["version"]) == ("preview", 3, 4)
    assert before["cut"] is not None
    assert (now["cut"], now["difference"]) == (None, [])


def test_explain_reads_from_the_number_down_to_the_rows(tmp_path: Path) -> None:
    """Objective, unit, incident, step with its claim, row with who and since when; narrowed, and as JSON."""
    base = ("explain", TENANT, MONTH, *_on_disk(tmp_path, missed), "--objective", "gpu-999")
    whole, one = call(*base), call(*base, "--unit", "r0001/t01/g0", "-o", "json")
    told = json.loads(one.stdout)["objectives"]
    incident = told[0]["below"][0]["incidents"][0]

    assert whole.returncode == one.returncode == 0, whole.stderr
    for line in (
        "gpu-999: 99.9 % for each GPU: missed.",
        "2026-07-10 02:10:00 to 2026-07-10 04:00:00: down, excluded by claim MW-1.",
        "2026-07-10 04:00:00 to 2026-07-10 04:35:00: down, and it counts.",
        "Approved by bob, recorded 2026-07-04 09:00:00 as said/decision/MW-1: window agreed with the tenant.",
        "Refused by bob, recorded 2026-07-21 09:00:00 as said/decision/FM-1: the substation log shows no outage.",
        "GPU-0 was down from 2026-07-10 02:10:00 to 2026-07-10 04:35:00, host:maintenance",
    ):
        assert line in whole.stdout
    assert [unit["unit"] for unit in told[0]["below"]] == ["r0001/t01/g0"]
    assert [step["claim"] for step in incident["steps"]] == ["MW-1", None]
    assert {row["kind"] for row in incident["rows"]} == {"coverage", "operator"}


def test_verify_draws_every_statement_again(late: tuple[str, ...], tmp_path: Path) -> None:
    """All three versions follow from the ledger; under another contract the first that differs is named."""
    fine = call("verify", *late, "-o", "json")
    text = (tmp_path / "contract.yaml").read_text()
    (tmp_path / "contract.yaml").write_text(text.replace('"40000.00"', '"50000.00"'))
    other = call("verify", *late, "-o", "json")
    first = json.loads(other.stdout)["first"]

    assert (fine.returncode, json.loads(fine.stdout)["statements"]) == (0, 3), fine.stdout
    assert other.returncode == 1
    assert (first["kind"], first["key"]) == ("statement", f"statement/{TENANT}/{MONTH}/1")


def test_what_cannot_be_shown_says_what_there_is(late: tuple[str, ...]) -> None:
    """An unknown version, tenant, objective, form, month: exit status 2 and the choices."""
    base = ("statement", *late, "--month", MONTH)
    for arguments, words in (
        ((*base, "--tenant", TENANT, "--version", "9"), "1 (draft), 2 (final), 3 (restated)"),
        ((*base, "--tenant", "nobody"), f"there are {TENANT}"),
        ((*base, "--tenant", TENANT, "-o", "docx"), "table, json, html, pdf or csv"),
        ((*base, "--tenant", TENANT, "--version", "1", "--as-of", "2026-08-01T00:00:00Z"), "choose one"),
        (("statement", *late, "--month", "July", "--tenant", TENANT), "YYYY-MM"),
        ((*base, "--tenant", TENANT, "--to", "s.txt"), "a table is for the terminal"),
        (("explain", TENANT, MONTH, *late, "--objective", "x"), "gpu-999, pool-999"),
        ((*base, "--tenant", TENANT, "-o", "html", "--to", "/nowhere/s.html"), "name a file that can be written"),
    ):
        done = call(*arguments)
        assert done.returncode == 2, done.stdout + done.stderr
        assert words in done.stderr
