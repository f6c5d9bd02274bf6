"""Credentials that are renewed while a process runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from nats.aio.client import Client

log = structlog.get_logger()

CHECK_EVERY_S = 30.0


async def follow(client: Client, file: Path, used: bytes) -> None:
    """Connects again whenever the file holds others than those in use. Until cancelled.

    NATS ends a connection whose credentials' time is over, and nats-py then closes for good: be there before.
    """
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        try:
            found = file.read_bytes()
        except OSError as error:
            log.warning("credentials cannot be read, the old ones stay in use", error=str(error))
            continue
        if found != used:
            used = found
            log.info("credentials were renewed, connecting again")
            await client.force_reconnect()
