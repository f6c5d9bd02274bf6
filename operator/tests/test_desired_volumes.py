"""Where a server's model lies, and the download that puts it there."""

import pytest
from whisper_server_objects import CREATED, NOTHING, children, environment, pod_spec

from whisper_operator.observed import Observed
from whisper_operator.volume import ImpossibleCache


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


def test_the_download_goes_where_the_servers_may_go():
    spec = {
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    }
    job = children(spec, NOTHING)["Job"]["spec"]["template"]["spec"]
    assert {name: job[name] for name in spec} == {name: pod_spec(spec)[name] for name in spec} == spec
