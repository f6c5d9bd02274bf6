"""How a command works on the queue as its administrator, and how a person is told what NATS says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from whisper_dispatcher.cli.sentences import told

if TYPE_CHECKING:
    from whisper_dispatcher.jetstream.streams import JetStream

T = TypeVar("T")


def as_admin(command: str, work: Callable[[JetStream], Awaitable[T]]) -> T:
    """command: the name that NATS and the log see."""
    from whisper_dispatcher import logs
    from whisper_dispatcher.jetstream.errors import QueueRefused, QueueUnavailable
    from whisper_dispatcher.jobs.clients import AmbiguousClient, NoSuchClient

    logs.configure(command, as_json=False)
    with told(NoSuchClient, AmbiguousClient, QueueUnavailable, QueueRefused):
        return asyncio.run(_connected(command, work))


async def _connected(command: str, work: Callable[[JetStream], Awaitable[T]]) -> T:
    from whisper_dispatcher.local import admin

    jetstream = await admin.connect(admin.settings(), command)
    try:
        return await work(jetstream)
    finally:
        with suppress(Exception):
            await jetstream.close()
