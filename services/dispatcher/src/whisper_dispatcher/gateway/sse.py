"""Server-sent events on the wire (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

KEEP_ALIVE = ": keep-alive\n\n"
DONE = "data: [DONE]\n\n"


def data_line(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def event_stream(events: AsyncIterator[str], job: str) -> StreamingResponse:
    # Proxies that buffer would keep the events until the end.
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "x-job-id": job}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
