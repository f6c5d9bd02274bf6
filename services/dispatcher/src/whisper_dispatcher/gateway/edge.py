"""The outermost layer: request id, trace, metrics, and a log line for what nobody caught.

Pure ASGI, as Starlette's BaseHTTPMiddleware would cost every request a task and a queue.
"""

from __future__ import annotations

import re
import secrets
import time
import uuid

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisper_dispatcher.gateway import metrics
from whisper_dispatcher.logs import trace_id

log = structlog.get_logger()

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Edge:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id", b""))
        scope["whisper.traceparent"] = continued(headers.get(b"traceparent", b""))
        status, is_answered = 0, False

        async def send_marked(message: Message) -> None:
            nonlocal status, is_answered
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer["x-request-id"] = request_id
                answer["traceparent"] = scope["whisper.traceparent"]
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            log.exception("a request failed", request_id=request_id, trace=trace_id(scope["whisper.traceparent"]))
            if not is_answered:
                raise  # in the middle of an answer; the server cuts the connection
        finally:
            _observe(scope, status, time.perf_counter() - started)


def _request_id(given: bytes) -> str:
    return given.decode() if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def continued(given: bytes) -> str:
    """The caller's trace with a span of our own, or a new trace (https://www.w3.org/TR/trace-context/)."""
    match = TRACEPARENT.fullmatch(given.strip())
    span = secrets.token_hex(8)
    if match and not given.startswith(b"ff") and match[1].strip(b"0") and match[2].strip(b"0"):
        return f"00-{match[1].decode()}-{span}-{match[3].decode()}"
    return f"00-{secrets.token_hex(16)}-{span}-01"


def _observe(scope: Scope, status: int, seconds: float) -> None:
    # Only what is known: a scanner must not be able to make a label for everything it tries.
    route = getattr(scope.get("route"), "path", "none")
    method = scope["method"] if scope["method"] in METHODS else "other"
    metrics.REQUESTS.labels(method, route, str(status)).inc()
    metrics.LATENCY.labels(method, route).observe(seconds)
