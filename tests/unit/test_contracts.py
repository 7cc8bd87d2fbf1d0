"""Contract files: every error at once, with line, key and what is allowed."""

from pathlib import Path

import pytest

from service.contracts import inspect, load
from service.core.errors import ConfigurationError

GOOD = """\
id: demo
version: 1
site: mem2
landlord: someone
tenants:
  - id: a
    objectives: [{name: x, unit: gpu, target: "0.999"}]
    leases:
      - {places: [r0001], from: 2026-07-01T00:00:00Z, to: 2027-01-01T00:00:00Z}
"""


def findings(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    """Return what is wrong with a contract text."""
    file = tmp_path / "c.yaml"
    file.write_text(text)
    contract, found = inspect(file)

    assert (contract is None) == bool(found)
    return [(one.line, one.key, one.text) for one in found]


def test_a_good_contract_has_no_findings(tmp_path: Path) -> None:
    """The smallest contract passes; a rack is 72 places."""
    file = tmp_path / "c.yaml"
    file.write_text(GOOD)
    contract = load(file)

    assert len(list(contract.expand(contract.tenants[0].leases[0]))) == 72
    assert findings(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "word"),
    [
        ("version: 1", "version: 1\ncolour: red", 3, "colour", "unknown key"),
        ("2026-07-01T00:00:00Z", "2026-07-01T00:00:00+02:00", 9, "tenants.0.leases.0.from", "UTC"),
        ("2026-07-01T00:00:00Z", "1969-07-01T00:00:00Z", 9, "tenants.0.leases.0.from", "2020 to 2100"),
        ("2027-01-01", "2026-01-01", 9, "tenants.0.leases.0", "end after it begins"),
        ('"0.999"', '"1"', 7, "tenants.0.objectives.0", "between 0 and 1"),
        ('"0.999"', "0.999", 7, "tenants.0.objectives.0.target", "in quotes"),
        ("unit: gpu", "unit: moon", 7, "tenants.0.objectives.0.unit", "'gpu', 'tray', "),
        ("[r0001]", "[r0001/x]", 9, "tenants.0.leases.0.places", "selects nothing"),
        ("[r0001]", "[r0009..r0001]", 9, "tenants.0.leases.0.places", "selects nothing"),
        ("site: mem2", "site: mem2\nzone: Mars/Base", 4, "zone", "IANA"),
        ("version: 1", "version: 1\nversion: 2", 3, "version", "written twice"),
    ],
)
def test_each_error_names_line_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, line: int, key: str, word: str
) -> None:
    """A wrong value is told with its place in the file and the rule."""
    found = findings(tmp_path, GOOD.replace(old, new))

    assert [(one[0], one[1]) for one in found] == [(line, key)]
    assert word in found[0][2]


def test_all_errors_come_at_once(tmp_path: Path) -> None:
    """Three mistakes are three findings."""
    text = GOOD.replace("version: 1", "version: none").replace("unit: gpu", "unit: moon").replace("id: demo", "idd: x")

    assert len(findings(tmp_path, text)) == 4


def test_a_place_leased_twice_at_once_is_refused(tmp_path: Path) -> None:
    """Overlapping leases of one place name the place and both tenants; touching ones are fine."""
    second = GOOD.split("tenants:\n")[1].replace("id: a", "id: b")
    overlap = findings(tmp_path, GOOD + second)
    touching = findings(
        tmp_path,
        GOOD + second.replace("2026-07-01", "2027-01-01").replace("to: 2027-01-01", "to: 2028-01-01"),
    )

    assert "r0001/t01/g0 is leased twice at once: to a and to b" in overlap[0][2]
    assert touching == []


def test_a_tenant_without_a_lease_is_refused(tmp_path: Path) -> None:
    """A tenant that leases nothing is a mistake of the file."""
    text = GOOD.split("    leases:", maxsplit=1)[0]

    assert findings(tmp_path, text)[0][1] == "tenants.0.leases"


@pytest.mark.parametrize("text", ["", "- a", "id: [", "id: !!python/object:os.system x", "\x00"])
def test_what_is_no_contract_at_all_is_one_clear_finding(tmp_path: Path, text: str) -> None:
    """Empty, wrong or hostile YAML never raises and never runs anything."""
    assert findings(tmp_path, text)


def test_load_raises_with_every_finding_on_a_line_of_its_own(tmp_path: Path) -> None:
    """The error text is FILE:LINE: KEY: TEXT for each finding."""
    file = tmp_path / "c.yaml"
    file.write_text(GOOD.replace("unit: gpu", "unit: moon"))
    with pytest.raises(ConfigurationError, match=r"c\.yaml:7: tenants\.0\.objectives\.0\.unit: "):
        load(file)
