"""/healthz, /readyz, /metrics: answered from memory, whatever the queue and the servers do."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from whisper_dispatcher.gateway import metrics
from whisper_dispatcher.gateway.gateway import gateway_of

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="The process answers")
async def healthz() -> Response:
    return PlainTextResponse("ok")


@router.get("/readyz", summary="Requests can be served")
async def readyz(request: Request) -> Response:
    gateway = gateway_of(request)
    if gateway.draining.is_set():
        return PlainTextResponse("The gateway is shutting down.", 503)
    if not gateway.is_current:
        return PlainTextResponse("The queue cannot be reached, or has not been read to its end yet.", 503)
    return PlainTextResponse("ok")


@router.get("/metrics", summary="For Prometheus")
async def prometheus(request: Request) -> Response:
    gateway = gateway_of(request)
    metrics.ACTIVE.set(gateway.index.active_count())
    metrics.CONNECTED.set(gateway.is_current)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
