"""Many jobs waited for at a time, each with an open stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from whisperfleet.client import AsyncClient

WAITERS = 150
"""More than the hundred connections that httpx allows by itself."""
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: keep-alive\n\n"
FINAL = b'id: 1\nevent: completed\ndata: {"job": "j"}\n\n'
JOB = b'{"id": "j", "state": "running"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(JOB), JOB)


class Gateway:
    """Holds every stream of events open until `finish` is set."""

    def __init__(self) -> None:
        self.streams = 0
        self.all_wait = asyncio.Event()
        self.finish = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/events " in head.partition(b"\r\n")[0]:
            writer.write(STREAM)
            self.streams += 1
            if self.streams == WAITERS:
                self.all_wait.set()
            await self.finish.wait()
            writer.write(FINAL)
        else:
            writer.write(ANSWER)
        await writer.drain()
        writer.close()


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Gateway, str]]:
    gateway = Gateway()
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0, backlog=WAITERS)
    async with server:
        yield gateway, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_call_does_not_wait_for_the_streams_of_others(gateway: tuple[Gateway, str]) -> None:
    held, url = gateway

    async def follow(client: AsyncClient) -> list[str]:
        return [event.type async for event in client.events("j")]

    async with AsyncClient(url, "key") as client:
        following = [asyncio.create_task(follow(client)) for _ in range(WAITERS)]
        async with asyncio.timeout(30):
            await held.all_wait.wait()
            assert (await client.job("j")).state == "running"
            held.finish.set()
            assert await asyncio.gather(*following) == [["completed"]] * WAITERS
