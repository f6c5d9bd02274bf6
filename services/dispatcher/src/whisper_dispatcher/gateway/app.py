"""The ASGI application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from whisper_dispatcher.gateway import (
    api_docs,
    dead_letter_routes,
    errors,
    fleet_routes,
    job_routes,
    openai_routes,
    page_routes,
    probe_routes,
    transcribe_routes,
)
from whisper_dispatcher.gateway.edge import Edge
from whisper_dispatcher.gateway.gateway import Gateway


def create_app(gateway: Gateway) -> ASGIApp:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gateway.start()
        yield
        await gateway.stop()

    app = FastAPI(title="Whisperfleet", description="Speech to text on your own machines.", lifespan=lifespan)
    app.state.gateway = gateway
    for routes in (
        transcribe_routes,
        openai_routes,
        job_routes,
        dead_letter_routes,
        fleet_routes,
        probe_routes,
        page_routes,
    ):
        app.include_router(routes.router)
    errors.install(app)
    api_docs.install(app)
    return Edge(app)
