"""/v1/fleet: what an operator looks at."""

from __future__ import annotations

from dataclasses import asdict
from time import time

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from whisper_dispatcher.gateway.auth import authenticate
from whisper_dispatcher.gateway.errors import ApiError
from whisper_dispatcher.gateway.fleet import depth_by_model, depth_of
from whisper_dispatcher.gateway.gateway import gateway_of

router = APIRouter(prefix="/v1", tags=["operation"])


@router.get(
    "/fleet", summary="What each server does, and how much waits, now and in the last hour; for an operator's key"
)
async def get_fleet(request: Request) -> Response:
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    if not client.operator:
        raise ApiError(
            403,
            "This API key is not an operator's. Ask for one that was created with --operator.",
            code="operators_only",
            retry=False,
        )
    active = gateway.index.active()
    depths = depth_by_model(active)
    models = [{"model": model} | asdict(depth) for model, depth in depths.items()]
    body = {
        "object": "fleet",
        "at": time(),
        "now": asdict(depth_of(active)),
        "models": models,
        "workers": gateway.workers.as_json(),
        "history": gateway.depths.as_json(),
    }
    return JSONResponse(body)
