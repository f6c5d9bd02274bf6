"""Somebody's web server, which takes webhooks well or badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Receiver:
    """Answers with `statuses` in turn, then 204."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nothing is answered under /slow."""
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answering: list[asyncio.Task[None]] = field(default_factory=list)

    def url(self, path: str = "/hook?a=1") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.answering.append(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # of a sender that went away
            await self._answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split(" ")[1]
        lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value for name, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        self.seen.append((target, headers, body))
        if target.startswith("/slow"):
            await self.held.wait()
        if target == "/trickle":
            await self._trickle(writer, b"HTTP/1.1 200 OK\r\nX-A: ")
        if target == "/endless":
            await self._trickle(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        status = self.statuses.pop(0) if self.statuses else 204
        writer.write(f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()

    async def _trickle(self, writer: asyncio.StreamWriter, head: bytes) -> None:
        """Never long enough silent for a limit between two reads."""
        writer.write(head)
        while not self.held.is_set():
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def listening() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    receiver.held.set()
    server.close()
    await asyncio.gather(*receiver.answering)
