"""docs/spec.md: every field of our kinds, as the definitions have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from whisper_operator.crd.definition import API_VERSION, KINDS, Kind, definition

Schema = dict[str, Any]

HEAD = f"""# The kinds of `{API_VERSION}`

Written by `make generate` from the operator's models, as the definitions in [manifests/crds](../manifests/crds) are.
What it means to run them is in [whisper-servers.md](whisper-servers.md) and [install.md](install.md); samples are in
[manifests/samples](../manifests/samples). `kubectl explain` tells the same.
"""


def reference_text() -> str:
    return "\n".join([HEAD, *(line for kind in KINDS for line in _kind_lines(kind))])


def _kind_lines(kind: Kind) -> Iterator[str]:
    schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    yield f"## {kind.kind}\n"
    yield f"{schema['description']} Short: `{'`, `'.join(kind.short_names)}`.\n"
    for part in ("spec", "status"):
        yield f"### {kind.kind}: {part}\n"
        yield "| field | type | what it is |"
        yield "|---|---|---|"
        yield from (_row(*field) for field in _fields(schema["properties"][part]))
        yield ""
    rules = list(_rules(schema["properties"]["spec"], ""))
    if rules:
        yield f"### {kind.kind}: refused at apply\n"
        yield from (f"- {place}: {message}" for place, message in rules)
        yield ""


def _fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Path, schema, and whether it must be given."""
    required = schema.get("required", ())
    for name, part in schema.get("properties", {}).items():
        yield f"{path}{name}", part, name in required
        yield from _fields(part, f"{path}{name}.")
        yield from _fields(part.get("items", {}), f"{path}{name}[].")


def _row(path: str, schema: Schema, is_required: bool) -> str:
    # Defaults stand in the descriptions already, for kubectl explain.
    meaning = ("Required. " if is_required else "") + schema["description"]
    cells = (f"`{path}`", _type(schema), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema['items'])}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"map of {_type(schema['additionalProperties'])}"
        case kind:
            return f"{kind}{_bounds(schema)}"


def _bounds(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    return f", at least {least}" if least is not None else f", at most {most}" if most is not None else ""


def _rules(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for found in schema.get("x-kubernetes-validations", ()):
        yield (f"`{path}`" if path else "the whole"), found["message"]
    for name, part in schema.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        yield from _rules(part, inner)
        yield from _rules(part.get("items", {}), f"{inner}[]")
