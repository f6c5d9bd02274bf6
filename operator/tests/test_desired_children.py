import json

import pytest
from whisper_server_objects import CREATED, LATER, complete_job, pod, server, settings, with_model

from whisper_dispatcher.worker.settings import WorkerSettings
from whisper_operator.children import desired_children
from whisper_operator.children.worker_pod import queue_name
from whisper_operator.observed import Observed
from whisper_operator.rollouts import Template, revision, stamped
from whisper_operator.volume import ImpossibleCache, model_volume

NOTHING = Observed.of([])
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


def children(spec=None, observed=None, **given):
    found = server(spec)
    seen = with_model(found) if observed is None else observed
    wanted = desired_children(found, model_volume(found), seen, settings(**given))
    return {child["kind"]: child for child in wanted}


def pod_spec(spec=None, **given):
    return children(spec, **given)["Deployment"]["spec"]["template"]["spec"]


def worker(spec=None, **given):
    (container,) = pod_spec(spec, **given)["containers"]
    return container


def environment(spec=None, **given):
    return {variable["name"]: variable.get("value") for variable in worker(spec, **given)["env"]}


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


def test_no_pod_starts_before_its_model_is_there():
    assert (
        children({"cache": {"accessMode": "ReadWriteMany"}, "replicas": 3}, NOTHING)["Deployment"]["spec"]["replicas"]
        == 0
    )


def a_deployment(replicas):
    return {"kind": "Deployment", "metadata": {"name": "demo"}, "spec": {"replicas": replicas}}


def remembered(spec=None):
    """What pods of that spec were ready with."""
    found = server(spec)
    wanted = Template(children(spec)["Deployment"]["spec"]["template"], queue_name(found))
    return revision(found, wanted), wanted.content


def test_a_deployment_scaled_by_hand_gets_no_pods_before_its_model_is_there():
    assert children(observed=Observed.of([a_deployment(3)]))["Deployment"]["spec"]["replicas"] == 0


def test_pods_that_were_ready_while_no_operator_ran_stay_while_another_model_is_fetched():
    ready = pod(conditions=[{"type": "Ready", "status": "True"}])
    assert "Deployment" not in children(observed=Observed.of([a_deployment(1)], [ready]))


def test_the_pods_of_another_queue_stay_while_another_model_is_fetched():
    good, _ = remembered({"queue": {"name": "other"}})
    assert "Deployment" not in children(observed=Observed.of([good, a_deployment(1)]))


@pytest.mark.parametrize("live", [0, 1])
def test_the_old_model_serves_in_as_many_pods_as_are_wanted_while_another_is_fetched(live):
    good, template = remembered()
    edit = {"model": {"name": "tiny.en"}, "queue": {"name": "demo.en"}, "replicas": 3, "cache": {"mode": "PerServer"}}
    edit["cache"]["accessMode"] = "ReadWriteMany"
    made = children(edit, Observed.of([good, a_deployment(live)]))
    assert (made["Deployment"]["spec"]["replicas"], made["Deployment"]["spec"]["template"]) == (3, template)
    assert made["ControllerRevision"]["metadata"]["name"] == good["metadata"]["name"]


def test_a_suspended_server_loses_its_pods_even_while_another_model_is_fetched():
    assert children({"suspend": True}, Observed.of([a_deployment(1)]))["Deployment"]["spec"]["replicas"] == 0


def test_a_download_into_a_claim_that_is_gone_does_not_count():
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "demo-model", "creationTimestamp": LATER},
        "spec": {},
    }
    claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    seen = Observed.of([complete_job(server(), creationTimestamp=CREATED), claim])
    assert children(observed=seen)["Deployment"]["spec"]["replicas"] == 0


def test_another_model_is_another_job():
    names = {
        children({"model": model, "queue": {"name": "x"}}, NOTHING)["Job"]["metadata"]["name"]
        for model in (
            {"name": "demo.en"},
            {"name": "tiny"},
            {"http": {"url": "https://a/b", "sha256": "0" * 64}},
            {"http": {"url": "https://a/b", "sha256": "1" * 64}},
        )
    }
    assert len(names) == 4


def test_another_image_of_the_downloader_is_the_same_job():
    assert (
        children(observed=NOTHING)["Job"]["metadata"]["name"]
        == children(observed=NOTHING, models_image="models:2")["Job"]["metadata"]["name"]
    )


