"""Makes of each WhisperModel a verified file on a claim, and tells the servers that wait for it.

The claim belongs to the model and, beside it, to every server that uses it: the cluster deletes it with the last of
them, so a model that is deleted while it is in use takes no volume from a running pod.
"""

from __future__ import annotations

from collections.abc import Callable

from whisper_operator.child_store import ChildStore
from whisper_operator.child_writer import ChildWriter
from whisper_operator.children.claim import model_claim
from whisper_operator.children.download_job import download_job
from whisper_operator.cluster import Cluster
from whisper_operator.conditions import refused_status
from whisper_operator.crd.definition import WHISPER_MODEL
from whisper_operator.downloads import Downloads
from whisper_operator.events import Recorder
from whisper_operator.informer import Change
from whisper_operator.model_status import ModelView, model_status
from whisper_operator.model_use import ModelUses
from whisper_operator.problems import Problem
from whisper_operator.resources import WHISPER_MODELS, Manifest, ObjectKey, key_of
from whisper_operator.server import InvalidSpec, parse_model
from whisper_operator.settings import OperatorSettings
from whisper_operator.shared_model import SharedModel
from whisper_operator.status_writer import StatusWriter, now
from whisper_operator.versions import is_answer_about, is_outdated
from whisper_operator.volume import claim_wish, shared_model_volume
from whisper_operator.work_queue import KeyedQueue
from whisper_operator.working import NotAsWanted, Workers


class ModelKeeper:
    """To be made inside the running event loop."""

    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        recorder: Recorder,
        writer: ChildWriter,
        tell: Callable[[ObjectKey], None],
    ) -> None:
        """tell: gets servers whose model has changed."""
        self.models: dict[ObjectKey, Manifest] = {}
        """Every WhisperModel as it was last seen."""
        self.queue: KeyedQueue[ObjectKey] = KeyedQueue()
        self.store = ChildStore(WHISPER_MODEL.kind)
        self._writer = writer
        self._settings = settings
        self._status = StatusWriter(cluster, WHISPER_MODELS, recorder)
        self._downloads = Downloads(cluster)
        self._uses = ModelUses()
        self._tell = tell

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await Workers(WHISPER_MODEL.kind, self.queue, self.reconcile).run()
        finally:
            self.queue.close()

    def see(self, change: Change, body: Manifest) -> None:
        key = key_of(body)
        if change == "removed":
            self.models.pop(key, None)
            self._downloads.forget(key)
            self.queue.forget_failures(key)
        elif is_outdated(body, self.models.get(key)):
            return
        else:
            self.models[key] = body
            self.queue.add(key)
        for server in self._uses.servers(key):
            self._tell(server)

    def see_server(self, body: Manifest) -> None:
        for model in self._uses.see(body):
            self.queue.add(model)

    def forget_server(self, key: ObjectKey) -> None:
        for model in self._uses.forget(key):
            self.queue.add(model)

    def child_changed(self, change: Change, child: Manifest) -> None:
        concerned = self.store.put(child) if change == "stored" else self.store.remove(child)
        for key in concerned & self.models.keys():
            self.queue.add(key)

    def look_again(self) -> None:
        for key in self.models:
            self.queue.add(key)

    async def reconcile(self, key: ObjectKey) -> float | None:
        """Returns after how many seconds to look again, where no event will tell.

        Raises Unreachable, ApiError or NotAsWanted; the same call later may do better.
        """
        body = self.models.get(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        previous = body.get("status") or {}
        try:
            model = parse_model(body)
        except InvalidSpec as refusal:
            problem = Problem("InvalidSpec", str(refusal))
            generation, is_verified = body["metadata"]["generation"], bool(previous.get("path"))
            await self._write(body, refused_status(generation, problem, previous, now(), serves=is_verified))
            return None
        return await self._carry_out(body, model, previous)

    async def _carry_out(self, body: Manifest, model: SharedModel, previous: Manifest) -> float | None:
        key = (model.namespace, model.name)
        volume = shared_model_volume(model)
        users = self._uses.users(key)
        wish = claim_wish(model.spec.cache, model.spec.source)
        live = self.store.observed(key, model.uid).claim(model)
        wanted = [
            model_claim(model, wish, live, [user.as_owner() for user in users]),
            download_job(model, volume, self._settings),
        ]
        observed, refused = await self._writer.make_so(model, wanted, self.store)
        progress, again_s = await self._downloads.progress(model, volume, observed)
        view = ModelView(model, volume, observed, [user.name for user in users], refused, progress)
        await self._write(body, model_status(view, previous, now()))
        if refused:
            raise NotAsWanted(" ".join(problem.message for problem in refused))
        return again_s

    async def _write(self, body: Manifest, status: Manifest) -> None:
        """Servers are told at once, and not only when the watch brings it back."""
        answer = await self._status.write(body, status)
        if answer and is_answer_about(answer, self.models.get(key_of(answer))):
            self.see("stored", answer)
