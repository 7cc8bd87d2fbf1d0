"""The contract language: contradictions and uncomputed terms are refused, versions have their time."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.contracts import _Loader as Loader
from service.contracts import inspect, load, load_agreement, schema
from service.core.contract import Agreement, Contract
from service.core.errors import ConfigurationError
from service.core.model import Span
from service.core.periods import parse_utc
from tests.jsonschema import problems

ROOT = Path(__file__).parents[2]
EXAMPLES = [*sorted((ROOT / "deploy/examples").glob("*.yaml")), ROOT / "service/data/demo.yaml"]

HEAD = """\
id: demo
version: 1
site: mem2
landlord: someone
tenants:
  - id: a
    leases: [{places: [r0001], from: 2026-07-01T00:00:00Z, to: 2028-01-01T00:00:00Z}]
"""


def refused(tmp_path: Path, terms: str) -> list[tuple[int, str, str]]:
    """Return what is wrong with a contract whose only tenant has these terms."""
    file = tmp_path / "c.yaml"
    file.write_text(HEAD + "".join(f"    {line}\n" for line in terms.splitlines()))
    return [(one.line, one.key, one.text) for one in inspect(file)[1]]


def objective(rest: str) -> str:
    """Return terms with one objective; `rest` is the inside of its YAML mapping."""
    return f'objectives:\n  - {{name: x, unit: rack, target: "0.999", {rest}}}'


@pytest.mark.parametrize(
    ("terms", "key", "word"),
    [
        (objective("up_rule: {kind: k_of_n, n: 18, k: 19}"), "objectives.0.up_rule", "can never be up"),
        (objective("up_rule: {kind: k_of_n, n: 18}"), "objectives.0.up_rule", "they need it"),
        (objective("up_rule: {kind: all_of, members: rack}"), "objectives.0", "a rack is made by"),
        (
            objective('tiers: [{below: "0.999", at_least: "0.9", pct: 30}, {below: "0.95", pct: 10}]'),
            "objectives.0",
            "tiers overlap",
        ),
        (
            objective('tiers: [{below: "0.999", at_least: "0.95", pct: 30}, {below: "0.95", pct: 10}]'),
            "objectives.0",
            "tiers contradict",
        ),
        (objective('tiers: [{below: "0.9999", pct: 30}]'), "objectives.0", "above the target"),
        (objective("denominator: period_minus_excluded"), "(tenant)", "contradicts exclusions.mode"),
        (objective("") + "\nexclusions: {mode: from_denominator}", "(tenant)", "contradicts exclusions.mode"),
        (objective("") + '\nfee: {monthly_amount: "-1"}', "fee.monthly_amount", "greater than or equal to 0"),
        (objective("measure: {quantise: slice}"), "objectives.0.measure", "it needs it"),
        (objective("period: {kind: rolling}"), "objectives.0.period", "it needs one"),
        (objective("monitoring_gap: {policy: count_up, settle: lo}"), "objectives.0.monitoring_gap", "nothing open"),
        (objective("degraded: [{state: throttled, counts_as: fraction}]"), "objectives.0.degraded.0", "it needs one"),
        (
            objective("") + "\nexclusions: {kinds: [{kind: beta}, {kind: beta}]}",
            "exclusions",
            "named twice",
        ),
        (
            objective("") + "\nexclusions: {kinds: [{kind: beta, zone: Mars/Base}]}",
            "exclusions.kinds.0",
            "IANA",
        ),
        (objective("") + "\nterm: {from: 2027-01-01T00:00:00Z, to: 2028-01-01T00:00:00Z}", "(tenant)", "beyond"),
    ],
)
def test_a_contradiction_is_refused_with_line_and_key(tmp_path: Path, terms: str, key: str, word: str) -> None:
    """Terms that cannot both hold are told with the key that carries them and the line of it."""
    line, found, text = refused(tmp_path, terms)[0]

    assert found == ("tenants.0" if key == "(tenant)" else f"tenants.0.{key}")
    assert word in text
    assert line >= 6


@pytest.mark.parametrize(
    ("terms", "key"),
    [
        (objective("requires: [host, storage]"), "objectives.0.requires"),
        (objective("degraded: [{state: reduced_k, counts_as: down}]"), "objectives.0.degraded.0.state"),
        (objective("measure: {granularity_ms: 60000}"), "objectives.0.measure.granularity_ms"),
        (objective("monitoring_gap: {witnesses: {quorum: all}}"), "objectives.0.monitoring_gap.witnesses.quorum"),
        (
            objective("performance_floor: {metric: a, threshold: 1, percentile: 50, source: b}"),
            "objectives.0.performance_floor",
        ),
        (objective("") + "\nexclusions: {extent: work}", "exclusions.extent"),
        (
            objective("") + "\nexclusions: {kinds: [{kind: beta, needs_tenant_consent: true}]}",
            "exclusions.kinds.0.needs_tenant_consent",
        ),
        (objective("") + "\nrepair: [{failure_class: gpu, clock: ticket, replace_ms: 1}]", "repair"),
        (objective("") + "\nchronic: [{n: 2, of_periods: 3, right: terminate_unit}]", "chronic"),
        (
            objective("") + "\ndelivery: {tranches: [{id: a, units: [r1], committed_date: 2026-07-01T00:00:00Z}]}",
            "delivery",
        ),
    ],
)
def test_what_is_not_computed_is_refused_and_not_ignored(tmp_path: Path, terms: str, key: str) -> None:
    """A term of the schema that the engine does not count is refused with its key."""
    found = refused(tmp_path, terms)

    assert [one[1] for one in found] == [f"tenants.0.{key}"]
    assert "not computed by this version" in found[0][2]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_examples_load_and_fit_the_published_schema(path: Path) -> None:
    """Every contract that we ship is fine, and fits the JSON Schema that `check --schema` prints."""
    published = schema()
    value = yaml.load(path.read_text(), Loader=Loader)

    assert inspect(path)[1] == ()
    assert problems(value, published, published) == []


def test_the_published_schema_refuses_what_the_models_refuse() -> None:
    """A misspelt key and a wrong word do not fit the schema."""
    published = schema()
    good = yaml.load((ROOT / "deploy/examples/demo.yaml").read_text(), Loader=Loader)

    assert problems(good | {"colour": "red"}, published, published)
    assert problems(good | {"currency": "dollars"}, published, published)


def version(number: int, **more: Any) -> dict[str, Any]:
    """Return a small contract of a version."""
    lease = {"places": ["r1"], "from": "2026-07-01T00:00:00Z", "to": "2028-01-01T00:00:00Z"}
    tenant = {"id": "a", "objectives": [{"name": "x", "unit": "gpu", "target": "0.999"}], "leases": [lease]}
    return {"id": "c", "version": number, "site": "s", "landlord": "l", "tenants": [tenant]} | more


def test_a_file_may_hold_several_versions_and_files_may_supersede(tmp_path: Path) -> None:
    """Each version is in force until the next begins; a period is cut where the version changes."""
    first, second, third = (tmp_path / f"{n}.yaml" for n in "123")
    march, april = "2027-03-01T00:00:00Z", "2027-04-10T00:00:00Z"
    first.write_text(yaml.safe_dump({"versions": [version(1), version(2, supersedes=1, effective_from=march)]}))
    second.write_text(yaml.safe_dump(version(3, supersedes=2, effective_from=april)))
    third.write_text(yaml.safe_dump(version(10, supersedes=9, effective_from=april)))
    agreement = load_agreement((second, first))
    month = Span(parse_utc("2027-04-01T00:00:00Z"), parse_utc("2027-05-01T00:00:00Z"))
    parts = [(span.to_ms, one.version) for span, one in agreement.in_force(month)]

    assert load(first).version == 2
    assert [one.version for one in agreement.versions] == [1, 2, 3]
    assert parts == [(parse_utc(april), 2), (month.to_ms, 3)]
    with pytest.raises(ConfigurationError, match="supersedes version 9, which is not there"):
        load_agreement((first, third))


def test_overlapping_versions_are_refused(tmp_path: Path) -> None:
    """Two versions in force at once, or at the same instant, or numbered backwards, are no agreement."""
    march = parse_utc("2027-03-01T00:00:00Z")
    for one, two in (
        (version(1), version(2)),
        (version(1, effective_to=march + 1), version(2, effective_from=march)),
        (version(2), version(1, effective_from=march)),
    ):
        with pytest.raises(ValueError, match=r"versions? "):
            Agreement.of([Contract.model_validate(one), Contract.model_validate(two)])
        file = tmp_path / "c.yaml"
        file.write_text(yaml.safe_dump({"versions": [one, two]}))

        assert [(found.line, found.key) for found in inspect(file)[1]] == [(1, "versions")]
