"""Edits of a live WhisperServer: each reaches pods that take work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.objects import Manifest, Objects, own_namespace

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


@pytest.fixture(scope="module")
def served(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """A namespace with the ready server `edited`."""
    with own_namespace(cluster) as objects:
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


def is_ready(pod: Manifest) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_reaches_a_pod_that_takes_work(what: str, served: Objects) -> None:
    patch, holds = EDITS[what]
    served.kubectl("patch", "whisperserver", "edited", "--type=merge", "--patch", json.dumps({"spec": patch}))
    served.wait(
        f"A ready pod has other {what}", lambda: any(map(holds, ready_pods(served))), limit_s=ROLLED_OUT_S, every_s=1
    )


def test_more_replicas_become_pods_and_a_suspended_server_has_none(served: Objects) -> None:
    served.kubectl("scale", "whisperserver", "edited", "--replicas=0")
    served.wait("No pod is left", lambda: not ready_pods(served), limit_s=ROLLED_OUT_S)
    served.kubectl("scale", "whisperserver", "edited", "--replicas=1")
    served.wait("A pod is ready", lambda: len(ready_pods(served)) == 1, limit_s=ROLLED_OUT_S)
    served.kubectl("patch", "whisperserver", "edited", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    served.wait("No pod is left", lambda: not ready_pods(served), limit_s=ROLLED_OUT_S)
    served.wait_reason("edited", "Ready", "Suspended")
