"""Statements as people see them: the page in a real browser, the PDF read back, hostile text as text."""

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.core.errors import ConfigurationError
from service.core.health import Health
from service.statements.html import html
from service.statements.pdf import pdf
from service.statements.sheet import guarded, sheet
from tests.processes import binary
from tests.statement_stories import MONTH, TENANT, Story, contract, missed, releases, restated, undetermined

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(autouse=True)
def _releases(monkeypatch: pytest.MonkeyPatch) -> None:
    releases(monkeypatch)


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Callable[[Path], Story]], str]:
    """Draws the page of a story's newest version."""

    def drawn(make: Callable[[Path], Story]) -> str:
        with make(tmp_path / "l.db") as story:
            return html(story.issued[-1].document)

    return drawn


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Story]:
    """A month of which everything that people wrote is an attack."""
    terms = contract().model_copy(update={"landlord": HOSTILE})
    with Story(tmp_path / "h.db", terms) as story:
        story.month(("GPU-0", Health.DOWN, "2026-07-10T02:10:00Z", "2026-07-10T04:35:00Z", "gpu:lost"))
        story.claim(
            "MW-1", "scheduled_maintenance", "2026-07-10T02:00:00Z", "2026-07-10T04:00:00Z",
            "2026-07-01T08:00:00Z", f'=HYPERLINK("http://evil","x"){HOSTILE}', ["r0001"],
        )  # fmt: skip
        by = '"><img src=x onerror=alert(1)>'
        story.tell({"said": "decision", "claim": "MW-1", "approved": False, "by": by, "why": "@SUM(A1)"})
        story.at("2026-08-01T00:00:00Z").turn()
        yield story


def test_what_people_wrote_is_text_on_the_page(hostile: Story) -> None:
    """No element and no attribute comes from a name or a reason."""
    made = html(hostile.issued[0].document)

    assert "&lt;script&gt;" in made
    assert "<script" not in made
    assert "<img" not in made


def test_no_cell_is_a_formula(hostile: Story) -> None:
    """Texts that a spreadsheet would run begin with an apostrophe; numbers stay numbers."""
    document = hostile.issued[0].document
    cells = [cell for row in csv.reader(io.StringIO(sheet(document))) for cell in row]

    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    assert [guarded(cell) for cell in ("=1", "+1", "-x", "@a", "\tx", -5, "plain", None)] == [
        "'=1", "'+1", "'-x", "'@a", "'\tx", "-5", "plain", "",
    ]  # fmt: skip


def test_a_page_needs_nothing_from_elsewhere(page: Callable[..., str]) -> None:
    """No address in it, no script, and a policy that forbids both."""
    made = page(missed)

    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link[^>]+stylesheet", made)
    assert "default-src 'none'" in made


@pytest.mark.parametrize("make", [missed, undetermined, restated])
def test_the_pdf_says_what_the_json_says(make: Callable[[Path], Story], tmp_path: Path) -> None:
    """Availability, verdict, money, incidents, claims and hashes, read back from the PDF's text."""
    with make(tmp_path / "l.db") as story:
        issued = story.issued[-1]
    made = tmp_path / "s.pdf"
    made.write_bytes(pdf(html(issued.document)))
    command = [binary("pdftotext"), "-layout", str(made), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    flat = re.sub(r"\s+", "", text)
    document = issued.document

    assert f"{TENANT}, July 2026" in text
    assert issued.hash in flat
    for one in document["objectives"]:
        whole, places = one["availability"]["settled"].split(".")
        assert f"{int(whole + places[:2])}.{places[2:5]} %" in text
        assert all(outage["from"].replace("T", " ").removesuffix("Z") in text for outage in one["outages"])
    assert document["settlement"]["amount"].removesuffix(".00")[-3:] in text
    assert all(claim["key"].replace(" ", "") in flat for claim in document["claims"])
    assert all(tip[1] in flat for tip in document["cut"].values())
    assert re.search(r"1 of \d", text)


def test_two_prints_of_one_page_are_the_same_bytes(page: Callable[..., str]) -> None:
    """In one process, and from one process to another, with the same fonts and libraries."""
    made = page(missed)
    code = "import sys; from service.statements.pdf import pdf; sys.stdout.buffer.write(pdf(sys.stdin.read()))"
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, input=made.encode(), capture_output=True, check=True, timeout=120).stdout

    assert pdf(made) == pdf(made) == other


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is a sentence with its mend."""
    monkeypatch.setitem(sys.modules, "weasyprint", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'threenines\[pdf\]'"):
        pdf("<p>x</p>")


def test_a_browser_shows_and_prints_the_page_without_complaint(page: Callable[..., str], tmp_path: Path) -> None:
    """Chromium, cut off from every network: no word on its console, pages on paper, a picture that is not blank."""
    file, printed, shot = tmp_path / "s.html", tmp_path / "s.pdf", tmp_path / "s.png"
    file.write_text(page(restated))
    base = [
        binary("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
        "--no-pdf-header-footer", "--window-size=1100,1600",
    ]  # fmt: skip
    told = ""
    for act in (f"--print-to-pdf={printed}", f"--screenshot={shot}"):
        env, command = os.environ | {"HOME": str(tmp_path)}, [*base, act, file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=env)
        told += done.stderr
    command = [binary("pdftotext"), str(printed), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert "CONSOLE" not in told
    assert f"{TENANT}, July 2026" in text
    assert f"threenines explain {TENANT} {MONTH}" in text
    assert len(shot.read_bytes()) > 20_000
