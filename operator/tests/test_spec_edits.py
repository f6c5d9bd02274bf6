"""Every field of a WhisperServer reaches what is made of it: a table of edits and of what they change."""

import json
import types
import typing
from datetime import UTC, datetime

import pytest
from whisper_server_objects import body, server, settings, with_model

from whisper_operator.children import desired_children
from whisper_operator.crd.fields import Shape
from whisper_operator.crd.whisper_server import WhisperServerSpec
from whisper_operator.queue_use import queue_use
from whisper_operator.scaling import Load, Needs, needed_pods, scaled
from whisper_operator.server import parse_server
from whisper_operator.volume import model_volume

GPU = {"vendor": "nvidia"}
CLIP = {"clip": {"name": "clips", "key": "a.wav"}, "text": "one two"}
PEER = [{"ports": [{"port": 9999}]}]
WITH_SURGE = {"accessMode": "ReadWriteMany"}
MONITORED = {"podMonitor": True}

# Field → what the server had before, the edit, the kind of child that it changes, and what is then written there.
EDITS = {
    "model": ({}, {"model": {"name": "tiny.en"}}, "Deployment", "/models/ggml-tiny.en.bin"),
    "queue.name": ({}, {"queue": {"name": "other"}}, "Deployment", '"value": "other"'),
    "cache.mode": ({}, {"cache": {"mode": "Ephemeral"}}, "Deployment", '"emptyDir": {}, "name": "model"'),
    "cache.claimName": (
        {"cache": {"mode": "ExistingClaim", "claimName": "a"}},
        {"cache": {"mode": "ExistingClaim", "claimName": "b"}},
        "Deployment",
        '"claimName": "b"',
    ),
    "cache.size": ({}, {"cache": {"size": "9Gi"}}, "PersistentVolumeClaim", '"storage": "9Gi"'),
    "cache.storageClassName": ({}, {"cache": {"storageClassName": "fast"}}, "PersistentVolumeClaim", '"fast"'),
    "cache.accessMode": ({}, {"cache": {"accessMode": "ReadWriteMany"}}, "PersistentVolumeClaim", "ReadWriteMany"),
    "cache.retention": ({"cache": {"retention": "Retain"}}, {"cache": {}}, "PersistentVolumeClaim", "ownerReferences"),
    "accelerator.vendor": ({}, {"accelerator": {"vendor": "amd"}}, "Deployment", "amd.com/gpu"),
    "accelerator.resourceName": (
        {"accelerator": GPU},
        {"accelerator": GPU | {"resourceName": "nvidia.com/mig-1g.5gb"}},
        "Deployment",
        "nvidia.com/mig-1g.5gb",
    ),
    "accelerator.count": (
        {"accelerator": GPU},
        {"accelerator": GPU | {"count": 2}},
        "Deployment",
        '"nvidia.com/gpu": "2"',
    ),
    "accelerator.required": (
        {"accelerator": GPU | {"required": False}},
        {"accelerator": GPU},
        "Deployment",
        "WHISPERFLEET_GPU_REQUIRED",
    ),
    "accelerator.shared": (
        {"accelerator": GPU, "cache": WITH_SURGE},
        {"accelerator": GPU | {"shared": True}, "cache": WITH_SURGE},
        "Deployment",
        '"maxSurge": 1',
    ),
    "accelerator.runtimeClassName": (
        {"accelerator": GPU},
        {"accelerator": GPU | {"runtimeClassName": "nvidia"}},
        "Deployment",
        '"runtimeClassName": "nvidia"',
    ),
    "slots": ({}, {"slots": 3}, "Deployment", '"WHISPERFLEET_SLOTS", "value": "3"'),
    "server.language": ({}, {"server": {"language": "de"}}, "Deployment", '"WHISPERFLEET_LANGUAGE", "value": "de"'),
    "server.threads": ({}, {"server": {"threads": 7}}, "Deployment", '"WHISPERFLEET_THREADS", "value": "7"'),
    "server.beamSize": ({}, {"server": {"beamSize": 4}}, "Deployment", "--beam-size"),
    "server.bestOf": ({}, {"server": {"bestOf": 4}}, "Deployment", "--best-of"),
    "server.flashAttention": ({}, {"server": {"flashAttention": False}}, "Deployment", "--no-flash-attn"),
    "server.windowTimeoutSeconds": ({}, {"server": {"windowTimeoutSeconds": 77}}, "Deployment", '"value": "77"'),
    "server.extraArgs": ({}, {"server": {"extraArgs": ["--no-fallback"]}}, "Deployment", "--no-fallback"),
    "replicas": ({}, {"replicas": 0}, "Deployment", '"replicas": 0'),
    "suspend": ({}, {"suspend": True}, "Deployment", '"replicas": 0'),
    "image": ({}, {"image": "mine:1"}, "Deployment", '"image": "mine:1"'),
    "imagePullPolicy": ({}, {"imagePullPolicy": "Always"}, "Deployment", '"imagePullPolicy": "Always"'),
    "imagePullSecrets": ({}, {"imagePullSecrets": ["pull"]}, "Deployment", '"imagePullSecrets": [{"name": "pull"}]'),
    "env": ({}, {"env": [{"name": "SAID", "value": "so"}]}, "Deployment", '{"name": "SAID", "value": "so"}'),
    "resources.requests": ({}, {"resources": {"requests": {"memory": "9Gi"}}}, "Deployment", '"memory": "9Gi"'),
    "resources.limits": ({}, {"resources": {"limits": {"memory": "9Gi"}}}, "Deployment", '"memory": "9Gi"'),
    "nodeSelector": ({}, {"nodeSelector": {"disk": "fast"}}, "Deployment", '"nodeSelector": {"disk": "fast"}'),
    "affinity": ({}, {"affinity": {"nodeAffinity": {}}}, "Deployment", "nodeAffinity"),
    "tolerations": ({}, {"tolerations": [{"key": "gpu"}]}, "Deployment", '"tolerations": [{"key": "gpu"}]'),
    "topologySpreadConstraints": (
        {},
        {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}]},
        "Deployment",
        '"topologyKey": "zone"',
    ),
    "priorityClassName": ({}, {"priorityClassName": "high"}, "Deployment", '"priorityClassName": "high"'),
    "schedulerName": ({}, {"schedulerName": "volcano"}, "Deployment", '"schedulerName": "volcano"'),
    "serviceAccountName": ({}, {"serviceAccountName": "speech"}, "Deployment", '"serviceAccountName": "speech"'),
    "rollout.maxSurge": ({}, {"rollout": {"maxSurge": "50%"}}, "Deployment", '"maxSurge": "50%"'),
    "rollout.maxUnavailable": ({}, {"rollout": {"maxUnavailable": 2}}, "Deployment", '"maxUnavailable": 2'),
    "rollout.progressDeadlineSeconds": (
        {},
        {"rollout": {"progressDeadlineSeconds": 99}},
        "Deployment",
        '"progressDeadlineSeconds": 99',
    ),
    "drain.timeoutSeconds": (
        {},
        {"drain": {"timeoutSeconds": 33}},
        "Deployment",
        '"WHISPERFLEET_DRAIN_S", "value": "33"',
    ),
    "probes.startupSeconds": ({}, {"probes": {"startupSeconds": 77}}, "Deployment", '"failureThreshold": 77'),
    "probes.readinessPeriodSeconds": (
        {},
        {"probes": {"readinessPeriodSeconds": 77}},
        "Deployment",
        '"periodSeconds": 77',
    ),
    "probes.livenessPeriodSeconds": (
        {},
        {"probes": {"livenessPeriodSeconds": 77}},
        "Deployment",
        '"periodSeconds": 77',
    ),
    "probes.livenessFailures": ({}, {"probes": {"livenessFailures": 77}}, "Deployment", '"failureThreshold": 77'),
    "goldenClip.clip.name": (
        {"goldenClip": CLIP},
        {"goldenClip": CLIP | {"clip": {"name": "more", "key": "a.wav"}}},
        "Deployment",
        '"configMap": {"name": "more"}',
    ),
    "goldenClip.clip.key": (
        {"goldenClip": CLIP},
        {"goldenClip": CLIP | {"clip": {"name": "clips", "key": "b.wav"}}},
        "Deployment",
        "/golden/b.wav",
    ),
    "goldenClip.text": (
        {"goldenClip": CLIP},
        {"goldenClip": CLIP | {"text": "three"}},
        "Deployment",
        '"value": "three"',
    ),
    "goldenClip.maxWordErrorRate": (
        {"goldenClip": CLIP},
        {"goldenClip": CLIP | {"maxWordErrorRate": 0.5}},
        "Deployment",
        '"value": "0.5"',
    ),
    "networkPolicy.enabled": (
        {"networkPolicy": {"enabled": False}},
        {"networkPolicy": {}},
        "NetworkPolicy",
        '"kind": "NetworkPolicy"',
    ),
    "networkPolicy.extraIngress": ({}, {"networkPolicy": {"extraIngress": PEER}}, "NetworkPolicy", "9999"),
    "networkPolicy.extraEgress": ({}, {"networkPolicy": {"extraEgress": PEER}}, "NetworkPolicy", "9999"),
    "podDisruptionBudget.enabled": (
        {"replicas": 2, "podDisruptionBudget": {"enabled": False}},
        {"podDisruptionBudget": {}},
        "PodDisruptionBudget",
        '"maxUnavailable": 1',
    ),
    "podDisruptionBudget.maxUnavailable": (
        {"replicas": 2},
        {"replicas": 2, "podDisruptionBudget": {"maxUnavailable": "25%"}},
        "PodDisruptionBudget",
        '"maxUnavailable": "25%"',
    ),
    "monitoring.podMonitor": ({}, {"monitoring": MONITORED}, "PodMonitor", '"kind": "PodMonitor"'),
    "monitoring.labels": (
        {"monitoring": MONITORED},
        {"monitoring": MONITORED | {"labels": {"release": "prom"}}},
        "PodMonitor",
        '"release": "prom"',
    ),
    "monitoring.intervalSeconds": (
        {"monitoring": MONITORED},
        {"monitoring": MONITORED | {"intervalSeconds": 77}},
        "PodMonitor",
        '"77s"',
    ),
    "podTemplatePatch.metadata.labels": (
        {},
        {"podTemplatePatch": {"metadata": {"labels": {"team": "a"}}}},
        "Deployment",
        '"team": "a"',
    ),
    "podTemplatePatch.metadata.annotations": (
        {},
        {"podTemplatePatch": {"metadata": {"annotations": {"team": "a"}}}},
        "Deployment",
        '"team": "a"',
    ),
    **{
        f"podTemplatePatch.spec.securityContext.{field}": (
            {},
            {"podTemplatePatch": {"spec": {"securityContext": {field: value}}}},
            "Deployment",
            f'"{field}": {json.dumps(value)}',
        )
        for field, value in {
            "runAsUser": 7,
            "runAsGroup": 7,
            "fsGroup": 7,
            "fsGroupChangePolicy": "Always",
            "supplementalGroups": [44],
        }.items()
    },
    "podTemplatePatch.spec.hostAliases": (
        {},
        {"podTemplatePatch": {"spec": {"hostAliases": [{"ip": "10.0.0.9"}]}}},
        "Deployment",
        '"ip": "10.0.0.9"',
    ),
    "podTemplatePatch.spec.dnsPolicy": (
        {},
        {"podTemplatePatch": {"spec": {"dnsPolicy": "None"}}},
        "Deployment",
        '"dnsPolicy": "None"',
    ),
    "podTemplatePatch.spec.dnsConfig": (
        {},
        {"podTemplatePatch": {"spec": {"dnsConfig": {"nameservers": ["10.0.0.9"]}}}},
        "Deployment",
        '"nameservers": ["10.0.0.9"]',
    ),
}

