"""Models from a server that cuts, stalls, corrupts, refuses and answers wrongly; every failure has its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.images import IMAGES
from tests.e2e.installation import Manifest, restricted_pod
from tests.e2e.objects import Objects, own_namespace

from whisper_models.bundled import demo_model_path

SCRIPT = Path(__file__).with_name("model_server_script.py")
SHA256 = hashlib.sha256(demo_model_path().read_bytes()).hexdigest()
SIZE_BYTES = demo_model_path().stat().st_size


@pytest.fixture(scope="module")
def models(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """A namespace with the model server at http://models:8080."""
    with own_namespace(cluster) as objects:
        script = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "models"}}
        objects.apply(script | {"data": {"serve.py": SCRIPT.read_text("utf-8")}})
        container: Manifest = {
            "name": "models",
            "image": IMAGES["models"].name,
            "command": ["python", "/script/serve.py", f"/app/models/demo/{demo_model_path().name}"],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
            "volumeMounts": [{"name": "script", "mountPath": "/script"}],
        }
        pod = restricted_pod("models", container, [{"name": "script", "configMap": {"name": "models"}}])
        pod["metadata"]["name"] = "models"
        objects.apply({"apiVersion": "v1", "kind": "Pod"} | pod)
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "models"}}
        objects.apply(service | {"spec": {"selector": {"app": "models"}, "ports": [{"port": 8080}]}})
        objects.kubectl("wait", "--for=condition=Ready", "pod/models", "--timeout=60s")
        # It is given up only after minutes, in which the other tests run.
        objects.server("stalled", source("stalled.bin"))
        yield objects


def source(file: str, **more: object) -> Manifest:
    return {
        "model": {"http": {"url": f"http://models:8080/{file}", "sha256": SHA256} | more},
        "queue": {"name": "first", "languages": ["en"]},
    }


def test_a_model_with_one_wrong_byte_is_never_served(models: Objects) -> None:
    models.server("corrupt", source("corrupt.bin"))
    message = models.wait_reason("corrupt", "ModelCached", "ChecksumMismatch")
    assert "wrong checksum" in message
    models.wait_reason("corrupt", "Ready", "ChecksumMismatch")
    assert models.existing("deployment", "corrupt")["spec"]["replicas"] == 0
    kinds = [item["metadata"]["labels"]["app.kubernetes.io/component"] for item in pods(models, "corrupt")]
    assert "worker" not in kinds


def pods(objects: Objects, server: str) -> list[Manifest]:
    return [item for (kind, _), item in objects.children(server).items() if kind == "Pod"]


def asked_for(objects: Objects, path: str) -> list[int | None]:
    """From which byte each request for a path wanted it; None: from the first, and not as a range."""
    lines = [line.split() for line in objects.kubectl("logs", "models").splitlines()]
    ranges = [line[1] for line in lines if line[0] == path]
    return [None if each == "None" else int(each.removeprefix("bytes=").removesuffix("-")) for each in ranges]


def test_a_download_that_was_cut_goes_on_where_it_stopped(models: Objects) -> None:
    models.server("cut", source("cut.bin"))
    models.wait_reason("cut", "ModelCached", "Cached")
    first, resumed_at = asked_for(models, "/cut.bin")
    assert first is None
    assert resumed_at is not None and resumed_at >= SIZE_BYTES // 2 * 0.98
    status = models.existing("whisperserver", "cut")["status"]["model"]
    assert status["percent"] == 100


def test_a_range_that_starts_elsewhere_is_not_glued_to_what_is_there(models: Objects) -> None:
    models.server("wrong-range", source("wrong-range.bin"))
    models.wait_reason("wrong-range", "ModelCached", "Cached")
    first, resumed_at, again = asked_for(models, "/wrong-range.bin")
    assert (first, again) == (None, None)
    assert resumed_at is not None and resumed_at > 0


def test_a_download_that_is_killed_fetches_at_most_2_percent_again(models: Objects) -> None:
    models.server("killed", source("slow.bin"))

    def percent() -> int:
        return int(models.existing("whisperserver", "killed").get("status", {}).get("model", {}).get("percent", 0))

    models.wait("A third of the model is there", lambda: percent() >= 33)
    selector = "app.kubernetes.io/instance=killed,app.kubernetes.io/component=download"
    models.kubectl("delete", "pod", "--selector", selector, "--grace-period=0", "--force")
    models.wait_reason("killed", "ModelCached", "Cached", limit_s=120)
    first, *resumed = asked_for(models, "/slow.bin")
    sent = [line.split() for line in models.kubectl("logs", "models").splitlines() if line.startswith("sent:/slow.bin")]
    assert first is None and len(resumed) >= 1
    sent_bytes = sum(int(end) - int(start) for _, start, end in sent)
    assert sent_bytes <= SIZE_BYTES * 1.02


