"""Who is calling, decided before anything of the body is read."""

from __future__ import annotations

import time

from starlette.requests import Request

from whisper_contracts.messages import ClientRecord
from whisper_dispatcher.gateway import errors
from whisper_dispatcher.gateway.gateway import Gateway


def authenticate(gateway: Gateway, request: Request) -> ClientRecord:
    """Raises 401 for no or a wrong key, 503 while NATS is away: a key may have been revoked meanwhile."""
    if not gateway.is_current:
        raise errors.unavailable()
    key = _presented_key(request)
    client = gateway.clients.find(key) if key else None
    if client is None:
        raise errors.bad_key("The API key is wrong or was revoked" if key else "No API key was sent")
    gateway.rates.take(client, time.monotonic())
    return client


def _presented_key(request: Request) -> str:
    if key := request.headers.get("x-api-key"):
        return key.strip()
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
