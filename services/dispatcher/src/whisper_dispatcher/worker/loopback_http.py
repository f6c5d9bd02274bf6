"""One HTTP/1.1 exchange with a server on this machine's loopback, over a connection of its own.

whisper-server lends each open connection one of its few threads, idle ones too, so none is kept. Closing the
connection is also what stops an inference.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from whisper_dispatcher.loopback import HOST

MAX_BODY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


async def exchange(port: int, method: str, path: str, *, body: bytes = b"", content_type: str = "") -> Response:
    """Raises OSError or EOFError when the server is not there, goes away or does not speak HTTP."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(_head(method, path, content_type, len(body)))
        writer.write(body)
        await writer.drain()
        return await _read_response(reader)
    finally:
        # Not close(), which would first send what is left of a cancelled upload.
        writer.transport.abort()


def _head(method: str, path: str, content_type: str, length_bytes: int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Connection: close", f"Content-Length: {length_bytes}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _read_response(reader: asyncio.StreamReader) -> Response:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise ConnectionError("the headers of the answer have no end") from error
    status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    length = re.search(rb"\r\ncontent-length: *(\d{1,12})\r\n", head, re.IGNORECASE)
    if not status or not length or int(length[1]) > MAX_BODY_BYTES:
        raise ConnectionError("the answer is not HTTP with a body of sensible length")
    return Response(int(status[1]), await reader.readexactly(int(length[1])))
