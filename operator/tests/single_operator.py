"""One operator that looks at the cluster and reconciles when the test asks it to."""

from whisper_server_objects import complete_job, server, settings

from whisper_operator.child_store import ChildStore
from whisper_operator.child_writer import ChildWriter
from whisper_operator.crd.definition import WHISPER_MODEL
from whisper_operator.events import Recorder
from whisper_operator.model_keeper import ModelKeeper
from whisper_operator.reconcile import Reconciler


class Operator:
    """One run of it: what it knows is what the cluster tells it."""

    def __init__(self, cluster, **given):
        self.cluster = cluster
        self.store = ChildStore()
        self.again = []
        recorder, known = Recorder(cluster), settings(**given)
        writer, again = ChildWriter(cluster, self._take), self.again.append
        self.models = ModelKeeper(cluster, known, recorder, writer, again)
        self.reconciler = Reconciler(
            cluster, known, self.store, recorder, writer, models=self.models.models, again=again
        )
        self.look()

    def _take(self, child):
        self.store.put(child)
        self.models.child_changed("stored", child)

    def look(self):
        """Lists everything, as informers do."""
        self.store.__init__()
        self.models.store.__init__(WHISPER_MODEL.kind)
        for live in list(self.cluster.objects.values()):
            match live["kind"]:
                case "WhisperServer":
                    self.reconciler.see(live)
                    self.models.see_server(live)
                case "WhisperModel":
                    self.models.see("stored", live)
                case _:
                    self._take(live)

    async def reconcile(self, name="demo"):
        """A server; returns what was written."""
        self.cluster.writes.clear()
        await self.reconciler.reconcile(("speech", name))
        return list(self.cluster.writes)

    async def reconcile_model(self, name="base"):
        """Returns what was written."""
        self.cluster.writes.clear()
        await self.models.reconcile(("speech", name))
        return list(self.cluster.writes)

    def status(self, name="demo", kind="WhisperServer"):
        return self.cluster.objects[kind, "speech", name]["status"]

    def condition(self, of_type, name="demo", kind="WhisperServer"):
        return next(each for each in self.status(name, kind)["conditions"] if each["type"] == of_type)

    def conditions(self, name="demo"):
        """The status and the reason of each."""
        return {each["type"]: (each["status"], each["reason"]) for each in self.status(name)["conditions"]}


def finish_download(cluster):
    (job,) = [live for live in cluster.objects.values() if live["kind"] == "Job"]
    job["status"] = complete_job(server())["status"]
