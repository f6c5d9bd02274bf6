import asyncio

import pytest
from gateway_harness import NatsServer, prepare
from strict_cluster import StrictCluster
from whisper_client_objects import client_body
from whisper_server_objects import body

from whisper_dispatcher.jetstream.streams import connected


@pytest.fixture
def cluster():
    """With one WhisperServer and one WhisperClient, unless a file has a cluster of its own."""
    made = StrictCluster()
    made.hold(body())
    made.hold(client_body())
    return made


@pytest.fixture
def queue_url(tmp_path):
    """Of a NATS that has no stream yet, unless the test asks for jetstream too."""
    server = NatsServer(tmp_path)
    server.start()
    yield server.url
    server.kill()


@pytest.fixture
async def jetstream(queue_url):
    await asyncio.to_thread(lambda: asyncio.run(prepare(queue_url)))
    async with connected(queue_url, name="test") as found:
        yield found
