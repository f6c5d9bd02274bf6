"""Whole operators in one process, each with a client of its own to the same strict API server."""

import asyncio
from contextlib import asynccontextmanager

from whisper_server_objects import settings

from whisper_operator.lease import Timing
from whisper_operator.runner import Runner

PLACE = ("platform", "operator")
TIMING = Timing(expires_s=6, stops_s=4.0, renew_s=0.2, look_s=0.1)
LIMIT_S = 60.0


class Operator:
    """One replica."""

    def __init__(self, cluster, queue_url, name):
        self.client = cluster.another_client()
        given = settings(nats_url=queue_url, pod_name=name, lease_namespace=PLACE[0], lease_name=PLACE[1])
        self.runner = Runner(self.client, given, TIMING)
        self._running = asyncio.create_task(self.runner.run())

    async def stop(self):
        """As SIGTERM does."""
        self._running.cancel()
        await asyncio.wait({self._running})

    @property
    def written(self):
        """Leases apart."""
        return [write for write in self.client.writes if write[1] != "Lease"]


@asynccontextmanager
async def replicas(cluster, queue_url, *names):
    found = [Operator(cluster, queue_url, name) for name in names]
    try:
        yield found
    finally:
        for operator in found:
            await operator.stop()


async def until(holds):
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110  an API server's contents have nothing to wait for
            await asyncio.sleep(0.02)


def leader(cluster):
    lease = cluster.objects.get(("Lease", *PLACE))
    return lease and lease["spec"].get("holderIdentity")


def is_served(cluster):
    return all(
        cluster.objects.get((kind, "speech", name))
        for kind, name in (("Service", "demo"), ("Deployment", "demo"), ("Secret", "demo-nats"), ("Secret", "app-key"))
    )
