"""What a WhisperServer is made into."""

import json

import pytest
from whisper_server_objects import (
    NOTHING,
    children,
    environment,
    pod_spec,
    server,
    settings,
    worker,
)

from whisper_dispatcher.worker.settings import WorkerSettings
from whisper_operator.children import desired_children
from whisper_operator.rollouts import stamped
from whisper_operator.volume import model_volume

OWNER = {
    "apiVersion": "whisperfleet.dev/v1alpha1",
    "kind": "WhisperServer",
    "name": "demo",
    "uid": "u-1",
    "controller": True,
    "blockOwnerDeletion": True,
}
LABELS = {
    "app.kubernetes.io/name": "whisper-server",
    "app.kubernetes.io/instance": "demo",
    "app.kubernetes.io/component": "worker",
    "app.kubernetes.io/managed-by": "whisper-operator",
    "app.kubernetes.io/part-of": "whisperfleet",
}
SELECTOR = {name: LABELS[name] for name in list(LABELS)[:3]}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def test_the_deployment_of_the_demo_model_as_a_whole():
    spec = {"cache": {"size": "64Mi"}, "resources": {"requests": {"cpu": "1500m", "memory": "256Mi"}}}
    secret = [
        {
            "name": f"WHISPERFLEET_NATS_{key.upper()}",
            "valueFrom": {"secretKeyRef": {"name": "demo-nats", "key": key, "optional": True}},
        }
        for key in ("user", "password")
    ]
    ready = {"httpGet": {"path": "/readyz", "port": "http-worker"}}
    assert children(spec)["Deployment"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "demo", "namespace": "speech", "labels": LABELS, "ownerReferences": [OWNER]},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 1800,
            "selector": {"matchLabels": SELECTOR},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": stamped(
                {
                    "metadata": {"labels": LABELS},
                    "spec": {
                        "automountServiceAccountToken": False,
                        "enableServiceLinks": False,
                        "securityContext": POD_SECURITY,
                        "terminationGracePeriodSeconds": 165,
                        "containers": [
                            {
                                "name": "worker",
                                "image": "worker:cpu",
                                "imagePullPolicy": "IfNotPresent",
                                "env": [
                                    {"name": "WHISPERFLEET_NATS_URL", "value": "nats://nats.whisperfleet:4222"},
                                    {"name": "WHISPERFLEET_LOG_JSON", "value": "true"},
                                    {"name": "WHISPERFLEET_MODEL", "value": "demo.en"},
                                    {"name": "WHISPERFLEET_MODEL_PATH", "value": "/models/ggml-demo.en-q5_0.bin"},
                                    {"name": "WHISPERFLEET_SLOTS", "value": "1"},
                                    {"name": "WHISPERFLEET_LANGUAGE", "value": "auto"},
                                    {"name": "WHISPERFLEET_SERVER_ARGS", "value": "[]"},
                                    {"name": "WHISPERFLEET_WINDOW_TIMEOUT_S", "value": "120"},
                                    {"name": "WHISPERFLEET_DRAIN_S", "value": "150"},
                                    {"name": "WHISPERFLEET_PROBE_PORT", "value": "8080"},
                                    {"name": "WHISPERFLEET_MODEL_VERIFIED", "value": "true"},
                                    {"name": "WHISPERFLEET_THREADS", "value": "2"},
                                    *secret,
                                    {
                                        "name": "WHISPERFLEET_PROBE_HOST",
                                        "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
                                    },
                                    {"name": "HOME", "value": "/tmp"},
                                ],
                                "ports": [{"name": "http-worker", "containerPort": 8080, "protocol": "TCP"}],
                                "resources": {"requests": {"cpu": "1500m", "memory": "256Mi"}},
                                "securityContext": CONTAINER_SECURITY,
                                "terminationMessagePolicy": "FallbackToLogsOnError",
                                "volumeMounts": [
                                    {"name": "model", "mountPath": "/models", "readOnly": True},
                                    {"name": "tmp", "mountPath": "/tmp"},
                                ],
                                "startupProbe": ready
                                | {"periodSeconds": 1, "failureThreshold": 900, "timeoutSeconds": 1},
                                "readinessProbe": ready
                                | {"periodSeconds": 5, "failureThreshold": 2, "timeoutSeconds": 2},
                                "livenessProbe": {
                                    "httpGet": {"path": "/healthz", "port": "http-worker"},
                                    "periodSeconds": 10,
                                    "failureThreshold": 6,
                                    "timeoutSeconds": 5,
                                },
                            }
                        ],
                        "volumes": [
                            {"name": "model", "persistentVolumeClaim": {"claimName": "demo-model"}},
                            {"name": "tmp", "emptyDir": {}},
                        ],
                    },
                }
            ),
        },
    }


