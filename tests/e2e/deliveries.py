"""How often the queue has handed out a model's windows: more often than there are windows where one was cut short."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.installation import PLATFORM
from tests.e2e.objects import Objects
from tests.e2e.speech import forwarded

from whisper_contracts import names
from whisper_dispatcher.jetstream.connection import JetStream

NATS = f"service/{PLATFORM}-nats"
NATS_PORT = 4222


def count_deliveries(cluster: Cluster, queue: str, folder: Path) -> int:
    """folder: for the credentials, as long as it takes."""
    keys = Objects(cluster, PLATFORM).existing("secret", f"{PLATFORM}-nats-keys")["data"]
    credentials = folder / "operator.creds"
    credentials.write_bytes(base64.b64decode(keys["operator.creds"]))
    try:
        with forwarded(cluster, PLATFORM, NATS, NATS_PORT) as port:
            return asyncio.run(_count(f"nats://127.0.0.1:{port}", str(credentials), queue))
    finally:
        credentials.unlink()


async def _count(url: str, credentials: str, queue: str) -> int:
    async with asyncio.timeout(30):
        jetstream = await JetStream.connect(url, name="e2e", credentials=credentials, inbox_prefix="_INBOX_operator")
        try:
            consumers = [names.windows_consumer(queue, class_) for class_ in names.CLASSES]
            found = [await jetstream.api(f"CONSUMER.INFO.{names.WINDOWS_STREAM}.{consumer}") for consumer in consumers]
            return sum(int(answer["delivered"]["consumer_seq"]) for answer in found)
        finally:
            await jetstream.close()
