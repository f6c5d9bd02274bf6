"""Who is calling, decided before anything of the body is read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from whisper_contracts.messages import ClientRecord
from whisper_dispatcher.gateway import errors, quotas
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


@contextmanager
def admitted(gateway: Gateway, client: ClientRecord) -> Iterator[None]:
    """While an upload is read. Raises 429 before it when the queue or the client's quota is used up."""
    if not gateway.journal_room.is_left:
        raise errors.queue_full()
    if gateway.index.active_count() + gateway.uploading.total() >= gateway.settings.max_queued_jobs:
        raise errors.queue_full()
    now = time.time()
    quotas.check_upload(
        client,
        in_flight=gateway.index.active_count(client.client) + gateway.uploading[client.client],
        audio_seconds_today=gateway.index.audio_seconds_on(client.client, now),
        now=now,
    )
    gateway.uploading[client.client] += 1
    gateway.journal_room.begin_upload()
    try:
        yield
    finally:
        gateway.uploading[client.client] -= 1
        if not gateway.uploading[client.client]:
            del gateway.uploading[client.client]
