"""Makes of each WhisperServer what it describes: looks at what there is, writes what differs, tells the status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from whisper_operator.backends import Backends
from whisper_operator.child_store import ChildStore
from whisper_operator.child_writer import ChildWriter
from whisper_operator.children import desired_children
from whisper_operator.children.worker_pod import queue_name
from whisper_operator.cluster import Cluster
from whisper_operator.conditions import refused_status
from whisper_operator.downloads import Downloads
from whisper_operator.events import Recorder
from whisper_operator.naming import nats_secret_name
from whisper_operator.problems import Problem
from whisper_operator.queue_grants import denial
from whisper_operator.queue_keeper import QueueKeeper
from whisper_operator.resources import DEPLOYMENTS, WHISPER_SERVERS, Manifest, ObjectKey, key_of
from whisper_operator.server import InvalidSpec, Server, parse_model, parse_server
from whisper_operator.settings import OperatorSettings
from whisper_operator.status import View, server_status
from whisper_operator.status_writer import StatusWriter, now
from whisper_operator.versions import is_answer_about, is_outdated
from whisper_operator.volume import ImpossibleCache, ModelVolume, model_volume
from whisper_operator.working import NotAsWanted


class WhisperModelMissing(Exception):
    """A sentence for the author of the WhisperServer that names it."""


class Reconciler:
    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        store: ChildStore,
        recorder: Recorder,
        writer: ChildWriter,
        *,
        models: Mapping[ObjectKey, Manifest],
        again: Callable[[ObjectKey], None],
    ) -> None:
        """models: every WhisperModel as it was last seen. again: gets servers that are to be looked at."""
        self.servers: dict[ObjectKey, Manifest] = {}
        """Every WhisperServer as it was last seen."""
        self.settled: set[ObjectKey] = set()
        """Those whose children were as wanted, or made so, when last looked at."""
        self.keeper = QueueKeeper(cluster, settings, self.servers, recorder, again)
        self.downloads = Downloads(cluster)
        self.backends = Backends(cluster)
        self._status = StatusWriter(cluster, WHISPER_SERVERS, recorder)
        self._settings = settings
        self._store = store
        self._writer = writer
        self._models = models

    async def reconcile(self, key: ObjectKey) -> float | None:
        """Returns after how many seconds to look again, where no event will tell.

        Raises Unreachable, ApiError or NotAsWanted; the same call later may do better.
        """
        self.settled.discard(key)
        body = self.servers.get(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        try:
            server = parse_server(body)
            if denied := denial(self._settings.queue_grants, server):
                self.keeper.forget(key)
                await self._shut_out(body, server, Problem("QueueNotAllowed", denied))
                return None
            server = self._with_model(server)
            volume = model_volume(server)
        except WhisperModelMissing as refusal:
            await self._refuse(body, Problem("WhisperModelMissing", str(refusal)), serves=self._serves(body))
            return None
        except (InvalidSpec, ImpossibleCache) as refusal:
            await self._refuse(body, Problem(type(refusal).__name__, str(refusal)))
            return None
        if taken := self._taken(key, server):
            await self._shut_out(body, server, Problem("QueueTaken", taken))
            return None
        return await self._carry_out(body, server, volume)

    def register_all(self) -> None:
        """Before any is looked at, since the oldest server of a queue decides on its model, and lists have no order."""
        for key in self.servers:
            self._register(key)

    def _register(self, key: ObjectKey) -> None:
        body = self.servers.get(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return
        with suppress(InvalidSpec, WhisperModelMissing, ImpossibleCache):
            server = self._with_model(parse_server(body))
            model_volume(server)
            if not denial(self._settings.queue_grants, server):
                self.keeper.see(key, server)

    def _taken(self, key: ObjectKey, server: Server) -> str | None:
        if not self.keeper.see(key, server):
            return None
        # Theirs may have changed with the same WhisperModel, and not been looked at yet.
        for other in self.keeper.uses.users(queue_name(server)) - {key}:
            self._register(other)
        return self.keeper.uses.refusal(key)

    def forget(self, key: ObjectKey) -> None:
        self.servers.pop(key, None)
        self.settled.discard(key)
        self.downloads.forget(key)
        self.backends.forget(key)
        self.keeper.forget(key)

    async def _shut_out(self, body: Manifest, server: Server, problem: Problem) -> None:
        """Takes away what opens the queue, and first those that use it; they finish what they have. The model stays."""
        children = self._store.observed((server.namespace, server.name), server.uid).children
        for child in (("Deployment", server.name), ("Secret", nats_secret_name(server))):
            live = children.get(child)
            if live and "deletionTimestamp" not in live["metadata"]:
                await self._writer.delete(live, problem.message)
        previous = body.get("status") or {}
        nobody = {name: 0 for name in ("replicas", "readyReplicas", "updatedReplicas") if name in previous}
        await self._write_status(
            body, refused_status(body["metadata"]["generation"], problem, previous, now()) | nobody
        )

    def _with_model(self, server: Server) -> Server:
        """Raises WhisperModelMissing or InvalidSpec."""
        named = server.spec.model.whisper_model
        if named is None:
            return server
        body = self._models.get((server.namespace, named.name))
        if body is None:
            raise WhisperModelMissing(
                f"There is no WhisperModel {named.name} in {server.namespace}. Apply it, or give another spec.model; "
                f"pods that run keep its volume."
            )
        try:
            return replace(server, shared=parse_model(body))
        except InvalidSpec as error:
            raise InvalidSpec(f"WhisperModel {named.name}: {error}") from error

    def _serves(self, body: Manifest) -> bool:
        key = key_of(body)
        observed = self._store.observed(key, body["metadata"]["uid"])
        deployment = observed.children.get((DEPLOYMENTS.kind, key[1]))
        return bool(((deployment or {}).get("status") or {}).get("readyReplicas"))

    async def _refuse(self, body: Manifest, problem: Problem, *, serves: bool = False) -> None:
        generation, previous = body["metadata"]["generation"], body.get("status") or {}
        await self._write_status(body, refused_status(generation, problem, previous, now(), serves=serves))

    async def _carry_out(self, body: Manifest, server: Server, volume: ModelVolume) -> float | None:
        key = (server.namespace, server.name)
        observed = self._store.observed(key, server.uid)
        wanted = desired_children(server, volume, observed, self._settings)
        observed, refused = await self._writer.make_so(server, wanted, self._store)
        progress, progress_again_s = await self.downloads.progress(server, volume, observed)
        backends, backends_again_s = await self.backends.look(key, observed)
        load = self.keeper.loads.get(queue_name(server))
        view = View(server, volume, observed, refused, progress, load, backends)
        await self._write_status(body, server_status(view, body.get("status") or {}, now()))
        if refused:
            raise NotAsWanted(" ".join(problem.message for problem in refused))
        if key in self.servers:
            self.settled.add(key)
        return progress_again_s or backends_again_s

    async def _write_status(self, body: Manifest, status: Manifest) -> None:
        answer = await self._status.write(body, status)
        if answer and is_answer_about(answer, self.servers.get(key_of(answer))):
            self.see(answer)

    def see(self, body: Manifest) -> None:
        """A WhisperServer as it is now; an older version than the known one is ignored."""
        key = key_of(body)
        if not is_outdated(body, self.servers.get(key)):
            self.servers[key] = body