# Field → what the server had before, the edit, and what it decides beside the children.
DECISIONS = {
    "queue.aliases": ({}, {"queue": {"aliases": ["whisper-1"]}}, lambda spec: queue_use(found(spec)).aliases),
    "queue.languages": ({}, {"queue": {"languages": ["de"]}}, lambda spec: queue_use(found(spec)).languages),
    "queue.default": ({}, {"queue": {"default": True}}, lambda spec: queue_use(found(spec)).is_default),
}
SCALING = {
    "minReplicas": 1,
    "maxReplicas": 2,
    "pendingWindowsPerReplica": 1,
    "scaleUpDelaySeconds": 5,
    "scaleDownDelaySeconds": 60,
    "schedules": [{"name": "a", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 2}],
}


def found(spec):
    return parse_server(body(spec))


def written(spec):
    """By kind, the children as text."""
    made = server(spec)
    children = desired_children(made, model_volume(made), with_model(made), settings(pod_monitors=True))
    return {child["kind"]: json.dumps(child, sort_keys=True) for child in children}


@pytest.mark.parametrize("field", EDITS)
def test_an_edit_of_the_field_changes_what_is_made(field):
    before, edit, kind, words = EDITS[field]
    assert words not in written(before).get(kind, "")
    assert words in written(before | edit)[kind]


@pytest.mark.parametrize("field", DECISIONS)
def test_an_edit_of_the_field_changes_what_the_gateway_is_told(field):
    before, edit, decision = DECISIONS[field]
    assert decision(before) != decision(before | edit)


def pods_over_time(autoscaling):
    """A burst of twelve windows from the 10th to the 20th second."""
    spec = found({"autoscaling": autoscaling}).spec.autoscaling
    needs, pods, told = Needs(since_s=0.0), 0, []
    for at_s in range(200):
        load = Load(12, 0) if 10 <= at_s < 20 else Load()
        needs.add(at_s, needed_pods(spec, load, 1, datetime(2026, 3, 2, 12, tzinfo=UTC)), 100)
        pods = scaled(spec, needs, at_s, pods)
        told.append(pods)
    return told


@pytest.mark.parametrize("field", SCALING)
def test_an_edit_of_the_field_changes_how_many_pods_there_are(field):
    base = {"maxReplicas": 5, "scaleDownDelaySeconds": 100}
    assert pods_over_time(base) != pods_over_time(base | {field: SCALING[field]})


def leaves(shape, prefix=""):
    for field in shape.model_fields.values():
        name = prefix + field.alias
        inner = _shape_of(field.annotation)
        if inner is None or name == "model":  # where a model comes from has tests of its own
            yield name
        else:
            yield from leaves(inner, f"{name}.")


def _shape_of(annotation):
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    shapes = [each for each in options if isinstance(each, type) and issubclass(each, Shape)]
    return shapes[0] if shapes else None


def test_no_field_is_missing_in_these_tables():
    tabled = {*EDITS, *DECISIONS, *(f"autoscaling.{field}" for field in SCALING)}
    assert set(leaves(WhisperServerSpec)) == tabled
