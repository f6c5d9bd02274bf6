"""Pulling work: one message at a time, with `no_wait` or with a long poll, never cancelled.

nats-py's own `fetch` cannot send `no_wait`, and a cancelled fetch strands its message for the whole
ack wait, so the pull request is published here.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from whisper_dispatcher.jetstream.connection import TRANSPORT_ERRORS
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream

log = structlog.get_logger()

PULL_GRACE_S = 2.0
"""How long after its expiry an unanswered request counts as lost (a reconnect loses it)."""
NOTHING_THERE = ("404", "408")
"""At once, and at a request's expiry. Any other status says why the consumer could not look."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A work message in our hands until it is acked, handed back, or its ack wait runs out."""

    message: Msg
    client: Client

    @property
    def data(self) -> bytes:
        return self.message.data

    @property
    def subject(self) -> str:
        return self.message.subject

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.message.headers or {})

    @property
    def sequence(self) -> int:
        """Of the message in its stream: the same for each of its deliveries."""
        return self.message.metadata.sequence.stream

    @property
    def deliveries(self) -> int:
        """From 1; handing back counts too."""
        return self.message.metadata.num_delivered or 1

    @property
    def age_s(self) -> float:
        """Since the message was stored."""
        return time.time() - self.message.metadata.timestamp.timestamp()

    async def ack(self) -> None:
        await self._settle(b"+ACK")

    async def hand_back(self, delay_s: float = 0.0) -> None:
        delay = b" " + json.dumps({"delay": int(delay_s * 1e9)}).encode() if delay_s > 0 else b""
        await self._settle(b"-NAK" + delay)

    async def in_progress(self) -> None:
        await self._settle(b"+WPI")

    async def _settle(self, body: bytes) -> None:
        # Not waiting for the server's answer: a lost ack repeats work, and first write wins makes that harmless.
        try:
            await self.client.publish(self.message.reply, body)
        except TRANSPORT_ERRORS:
            log.warning("settling a message failed; it will be delivered again", subject=self.subject)


class Puller:
    """One consumer's pull requests over one inbox, at most one of them outstanding.

    A request whose caller went away is left to expire; the next caller joins it, and what arrives while
    nobody waits is handed back.
    """

    def __init__(self, jetstream: JetStream, stream: str, consumer: str) -> None:
        self._jetstream = jetstream
        self._request_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = jetstream.client.new_inbox()
        self._subscription: Subscription | None = None
        self._waiter: asyncio.Future[Delivery | None] | None = None
        self._number = 0
        self._outstanding_until = 0.0

    async def start(self) -> None:
        self._subscription = await self._jetstream.client.subscribe(self._inbox + ".*", cb=self._on_message)

    async def stop(self) -> None:
        """A request may still be open: what it brings until the server has taken it back is handed back."""
        if self._subscription and self._jetstream.is_connected:
            try:
                await self._subscription.drain()  # type: ignore[no-untyped-call]
            except TRANSPORT_ERRORS:
                log.debug("unsubscribe at stop failed; the connection is gone")

    @property
    def _is_outstanding(self) -> bool:
        return asyncio.get_running_loop().time() < self._outstanding_until

    async def pull(self, *, expires_s: float | None = None) -> Delivery | None:
        """The next message, or None when there is none: at once without `expires_s`, else within it.

        Raises QueueUnavailable at once where the consumer is missing, moves or has too many requests: wait a little
        before the next pull.
        """
        if not self._jetstream.is_connected:
            raise QueueUnavailable("NATS is away")
        if self._is_outstanding and expires_s is None:
            return None  # what there is arrives at the outstanding request by itself
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Delivery | None] = loop.create_future()
        self._waiter = waiter
        try:
            if not self._is_outstanding:
                await self._request(expires_s)
            async with asyncio.timeout_at(self._outstanding_until):
                return await waiter
        except TimeoutError:
            self._outstanding_until = 0.0
            return _brought(waiter)
        except TRANSPORT_ERRORS as error:
            raise QueueUnavailable("NATS is away") from error
        except asyncio.CancelledError:
            if late := _brought(waiter):
                await late.hand_back()
            raise
        finally:
            if self._waiter is waiter:
                self._waiter = None

    async def _request(self, expires_s: float | None) -> None:
        self._number += 1
        body = {"batch": 1, "no_wait": True} if expires_s is None else {"batch": 1, "expires": int(expires_s * 1e9)}
        reply = f"{self._inbox}.{self._number}"
        self._outstanding_until = asyncio.get_running_loop().time() + (expires_s or 0.0) + PULL_GRACE_S
        await self._jetstream.client.publish(self._request_subject, json.dumps(body).encode(), reply=reply)

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        if status := headers.get("Status"):
            # A status names its request by subject; one of a request given up long ago ends nothing.
            if message.subject == f"{self._inbox}.{self._number}":
                why = headers.get("Description", "nobody answers")
                self._finish(None if status in NOTHING_THERE else QueueUnavailable(f"the consumer is away: {why}"))
            return
        delivery = Delivery(message, self._jetstream.client)
        if not self._finish(delivery):
            await delivery.hand_back()

    def _finish(self, outcome: Delivery | QueueUnavailable | None) -> bool:
        self._outstanding_until = 0.0
        if self._waiter is None or self._waiter.done():
            return False
        if isinstance(outcome, QueueUnavailable):
            self._waiter.set_exception(outcome)
        else:
            self._waiter.set_result(outcome)
        return True


def _brought(waiter: asyncio.Future[Delivery | None]) -> Delivery | None:
    """What came in the very moment the time was up, or the caller went away."""
    has_come = waiter.done() and not waiter.cancelled() and waiter.exception() is None
    return waiter.result() if has_come else None


async def keep_in_progress(delivery: Delivery, every_s: float) -> None:
    """Runs beside long work until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        await delivery.in_progress()
