"""Whether an upload may begin a job: room in the queue, and the client's quota."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from whisper_contracts.messages import ClientRecord
from whisper_dispatcher.gateway import errors, quotas
from whisper_dispatcher.gateway.gateway import Gateway


@contextmanager
def counted(gateway: Gateway, client: ClientRecord) -> Iterator[None]:
    """While an upload is read, it counts as one of the client's jobs."""
    gateway.uploading[client.client] += 1
    try:
        yield
    finally:
        gateway.uploading[client.client] -= 1
        if not gateway.uploading[client.client]:
            del gateway.uploading[client.client]


def check_room(gateway: Gateway) -> None:
    """Raises 429 when the queue is full. The upload is counted already."""
    if not gateway.journal_room.is_left:
        raise errors.queue_full()
    if gateway.index.active_count() + gateway.uploading.total() > gateway.settings.max_queued_jobs:
        raise errors.queue_full()


def check_quota(gateway: Gateway, client: ClientRecord) -> None:
    """Raises 429 when the client's quota is used up. The upload is counted already."""
    now = time.time()
    quotas.check_upload(
        client,
        in_flight=gateway.index.active_count(client.client) + gateway.uploading[client.client] - 1,
        audio_seconds_today=gateway.index.audio_seconds_on(client.client, now),
        now=now,
    )
