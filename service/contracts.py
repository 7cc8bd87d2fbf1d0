"""Contract files: YAML read strictly, every error at once, each with its line and key.

A file holds one version of a contract, or several under `versions`; further files may hold later
versions that supersede earlier ones.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from service.core import limits
from service.core.contract import Agreement, Contract
from service.core.contract.values import Listed, Model
from service.core.errors import ConfigurationError


class _Loader(yaml.SafeLoader):
    """YAML without its dates, and with two truth values only: what was written stays text and is judged as such."""


_TEXT = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
_TRUTH = re.compile(r"(true|false)\Z")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _TRUTH, ["t", "f"])  # `on` is a key of clock_stop


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a file: where, which key, what, and what is allowed."""

    line: int
    key: str
    text: str


class _Versions(Model):
    """A file that holds several versions of one contract."""

    versions: Annotated[tuple[Contract, ...], Listed, Field(min_length=1, max_length=limits.CONTRACT_VERSIONS)]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of contract files."""
    adapter: TypeAdapter[Contract | _Versions] = TypeAdapter(Contract | _Versions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | adapter.json_schema(by_alias=True)


def load(path: Path) -> Contract:
    """Return the contract of a file, its newest version where there are several.

    Raises:
        ConfigurationError: With every finding, a line each, as `FILE:LINE: KEY: TEXT`.
    """
    return load_agreement((path,)).newest


def load_agreement(paths: Sequence[Path]) -> Agreement:
    """Return every version of a contract that the files hold, with the time that each is in force.

    Raises:
        ConfigurationError: With every finding, a line each, as `FILE:LINE: KEY: TEXT`.
    """
    found = [(path, *_versions(path)) for path in paths]
    lines = [f"{path}:{one.line}: {one.key}: {one.text}" for path, _, findings in found for one in findings]
    if lines:
        raise ConfigurationError("\n".join(lines))
    try:
        return Agreement.of([version for _, versions, _ in found for version in versions])
    except ValueError as error:
        msg = f"{' and '.join(str(path) for path in paths)}: {error}"
        raise ConfigurationError(msg) from error


def inspect(path: Path) -> tuple[Contract | None, tuple[Finding, ...]]:
    """Return the contract (its newest version), or None with everything that is wrong with the file."""
    versions, findings = _versions(path)
    return (None, findings) if findings else (Agreement.of(versions).newest, ())


def _versions(path: Path) -> tuple[tuple[Contract, ...], tuple[Finding, ...]]:
    try:
        text = _text(path)
        node = yaml.compose(text, Loader=_Loader)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader without dates
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return (), (Finding(line, "(file)", f"no YAML: {error.problem}"),)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ConfigurationError) as error:
        return (), (Finding(1, "(file)", str(error)),)
    duplicates = tuple(_duplicates(node, ""))
    versions, findings = _judged(value, node)
    return versions, duplicates + findings


def _judged(value: Any, node: yaml.Node | None) -> tuple[tuple[Contract, ...], tuple[Finding, ...]]:  # noqa: ANN401
    try:
        if not isinstance(value, dict) or "versions" not in value:
            return (Contract.model_validate(value),), ()
        versions = _Versions.model_validate(value).versions
    except ValidationError as error:
        return (), tuple(_finding(one, node) for one in _causes(error.errors()))
    try:
        return Agreement.of(versions).versions, ()
    except ValueError as error:
        return (), (Finding(_line(node, ("versions",)), "versions", str(error)),)


def _text(path: Path) -> str:
    data = path.read_bytes()
    if len(data) > limits.CONTRACT_BYTES:
        msg = f"{len(data)} bytes; a contract holds at most {limits.CONTRACT_BYTES}"
        raise ConfigurationError(msg)
    return data.decode()


def _causes(errors: list[Any]) -> list[Any]:
    """Drop the error of a list that is only too short because its items are wrong themselves."""
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short"
        or not any(place != error["loc"] and place[: len(error["loc"])] == error["loc"] for place in places)
    ]


def _finding(error: Any, node: yaml.Node | None) -> Finding:  # noqa: ANN401 -- pydantic's ErrorDetails
    location = error["loc"]
    key = ".".join(str(part) for part in location) or "(contract)"
    text = error["msg"]
    if error["type"] == "extra_forbidden":
        text = "unknown key; `threenines check --schema` prints the allowed ones"
    elif error["type"] != "missing" and not isinstance(error["input"], dict | list | tuple):
        text = f"{text} (got {error['input']!r})"
    return Finding(_line(node, location), key, text)


def _line(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    line = node.start_mark.line + 1 if node is not None else 1
    for part in location:
        found = _child(node, part)
        if found is None:
            break
        key, node = found
        line = key.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _duplicates(node: yaml.Node | None, prefix: str) -> Iterator[Finding]:
    """Yield keys that are written twice in one mapping: YAML would silently keep the last."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            if key.value in seen:
                yield Finding(key.start_mark.line + 1, name, "written twice")
            seen.add(key.value)
            yield from _duplicates(value, f"{name}.")
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _duplicates(value, f"{prefix}{number}.")
