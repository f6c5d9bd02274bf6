"""Models from a server that cuts, corrupts and refuses; every failure is a reason with a sentence."""

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
    assert models.condition("corrupt", "Ready")["reason"] == "ChecksumMismatch"
    assert models.existing("deployment", "corrupt")["spec"]["replicas"] == 0
    kinds = [item["metadata"]["labels"]["app.kubernetes.io/component"] for item in pods(models, "corrupt")]
    assert "worker" not in kinds


def pods(objects: Objects, server: str) -> list[Manifest]:
    return [item for (kind, _), item in objects.children(server).items() if kind == "Pod"]


def test_a_download_that_was_cut_goes_on_where_it_stopped(models: Objects) -> None:
    models.server("cut", source("cut.bin"))
    models.wait_reason("cut", "ModelCached", "Cached")
    asked = [line.split()[1] for line in models.kubectl("logs", "models").splitlines() if line.startswith("/cut.bin")]
    assert asked[0] == "None"
    (resumed_at,) = [int(asked_range.removeprefix("bytes=").removesuffix("-")) for asked_range in asked[1:]]
    assert resumed_at >= SIZE_BYTES // 2 * 0.98
    status = models.existing("whisperserver", "cut")["status"]["model"]
    assert status["percent"] == 100


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
    assert models.condition(name, "Ready")["reason"] == reason


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
