"""The catalogue of WhisperServers and WhisperModels."""

from __future__ import annotations

import yaml
from tests.e2e.rendered.charts import CHARTS, conforms, rendered


def test_the_catalogue_makes_the_servers_that_are_switched_on(helm, tools, schemas):
    entries = yaml.safe_load((CHARTS / "whisper-servers" / "values.yaml").read_text())["servers"]
    assert rendered(helm, {}, "whisper-servers") == []
    values = {"servers": {name: {"enabled": True} for name in entries}}
    assert {each["metadata"]["name"] for each in rendered(helm, values, "whisper-servers")} == set(entries)
    conforms(helm("template", values, chart="whisper-servers").stdout, tools, schemas)


def test_the_catalogue_makes_the_models_that_are_described(helm, tools, schemas):
    models = {
        "large": {"enabled": True, "spec": {"source": {"name": "large-v3"}}},
        "off": {"enabled": False, "spec": {}},
    }
    (made,) = rendered(helm, {"models": models}, "whisper-servers")
    assert (made["kind"], made["metadata"]["name"]) == ("WhisperModel", "large")
    conforms(helm("template", {"models": models}, chart="whisper-servers").stdout, tools, schemas)
    bare = {"models": {"large": {"enabled": True, "spec": {"cache": {}}}}}
    answer = helm("template", bare, chart="whisper-servers")
    assert "models.large is enabled and has no source" in answer.stderr


def test_a_server_without_a_model_is_refused_with_a_sentence(helm):
    answer = helm("template", {"servers": {"mine": {"enabled": True, "spec": {"slots": 2}}}}, chart="whisper-servers")
    assert "servers.mine is enabled and names no model" in answer.stderr
