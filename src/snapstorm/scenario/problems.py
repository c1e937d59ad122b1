"""Describes what is wrong with a document in plain words: what is allowed at a place, and what was found there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

Place: TypeAlias = tuple[str | int, ...]
"""A place in a document: keys and list positions from the top."""

_NO_PART_OF_A_PLACE = frozenset({"int", "float", "Span", "[key]"})
"""Parts of pydantic's error locations that name an alternative of a type, not a place in the document."""
_INPUT_LENGTH_MAX = 60


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[tuple[Place, str]]:
    """All problems that pydantic found when `model` was constructed, one for each place."""
    schema = model.model_json_schema()
    found: dict[Place, str] = {}
    for item in error.errors(include_url=False):
        place: Place = tuple(part for part in item["loc"] if part not in _NO_PART_OF_A_PLACE)
        if item["type"] == "extra_forbidden":
            words = "unknown, maybe a typo"
        elif item["type"] == "missing":
            words = "is missing"
        elif item["type"] == "value_error":
            words = item["msg"].removeprefix("Value error, ")
        else:
            words = f"must be {_allowed(_node_at(schema, place), schema)}, not {_shown(item['input'])}"
        found.setdefault(place, words)
    return list(found.items())


def named(place: Place, words: str, name: str = "") -> str:
    """The problem as one line that begins with `name`, or else with the place as it is written in a file."""
    return f"{name or '.'.join(map(str, place)) or 'scenario'}: {words}"


_Schema: TypeAlias = Mapping[str, Any]


def _node_at(schema: _Schema, place: Place) -> _Schema:
    """The part of a JSON schema that describes what is allowed at this place; empty if there is none."""
    node = schema
    for part in place:
        node = _resolved(node, schema)
        if isinstance(part, int):
            positions: Sequence[_Schema] = node.get("prefixItems", ())
            node = positions[part] if part < len(positions) else node.get("items", {})
        else:
            others = node.get("additionalProperties")
            node = node.get("properties", {}).get(part) or (others if isinstance(others, dict) else {})
    return _resolved(node, schema)


def _resolved(node: _Schema, schema: _Schema) -> _Schema:
    """The node with references followed; for an optional value, the node of the value itself."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    arms = [arm for arm in node.get("anyOf", ()) if arm.get("type") != "null"]
    return _resolved(arms[0], schema) if len(arms) == 1 else node


def _allowed(node: _Schema, schema: _Schema) -> str:
    """The allowed values in words, to follow `must be`."""
    node = _resolved(node, schema)
    if "anyOf" in node:
        return " or ".join(_allowed(arm, schema) for arm in node["anyOf"])
    if "enum" in node:
        return f"one of {', '.join(map(str, node['enum']))}"
    match node.get("type"):
        case "integer":
            return f"a whole number{_bounds(node.get('minimum'), node.get('maximum'))}"
        case "number":
            return f"a number{_bounds(node.get('minimum'), node.get('maximum'))}"
        case "boolean":
            return "true or false"
        case "string":
            longest = f" of at most {node['maxLength']} characters" if "maxLength" in node else ""
            return f"text{longest}" + (" that is not empty" if node.get("minLength") == 1 else "")
        case "array":
            items = _resolved(node.get("items", {}), schema)
            each = f", each {_allowed(items, schema)}" if "enum" in items else ""
            return ("a list that is not empty" if node.get("minItems") == 1 else "a list") + each
        case "object":
            return "a table"
        case _:
            return "something else"


def _bounds(low: int | None, high: int | None) -> str:
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    return f" of at least {low:,}" if low is not None else f" of at most {high:,}" if high is not None else ""


def _shown(value: object) -> str:
    """A value as its author wrote it, shortened if it is long."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _INPUT_LENGTH_MAX else f"{text[:_INPUT_LENGTH_MAX]}..."
