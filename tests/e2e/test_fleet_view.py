"""What an operator's key is told of the servers of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.deliveries import queue_admin
from tests.e2e.objects import Objects

from whisper_dispatcher.jobs.clients import Quotas, new_key, register_key, revoke_client


@pytest.fixture
def operators_key(namespace: Objects, cluster: Cluster) -> Iterator[str]:
    name = f"on call in {namespace.namespace}"

    async def created() -> str:
        key = new_key()
        async with queue_admin(cluster) as jetstream:
            await register_key(jetstream, key, name, Quotas(operator=True))
        return key

    async def revoked() -> None:
        async with queue_admin(cluster) as jetstream:
            await revoke_client(jetstream, name)

    yield asyncio.run(created())
    asyncio.run(revoked())


def test_the_fleet_names_each_pod_as_long_as_it_serves(
    namespace: Objects, gateway_url: str, operators_key: str
) -> None:
    namespace.server("seen")
    namespace.wait_ready("seen")
    pod = namespace.kubectl(
        "get", "pods", "--selector=app.kubernetes.io/component=worker", "--output=jsonpath={.items[0].metadata.name}"
    )

    def known() -> dict[str, Any]:
        answer = httpx.get(f"{gateway_url}/v1/fleet", headers={"X-API-Key": operators_key}, timeout=10)
        workers = answer.json().get("workers", [])  # the gateway may not know the key yet
        return {worker["worker"].rpartition("-")[0]: worker for worker in workers}

    def doing() -> list[tuple[str, str | None]]:
        return [(server["doing"], server["job"]) for server in known().get(pod, {}).get("servers", ())]

    # Its last word may be of the time when it still loaded the model.
    namespace.wait("The gateway hears that the pod is idle", lambda: doing() == [("idle", None)], limit_s=30)
    namespace.wait("It tells its version", lambda: bool(known().get(pod, {}).get("version")), limit_s=30)
    namespace.kubectl("delete", "whisperserver", "seen")
    namespace.wait("The gateway forgets the pod", lambda: pod not in known(), limit_s=60)
