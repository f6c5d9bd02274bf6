"""Makes of each WhisperServer what it describes: looks at what there is, writes what differs, tells the status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from whisper_operator.backends import Backends
from whisper_operator.changes import Apply, Change, Delete, changes, waves
from whisper_operator.child_store import ChildStore, ServerKey, key_of
from whisper_operator.children import desired_children
from whisper_operator.children.worker_pod import queue_name
from whisper_operator.cluster import ApiError, Cluster
from whisper_operator.differs import first_difference
from whisper_operator.downloads import Downloads
from whisper_operator.events import Recorder
from whisper_operator.naming import HASH_ANNOTATION, controller, nats_secret_name
from whisper_operator.observed import Observed, child_key
from whisper_operator.owner import Owner
from whisper_operator.problems import Problem
from whisper_operator.queue_grants import denial
from whisper_operator.queue_keeper import QueueKeeper
from whisper_operator.resources import BY_KIND, DEPLOYMENTS, REMADE, SECRETS, WHISPER_SERVERS
from whisper_operator.server import InvalidSpec, Manifest, Server, parse_model, parse_server
from whisper_operator.settings import OperatorSettings
from whisper_operator.status import View, refused_status, server_status
from whisper_operator.status_writer import StatusWriter, now
from whisper_operator.versions import is_answer_about, is_outdated
from whisper_operator.volume import ImpossibleCache, ModelVolume, model_volume
from whisper_operator.working import NotAsWanted

log = structlog.get_logger()

TERMINATING = "being terminated"


class WhisperModelMissing(Exception):
    """A sentence for the author of the WhisperServer that names it."""


LastingDifference = tuple[str, str, str]
"""Hash of what was wanted, version of what came of it, and the difference that stayed."""


class Reconciler:
    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        store: ChildStore,
        recorder: Recorder,
        *,
        take: Callable[[Manifest], None],
        again: Callable[[ServerKey], None],
    ) -> None:
        """take: gets every child that a write has answered. again: gets servers that are to be looked at."""
        self.servers: dict[ServerKey, Manifest] = {}
        """Every WhisperServer as it was last seen."""
        self.settled: set[ServerKey] = set()
        """Those whose children were as wanted, or made so, when last looked at."""
        self.models: dict[ServerKey, Manifest] = {}
        """Every WhisperModel as it was last seen."""
        self.keeper = QueueKeeper(cluster, settings, self.servers, recorder, again)
        self.downloads = Downloads(cluster)
        self.backends = Backends(cluster)
        self._cluster = cluster
        self._status = StatusWriter(cluster, WHISPER_SERVERS, recorder)
        self._settings = settings
        self._store = store
        self._take = take
        self._lasting: dict[str, LastingDifference] = {}
        self._as_wanted: dict[str, tuple[str, str]] = {}
        """By the UID of a child: hash and version that were the same, so that they need no second comparison."""

    async def reconcile(self, key: ServerKey) -> float | None:
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

    def _register(self, key: ServerKey) -> None:
        body = self.servers.get(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return
        with suppress(InvalidSpec, WhisperModelMissing, ImpossibleCache):
            server = self._with_model(parse_server(body))
            model_volume(server)
            if not denial(self._settings.queue_grants, server):
                self.keeper.see(key, server)

    def _taken(self, key: ServerKey, server: Server) -> str | None:
        if not self.keeper.see(key, server):
            return None
        # Theirs may have changed with the same WhisperModel, and not been looked at yet.
        for other in self.keeper.uses.users(queue_name(server)) - {key}:
            self._register(other)
        return self.keeper.uses.refusal(key)

    def forget(self, key: ServerKey) -> None:
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
                await self._delete(live, problem.message)
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
        body = self.models.get((server.namespace, named.name))
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
        metadata = body["metadata"]
        deployment = self._store.observed((metadata["namespace"], metadata["name"]), metadata["uid"]).children.get(
            (DEPLOYMENTS.kind, metadata["name"])
        )
        return bool(((deployment or {}).get("status") or {}).get("readyReplicas"))

    async def _refuse(self, body: Manifest, problem: Problem, *, serves: bool = False) -> None:
        generation, previous = body["metadata"]["generation"], body.get("status") or {}
        await self._write_status(body, refused_status(generation, problem, previous, now(), serves=serves))

    async def _carry_out(self, body: Manifest, server: Server, volume: ModelVolume) -> float | None:
        key = (server.namespace, server.name)
        observed = self._store.observed(key, server.uid)
        wanted = desired_children(server, volume, observed, self._settings)
        observed, refused = await self.make_so(server, wanted, self._store)
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

    async def make_so(
        self, owner: Owner, wanted: list[Manifest], store: ChildStore
    ) -> tuple[Observed, tuple[Problem, ...]]:
        """Writes what differs. Returns what there is then, and what was refused."""
        key = (owner.namespace, owner.name)
        observed = store.observed(key, owner.uid)
        planned = changes(owner, wanted, observed, self._difference)
        answers: list[Problem | None] = []
        for wave in waves(planned):
            answers += await asyncio.gather(*(self._make(change, owner) for change in wave))
        refused = tuple(answer for answer in answers if answer)
        return store.observed(key, owner.uid) if planned else observed, refused

    async def _make(self, change: Change, owner: Owner) -> Problem | None:
        try:
            match change:
                case Apply():
                    await self._apply(change, owner)
                case Delete():
                    await self._delete(change.live, change.why)
        except ApiError as error:
            return _problem(change, owner, error)
        return None

    async def _apply(self, change: Apply, owner: Owner) -> None:
        manifest = change.manifest
        kind, name = child_key(manifest)
        namespace = manifest["metadata"]["namespace"]
        log.info("applying", kind=kind, namespace=namespace, name=name, why=change.why)
        if kind == SECRETS.kind and not change.live:
            await self._refuse_foreign(owner, kind, name)
        try:
            answer = await self._cluster.apply(BY_KIND[kind], manifest, force=change.force)
        except ApiError as error:
            if error.status == 422 and change.live and kind in REMADE:
                await self._delete(change.live, f"it cannot be changed: {error.message}")
                return
            if error.status != 409 or change.force or not await self._is_of(owner, kind, name):
                raise
            answer = await self._cluster.apply(BY_KIND[kind], manifest, force=True)
        self._take(answer)
        self._remember_difference(manifest, answer)

    async def _refuse_foreign(self, owner: Owner, kind: str, name: str) -> None:
        """Somebody's Secret has no field in common with ours: the API server would let us make it ours, and it would
        go with the owner. Raises ApiError."""
        live = await self._cluster.get(BY_KIND[kind], owner.namespace, name)
        if live and not _is_controlled(live, owner):
            raise ApiError(409, "Conflict", "it has no owner, or another one")

    async def _is_of(self, owner: Owner, kind: str, name: str) -> bool:
        """Ours all the same: somebody took the label by which the informers know it."""
        live = await self._cluster.get(BY_KIND[kind], owner.namespace, name)
        return live is not None and _is_controlled(live, owner)

    async def _delete(self, live: Manifest, why: str) -> None:
        kind, name = child_key(live)
        log.info("deleting", kind=kind, namespace=live["metadata"]["namespace"], name=name, why=why)
        await self._cluster.delete(BY_KIND[kind], live)

    def _remember_difference(self, manifest: Manifest, answer: Manifest) -> None:
        uid = answer["metadata"]["uid"]
        difference = first_difference(manifest, answer)
        if difference is None:
            self._lasting.pop(uid, None)
        else:
            self._lasting[uid] = (_hash(manifest), _content_version(answer), difference)

    def forget_child(self, uid: str) -> None:
        self._lasting.pop(uid, None)
        self._as_wanted.pop(uid, None)

    def _difference(self, manifest: Manifest, live: Manifest) -> str | None:
        """Unless the API server wrote that value its own way when we last applied it."""
        uid, compared = live["metadata"]["uid"], (_hash(manifest), live["metadata"]["resourceVersion"])
        if self._as_wanted.get(uid) == compared:
            return None
        difference = first_difference(manifest, live)
        if difference and self._lasting.get(uid) != (_hash(manifest), _content_version(live), difference):
            return difference
        self._as_wanted[uid] = compared
        return None

    async def _write_status(self, body: Manifest, status: Manifest) -> None:
        answer = await self._status.write(body, status)
        if answer and is_answer_about(answer, self.servers.get(key_of(answer))):
            self.see(answer)

    def see(self, body: Manifest) -> None:
        """A WhisperServer as it is now; an older version than the known one is ignored."""
        key = key_of(body)
        if not is_outdated(body, self.servers.get(key)):
            self.servers[key] = body


def _problem(change: Change, owner: Owner, error: ApiError) -> Problem | None:
    kind, name = child_key(change.manifest if isinstance(change, Apply) else change.live)
    if error.status == 403 and TERMINATING in error.message:
        return None  # the namespace goes, and the server with it
    if error.status == 409 and isinstance(change, Apply) and not change.force:
        return Problem(
            "NameTaken",
            f"There is a {kind} {name} in {owner.namespace} already that is not ours ({error.message}). "
            f"Rename it, or the {owner.kind}.",
        )
    if error.status == 403:
        return Problem(
            "Forbidden", f"The {kind} {name} may not be written: {error.message} Check quotas and the operator's role."
        )
    return Problem("ChildRefused", f"The {kind} {name} was refused: {error.message}")


def _is_controlled(live: Manifest, owner: Owner) -> bool:
    held_by = controller(live)
    return held_by is not None and held_by["uid"] == owner.uid


def _hash(manifest: Manifest) -> str:
    return str(manifest["metadata"]["annotations"][HASH_ANNOTATION])


def _content_version(live: Manifest) -> str:
    """A new status is not a new generation; kinds without one have only their resource version."""
    metadata = live["metadata"]
    return str(metadata.get("generation") or metadata["resourceVersion"])
