"""Tells the queue which models are served, and scales WhisperServers by what waits in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import structlog

from whisper_dispatcher.jetstream.cancellation import heed_cancellation
from whisper_dispatcher.jetstream.errors import QueueFull, QueueRefused, QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_operator.cluster import ApiError, Cluster, Unreachable
from whisper_operator.crd.schedules import Schedule
from whisper_operator.events import Happening, Recorder
from whisper_operator.queue_grants import denial
from whisper_operator.queue_use import QueueUses, queue_named, queue_use
from whisper_operator.resources import WHISPER_SERVERS, Manifest, ObjectKey
from whisper_operator.scaling import Load, Needs, is_news, needed_pods, scaled
from whisper_operator.schedules import open_schedules
from whisper_operator.server import InvalidSpec, Server, parse_server
from whisper_operator.settings import OperatorSettings
from whisper_operator.speech_queue import SpeechQueue

log = structlog.get_logger()

RETRY_S = 2.0
_AWAY = (QueueUnavailable, QueueFull, QueueRefused, ApiError, Unreachable)


class QueueKeeper:
    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        servers: Mapping[ObjectKey, Manifest],
        recorder: Recorder,
        tell: Callable[[ObjectKey], None],
    ) -> None:
        """tell: is called where a server's status is no longer true."""
        self.uses = QueueUses()
        self.loads: dict[str, Load] = {}
        """What the status tells of each queue."""
        self._cluster = cluster
        self._settings = settings
        self._servers = servers
        self._recorder = recorder
        self._tell = tell
        self._changed = asyncio.Event()
        self._told_s: dict[str, float] = {}
        self._needs: dict[ObjectKey, Needs] = {}

    @property
    def owner(self) -> str:
        return f"operator/{self._settings.namespace or '*'}"

    def see(self, key: ObjectKey, server: Server) -> str | None:
        """Returns why the server may not serve its queue."""
        others = self.uses.see(key, queue_use(server))
        if others is not None:
            self._changed.set()
            for other in others:
                self._tell(other)
        return self.uses.refusal(key)

    def forget(self, key: ObjectKey) -> None:
        for other in self.uses.forget(key):
            self._tell(other)
        self._needs.pop(key, None)
        self._changed.set()

    async def run(self, jetstream: JetStream) -> None:
        """Until cancelled."""
        queue = SpeechQueue(jetstream, self._settings.queue_limits)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_records(queue))
            group.create_task(self._watch_loads(queue))

    async def _keep_records(self, queue: SpeechQueue) -> None:
        while True:
            self._changed.clear()
            try:
                await queue.write(self.uses.records(self.owner))
                await self._prune(queue)
                wait_s = self._settings.resync_s
            except _AWAY as error:
                log.warning("the queue does not know all models yet", error=str(error))
                wait_s = RETRY_S
            heed_cancellation()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _prune(self, queue: SpeechQueue) -> None:
        """Takes nothing away before the API server itself says that no WhisperServer is left: ours may not be in yet."""
        surplus = await queue.owned(self.owner) - self.uses.queues()
        if not surplus:
            return
        there, _ = await self._cluster.list_all(WHISPER_SERVERS, self._settings.namespace, "")
        for body in there:
            try:
                server = parse_server(body)
            except InvalidSpec:
                surplus.discard(queue_named(body) or "")
                continue
            if not denial(self._settings.queue_grants, server):
                surplus.discard(queue_use(server).queue)
        await queue.remove(surplus)

    async def _watch_loads(self, queue: SpeechQueue) -> None:
        while True:
            heed_cancellation()
            await asyncio.sleep(self._settings.scale_every_s)
            for name in self.uses.queues():
                try:
                    load = await queue.load(name)
                except QueueUnavailable:
                    continue  # the other loop says so
                await self._scale_all(name, load)
                self._tell_load(name, load)

    def _tell_load(self, name: str, load: Load) -> None:
        now_s = time.monotonic()
        if is_news(self.loads.get(name), load, self._told_s.get(name, 0.0), now_s):
            self.loads[name] = load
            self._told_s[name] = now_s
            for key in self.uses.users(name):
                self._tell(key)

    async def _scale_all(self, name: str, load: Load) -> None:
        for key in sorted(self.uses.users(name)):
            body = self._servers.get(key)
            # Meanwhile, while another was scaled, it may have gone or left the queue.
            if body is None or key not in self.uses.users(name) or self.uses.refusal(key):
                continue
            if not body["spec"].get("autoscaling"):
                self._needs.pop(key, None)
                continue  # reading all that are not scaled would be most of an operator's work at rest
            try:
                await self._scale(body, parse_server(body), load)
            except InvalidSpec:
                continue  # its status says so, and need not be said every second
            except (ApiError, Unreachable) as error:
                log.warning("not scaled", namespace=key[0], name=key[1], error=str(error))

    async def _scale(self, body: Manifest, server: Server, load: Load) -> None:
        key = (server.namespace, server.name)
        autoscaling = server.spec.autoscaling
        if autoscaling is None or server.spec.suspend:
            self._needs.pop(key, None)
            return
        now_s = time.monotonic()
        needs = self._needs.setdefault(key, Needs(since_s=now_s))
        keep_s = max(autoscaling.scale_up_delay_seconds, autoscaling.scale_down_delay_seconds)
        at = datetime.now(UTC)
        needs.add(now_s, needed_pods(autoscaling, load, server.spec.slots, at), keep_s)
        wanted = scaled(autoscaling, needs, now_s, server.replicas)
        if wanted != server.replicas:
            log.info(
                "scaling",
                namespace=key[0],
                name=key[1],
                pods=server.replicas,
                wanted=wanted,
                pending=load.pending,
                in_flight=load.in_flight,
            )
            await self._cluster.scale(WHISPER_SERVERS, *key, wanted)
            await self._recorder.tell(
                body, _scaled(server.replicas, wanted, load, open_schedules(autoscaling.schedules, at))
            )


def _scaled(before: int, wanted: int, load: Load, schedules: Sequence[Schedule]) -> Happening:
    waits = f"{load.pending} windows wait and {load.in_flight} are in work"
    for schedule in schedules:
        waits += f"; schedule {schedule.name} asks for at least {schedule.min_replicas}"
    return Happening("Scaled", f"{wanted} pods are wanted now, {before} before: {waits}.")