def test_a_hugging_face_file_is_fetched_from_its_revision_with_the_token():
    source = {
        "repository": "a/b",
        "file": "c/d.bin",
        "revision": "v1",
        "tokenSecretRef": {"name": "hf", "key": "token"},
    }
    spec = {"model": {"huggingFace": source}, "queue": {"name": "mine"}}
    (container,) = children(spec, NOTHING)["Job"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["fetch-url", "https://huggingface.co/a/b/resolve/v1/c/d.bin"]
    assert container["env"][-1] == {
        "name": "WHISPER_MODELS_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}},
    }


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


def test_pods_that_cannot_share_a_claim_get_their_own():
    pod = pod_spec({"replicas": 2})
    assert "ephemeral" in pod["volumes"][0]
    assert pod["initContainers"][0]["args"][:2] == ["fetch", "demo.en"]
    assert not {"Job", "PersistentVolumeClaim"} & set(children({"replicas": 2}))


def test_a_claim_that_many_nodes_mount_serves_all_pods():
    spec = {"replicas": 2, "cache": {"accessMode": "ReadWriteMany"}}
    assert children(spec)["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert "initContainers" not in pod_spec(spec)


def test_an_explicit_wish_for_one_claim_that_one_node_mounts_is_refused_for_many_pods():
    spec = {"autoscaling": {"maxReplicas": 4}, "cache": {"mode": "PerServer"}}
    with pytest.raises(ImpossibleCache, match="may be 4 pods"):
        children(spec)


def test_a_model_that_lies_on_a_claim_is_mounted_and_not_fetched():
    spec = {"model": {"claim": {"name": "shared", "path": "m/x.bin"}}, "queue": {"name": "mine"}}
    found = children(spec, NOTHING)
    assert not {"Job", "PersistentVolumeClaim"} & set(found)
    assert found["Deployment"]["spec"]["replicas"] == 1
    assert environment(spec)["WHISPERFLEET_MODEL_PATH"] == "/models/m/x.bin"
    # Nobody has compared its checksum yet.
    assert "WHISPERFLEET_MODEL_VERIFIED" not in environment(spec)


@pytest.mark.parametrize(
    ("model", "size"),
    [("demo.en", "1Gi"), ("large-v3", "6Gi"), ("large-v2-q5_0", "6Gi"), ("medium.en", "3Gi"), ("tiny.en-q8_0", "1Gi")],
)
def test_a_claim_has_room_for_two_versions_of_its_model(model, size):
    claim = children({"model": {"name": model}})["PersistentVolumeClaim"]
    assert claim["spec"]["resources"]["requests"]["storage"] == size


def live_claim(size, phase, **spec):
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "demo-model", "creationTimestamp": CREATED},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | spec,
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("wanted", "live", "phase", "applied"),
    [("2Gi", "1Gi", "Bound", "2Gi"), ("2Gi", "1Gi", "Pending", "1Gi"), ("1Gi", "2Gi", "Bound", "2Gi")],
)
def test_a_claim_grows_when_it_is_bound_and_never_shrinks(wanted, live, phase, applied):
    found = children({"cache": {"size": wanted}}, Observed.of([live_claim(live, phase)]))
    assert found["PersistentVolumeClaim"]["spec"]["resources"]["requests"]["storage"] == applied


def test_the_class_of_a_claim_stays_what_it_was():
    live = live_claim("1Gi", "Bound", storageClassName="standard")
    found = children({"cache": {"storageClassName": "fast"}}, Observed.of([live]))
    assert found["PersistentVolumeClaim"]["spec"]["storageClassName"] == "standard"


def test_a_retained_claim_has_no_owner_and_everything_else_has():
    found = children({"cache": {"retention": "Retain"}}, NOTHING)
    owned = {kind for kind, child in found.items() if child["metadata"].get("ownerReferences") == [OWNER]}
    assert set(found) - owned == {"PersistentVolumeClaim"}


def test_the_download_goes_where_the_servers_may_go():
    spec = {
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    }
    job = children(spec, NOTHING)["Job"]["spec"]["template"]["spec"]
    assert {name: job[name] for name in spec} == {name: pod_spec(spec)[name] for name in spec} == spec


def test_the_secret_holds_what_the_workers_log_in_with():
    assert children()["Secret"]["data"] == {"user": "d29ya2Vy", "password": "c2VjcmV0"}


def test_the_policy_lets_probes_in_and_the_queue_out_and_no_more():
    policy = children()["NetworkPolicy"]["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "http-worker", "protocol": "TCP"}]}]
    assert policy["egress"][1] == {"ports": [{"port": 4222, "protocol": "TCP"}]}


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