@pytest.mark.parametrize(
    ("file", "reason", "words"),
    [
        ("locked.bin", "DownloadUnauthorized", "HTTP 401"),
        ("missing.bin", "DownloadNotFound", "HTTP 404"),
        ("huge.bin", "InsufficientSpace", "1,000,000,000,000,000 more bytes"),
    ],
)
def test_a_refused_download_says_why(file: str, reason: str, words: str, models: Objects) -> None:
    name = file.removesuffix(".bin")
    models.server(name, source(file))
    assert words in models.wait_reason(name, "ModelCached", reason)
    models.wait_reason(name, "Ready", reason)


def test_a_token_opens_what_is_locked(models: Objects) -> None:
    models.kubectl("create", "secret", "generic", "hub", "--from-literal=token=open sesame")
    models.server("unlocked", source("locked.bin", tokenSecretRef={"name": "hub", "key": "token"}))
    models.wait_reason("unlocked", "ModelCached", "Cached")


def test_a_host_that_is_not_there_is_unreachable(models: Objects) -> None:
    spec = {
        "model": {"http": {"url": "http://nobody.invalid/a.bin", "sha256": SHA256}},
        "queue": {"name": "first", "languages": ["en"]},
    }
    models.server("nobody", spec)
    assert "nobody.invalid" in models.wait_reason("nobody", "ModelCached", "DownloadUnreachable", limit_s=120)


def test_a_bucket_is_opened_by_a_signature_made_with_the_secret(models: Objects) -> None:
    bucket = {"endpoint": "http://models:8080", "bucket": "bucket", "key": "speech/model.bin", "sha256": SHA256}
    keys = ("--from-literal=AWS_ACCESS_KEY_ID=AKIAREADER", "--from-literal=AWS_SECRET_ACCESS_KEY=the reader's secret")
    models.kubectl("create", "secret", "generic", "bucket", *keys)
    models.kubectl("create", "secret", "generic", "wrong", keys[0], "--from-literal=AWS_SECRET_ACCESS_KEY=a guess")
    for name in ("bucket", "wrong"):
        spec = source("") | {"model": {"s3": bucket | {"credentialsSecretRef": {"name": name}}}}
        models.server(name, spec)
    models.wait_reason("bucket", "ModelCached", "Cached")
    assert "SignatureDoesNotMatch" in models.wait_reason("wrong", "ModelCached", "DownloadUnauthorized")


def test_one_download_serves_every_server_that_names_the_model(models: Objects) -> None:
    before = len(asked_for(models, "/good.bin"))
    manifest = {"apiVersion": "whisperfleet.dev/v1alpha1", "kind": "WhisperModel", "metadata": {"name": "shared"}}
    # The test cluster's volumes know no ReadWriteMany, and it has one node.
    cache = {"size": "64Mi", "accessMode": "ReadWriteOnce"}
    for name in ("left", "right"):
        spec = source("") | {"model": {"whisperModel": {"name": "shared"}}, "cache": None}
        models.server(name, spec)
    models.wait_reason("left", "Ready", "WhisperModelMissing")
    models.apply(manifest | {"spec": {"source": source("good.bin")["model"], "cache": cache}})
    for name in ("left", "right"):
        models.wait_ready(name)
        kinds = {kind for kind, _ in models.children(name)}
        assert not {"Job", "PersistentVolumeClaim"} & kinds
    assert len(asked_for(models, "/good.bin")) == before + 1
    models.wait("The model names its users", lambda: shared(models).get("usedBy") == ["left", "right"])
    assert "OneNode" in models.kubectl("get", "whispermodel", "shared", "--output", "json")
    line = models.kubectl("get", "wmo", "shared", "--no-headers").split()
    assert line[:4] == ["shared", "True", "Cached", "100"]


def shared(objects: Objects) -> Manifest:
    status: Manifest = objects.existing("whispermodel", "shared").get("status", {})
    return status


def test_a_model_deleted_while_in_use_leaves_its_volume_to_the_servers(models: Objects) -> None:
    models.kubectl("delete", "whispermodel", "shared")
    for name in ("left", "right"):
        models.wait_reason(name, "Degraded", "WhisperModelMissing")
        assert models.condition(name, "Ready")["status"] == "True"
    events = models.kubectl("get", "events", "--field-selector", "reason=WhisperModelMissing", "--output", "name")
    assert events.strip()
    models.kubectl("delete", "whisperserver", "left")
    models.wait("The pods of left are gone", lambda: not pods(models, "left"))
    claim = models.existing("persistentvolumeclaim", "shared-whispermodel")
    assert "deletionTimestamp" not in claim["metadata"]
    assert models.condition("right", "Ready")["status"] == "True"
    models.kubectl("delete", "whisperserver", "right")
    models.wait("The volume goes with the last server", lambda: not models.get("pvc", "shared-whispermodel"))


def test_a_download_that_stalls_is_given_up_with_its_reason(models: Objects) -> None:
    assert "no byte for 30 s" in models.wait_reason("stalled", "ModelCached", "DownloadStalled", limit_s=240)
