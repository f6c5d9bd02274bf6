"""An answer to an upload that is not read to its end.

Most clients send the whole body before they look for an answer. One that is cut off while it sends sees a
reset connection instead of the reason, and sends everything again. So what still comes is thrown away for a
while, as nginx does (`lingering_close`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

LINGER_S = 30.0
LINGER_BYTES = 256 * 1024 * 1024


class LingeringResponse(JSONResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers["connection"] = "close"

        async def send_unfinished(message: Message) -> None:
            # The client has the whole answer; only the server's own end is put off.
            if message["type"] == "http.response.body":
                message["more_body"] = True
            await send(message)

        await super().__call__(scope, receive, send_unfinished)
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await _discard(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    left = LINGER_BYTES
    while left > 0:
        message = await receive()
        if not message.get("more_body", False):
            return
        left -= len(message.get("body", b""))
