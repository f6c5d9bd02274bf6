"""helm upgrade, rollback and uninstall: what holds data stays, and nothing gets stuck."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from tests.e2e import installation
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.installation import PLATFORM, helm
from tests.e2e.objects import Objects
from tests.e2e.speech import HELLO, Gateway, forwarded

from whisper_dispatcher.transcript.word_error import word_error_rate
from whisper_models.bundled import sample_path
from whisperfleet.client import Client

LIMIT_S = 300.0
DEFINITIONS = tuple(f"whisper{each}.whisperfleet.dev" for each in ("servers", "models", "clients"))


@contextmanager
def gateway(cluster: Cluster, key: str) -> Iterator[Gateway]:
    """Of this very moment: a new gateway needs a new connection."""
    with forwarded(cluster, PLATFORM, installation.GATEWAY, installation.GATEWAY_PORT) as port:
        yield Gateway(f"http://127.0.0.1:{port}", key)


@pytest.fixture
def kept(namespace: Objects) -> Objects:
    """A server that serves, one that has no pod yet, and a client."""
    namespace.server("kept", {"queue": {"default": True}})
    namespace.server("later", {"queue": {"name": "later", "languages": ["en"]}, "replicas": 0})
    namespace.client("app")
    namespace.wait_ready("kept")
    return namespace


def of_value(kept: Objects, platform: Objects) -> dict[str, object]:
    """What an upgrade must not touch: keys, volumes, pods that take work."""
    claims = {name: item["metadata"]["uid"] for (kind, name), item in kept.children("kept").items() if kind != "Job"}
    return claims | {
        "the client's key": kept.client_key("app"),
        "the queue's keys": platform.existing("secret", f"{PLATFORM}-nats-keys")["data"],
        "the queue's claim": platform.existing("persistentvolumeclaim", f"data-{PLATFORM}-nats-0")["metadata"]["uid"],
    }


def nats_pod(platform: Objects) -> str:
    return str(platform.existing("pod", f"{PLATFORM}-nats-0")["metadata"]["uid"])


def test_an_upgrade_and_its_rollback_keep_queue_models_and_keys(
    kept: Objects, platform: Objects, cluster: Cluster
) -> None:
    before, first_nats = of_value(kept, platform), nats_pod(platform)
    key = kept.client_key("app")
    with gateway(cluster, key) as now:
        kept.wait("The gateway knows the model", lambda: now.knows("later"))
        with Client(now.url, key) as client:
            job = client.submit(sample_path("hello.wav"), model="later").id

    values = (
        "--reset-then-reuse-values",
        "--set",
        "nats.resources.requests.cpu=25m",
        "--wait",
        f"--timeout={LIMIT_S:g}s",
    )
    helm(cluster, "upgrade", PLATFORM, str(installation.CHART), *values)
    assert nats_pod(platform) != first_nats
    assert of_value(kept, platform) == before

    helm(cluster, "rollback", PLATFORM, "--wait", f"--timeout={LIMIT_S:g}s")
    assert of_value(kept, platform) == before

    kept.kubectl("scale", "whisperserver", "later", "--replicas=1")
    with gateway(cluster, key) as now:
        with Client(now.url, key) as client:
            assert word_error_rate(HELLO, client.wait(job, timeout_s=LIMIT_S).text) == 0
        assert word_error_rate(HELLO, now.transcribe(number=77)) == 0


def test_after_an_uninstall_everything_can_be_deleted_and_a_new_installation_goes_on(
    kept: Objects, platform: Objects, cluster: Cluster
) -> None:
    key, keys = kept.client_key("app"), platform.existing("secret", f"{PLATFORM}-nats-keys")["data"]
    helm(cluster, "uninstall", PLATFORM, "--wait", f"--timeout={LIMIT_S:g}s")
    try:
        assert kept.get("whisperserver", "kept") is not None
        kept.kubectl("delete", "whisperserver,whisperclient", "--all", "--timeout=60s", limit_s=65)
        kept.wait("Everything of the server goes", lambda: not kept.children("kept"), limit_s=180)
        kept.wait("The key goes", lambda: kept.get("secret", "app-key") is None)
        cluster.kubectl("delete", "customresourcedefinition", *DEFINITIONS, "--timeout=60s", limit_s=65)
    finally:
        installation.install(cluster)
    assert platform.existing("secret", f"{PLATFORM}-nats-keys")["data"] == keys
    with gateway(cluster, key) as now:
        kept.wait("The deleted client is refused", lambda: now.status() == httpx.codes.UNAUTHORIZED, limit_s=30)
