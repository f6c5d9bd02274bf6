from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from whisper_operator.crd.definition import KINDS
from whisper_operator.crd.generate import manifest_text
from whisper_operator.crd.reference import reference_text
from whisper_operator.crd.schema import structural_schema

REPOSITORY = Path(__file__).parents[2]
MAX_CRD_BYTES = 64_000

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def schemas(schema, path=""):
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from schemas(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from schemas(schema[key], f"{path}.{key}")


def parts_of(kind):
    root = yaml.safe_load(manifest_text(kind))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return [(path, part) for path, part in schemas(root) if path != ".metadata"]


@every_kind
def test_the_committed_definition_is_what_the_models_say(kind):
    committed = REPOSITORY / "manifests" / "crds" / f"{kind.plural}.yaml"
    assert committed.read_text() == manifest_text(kind), "run `make generate`"


def test_the_committed_reference_is_what_the_models_say():
    assert (REPOSITORY / "docs" / "spec.md").read_text() == reference_text(), "run `make generate`"


@every_kind
def test_the_reference_names_every_field(kind):
    named = reference_text().partition(f"## {kind.kind}\n")[2].partition("\n## ")[0]
    inner = [path for path, _ in parts_of(kind) if path.count(".") > 1 and "additionalProperties" not in path]
    fields = [path.replace(".items", "[]").split(".", 2)[2] for path in inner if not path.endswith(".items")]
    assert [field for field in fields if f"| `{field}` |" not in named] == []


@every_kind
def test_a_definition_is_small_enough_for_plain_kubectl_apply(kind):
    assert len(manifest_text(kind).encode()) < MAX_CRD_BYTES


@every_kind
def test_every_field_is_documented_for_kubectl_explain(kind):
    fields = [(path, part) for path, part in parts_of(kind) if not path.endswith(("items", "additionalProperties"))]
    assert [path for path, part in fields if not part.get("description")] == []


@every_kind
def test_every_field_has_a_type_so_that_the_schema_is_structural(kind):
    untyped = [
        path for path, part in parts_of(kind) if "type" not in part and not part.get("x-kubernetes-int-or-string")
    ]
    assert untyped == []


@every_kind
def test_every_list_map_and_string_of_a_spec_is_bounded_so_that_rules_stay_cheap(kind):
    unbounded = []
    for path, part in parts_of(kind):
        free = part.get("x-kubernetes-preserve-unknown-fields") or not path.startswith(".spec")
        if free:
            continue
        if part.get("type") == "string" and not (part.keys() & {"maxLength", "enum", "format"}):
            unbounded.append(path)
        if part.get("type") == "array" and "maxItems" not in part:
            unbounded.append(path)
        if "additionalProperties" in part and "maxProperties" not in part:
            unbounded.append(path)
    assert unbounded == []


@every_kind
def test_no_default_is_written_into_stored_objects(kind):
    assert [path for path, part in parts_of(kind) if "default" in part] == []


@every_kind
def test_every_rule_has_a_sentence(kind):
    rules = [rule for _, part in parts_of(kind) for rule in part.get("x-kubernetes-validations", [])]
    assert rules and all(rule["message"] for rule in rules)


def test_a_default_is_told_in_the_description():
    from pydantic import Field

    class Probe(BaseModel):
        period: int = Field(default=5, description="How often.")

    assert structural_schema(Probe)["properties"]["period"] == {
        "type": "integer",
        "description": "How often. Default: 5.",
    }


def test_an_optional_field_is_not_nullable_and_an_exclusive_bound_takes_the_old_form():
    from pydantic import Field

    class Probe(BaseModel):
        share: float | None = Field(default=None, gt=0, description="A share.")

    assert structural_schema(Probe)["properties"]["share"] == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "description": "A share.",
    }


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "manifests" / "samples").glob("*.yaml")), ids=lambda path: path.name
)
def test_a_sample_holds_only_fields_that_exist(path):
    kinds = {kind.kind: kind for kind in KINDS}
    for manifest in yaml.safe_load_all(path.read_text()):
        if manifest["kind"] not in kinds:
            continue
        model = kinds[manifest["kind"]].model
        model.model_validate(manifest)
        known = structural_schema(model)
        assert unknown_fields(manifest["spec"], known["properties"]["spec"]) == []


def unknown_fields(value, schema, path="spec"):
    if schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema:
        return []
    if isinstance(value, dict) and "properties" in schema:
        unknown = [f"{path}.{name}" for name in value if name not in schema["properties"]]
        for name, part in value.items():
            if name in schema["properties"]:
                unknown += unknown_fields(part, schema["properties"][name], f"{path}.{name}")
        return unknown
    if isinstance(value, list) and "items" in schema:
        return [found for part in value for found in unknown_fields(part, schema["items"], f"{path}[]")]
    return []