def test_the_download_job_as_a_whole():
    job = children(observed=NOTHING)["Job"]
    labels = LABELS | {"app.kubernetes.io/component": "download"}
    name = job["metadata"]["name"]
    assert name.startswith("demo-fetch-") and len(name) == len("demo-fetch-") + 6
    assert job == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "speech", "labels": labels, "ownerReferences": [OWNER]},
        "spec": {
            "backoffLimit": 1_000_000,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": POD_SECURITY,
                    "restartPolicy": "OnFailure",
                    "containers": [
                        {
                            "name": "fetch",
                            "image": "models:1",
                            "imagePullPolicy": "IfNotPresent",
                            "args": ["fetch", "demo.en", "--json", "--dir", "/models"],
                            "env": [{"name": "HOME", "value": "/tmp"}],
                            "resources": {
                                "requests": {"cpu": "100m", "memory": "128Mi"},
                                "limits": {"memory": "512Mi"},
                            },
                            "securityContext": CONTAINER_SECURITY,
                            "terminationMessagePolicy": "FallbackToLogsOnError",
                            "volumeMounts": [
                                {"name": "model", "mountPath": "/models"},
                                {"name": "tmp", "mountPath": "/tmp"},
                            ],
                        }
                    ],
                    "volumes": [
                        {"name": "model", "persistentVolumeClaim": {"claimName": "demo-model"}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    }


def test_a_retained_claim_has_no_owner_and_everything_else_has():
    found = children({"cache": {"retention": "Retain"}}, NOTHING)
    owned = {kind for kind, child in found.items() if child["metadata"].get("ownerReferences") == [OWNER]}
    assert set(found) - owned == {"PersistentVolumeClaim"}


def test_a_server_of_one_pod_needs_no_disruption_budget():
    assert set(children(observed=NOTHING)) == {
        "Secret",
        "Service",
        "PersistentVolumeClaim",
        "Job",
        "NetworkPolicy",
        "Deployment",
    }


def test_more_than_one_pod_gets_a_disruption_budget():
    assert children({"replicas": 2})["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert "PodDisruptionBudget" in children({"autoscaling": {"maxReplicas": 2}})
    assert "PodDisruptionBudget" not in children({"replicas": 2, "podDisruptionBudget": {"enabled": False}})


def test_every_variable_of_the_operator_is_one_that_the_worker_reads():
    spec = {
        "server": {"threads": 3},
        "goldenClip": {"clip": {"name": "clip", "key": "a.wav"}, "text": "a b"},
    }
    names = [
        name.removeprefix("WHISPERFLEET_").lower() for name in environment(spec) if name.startswith("WHISPERFLEET")
    ]
    assert set(names) <= set(WorkerSettings.model_fields)


def test_the_server_arguments_are_what_the_worker_parses():
    spec = {"server": {"beamSize": 5, "flashAttention": False, "extraArgs": ["-nf"]}}
    arguments = json.loads(environment(spec)["WHISPERFLEET_SERVER_ARGS"])
    assert arguments == ["--beam-size", "5", "--no-flash-attn", "-nf"]


def test_a_device_is_a_limit_and_only_the_worker_gets_it():
    spec = {"accelerator": {"vendor": "nvidia", "count": 2}, "resources": {"limits": {"memory": "8Gi"}}}
    assert worker(spec)["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": "2"}
    assert worker(spec)["image"] == "worker:cuda"


def test_a_resource_of_its_own_name_stands_for_a_part_of_a_device():
    spec = {"accelerator": {"vendor": "nvidia", "resourceName": "nvidia.com/mig-1g.5gb"}}
    assert worker(spec)["resources"]["limits"] == {"nvidia.com/mig-1g.5gb": "1"}


@pytest.mark.parametrize(
    ("spec", "update"),
    [
        ({"cache": {"accessMode": "ReadWriteMany"}}, {"maxSurge": 1, "maxUnavailable": 0}),
        ({"cache": {"accessMode": "ReadWriteOnce"}}, {"maxSurge": 0, "maxUnavailable": 1}),
        ({"cache": {"mode": "PerPod"}}, {"maxSurge": 1, "maxUnavailable": 0}),
        ({"cache": {"mode": "PerPod"}, "accelerator": {"vendor": "amd"}}, {"maxSurge": 0, "maxUnavailable": 1}),
        (
            {"cache": {"mode": "PerPod"}, "accelerator": {"vendor": "amd", "shared": True}},
            {"maxSurge": 1, "maxUnavailable": 0},
        ),
        ({"rollout": {"maxSurge": "50%"}}, {"maxSurge": "50%", "maxUnavailable": 0}),
        ({"rollout": {"maxSurge": 0, "maxUnavailable": 0}}, {"maxSurge": 0, "maxUnavailable": 1}),
    ],
)
def test_a_rollout_starts_new_pods_first_only_where_two_fit(spec, update):
    assert children(spec)["Deployment"]["spec"]["strategy"]["rollingUpdate"] == update


def test_the_secret_holds_what_the_workers_log_in_with():
    assert children()["Secret"]["data"] == {"user": "d29ya2Vy", "password": "c2VjcmV0"}


def test_the_policy_lets_probes_in_and_the_queue_out_and_no_more():
    policy = children()["NetworkPolicy"]["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "http-worker", "protocol": "TCP"}]}]
    assert policy["egress"][1] == {"ports": [{"port": 4222, "protocol": "TCP"}]}


def test_the_policy_lets_every_address_of_the_queue_out():
    policy = children(nats_url="tls://a.example.com:5222,wss://b.example.com")["NetworkPolicy"]["spec"]
    assert policy["egress"][1] == {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 5222, "protocol": "TCP"}]}


def test_pods_that_fetch_their_model_themselves_may_reach_its_source():
    spec = {"cache": {"mode": "Ephemeral"}, "model": {"name": "tiny", "mirror": "http://mirror:8081/m"}}
    assert [port["port"] for port in children(spec)["NetworkPolicy"]["spec"]["egress"][1]["ports"]] == [443, 4222, 8081]


def test_a_patch_adds_to_the_pod_and_takes_no_selector_label_away():
    patch = {
        "metadata": {"labels": {"team": "a", "app.kubernetes.io/instance": "x"}},
        "spec": {"securityContext": {"supplementalGroups": [44], "runAsUser": 1000}},
    }
    template = children({"podTemplatePatch": patch})["Deployment"]["spec"]["template"]
    assert template["metadata"]["labels"] == LABELS | {"team": "a"}
    assert template["spec"]["securityContext"] == POD_SECURITY | {"supplementalGroups": [44], "runAsUser": 1000}


def test_the_golden_clip_is_mounted_where_the_worker_is_told():
    spec = {"goldenClip": {"clip": {"name": "clips", "key": "a.wav"}, "text": "a b", "maxWordErrorRate": 0}}
    found = environment(spec)
    assert found["WHISPERFLEET_GOLDEN_CLIP"] == "/golden/a.wav"
    assert found["WHISPERFLEET_GOLDEN_MAX_WORD_ERROR_RATE"] == "0.0"
    assert {"name": "golden-clip", "configMap": {"name": "clips"}} in pod_spec(spec)["volumes"]


def test_a_pod_that_must_go_is_given_the_time_that_a_window_may_take():
    long = {"server": {"windowTimeoutSeconds": 600}}
    assert pod_spec(long)["terminationGracePeriodSeconds"] > 600
    assert pod_spec(long | {"drain": {"timeoutSeconds": 900}})["terminationGracePeriodSeconds"] > 900


def test_slots_share_the_cores_of_the_pod():
    spec = {"slots": 2, "resources": {"requests": {"cpu": "8"}}}
    assert environment(spec)["WHISPERFLEET_THREADS"] == "4"


def test_a_pod_monitor_is_made_only_where_the_cluster_knows_it():
    spec = {"monitoring": {"podMonitor": True, "labels": {"release": "prom"}}}
    assert "PodMonitor" not in children(spec)
    assert children(spec, pod_monitors=True)["PodMonitor"]["metadata"]["labels"]["release"] == "prom"


@pytest.mark.parametrize("length", [1, 50])
def test_every_name_and_label_has_at_most_63_characters(length):
    found = server(name="a" * length)
    wanted = desired_children(found, model_volume(found), NOTHING, settings())
    names = [child["metadata"]["name"] for child in wanted]
    values = [value for child in wanted for value in child["metadata"]["labels"].values()]
    assert max(map(len, names + values)) <= 63
    assert len(set(names)) > 1
