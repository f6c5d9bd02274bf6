"""What the API server refuses at apply, and with which sentence."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.objects import Objects

HTTP = {"url": "https://models.example/a.bin", "sha256": "0" * 64}
SCHEDULE = {"name": "office", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "minReplicas": 1}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no source": ({"model": {}}, "give exactly one of name, http, huggingFace, s3, claim and whisperModel"),
    "two sources": (
        {"model": {"name": "tiny", "http": HTTP}},
        "give exactly one of name, http, huggingFace, s3, claim and whisperModel",
    ),
    "an unknown model": ({"model": {"name": "tinny"}}, "spec.model.name"),
    "a checksum that is none": ({"model": {"http": HTTP | {"sha256": "abc"}}}, "spec.model.http.sha256"),
    "no checksum": ({"model": {"http": {"url": HTTP["url"]}}}, "spec.model.http.sha256"),
    "an address that is none": ({"model": {"http": HTTP | {"url": "ftp://a"}}}, "spec.model.http.url"),
    "a mirror without a name": ({"model": {"http": HTTP, "mirror": "https://m"}}, "mirror goes with name"),
    "a bucket without a checksum": ({"model": {"s3": {"bucket": "b", "key": "k"}}}, "spec.model.s3.sha256"),
    "a bucket that is none": (
        {"model": {"s3": {"bucket": "b/c", "key": "k", "sha256": "0" * 64}}},
        "spec.model.s3.bucket",
    ),
    "a volume of its own beside a shared model": (
        {"model": {"whisperModel": {"name": "m"}}, "queue": {"name": "q"}, "cache": {"size": "1Gi"}},
        "cache goes with a model that is downloaded",
    ),
    "no queue's name": ({"model": {"http": HTTP}, "queue": {}}, "queue.name"),
    "a claim's name without its mode": ({"cache": {"claimName": "c"}}, "claimName goes with mode ExistingClaim"),
    "a mode without a claim's name": ({"cache": {"mode": "ExistingClaim"}}, "mode ExistingClaim needs claimName"),
    "an unknown mode": ({"cache": {"mode": "Shared"}}, "spec.cache.mode"),
    "a size that is none": ({"cache": {"size": "much"}}, "spec.cache.size"),
    "no kind of accelerator": ({"accelerator": {"count": 1}}, "give vendor or resourceName"),
    "an unknown vendor": ({"accelerator": {"vendor": "acme"}}, "spec.accelerator.vendor"),
    "no slot": ({"slots": 0}, "spec.slots"),
    "fewer than no pods": ({"replicas": -1}, "spec.replicas"),
    "more at least than at most": (
        {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
        "minReplicas must not exceed maxReplicas",
    ),
    "no most": ({"autoscaling": {}}, "spec.autoscaling.maxReplicas"),
    "a schedule for more than at most": (
        {"autoscaling": {"maxReplicas": 2, "schedules": [SCHEDULE | {"minReplicas": 3}]}},
        "a schedule's minReplicas must not exceed maxReplicas",
    ),
    "a schedule that is no time": (
        {"autoscaling": {"maxReplicas": 2, "schedules": [SCHEDULE | {"end": "at noon"}]}},
        "spec.autoscaling.schedules[0].end",
    ),
    "a schedule that ends as it begins": (
        {"autoscaling": {"maxReplicas": 2, "schedules": [SCHEDULE | {"end": SCHEDULE["start"]}]}},
        "start and end must not be the same",
    ),
    "two schedules of one name": (
        {"autoscaling": {"maxReplicas": 2, "schedules": [SCHEDULE, SCHEDULE]}},
        "spec.autoscaling.schedules[1]",
    ),
    "a language that is none": ({"server": {"language": "English"}}, "spec.server.language"),
    "an argument of ours": ({"server": {"extraArgs": ["--port", "1"]}}, "are set by the operator"),
    "a variable of ours": (
        {"env": [{"name": "WHISPERFLEET_MODEL", "value": "x"}]},
        "names that begin with WHISPERFLEET_ are set by the operator",
    ),
    "a variable without a value": ({"env": [{"name": "A"}]}, "give either value or valueFrom"),
    "user 0": ({"podTemplatePatch": {"spec": {"securityContext": {"runAsUser": 0}}}}, "runAsUser"),
    "a queue that is no name": ({"queue": {"name": "a b"}}, "spec.queue.name"),
    "a wrong type": ({"suspend": "yes"}, "spec.suspend"),
}


def server(spec: dict[str, Any], name: str = "bad") -> dict[str, Any]:
    return {
        "apiVersion": "whisperfleet.dev/v1alpha1",
        "kind": "WhisperServer",
        "metadata": {"name": name},
        "spec": {"model": {"name": "demo.en"}} | spec,
    }


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_object_is_refused_with_a_sentence_that_names_the_field(what: str, shared_namespace: Objects) -> None:
    spec, sentence = REFUSED[what]
    assert sentence in shared_namespace.refusal(server(spec))


@pytest.mark.parametrize(("name", "sentence"), [("9lives", "must begin with a letter"), ("a" * 51, "at most 50")])
def test_a_name_that_children_cannot_bear_is_refused(name: str, sentence: str, shared_namespace: Objects) -> None:
    assert sentence in shared_namespace.refusal(server({}, name))


REFUSED_MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "no source": ({"source": {}}, "give exactly one of name, http, huggingFace and s3"),
    "two sources": ({"source": {"name": "tiny", "http": HTTP}}, "give exactly one of name, http, huggingFace and s3"),
    "a volume that is there already": (
        {"source": {"claim": {"name": "c", "path": "m"}}},
        'unknown field "spec.source.claim"',
    ),
    "a mode that no download can write to": (
        {"source": {"name": "tiny"}, "cache": {"accessMode": "ReadOnlyMany"}},
        "spec.cache.accessMode",
    ),
    "a size that is none": ({"source": {"name": "tiny"}, "cache": {"size": "much"}}, "spec.cache.size"),
}


@pytest.mark.parametrize("what", REFUSED_MODELS)
def test_a_bad_model_is_refused_with_a_sentence_that_names_the_field(what: str, shared_namespace: Objects) -> None:
    spec, sentence = REFUSED_MODELS[what]
    manifest = server({}) | {"kind": "WhisperModel", "spec": spec}
    assert sentence in shared_namespace.refusal(manifest)


def test_an_unknown_field_is_named(shared_namespace: Objects) -> None:
    assert 'unknown field "spec.modle"' in shared_namespace.refusal(server({"modle": {}}))


def test_every_field_is_explained(shared_namespace: Objects) -> None:
    explained = shared_namespace.kubectl("explain", "whisperserver.spec", "--recursive")
    assert "pendingWindowsPerReplica" in explained
    one = shared_namespace.kubectl("explain", "whisperserver.spec.autoscaling.pendingWindowsPerReplica")
    assert "at most 30 s of audio" in " ".join(one.split())
