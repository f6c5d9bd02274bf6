"""From pydantic's JSON schema to what a CustomResourceDefinition accepts: structural, without references."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]


def structural_schema(model: type[BaseModel]) -> Schema:
    whole = model.model_json_schema(by_alias=True)
    return _convert(whole, whole.get("$defs", {}))


def _convert(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    schema = _resolved(schema, definitions)
    converted: Schema = {}
    for key, value in schema.items():
        converted |= _keyword(key, value, definitions)
    return _with_default_told(converted, schema.get("default"))


def _keyword(key: str, value: Any, definitions: dict[str, Schema]) -> Schema:
    match key:
        case "title" | "$defs" | "default":
            return {}
        case "properties":
            return {key: {name: _convert(part, definitions) for name, part in value.items()}}
        case "items":
            return {key: _convert(value, definitions)}
        case "additionalProperties":
            # `true` and `false` say what a CRD says by listing properties.
            return {key: _convert(value, definitions)} if isinstance(value, dict) else {}
        case "const":
            return {"enum": [value]}
        case "exclusiveMinimum":
            return {"minimum": value, key: True}
        case "exclusiveMaximum":
            return {"maximum": value, key: True}
        case _:
            return {key: value}


def _resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Without `$ref`, and without the null that pydantic adds to whatever may be left out."""
    if reference := schema.get("$ref"):
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _resolved(definitions[reference.rsplit("/", 1)[1]] | rest, definitions)
    # An int-or-string keeps its `anyOf`: it is the one form of it that a structural schema knows.
    if "anyOf" in schema and not schema.get("x-kubernetes-int-or-string"):
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        (only,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return _resolved(only | rest, definitions)
    return schema


def _with_default_told(schema: Schema, default: Any) -> Schema:
    """The default in words. A default in the schema would be written into every stored object and never change again."""
    if default in (None, "") or isinstance(default, dict | list | tuple) or "description" not in schema:
        return schema
    told = default if isinstance(default, str) else json.dumps(default)
    return schema | {"description": f"{schema['description']} Default: {told}."}
