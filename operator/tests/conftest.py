import asyncio

import pytest
from gateway_harness import NatsServer, prepare

from whisper_dispatcher.jetstream.connection import connected


@pytest.fixture
async def jetstream(tmp_path):
    server = NatsServer(tmp_path)
    server.start()
    try:
        await asyncio.to_thread(lambda: asyncio.run(prepare(server.url)))
        async with connected(server.url, name="test") as found:
            yield found
    finally:
        server.kill()
