"""How a command reaches NATS as its administrator."""

from __future__ import annotations

import asyncio
import os

from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.local import running
from whisper_dispatcher.settings import PREFIX, ProcessSettings

CONNECT_TIMEOUT_S = 5.0


def settings() -> ProcessSettings:
    """From WHISPERFLEET_NATS_*, else from the `whisperfleet up` that runs here."""
    here = running.find()
    if here is None or PREFIX + "NATS_URL" in os.environ:
        return ProcessSettings.load()
    return ProcessSettings(nats_url=here.nats_url, nats_user="admin", nats_password=here.nats_password)


async def connect(access: ProcessSettings, command: str) -> JetStream:
    """Raises QueueUnavailable."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await access.connect(f"whisperfleet {command}")
    except TimeoutError:
        raise QueueUnavailable(
            f"NATS did not answer at {access.nats_url}. Start `whisperfleet up` or look into nats-server's log, "
            f"or set WHISPERFLEET_NATS_URL (and _NATS_USER, _NATS_PASSWORD) to where it runs."
        ) from None
