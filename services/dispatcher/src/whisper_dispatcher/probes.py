"""The kubelet's questions and Prometheus' in one small listener: /healthz, /readyz, /metrics.

Not a web framework: a worker's image needs none, and a probe must be answered while everything else is busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

READ_TIMEOUT_S = 5.0

Check = Callable[[], str | None]
"""None = well, else the sentence that says what is wrong."""


async def serve(host: str, port: int, *, healthy: Check, ready: Check) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(request.split(b" ", 2)[1].decode("latin-1"), healthy, ready))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError):
            pass  # a prober that went away or spoke no HTTP is owed no answer
        finally:
            writer.close()

    return await asyncio.start_server(answer, host, port)


def _response(path: str, healthy: Check, ready: Check) -> bytes:
    content_type = "text/plain; charset=utf-8"
    match path.partition("?")[0]:
        case "/healthz":
            problem = healthy()
            status, body = ("503 Service Unavailable", problem) if problem else ("200 OK", "ok")
        case "/readyz":
            problem = ready()
            status, body = ("503 Service Unavailable", problem) if problem else ("200 OK", "ok")
        case "/metrics":
            status, body, content_type = "200 OK", generate_latest().decode(), CONTENT_TYPE_LATEST
        case _:
            status, body = "404 Not Found", "There are /healthz, /readyz and /metrics here."
    payload = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    return head.encode() + payload
