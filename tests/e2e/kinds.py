"""The API server's own description of its kinds, as kubeconform reads it: one file each, and no unknown field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

TEMPLATE = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_PREFIX = "#/definitions/"


def write_schemas(openapi: Schema, folder: Path) -> str:
    """openapi: what the API server has at /openapi/v2. Returns kubeconform's schema location."""
    definitions = {name: _strict(name, schema) for name, schema in openapi["definitions"].items()}
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            # kubeconform takes the version for the group that the core has none of.
            file = f"{kind['group'] or kind['version']}_{kind['version']}_{kind['kind'].lower()}.json"
            needed = _reached(name, definitions)
            content = {"$ref": _PREFIX + name, "definitions": {each: definitions[each] for each in needed}}
            (folder / file).write_text(json.dumps(content))
    return f"{folder}/{TEMPLATE}"


def _strict(name: str, schema: Schema) -> Schema:
    if name == _QUANTITY:
        return {"type": ["string", "number"]}
    return _closed(schema)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "integer"]}
    found = {key: _closed(value) for key, value in schema.items() if key != "properties"}
    if "properties" not in schema:
        return found
    # Names of fields, which may read like words of the schema language.
    found["properties"] = {name: _closed(part) for name, part in schema["properties"].items()}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    return found if is_open else found | {"additionalProperties": False}


def _reached(start: str, definitions: dict[str, Schema]) -> set[str]:
    found, left = set(), [start]
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            left += _references(definitions[name])
    return found


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for part in schema for name in _references(part)]
    if not isinstance(schema, dict):
        return []
    own = schema.get("$ref")
    here = [own.removeprefix(_PREFIX)] if isinstance(own, str) else []
    return here + [name for part in schema.values() for name in _references(part)]
