"""The operator at work: informers for our objects and their children, queues, and those who work them off."""

from __future__ import annotations

import asyncio
import time

import structlog

from whisper_dispatcher import event_loop
from whisper_operator import metrics
from whisper_operator.child_store import ChildStore
from whisper_operator.child_writer import ChildWriter
from whisper_operator.client_keeper import ClientKeeper
from whisper_operator.cluster import Cluster
from whisper_operator.crd.definition import WHISPER_SERVER
from whisper_operator.events import Recorder
from whisper_operator.informer import Change, Informer
from whisper_operator.leadership import Leadership
from whisper_operator.lease import Timing
from whisper_operator.model_keeper import ModelKeeper
from whisper_operator.naming import MANAGED_BY
from whisper_operator.reconcile import Reconciler
from whisper_operator.resources import (
    BY_KIND,
    CHILDREN,
    POD_MONITORS,
    PODS,
    SECRETS,
    WHISPER_CLIENTS,
    WHISPER_MODELS,
    WHISPER_SERVERS,
    Manifest,
    ObjectKey,
    key_of,
)
from whisper_operator.settings import OperatorSettings
from whisper_operator.work_queue import KeyedQueue
from whisper_operator.working import Workers

log = structlog.get_logger()

REST_S = 0.1
"""Controllers answer to every write with several of their own: what comes so soon is looked at once."""


class Runner:
    """To be made inside the running event loop."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings, timing: Timing | None = None) -> None:
        """timing: of the Lease."""
        self._leadership = Leadership(cluster, settings.lease, settings.pod_name, timing) if settings.lease else None
        if self._leadership:
            cluster = cluster.guarded(self._leadership.holds)
        self.queue: KeyedQueue[ObjectKey] = KeyedQueue(rest_s=REST_S)
        recorder = Recorder(cluster)
        self.clients = ClientKeeper(cluster, settings, recorder)
        self.store = ChildStore()
        self._writer = ChildWriter(cluster, self._take)
        self.models = ModelKeeper(cluster, settings, recorder, self._writer, self.queue.add)
        self.reconciler = Reconciler(
            cluster, settings, self.store, recorder, self._writer, models=self.models.models, again=self.queue.add
        )
        self._workers = Workers(WHISPER_SERVER.kind, self.queue, self.reconciler.reconcile)
        self._settings = settings
        self._is_working = False
        metrics.SERVERS.set_function(lambda: len(self.reconciler.servers))
        metrics.SETTLED.set_function(lambda: len(self.reconciler.settled))
        resources = (*CHILDREN, PODS, *((POD_MONITORS,) if settings.pod_monitors else ()))
        self._informers = {
            resource.kind: Informer(
                cluster,
                resource,
                namespace=settings.namespace,
                selector=",".join(f"{name}={value}" for name, value in MANAGED_BY.items()),
                on_change=self._on_child,
            )
            for resource in resources
        }
        own = {WHISPER_SERVERS: self._on_server, WHISPER_MODELS: self.models.see, WHISPER_CLIENTS: self.clients.changed}
        for resource, on_change in own.items():
            self._informers[resource.kind] = Informer(
                cluster, resource, namespace=settings.namespace, selector="", on_change=on_change
            )

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for informer in self._informers.values():
                    group.create_task(informer.run())
                # Acting on half a picture would make again what is there.
                for informer in self._informers.values():
                    await informer.listed.wait()
                log.info("all listed", servers=len(self.reconciler.servers))
                await (self._leadership.lead(self._work) if self._leadership else self._work())
        finally:
            self.queue.close()

    async def _work(self) -> None:
        """Everything that writes. While another operator leads, the informers above keep the picture whole."""
        self.reconciler.register_all()
        for key in self.reconciler.servers:
            self.queue.add(key)
        self._workers.worked_at = time.monotonic()
        self._is_working = True
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.reconcilers):
                    group.create_task(self._workers.run())
                group.create_task(self._resync())
                group.create_task(self.models.run())
                group.create_task(self.clients.run())
                group.create_task(self._keep_queue())
        finally:
            self._is_working = False

    def stall(self, after_s: float) -> str | None:
        """For the liveness probe."""
        waited_s = time.monotonic() - self._workers.worked_at
        if self._is_working and len(self.queue) and waited_s > after_s and self.waits_for() is None:
            return f"{len(self.queue)} objects wait, and none has been worked on for {waited_s:.0f} s."
        return None

    def waits_for(self) -> str | None:
        """For the readiness probe."""
        unlisted = [kind for kind, informer in self._informers.items() if not informer.listed.is_set()]
        if unlisted:
            return f"Not listed yet: {', '.join(unlisted)}. Is the API server there, and may they be read?"
        return self._leadership.trouble if self._leadership else None

    def _on_server(self, change: Change, body: Manifest) -> None:
        key = key_of(body)
        if change == "stored":
            self.reconciler.see(body)
            self.models.see_server(body)
            self.queue.add(key)
        else:  # its children go by their owner references
            self.reconciler.forget(key)
            self.models.forget_server(key)
            self.queue.forget_failures(key)

    def _take(self, child: Manifest) -> None:
        if child["kind"] in BY_KIND:
            self._informers[child["kind"]].take(child)

    def _on_child(self, change: Change, child: Manifest) -> None:
        if change == "stored":
            concerned = self.store.put(child)
        else:
            concerned = self.store.remove(child)
            self._writer.forget(child["metadata"]["uid"])
        for key in concerned & self.reconciler.servers.keys():
            self.queue.add(key)
        self.models.child_changed(change, child)
        if child["kind"] == SECRETS.kind:
            self.clients.secret_changed(change, child)

    async def _keep_queue(self) -> None:
        jetstream = await self._settings.connect("operator")
        jetstream.on_loss(event_loop.end_process)
        try:
            self.clients.connected(jetstream)
            await self.reconciler.keeper.run(jetstream)
        finally:
            await jetstream.close()

    async def _resync(self) -> None:
        """Level-triggered: nothing depends on an event alone."""
        while True:
            self.models.look_again()
            keys = list(self.reconciler.servers)
            for key in keys:
                await asyncio.sleep(self._settings.resync_s / len(keys))
                self.queue.add(key)
            if not keys:
                await asyncio.sleep(self._settings.resync_s)
