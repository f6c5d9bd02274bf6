"""WhisperModels and the WhisperServers that use them, against an API server that is as strict as the real one."""

import json

import pytest
from single_operator import Operator, finish_download
from strict_cluster import StrictCluster
from whisper_server_objects import body, settings

from whisper_operator.children import desired_children
from whisper_operator.events import happenings
from whisper_operator.observed import Observed
from whisper_operator.server import parse_model, parse_server
from whisper_operator.volume import shared_model_volume
from whisper_operator.working import NotAsWanted

KEY = ("speech", "base")
SERVER = ("speech", "demo")
SHA256 = "a" * 64
USES = {"model": {"whisperModel": {"name": "base"}}, "queue": {"name": "base.en"}}


def model(spec=None, *, name="base", uid="m-1", **status):
    return {
        "apiVersion": "whisperfleet.dev/v1alpha1",
        "kind": "WhisperModel",
        "metadata": {"name": name, "namespace": "speech", "uid": uid, "generation": 1},
        "spec": {"source": {"name": "base.en"}} | (spec or {}),
    } | ({"status": status} if status else {})


@pytest.fixture
def cluster():
    made = StrictCluster()
    made.hold(model())
    return made


@pytest.fixture
def operator(cluster):
    return Operator(cluster)


async def cached(operator):
    await operator.reconcile_model()
    finish_download(operator.cluster)
    operator.look()
    await operator.reconcile_model()


def applied(writes):
    return sorted(kind for method, kind, _ in writes if method == "apply")


