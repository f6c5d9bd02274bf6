"""The gateway's state: one connection, what it follows, and who may call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import structlog
from fastapi import Request

from whisper_contracts import names
from whisper_dispatcher import event_loop
from whisper_dispatcher.gateway import errors
from whisper_dispatcher.gateway.directory import Clients, Models
from whisper_dispatcher.gateway.feed import JobFeed
from whisper_dispatcher.gateway.fleet import DepthHistory
from whisper_dispatcher.gateway.journal_room import JournalRoom
from whisper_dispatcher.gateway.quotas import RequestRates
from whisper_dispatcher.gateway.settings import GatewaySettings
from whisper_dispatcher.gateway.workers import Workers
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.streams import JetStream, Stored
from whisper_dispatcher.jetstream.tail import Tail
from whisper_dispatcher.jobs.index import JobIndex

log = structlog.get_logger()


class Gateway:
    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.index = JobIndex()
        self.feed = JobFeed(self.index)
        self.depths = DepthHistory(self.index)
        self.workers = Workers()
        self.clients = Clients()
        self.models = Models(settings.default_model_aliases)
        self.rates = RequestRates()
        self.uploading: Counter[str] = Counter()
        """Uploads being read, by client: not in the index yet."""
        self.journal_room = JournalRoom(self.uploading)
        self.draining = asyncio.Event()
        """This process is to end."""
        self.drained = asyncio.Event()
        """The time for requests that wait is over, too."""
        self._jetstream: JetStream | None = None
        self._tails: list[Tail] = []
        self._task: asyncio.Task[None] | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def jetstream(self) -> JetStream:
        if self._jetstream is None:
            raise errors.unavailable("The gateway has not reached its queue yet. Send the request again in a moment.")
        return self._jetstream

    @property
    def is_current(self) -> bool:
        """Everything this process knows is as NATS has it now; False from the first sign that NATS is away."""
        return bool(self._tails) and all(tail.is_current for tail in self._tails)

    def start(self) -> None:
        """Connects beside serving, so that /healthz answers while NATS is away."""
        self._task = asyncio.create_task(self._connect(), name="connect")

    def drain(self) -> None:
        self.draining.set()
        asyncio.get_running_loop().call_later(self.settings.drain_wait_s, self.drained.set)

    async def stop(self) -> None:
        for task in filter(None, (self._task, self._sampling, self._looking)):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for tail in self._tails:
            await tail.stop()
        if self._jetstream:
            await self._jetstream.close()

    async def _connect(self) -> None:
        jetstream = await self.settings.connect("gateway")
        jetstream.on_loss(event_loop.end_process)
        self._jetstream = jetstream
        await topology.wait_for_streams(jetstream)
        await jetstream.client.subscribe(names.WORKER_SUBJECTS, cb=self.workers.on_message)

        def tail(stream: str, subjects: str, on_message: Callable[[Stored], None]) -> Tail:
            return Tail(jetstream, stream, [subjects], on_message)

        self._tails = [
            tail(f"KV_{names.CLIENTS_BUCKET}", f"$KV.{names.CLIENTS_BUCKET}.>", self.clients.apply),
            tail(f"KV_{names.MODELS_BUCKET}", f"$KV.{names.MODELS_BUCKET}.>", self.models.apply),
            tail(names.JOURNAL_STREAM, names.JOB_SUBJECTS, self.feed.apply),
        ]
        await self.journal_room.look(jetstream)
        self._looking = asyncio.create_task(self.journal_room.run(jetstream), name="journal room")
        await asyncio.gather(*(tail.start() for tail in self._tails))
        self._sampling = asyncio.create_task(self.depths.run(), name="depths")
        log.info("ready", models=[model.name for model in self.models.all()])


def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway
