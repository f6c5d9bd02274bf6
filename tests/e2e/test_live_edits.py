"""Edits of a live WhisperServer: each reaches pods that take work."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.objects import Manifest, Objects, own_namespace

from whisper_models.bundled import sample_path

ROLLED_OUT_S = 120.0


def environment(pod: Manifest) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in worker(pod)["env"]}


def worker(pod: Manifest) -> Manifest:
    return next(each for each in pod["spec"]["containers"] if each["name"] == "worker")


EDITS: dict[str, tuple[Manifest, Callable[[Manifest], bool]]] = {
    "server options": (
        {"server": {"beamSize": 3, "threads": 1, "windowTimeoutSeconds": 77}},
        lambda pod: (
            "--beam-size" in environment(pod)["WHISPERFLEET_SERVER_ARGS"]
            and environment(pod)["WHISPERFLEET_THREADS"] == "1"
            and environment(pod)["WHISPERFLEET_WINDOW_TIMEOUT_S"] == "77"
        ),
    ),
    "slots": ({"slots": 2}, lambda pod: environment(pod)["WHISPERFLEET_SLOTS"] == "2"),
    "resources": (
        {"resources": {"requests": {"cpu": "60m", "memory": "96Mi"}, "limits": {"memory": "700Mi"}}},
        lambda pod: worker(pod)["resources"]["limits"] == {"memory": "700Mi"},
    ),
    "environment, drain and probes": (
        {
            "env": [{"name": "SAID", "value": "so"}],
            "drain": {"timeoutSeconds": 33},
            "probes": {"readinessPeriodSeconds": 2},
        },
        lambda pod: (
            environment(pod).get("SAID") == "so"
            and pod["spec"]["terminationGracePeriodSeconds"] > 33
            and worker(pod)["readinessProbe"]["periodSeconds"] == 2
        ),
    ),
    "the servers' language and arguments": (
        {"server": {"language": "en", "bestOf": 2, "flashAttention": False, "extraArgs": ["--no-fallback"]}},
        lambda pod: (
            environment(pod)["WHISPERFLEET_LANGUAGE"] == "en"
            and json.loads(environment(pod)["WHISPERFLEET_SERVER_ARGS"])
            == ["--beam-size", "3", "--best-of", "2", "--no-flash-attn", "--no-fallback"]
        ),
    ),
    "the golden clip": (
        {
            "goldenClip": {
                "clip": {"name": "clips", "key": "a.wav"},
                "text": "hello world one two three",
                "maxWordErrorRate": 0.2,
            }
        },
        lambda pod: environment(pod).get("WHISPERFLEET_GOLDEN_CLIP") == "/golden/a.wav",
    ),
    "users, hosts and names": (
        {
            "imagePullPolicy": "Never",
            "podTemplatePatch": {
                "metadata": {"labels": {"team": "speech"}},
                "spec": {
                    "securityContext": {"runAsUser": 4711, "supplementalGroups": [44]},
                    "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["here"]}],
                    "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
                },
            },
        },
        lambda pod: (
            worker(pod)["imagePullPolicy"] == "Never"
            and pod["metadata"]["labels"].get("team") == "speech"
            and pod["spec"]["securityContext"]["runAsUser"] == 4711
            and pod["spec"]["securityContext"]["supplementalGroups"] == [44]
            and pod["spec"]["hostAliases"][0]["hostnames"] == ["here"]
            and pod["spec"]["dnsConfig"]["options"][0]["name"] == "ndots"
        ),
    ),
    "affinity, spread and startup": (
        {
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
            "serviceAccountName": "default",
            "probes": {"startupSeconds": 600, "livenessPeriodSeconds": 7, "livenessFailures": 9},
        },
        lambda pod: (
            pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"]
            == "edited"
            and "podAntiAffinity" in pod["spec"]["affinity"]
            and worker(pod)["startupProbe"]["failureThreshold"] == 600
            and (worker(pod)["livenessProbe"]["periodSeconds"], worker(pod)["livenessProbe"]["failureThreshold"])
            == (7, 9)
        ),
    ),
    "scheduling and patches": (
        {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "speech", "operator": "Exists"}],
            "podTemplatePatch": {"metadata": {"annotations": {"team": "speech"}}},
        },
        lambda pod: (
            pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
            and any(each.get("key") == "speech" for each in pod["spec"]["tolerations"])
            and pod["metadata"]["annotations"]["team"] == "speech"
        ),
    ),
}


# The edit, and the kind of child that it reaches without a new pod.
BESIDE_PODS: dict[str, tuple[Manifest, str, Callable[[Manifest], bool]]] = {
    "the rollout": (
        {"rollout": {"maxUnavailable": "50%", "progressDeadlineSeconds": 99}},
        "deployment",
        lambda child: (
            child["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == "50%"
            and child["spec"]["progressDeadlineSeconds"] == 99
        ),
    ),
    "more egress": (
        {"networkPolicy": {"extraEgress": [{"ports": [{"port": 9999}]}]}},
        "networkpolicy",
        lambda child: "9999" in json.dumps(child["spec"]["egress"]),
    ),
    "more ingress": (
        {"networkPolicy": {"extraIngress": [{"ports": [{"port": 9998}]}]}},
        "networkpolicy",
        lambda child: "9998" in json.dumps(child["spec"]["ingress"]),
    ),
}


@pytest.fixture(scope="module")
def served(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """A namespace with the ready server `edited`."""
    with own_namespace(cluster) as objects:
        clip = base64.b64encode(sample_path("hello.wav").read_bytes()).decode()
        metadata = {"name": "clips"}
        objects.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": {"a.wav": clip}})
        objects.server("edited")
        objects.wait_ready("edited")
        yield objects


def ready_pods(objects: Objects) -> list[Manifest]:
    """Without those that go."""
    pods = [
        item
        for (kind, _), item in objects.children("edited").items()
        if kind == "Pod" and item["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
    ]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)]


def a_ready_pod(objects: Objects, holds: Callable[[Manifest], bool]) -> bool:
    """Whether one has what `holds` looks for; a pod of before the edit may lack the very field."""
    for pod in ready_pods(objects):
        with suppress(KeyError):
            if holds(pod):
                return True
    return False


def is_ready(pod: Manifest) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_reaches_a_pod_that_takes_work(what: str, served: Objects) -> None:
    patch, holds = EDITS[what]
    served.kubectl("patch", "whisperserver", "edited", "--type=merge", "--patch", json.dumps({"spec": patch}))
    served.wait(f"A ready pod has other {what}", lambda: a_ready_pod(served, holds), limit_s=ROLLED_OUT_S, every_s=1)


@pytest.mark.parametrize("what", BESIDE_PODS)
def test_an_edit_reaches_what_is_beside_the_pods_and_leaves_them_alone(what: str, served: Objects) -> None:
    patch, kind, holds = BESIDE_PODS[what]
    before = [pod["metadata"]["uid"] for pod in ready_pods(served)]
    served.kubectl("patch", "whisperserver", "edited", "--type=merge", "--patch", json.dumps({"spec": patch}))
    served.wait(f"The {kind} follows", lambda: holds(served.existing(kind, "edited")), limit_s=15)
    assert [pod["metadata"]["uid"] for pod in ready_pods(served)] == before


def test_more_replicas_become_pods_and_a_suspended_server_has_none(served: Objects) -> None:
    served.kubectl("scale", "whisperserver", "edited", "--replicas=0")
    served.wait("No pod is left", lambda: not ready_pods(served), limit_s=ROLLED_OUT_S)
    served.kubectl("scale", "whisperserver", "edited", "--replicas=1")
    served.wait("A pod is ready", lambda: len(ready_pods(served)) == 1, limit_s=ROLLED_OUT_S)
    served.kubectl("patch", "whisperserver", "edited", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    served.wait("No pod is left", lambda: not ready_pods(served), limit_s=ROLLED_OUT_S)
    served.wait_reason("edited", "Ready", "Suspended")
