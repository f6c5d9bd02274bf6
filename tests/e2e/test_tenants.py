"""A queue belongs to the namespaces that were given it: others get no login to it, and their own opens no other queue."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.e2e import installation
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.deliveries import NATS, NATS_PORT, queue_admin
from tests.e2e.installation import PLATFORM
from tests.e2e.objects import Manifest, Objects, own_namespace
from tests.e2e.speech import forwarded

from whisper_contracts import names
from whisper_dispatcher.jetstream.pull import Puller
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_operator.nats_users import inbox_prefix

SAID_WITHIN_S = 20.0
LIMIT_S = 90.0
REFUSED_S = 2.0
"""NATS drops a forbidden request without an answer to it."""
OWN, OTHER = f"tenant-{os.getpid()}", f"private-{os.getpid()}"
CLIENT, JOB = f"tenants-{os.getpid()}", "job"


@pytest.fixture(scope="module")
def tenant(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """It was given the queues tenant-* and no others."""
    with own_namespace(cluster, "tenant") as objects:
        yield objects


def has_secret(objects: Objects, server: str) -> bool:
    return objects.get("secret", f"{server}-nats") is not None


@pytest.mark.parametrize(
    "queue",
    [{"name": "demo.en"}, {"name": OWN, "aliases": ["demo.en"]}, {"name": OWN, "default": True}],
    ids=["the queue", "an alias", "the default"],
)
def test_a_queue_that_was_not_given_is_refused_without_a_login(tenant: Objects, queue: dict[str, object]) -> None:
    tenant.server("thief", {"queue": queue})
    try:
        message = tenant.wait_reason("thief", "Ready", "QueueNotAllowed", limit_s=SAID_WITHIN_S)
        assert tenant.namespace in message and "operator.queues" in message
        assert tenant.children("thief") == {}
    finally:
        tenant.kubectl("delete", "whisperserver", "thief")


def test_a_tenants_own_login_opens_no_other_queue(
    tenant: Objects, namespace: Objects, cluster: Cluster, tmp_path: Path
) -> None:
    tenant.server("own", {"queue": {"name": OWN, "languages": ["en"]}, "replicas": 0})
    namespace.server("private", {"queue": {"name": OTHER, "languages": ["en"]}, "replicas": 0})
    tenant.wait("There is a login", lambda: has_secret(tenant, "own"), limit_s=SAID_WITHIN_S)
    found = tenant.existing("secret", "own-nats")["data"]["nats.creds"]
    credentials = tmp_path / "own.creds"
    credentials.write_bytes(base64.b64decode(found))
    uid = tenant.existing("whisperserver", "own")["metadata"]["uid"]
    asyncio.run(try_the_login(cluster, credentials, inbox_prefix(uid)))


async def try_the_login(cluster: Cluster, credentials: Path, inbox: str) -> None:
    async with asyncio.timeout(LIMIT_S), queue_admin(cluster) as admin:
        for queue in (OWN, OTHER):
            await admin.publish(names.window_subject(queue, "bulk", CLIENT, JOB, 0), queue.encode())
            while "num_pending" not in await waiting(admin, queue):  # noqa: ASYNC110  the operator makes it
                await asyncio.sleep(0.2)
        try:
            async with logged_in(cluster, credentials, inbox) as login:
                assert await pulled(login, OTHER, REFUSED_S) is None
                assert await pulled(login, OWN, 10) == OWN.encode()
            found = await waiting(admin, OTHER)
            assert (found["num_pending"], found["delivered"]["consumer_seq"]) == (1, 0)
        finally:
            for queue in (OWN, OTHER):
                subject = names.window_subject(queue, "bulk", CLIENT, JOB, 0)
                await admin.api(f"STREAM.PURGE.{names.WINDOWS_STREAM}", {"filter": subject})


async def waiting(admin: JetStream, queue: str) -> Manifest:
    return await admin.api(f"CONSUMER.INFO.{names.WINDOWS_STREAM}.{names.windows_consumer(queue, 'bulk')}")


@asynccontextmanager
async def logged_in(cluster: Cluster, credentials: Path, inbox: str) -> AsyncIterator[JetStream]:
    with forwarded(cluster, PLATFORM, NATS, NATS_PORT) as port:
        url = f"nats://127.0.0.1:{port}"
        login = await JetStream.connect(url, name="tenant", credentials=str(credentials), inbox_prefix=inbox)
        try:
            yield login
        finally:
            await login.close()


async def pulled(login: JetStream, queue: str, wait_s: float) -> bytes | None:
    puller = Puller(login, names.WINDOWS_STREAM, names.windows_consumer(queue, "bulk"))
    await puller.start()
    delivery = await puller.pull(expires_s=wait_s)
    await puller.stop()
    return delivery.data if delivery else None


def pods_of(server: str, objects: Objects) -> list[tuple[str, str]]:
    """And what makes them; the download's apart."""
    found = objects.children(server)
    return [(kind, name) for kind, name in found if kind == "Deployment" or (kind == "Pod" and "-fetch-" not in name)]


def test_a_permission_that_goes_takes_login_and_pods_along(tenant: Objects, cluster: Cluster) -> None:
    tenant.server("given", {"queue": {"name": OWN, "languages": ["en"]}})
    tenant.wait_ready("given")
    try:
        installation.install(cluster, {"operator.queues.tenant-*": "{nothing}"})
        tenant.wait_reason("given", "Ready", "QueueNotAllowed", limit_s=SAID_WITHIN_S)
        tenant.wait("The login is gone", lambda: not has_secret(tenant, "given"), limit_s=SAID_WITHIN_S)
        tenant.wait("The pods are gone", lambda: not pods_of("given", tenant), limit_s=LIMIT_S)
        assert ("PersistentVolumeClaim", "given-model") in tenant.children("given")
    finally:
        installation.install(cluster)
    tenant.wait_ready("given")