async def test_a_model_gets_a_claim_that_many_can_mount_and_a_download(operator, cluster):
    assert applied(await operator.reconcile_model()) == ["Job", "PersistentVolumeClaim"]
    claim = cluster.objects["PersistentVolumeClaim", "speech", "base-whispermodel"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["ownerReferences"][0]["kind"] == "WhisperModel"
    assert operator.condition("Ready", "base", "WhisperModel")["reason"] == "DownloadPending"
    operator.look()
    assert await operator.reconcile_model() == []


async def test_a_downloaded_model_says_where_it_lies(operator):
    await cached(operator)
    status = operator.status("base", "WhisperModel")
    assert (status["claim"], status["path"], status["percent"]) == ("base-whispermodel", "ggml-base.en.bin", 100)
    assert operator.condition("Ready", "base", "WhisperModel")["status"] == "True"
    operator.look()
    assert await operator.reconcile_model() == []


async def test_an_event_tells_that_a_model_is_there(operator):
    await operator.reconcile_model()
    before = operator.status("base", "WhisperModel")["conditions"]
    await cached(operator)
    told = happenings(before, operator.status("base", "WhisperModel")["conditions"])
    assert [(each.reason, each.is_warning) for each in told] == [("ModelCached", False), ("Verified", False)]


async def test_a_server_waits_for_its_model_and_brings_no_claim_or_download_of_its_own(operator, cluster):
    cluster.hold(body(USES))
    operator.look()
    await operator.reconcile_model()
    written = await operator.reconcile()
    assert not {"Job", "PersistentVolumeClaim"} & set(applied(written))
    assert cluster.objects["Deployment", "speech", "demo"]["spec"]["replicas"] == 0
    waits = operator.condition("ModelCached")
    assert waits["reason"] == "WaitingForModel"
    assert "WhisperModel base" in waits["message"]
    assert operator.condition("Degraded")["status"] == "False"


async def test_servers_start_on_the_read_only_volume_once_it_is_there_and_are_told_at_once(operator, cluster):
    cluster.hold(body(USES))
    operator.look()
    await operator.reconcile_model()
    await operator.reconcile()
    operator.again.clear()
    await cached(operator)
    assert SERVER in operator.again
    await operator.reconcile()
    deployment = cluster.objects["Deployment", "speech", "demo"]["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 1
    assert {"name": "model", "persistentVolumeClaim": {"claimName": "base-whispermodel"}} in pod["volumes"]
    (worker,) = pod["containers"]
    assert {"name": "model", "mountPath": "/models", "readOnly": True} in worker["volumeMounts"]
    assert {"name": "WHISPERFLEET_MODEL_PATH", "value": "/models/ggml-base.en.bin"} in worker["env"]
    operator.look()
    assert await operator.reconcile() == []


async def test_a_server_of_a_model_that_cannot_be_had_says_what_the_model_says(operator, cluster):
    failed = {"type": "Cached", "status": "False", "reason": "ChecksumMismatch", "message": "It has a wrong checksum."}
    cluster.hold(model(conditions=[failed]))
    cluster.hold(body(USES))
    operator.look()
    await operator.reconcile()
    said = operator.condition("Ready")
    assert (said["reason"], said["message"]) == ("ChecksumMismatch", "WhisperModel base: It has a wrong checksum.")


async def test_a_model_tells_who_uses_it_and_its_claim_belongs_to_them_too(operator, cluster):
    for name in ("first", "second"):
        cluster.hold(body(USES, name=name, uid=f"u-{name}"))
    operator.look()
    await operator.reconcile_model()
    assert operator.status("base", "WhisperModel")["usedBy"] == ["first", "second"]
    owners = cluster.objects["PersistentVolumeClaim", "speech", "base-whispermodel"]["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == ["m-1", "u-first", "u-second"]
    assert [owner.get("controller", False) for owner in owners] == [True, False, False]
    operator.models.forget_server(("speech", "first"))
    await operator.reconcile_model()
    owners = cluster.objects["PersistentVolumeClaim", "speech", "base-whispermodel"]["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == ["m-1", "u-second"]
    assert operator.status("base", "WhisperModel")["users"] == 1


async def test_a_model_deleted_while_in_use_is_told_and_its_pods_serve_on(operator, cluster):
    cluster.hold(body(USES))
    operator.look()
    await cached(operator)
    await operator.reconcile()
    deployment = cluster.objects["Deployment", "speech", "demo"]
    deployment["status"] = {"readyReplicas": 1, "replicas": 1, "updatedReplicas": 1}
    operator.look()
    await operator.reconcile()
    gone = cluster.objects.pop(("WhisperModel", "speech", "base"))
    operator.again.clear()
    operator.models.see("removed", gone)
    assert operator.again == [SERVER]
    written = await operator.reconcile()
    assert {method for method, _, _ in written} == {"status", "create"}
    assert operator.condition("Ready")["status"] == "True"
    degraded = operator.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "WhisperModelMissing")
    assert "no WhisperModel base in speech" in degraded["message"]
    assert cluster.objects["Deployment", "speech", "demo"]["spec"]["replicas"] == 1


async def test_a_server_without_its_model_is_not_ready_and_made_whole_when_the_model_comes(operator, cluster):
    del cluster.objects["WhisperModel", "speech", "base"]
    cluster.hold(body(USES))
    operator = Operator(cluster)
    assert applied(await operator.reconcile()) == []
    assert operator.condition("Ready")["reason"] == "WhisperModelMissing"
    cluster.hold(model())
    operator.look()
    assert SERVER in operator.again
    assert "Deployment" in applied(await operator.reconcile())


async def test_while_another_source_is_fetched_servers_keep_the_file_before(operator, cluster):
    cluster.hold(body(USES))
    operator.look()
    await cached(operator)
    live = cluster.objects["WhisperModel", "speech", "base"]
    cluster.hold(live | {"spec": {"source": {"http": {"url": "https://a/b.bin", "sha256": SHA256}}}})
    operator.look()
    await operator.reconcile_model()
    status = operator.status("base", "WhisperModel")
    assert (status["path"], status["percent"]) == ("ggml-base.en.bin", 0)
    assert operator.condition("Ready", "base", "WhisperModel")["status"] == "True"
    assert operator.condition("Cached", "base", "WhisperModel")["reason"] == "DownloadPending"
    await operator.reconcile()
    worker = cluster.objects["Deployment", "speech", "demo"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "WHISPERFLEET_MODEL_PATH", "value": "/models/ggml-base.en.bin"} in worker["env"]


async def test_a_new_claim_of_that_name_is_empty_and_filled_again(operator, cluster, monkeypatch):
    await cached(operator)
    del cluster.objects["PersistentVolumeClaim", "speech", "base-whispermodel"]
    operator.look()
    monkeypatch.setattr("strict_cluster.CREATED", "2026-02-01T00:00:00Z")
    assert "PersistentVolumeClaim" in applied(await operator.reconcile_model())
    assert "path" not in operator.status("base", "WhisperModel")
    assert operator.condition("Ready", "base", "WhisperModel")["status"] == "False"
    operator.look()
    assert ("delete", "Job") in [(method, kind) for method, kind, _ in await operator.reconcile_model()]


async def test_a_volume_of_one_node_is_told_where_several_servers_share_it(operator, cluster):
    live = cluster.objects["WhisperModel", "speech", "base"]
    cluster.hold(live | {"spec": live["spec"] | {"cache": {"accessMode": "ReadWriteOnce"}}})
    cluster.hold(body(USES, name="first", uid="u-1"))
    operator.look()
    await operator.reconcile_model()
    assert operator.condition("Degraded", "base", "WhisperModel")["reason"] != "OneNode"
    cluster.hold(body(USES, name="second", uid="u-2"))
    operator.look()
    await operator.reconcile_model()
    assert operator.condition("Degraded", "base", "WhisperModel")["reason"] == "OneNode"


async def test_several_pods_cannot_share_a_volume_of_one_node(operator, cluster):
    live = cluster.objects["WhisperModel", "speech", "base"]
    cluster.hold(live | {"spec": live["spec"] | {"cache": {"accessMode": "ReadWriteOnce"}}})
    cluster.hold(body(USES | {"replicas": 2}))
    operator.look()
    await operator.reconcile()
    assert operator.condition("Ready")["reason"] == "ImpossibleCache"


async def test_a_server_and_a_model_of_one_name_keep_their_children_apart(operator, cluster):
    cluster.hold(body({"model": {"name": "tiny.en"}}, name="base"))
    operator.look()
    await operator.reconcile_model()
    assert applied(await operator.reconcile("base"))
    names = {(kind, name) for kind, _, name in cluster.objects if kind in ("Job", "PersistentVolumeClaim")}
    assert len(names) == 4
    operator.look()
    assert await operator.reconcile("base") == []
    assert await operator.reconcile_model() == []


async def test_a_refused_claim_is_told(operator, cluster):
    from whisper_operator.cluster import ApiError

    cluster.refusals["PersistentVolumeClaim"] = ApiError(403, "Forbidden", "exceeded quota: storage.")
    with pytest.raises(NotAsWanted, match="exceeded quota"):
        await operator.reconcile_model()
    assert operator.condition("Degraded", "base", "WhisperModel")["reason"] == "Forbidden"


async def test_a_spec_that_cannot_be_read_leaves_the_verified_file(operator, cluster):
    await cached(operator)
    live = cluster.objects["WhisperModel", "speech", "base"]
    cluster.hold(live | {"spec": {"source": {"http": {"url": 7}}}})
    operator.look()
    await operator.reconcile_model()
    assert operator.condition("Degraded", "base", "WhisperModel")["reason"] == "InvalidSpec"
    assert operator.condition("Ready", "base", "WhisperModel")["status"] == "True"


def test_a_retained_claim_has_no_owner():
    from whisper_operator.children.claim import model_claim
    from whisper_operator.volume import claim_wish

    found = parse_model(model({"cache": {"retention": "Retain"}}))
    user = {"apiVersion": "v1", "kind": "WhisperServer", "name": "demo", "uid": "u-1"}
    claim = model_claim(found, claim_wish(found.spec.cache, found.spec.source), None, [user])
    assert "ownerReferences" not in claim["metadata"]


def test_two_servers_of_one_file_share_a_queue_wherever_it_lies():
    from dataclasses import replace

    from whisper_operator.queue_use import queue_use

    through_model = replace(parse_server(body(USES)), shared=parse_model(model()))
    own = parse_server(body({"model": {"name": "base.en"}}))
    assert queue_use(through_model).model == queue_use(own).model


S3 = {
    "bucket": "models",
    "key": "speech/base.bin",
    "sha256": SHA256,
    "region": "eu-west-1",
    "endpoint": "http://minio:9000",
    "credentialsSecretRef": {"name": "bucket"},
}


def test_a_download_from_s3_is_given_its_place_and_its_credentials():
    from whisper_operator.children.download_job import download_job

    found = parse_model(model({"source": {"s3": S3}}))
    job = download_job(found, shared_model_volume(found), settings())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    said = " ".join(container["args"])
    assert said.startswith(f"fetch-s3 models speech/base.bin --file {SHA256[:16]}.bin --sha256 {SHA256}")
    assert "--region eu-west-1 --endpoint http://minio:9000" in said
    keys = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each}
    assert keys["AWS_ACCESS_KEY_ID"] == {"name": "bucket", "key": "AWS_ACCESS_KEY_ID"}
    assert keys["AWS_SECRET_ACCESS_KEY"]["name"] == "bucket"
    assert keys["AWS_SESSION_TOKEN"]["optional"] is True
    assert "bucket" not in json.dumps(container["args"])


def test_pods_that_fetch_from_s3_themselves_may_reach_it():
    found = parse_server(body({"model": {"s3": S3}, "queue": {"name": "base"}, "cache": {"mode": "Ephemeral"}}))
    from whisper_operator.volume import model_volume

    children = desired_children(found, model_volume(found), Observed.of([]), settings())
    (policy,) = [child for child in children if child["kind"] == "NetworkPolicy"]
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert 9000 in ports


def test_the_commands_that_the_operator_gives_are_those_that_the_downloader_knows():
    from typer.main import get_command

    from whisper_models.cli import app
    from whisper_operator.model_file import downloaded_file

    sources = [
        {"name": "base.en", "mirror": "https://m"},
        {"http": {"url": "https://a/b.bin", "sha256": SHA256}},
        {"huggingFace": {"repository": "a/b", "file": "c.bin", "sha256": SHA256}},
        {"s3": S3},
    ]
    commands = get_command(app).commands
    for source in sources:
        file = downloaded_file(parse_model(model({"source": source})).spec.source)
        name, *arguments = [*file.fetch_arguments, "--dir", "/models"]
        commands[name].make_context(name, list(arguments))
