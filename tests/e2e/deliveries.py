"""How often the queue has handed out a model's windows: more often than there are windows where one was cut short."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.installation import PLATFORM
from tests.e2e.objects import Objects
from tests.e2e.speech import forwarded

from whisper_contracts import names
from whisper_dispatcher.jetstream.streams import JetStream

NATS = f"service/{PLATFORM}-nats"
NATS_PORT = 4222
_CONNECT_LIMIT_S = 30.0
_COUNT_LIMIT_S = 60.0


@asynccontextmanager
async def queue_admin(cluster: Cluster) -> AsyncIterator[JetStream]:
    """The platform's queue, as its operator sees it."""
    keys = Objects(cluster, PLATFORM).existing("secret", f"{PLATFORM}-nats-keys")["data"]
    with tempfile.TemporaryDirectory() as folder, forwarded(cluster, PLATFORM, NATS, NATS_PORT) as port:
        credentials = Path(folder, "operator.creds")
        credentials.write_bytes(base64.b64decode(keys["operator.creds"]))
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            jetstream = await JetStream.connect(
                f"nats://127.0.0.1:{port}",
                name="e2e",
                credentials=str(credentials),
                inbox_prefix="_INBOX_operator",
            )
        try:
            yield jetstream
        finally:
            await jetstream.close()


def count_deliveries(cluster: Cluster, queue: str) -> int:
    return asyncio.run(_count(cluster, queue))


async def _count(cluster: Cluster, queue: str) -> int:
    async with asyncio.timeout(_COUNT_LIMIT_S), queue_admin(cluster) as jetstream:
        consumers = [names.windows_consumer(queue, class_) for class_ in names.CLASSES]
        found = [await jetstream.api(f"CONSUMER.INFO.{names.WINDOWS_STREAM}.{consumer}") for consumer in consumers]
        return sum(int(answer["delivered"]["consumer_seq"]) for answer in found)
