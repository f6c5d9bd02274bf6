"""Following a stream from its beginning, without a gap, over reconnects and server restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import structlog
from nats.aio.msg import Msg

from whisper_dispatcher.jetstream.connection import TRANSPORT_ERRORS
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream, Stored

log = structlog.get_logger()

HEARTBEAT_S = 1.0
SILENCE_LIMIT_S = 3 * HEARTBEAT_S
INACTIVE_THRESHOLD_S = 30.0
RECONNECT_POLL_S = 0.05


class Tail:
    """Calls `on_message` for every message of some subjects, in stream order, each once.

    Reads what is stored (the last message of every subject) and then what comes. After a disconnect, a gap
    or silence, the consumer is made anew from the last sequence seen: after a server's SIGKILL a push
    consumer may otherwise stay silent for many seconds. `is_current` is False from the disconnect until
    the new consumer has caught up.
    """

    def __init__(
        self,
        jetstream: JetStream,
        stream: str,
        subjects: list[str],
        on_message: Callable[[Stored], None],
    ) -> None:
        self._jetstream = jetstream
        self._stream = stream
        self._subjects = subjects
        self._on_message = on_message
        self._last_sequence = 0
        self._delivered = 0
        self._target_sequence = 0
        self._heard_at = 0.0
        self._caught_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._restart = asyncio.Event()

    @property
    def is_current(self) -> bool:
        return self._caught_up.is_set() and self._jetstream.is_connected

    async def start(self) -> None:
        """Returns once everything stored has been read."""
        self._jetstream.on_disconnect(self._on_disconnect)
        self._task = asyncio.create_task(self._run(), name=f"tail {self._stream}")
        await self._caught_up.wait()

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_disconnect(self) -> None:
        self._caught_up.clear()
        self._restart.set()

    async def _run(self) -> None:
        while True:
            if self._jetstream.is_connected:
                try:
                    await self._follow()
                except (QueueUnavailable, *TRANSPORT_ERRORS) as error:
                    log.warning("following a stream failed, trying again", stream=self._stream, error=str(error))
            await asyncio.sleep(RECONNECT_POLL_S)

    async def _follow(self) -> None:
        """One consumer's life: until a gap, silence or a reconnect."""
        self._restart.clear()
        client = self._jetstream.client
        inbox = client.new_inbox()
        self._delivered = 0
        self._heard_at = asyncio.get_running_loop().time()
        subscription = await client.subscribe(inbox, cb=self._on_delivery)
        name = ""
        try:
            # The stream's end is read first: whatever is stored up to here must have been seen to be current.
            self._target_sequence = await self._last_of_subjects()
            name = await self._create_consumer(inbox)
            self._check_caught_up()
            await self._until_broken()
        finally:
            self._caught_up.clear()
            await self._forget(subscription, name)

    async def _last_of_subjects(self) -> int:
        info = await self._jetstream.api(f"STREAM.INFO.{self._stream}")
        if "state" not in info:
            raise QueueUnavailable(f"stream {self._stream} is not there: {info.get('error')}")
        return int(info["state"]["last_seq"])

    async def _create_consumer(self, inbox: str) -> str:
        config: dict[str, Any] = {
            "deliver_subject": inbox,
            "ack_policy": "none",
            "max_deliver": 1,
            "replay_policy": "instant",
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
            "inactive_threshold": int(INACTIVE_THRESHOLD_S * 1e9),
            "mem_storage": True,
            "num_replicas": 1,
            "filter_subjects": self._subjects,
        }
        if self._last_sequence:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last_sequence + 1}
        else:
            config |= {"deliver_policy": "last_per_subject"}
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        answer = await self._jetstream.api(f"CONSUMER.CREATE.{self._stream}", body)
        if error := answer.get("error"):
            raise QueueUnavailable(f"no consumer on {self._stream}: {error.get('description')}")
        if int(answer.get("num_pending", 0)) == 0 and not answer["delivered"]["consumer_seq"]:
            self._target_sequence = 0  # nothing stored matches
        return str(answer["name"])

    async def _until_broken(self) -> None:
        while not self._restart.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._restart.wait()
            except TimeoutError:
                silence_s = asyncio.get_running_loop().time() - self._heard_at
                if silence_s > SILENCE_LIMIT_S:
                    raise QueueUnavailable(f"nothing heard for {silence_s:.1f} s") from None

    async def _on_delivery(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        headers = dict(message.headers or {})
        if headers.get("Status") == "100":
            await self._on_heartbeat(message, headers)
            return
        metadata = message.metadata
        if metadata.sequence.consumer != self._delivered + 1:
            log.warning("a followed stream has a gap, starting again", stream=self._stream)
            self._restart.set()
            return
        self._delivered += 1
        self._last_sequence = metadata.sequence.stream
        self._on_message(Stored(message.subject, metadata.sequence.stream, message.data, headers))
        if metadata.num_pending == 0:
            self._target_sequence = 0
        self._check_caught_up()

    async def _on_heartbeat(self, message: Msg, headers: dict[str, str]) -> None:
        if message.reply:  # flow control
            await self._jetstream.publish_core(message.reply)
        last = headers.get("Nats-Last-Consumer")
        if last and int(last) != self._delivered:
            self._restart.set()
        elif last:
            # A heartbeat comes when nothing is left to send; what was pending may have been purged meanwhile.
            self._target_sequence = 0
            self._check_caught_up()

    def _check_caught_up(self) -> None:
        # What was received before a disconnect may be handled after it.
        if self._last_sequence >= self._target_sequence and not self._restart.is_set():
            self._caught_up.set()

    async def _forget(self, subscription: Any, consumer: str) -> None:
        try:
            await subscription.unsubscribe()
            if consumer and self._jetstream.is_connected:
                await self._jetstream.client.publish(
                    f"$JS.API.CONSUMER.DELETE.{self._stream}.{consumer}", json.dumps({}).encode()
                )
        except TRANSPORT_ERRORS:
            log.debug("forgetting a consumer failed; the server drops it when it is inactive")
