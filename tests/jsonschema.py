"""A judge of JSON Schema of its own, for what pydantic prints; knows nothing of pydantic."""

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
}
_KNOWN = {
    *("$defs", "$ref", "$schema", "title", "description", "default", "discriminator", "type", "enum", "const"),
    *("anyOf", "oneOf", "properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
    *("pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "$") -> list[str]:
    """Return everything in which a value does not fit a schema; a keyword it does not know is an error."""
    assert set(schema) <= _KNOWN, set(schema) - _KNOWN
    if "$ref" in schema:
        return problems(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, at)
    found = _alternatives(value, schema, root, at)
    if "type" in schema and not _is(value, schema["type"]):
        return [*found, f"{at}: no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: none of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{at}: not {schema['const']!r}")
    if isinstance(value, str):
        found += _text(value, schema, at)
    elif isinstance(value, dict):
        found += _mapping(value, schema, root, at)
    elif isinstance(value, list):
        found += [
            text for n, one in enumerate(value) for text in problems(one, schema.get("items", {}), root, f"{at}.{n}")
        ]
        if len(value) < schema.get("minItems", 0):
            found.append(f"{at}: too few")
    elif isinstance(value, int):
        found += _number(value, schema, at)
    return found


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _alternatives(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    for word in ("anyOf", "oneOf"):
        if word in schema:
            tried = [problems(value, one, root, at) for one in schema[word]]
            fits = sum(not one for one in tried)
            if fits == 0 or (word == "oneOf" and fits != 1):
                return [f"{at}: {fits} of {word} fit", *min(tried, key=len)]
    return []


def _text(value: str, schema: dict[str, Any], at: str) -> list[str]:
    fits = re.search(schema.get("pattern", ""), value) is not None
    short = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    return [] if fits and short else [f"{at}: {value!r} does not fit"]


def _number(value: int, schema: dict[str, Any], at: str) -> list[str]:
    low = value >= schema.get("minimum", value) and value > schema.get("exclusiveMinimum", value - 1)
    high = value <= schema.get("maximum", value) and value < schema.get("exclusiveMaximum", value + 1)
    return [] if low and high else [f"{at}: {value} is out of range"]


def _mapping(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    known = schema.get("properties", {})
    found = [f"{at}: {key} is missing" for key in schema.get("required", ()) if key not in value]
    for key, one in value.items():
        if key in known:
            found += problems(one, known[key], root, f"{at}.{key}")
        elif schema.get("additionalProperties", True) is False:
            found.append(f"{at}: {key} is unknown")
    return found
