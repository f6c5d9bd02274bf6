"""After a write that failed, as on a full disk, nats-server stores nothing more until it is started again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from nats.aio.client import Client

from whisper_dispatcher.jetstream.cancellation import heeding_cancel
from whisper_dispatcher.jetstream.connection import TRANSPORT_ERRORS
from whisper_dispatcher.local.nats_server import MIB, write_error
from whisper_dispatcher.local.processes import Child

LOOK_EVERY_S = 2.0
ROOM_BYTES = 64 * MIB
"""With less, it would soon be full again."""

Remedy = Literal["none", "free the disk", "restart"]


def remedy(error: str, free_bytes: int) -> Remedy:
    if not error:
        return "none"
    return "restart" if free_bytes >= ROOM_BYTES else "free the disk"


class QueueWatch:
    def __init__(self, server: Child, store: Path, tell: Callable[[str], None]) -> None:
        self._server = server
        self._store = store
        self._tell = tell
        self._last: Remedy = "none"

    async def run(self, url: str, password: str) -> None:
        """password: of the system user."""
        system = Client()
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                with suppress(*TRANSPORT_ERRORS):  # it is being started
                    if not system.is_connected:
                        system = Client()
                        await heeding_cancel(
                            system.connect(
                                url, user="system", password=password, allow_reconnect=False, error_cb=_left_unsaid
                            )
                        )
                    error = await write_error(system)
                    await self._act(remedy(error, shutil.disk_usage(self._store).free))
        finally:
            await system.close()

    async def _act(self, wanted: Remedy) -> None:
        if wanted == "free the disk" and self._last != wanted:
            self._tell(
                f"The disk of {self._store} is full: no job is taken until {ROOM_BYTES // MIB} MB are free there"
            )
        if wanted == "restart":
            await self._server.restart("nats-server could not write; there is room now, so it is started again")
        self._last = wanted


async def _left_unsaid(_: Exception) -> None:
    """That nats-server is away is told by whoever starts it again."""
