"""One connection to NATS: made, kept, followed and lost."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from whisper_dispatcher.jetstream.cancellation import heed_cancellation, heeding_cancel
from whisper_dispatcher.jetstream.credentials import follow
from whisper_dispatcher.jetstream.errors import QueueUnavailable

log = structlog.get_logger()

REQUEST_TIMEOUT_S = 5.0

TRANSPORT_ERRORS = (
    nats.errors.Error,
    asyncio.TimeoutError,
    OSError,
)


class Connection:
    """Connects for ever; every request raises QueueUnavailable when NATS is away."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._disconnect_listeners: list[Callable[[], None]] = []
        self._loss_listeners: list[Callable[[], None]] = []
        self._is_closing = False
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        user: str | None = None,
        password: str | None = None,
        credentials: str | None = None,
        inbox_prefix: str | None = None,
        ca_file: str | None = None,
    ) -> Self:
        """Waits for ever for the first connection, so that start order does not matter.

        url: or several, with commas between. credentials: a file, which may be renewed meanwhile. ca_file: for servers of a private authority.
        """
        client = Client()
        connection = cls(client)
        options = _login(user, password, credentials, inbox_prefix, ca_file)
        used = await asyncio.to_thread(Path(credentials).read_bytes) if credentials else b""
        while True:
            try:
                await client.connect(
                    [each.strip() for each in url.split(",")],
                    name=name,
                    # The default gives up for good after two minutes.
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.25,  # type: ignore[arg-type]  # annotated int, handed to asyncio.sleep
                    connect_timeout=2,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    pending_size=64 * 1024 * 1024,
                    error_cb=connection._on_error,
                    reconnected_cb=connection._on_reconnect,
                    disconnected_cb=connection._on_disconnect,
                    closed_cb=connection._on_closed,
                    **options,
                )
                heed_cancellation()
            except asyncio.CancelledError:
                await connection.close()  # or a half-made connection stays open
                raise
            except (TimeoutError, nats.errors.NoServersError, OSError):
                log.warning("nats unreachable, trying again", nats=name)
                await asyncio.sleep(0.5)
            else:
                if credentials:
                    connection._following = asyncio.create_task(follow(client, Path(credentials), used))
                return connection

    async def _on_error(self, error: Exception) -> None:
        log.warning("nats error", error=str(error) or type(error).__name__)

    async def _on_disconnect(self) -> None:
        if not self.client.is_closed:  # our own close is no news
            log.warning("nats disconnected")
        for listener in list(self._disconnect_listeners):
            listener()

    async def _on_reconnect(self) -> None:
        log.info("nats reconnected")

    async def _on_closed(self) -> None:
        if self._is_closing:
            return
        log.critical("NATS has closed the connection for good: the login may have been changed, or have ended")
        for listener in self._loss_listeners:
            listener()

    def on_disconnect(self, listener: Callable[[], None]) -> None:
        self._disconnect_listeners.append(listener)

    def on_loss(self, listener: Callable[[], None]) -> None:
        """listener: is called when the client will not connect again, as it does after most errors that NATS names."""
        self._loss_listeners.append(listener)

    @property
    def is_connected(self) -> bool:
        return self.client.is_connected

    @property
    def is_lost(self) -> bool:
        """The client will not connect again."""
        return self.client.is_closed

    async def close(self) -> None:
        self._is_closing = True
        if self._following:
            self._following.cancel()
        await self.client.close()

    async def request(
        self, subject: str, data: bytes, *, headers: dict[str, str] | None = None, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Msg:
        if not self.client.is_connected:
            raise QueueUnavailable("NATS is away")
        try:
            return await heeding_cancel(self.client.request(subject, data, timeout=timeout_s, headers=headers))
        except TRANSPORT_ERRORS as error:
            raise QueueUnavailable(f"NATS did not answer on {subject}: {error or type(error).__name__}") from error

    async def publish_core(self, subject: str, data: bytes = b"") -> None:
        """Fire and forget, not stored."""
        try:
            await self.client.publish(subject, data)
        except TRANSPORT_ERRORS as error:
            raise QueueUnavailable("NATS is away") from error


def _login(
    user: str | None, password: str | None, credentials: str | None, inbox_prefix: str | None, ca_file: str | None
) -> dict[str, Any]:
    """As nats-py's `connect` takes it."""
    options: dict[str, Any] = {}
    if user:
        # Replies come to an inbox that no other user may listen on: they carry audio.
        options = {"user": user, "password": password, "inbox_prefix": f"_INBOX_{user}"}
    if credentials:
        options["user_credentials"] = credentials
    if inbox_prefix:
        options["inbox_prefix"] = inbox_prefix
    if ca_file:
        options["tls"] = ssl.create_default_context(cafile=ca_file)
    return options
