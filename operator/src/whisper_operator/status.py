"""The status of a WhisperServer, told from what is observed. No I/O: everything comes in, the status goes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whisper_operator.backends import Backend
from whisper_operator.children.worker_pod import queue_name, resource_name
from whisper_operator.conditions import Claimed, dated
from whisper_operator.download_status import Progress, bytes_told, download_claimed
from whisper_operator.events import ROLLED_BACK
from whisper_operator.naming import selector_labels
from whisper_operator.observed import Observed
from whisper_operator.problems import Problem, Wish, container_problem, scheduling_problem, sentence
from whisper_operator.resources import Manifest
from whisper_operator.rollouts import Refusal, noted_refusal
from whisper_operator.scaling import Load
from whisper_operator.server import Server
from whisper_operator.volume import ModelVolume

_UNDER_WAY = frozenset({"Downloading", "DownloadPending", "WaitingForModel"})

CPU_FALLBACK = "CPUFallback"


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the status is told from."""

    server: Server
    volume: ModelVolume
    observed: Observed
    refused: tuple[Problem, ...] = ()
    """Children that the API server did not take."""
    progress: Progress | None = None
    load: Load | None = None
    backends: tuple[Backend, ...] = ()
    """Of the pods that take work."""

    @property
    def deployment_status(self) -> Manifest:
        deployment = self.observed.deployment(self.server)
        return (deployment or {}).get("status") or {}

    @property
    def counts_are_old(self) -> bool:
        """The Deployment controller has not seen the last change yet, and its counts are of the template before."""
        deployment = self.observed.deployment(self.server) or {"metadata": {}}
        generation = int(deployment["metadata"].get("generation", 0))
        return int(self.deployment_status.get("observedGeneration", 0)) < generation

    @property
    def model_is_there(self) -> bool:
        if self.volume.fetched_by_pod:
            return self.ready > 0
        return self.observed.model_is_there(self.server, self.volume)

    @property
    def ready(self) -> int:
        return int(self.deployment_status.get("readyReplicas", 0))

    @property
    def updated(self) -> int:
        return int(self.deployment_status.get("updatedReplicas", 0))

    @property
    def wish(self) -> Wish:
        spec = self.server.spec
        device = resource_name(spec.accelerator) if spec.accelerator else None
        return Wish(device, spec.cache.storage_class_name)

    @property
    def refusal(self) -> Refusal | None:
        """Why the last good template runs in place of the wanted one."""
        return noted_refusal(self.observed.deployment(self.server))

    @property
    def wanted(self) -> int:
        return self.server.replicas


def server_status(view: View, previous: Manifest, now: str) -> Manifest:
    """previous: the status as it is. now: RFC 3339."""
    told = view.deployment_status
    selector = selector_labels(view.server, "worker")
    claimed = _conditions(view)
    if accelerated := _accelerated(view, previous):
        claimed.append(accelerated)
    return (
        previous
        | {
            "observedGeneration": view.server.generation,
            "conditions": dated(claimed, previous.get("conditions") or [], view.server.generation, now),
            "replicas": int(told.get("replicas", 0)),
            "readyReplicas": view.ready,
            "updatedReplicas": view.updated,
            "selector": ",".join(f"{name}={value}" for name, value in sorted(selector.items())),
            "model": _model(view),
        }
        | _queue(view)
        | _backend(view)
    )


def _queue(view: View) -> Manifest:
    return {"queue": {"pending": view.load.pending, "inFlight": view.load.in_flight}} if view.load else {}


def _backend(view: View) -> Manifest:
    """The last known one stays: it is nobody's fault that no pod runs now."""
    return {"backend": ", ".join(sorted({backend.name for backend in view.backends}))} if view.backends else {}


def _conditions(view: View) -> list[Claimed]:
    cached, scheduled = _model_cached(view), _scheduled(view)
    degraded = _degraded(view, cached, scheduled)
    return [_ready(view, cached, scheduled, degraded), cached, scheduled, _progressing(view, cached), degraded]


def _ready(view: View, cached: Claimed, scheduled: Claimed, degraded: Claimed) -> Claimed:
    if view.server.spec.suspend:
        return Claimed("Ready", False, "Suspended", "There are no pods until spec.suspend is taken away.")
    if view.ready:
        again = ", made from the last good template" if view.refusal else ""
        return Claimed("Ready", True, "Serving", f"{view.ready} of {view.wanted} pods take work{again}.")
    causes = [cause for cause in (degraded, cached, scheduled) if cause.holds == (cause.type == "Degraded")]
    if causes:
        return Claimed("Ready", False, causes[0].reason, causes[0].message)
    if view.wanted:
        return Claimed("Ready", False, "Starting", "The pods start: they load the model and hear their golden clip.")
    if view.server.spec.autoscaling:
        return Claimed("Ready", True, "ScaledToZero", "No pod runs while nothing waits; work in the queue starts one.")
    return Claimed("Ready", False, "ScaledToZero", "spec.replicas is 0. Scale up to serve the queue.")


def _model_cached(view: View) -> Claimed:
    if view.model_is_there:
        return Claimed("ModelCached", True, "Cached", f"The model lies at {view.volume.file.path} on its volume.")
    if view.volume.fetched_by_pod and not view.wanted:
        return Claimed("ModelCached", True, "WithEachPod", "Every pod brings its own copy of the model.")
    if view.volume.waiting:
        return Claimed("ModelCached", False, view.volume.waiting.reason, view.volume.waiting.message)
    pods = view.observed.pods_of("worker" if view.volume.fetched_by_pod else "download")
    return download_claimed("ModelCached", pods, view.wish, view.progress)


def _scheduled(view: View) -> Claimed:
    problem = scheduling_problem(view.observed.pods, view.wish)
    if problem:
        return Claimed("Scheduled", False, problem.reason, problem.message)
    return Claimed("Scheduled", True, "Scheduled", "Every pod has a node.")


def _progressing(view: View, cached: Claimed) -> Claimed:
    if not cached.holds and cached.reason in _UNDER_WAY:
        return Claimed("Progressing", True, cached.reason, cached.message)
    if view.counts_are_old:
        return Claimed("Progressing", True, "RollingOut", "The Deployment controller has yet to take up the change.")
    stuck = _stuck_rollout(view)
    if stuck:
        return Claimed("Progressing", False, "ProgressDeadlineExceeded", stuck)
    if view.updated < view.wanted or view.ready < view.wanted or _left_over(view):
        return Claimed(
            "Progressing", True, "RollingOut", f"{view.updated} of {view.wanted} pods are new, {view.ready} ready."
        )
    if view.refusal:
        return Claimed("Progressing", False, ROLLED_BACK, _rolled_back(view, view.refusal))
    return Claimed("Progressing", False, "Settled", "Every pod is as it is wanted.")


def _rolled_back(view: View, refusal: Refusal) -> str:
    deployment = view.observed.deployment(view.server)
    assert deployment is not None  # it bears the refusal
    worker = deployment["spec"]["template"]["spec"]["containers"][0]
    model = next((each["value"] for each in worker["env"] if each["name"] == "WHISPERFLEET_MODEL_PATH"), "its model")
    return (
        f"{sentence(refusal.message)} The pods are made from the last good template again (image {worker['image']}, "
        f"model {model}). Another change of the spec is tried anew."
    )


def _accelerated(view: View, previous: Manifest) -> Claimed | None:
    if view.server.spec.accelerator is None:
        return None
    device = resource_name(view.server.spec.accelerator)
    problem = container_problem(view.observed.pods_of("worker"))
    if problem and problem.reason == CPU_FALLBACK:
        return Claimed("Accelerated", False, CPU_FALLBACK, problem.message)
    fallen = next((backend for backend in view.backends if backend.name == "cpu"), None)
    if fallen:
        why = f"Pod {fallen.pod} has {device} and computes on the CPU. Check image, driver and runtime class."
        return Claimed("Accelerated", False, CPU_FALLBACK, why)
    if view.backends:
        names = ", ".join(sorted({backend.name for backend in view.backends}))
        return Claimed("Accelerated", True, "Accelerated", f"The servers compute with {names}.")
    for condition in previous.get("conditions") or []:
        if condition["type"] == "Accelerated" and condition["status"] != "Unknown":
            return Claimed("Accelerated", condition["status"] == "True", condition["reason"], condition["message"])
    return Claimed("Accelerated", None, "NoPodYet", f"No pod has said yet whether it computes on {device}.")


def _left_over(view: View) -> bool:
    return int(view.deployment_status.get("replicas", 0)) > view.wanted


def _stuck_rollout(view: View) -> str | None:
    for condition in view.deployment_status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition["status"] == "False":
            return f"{condition.get('message') or 'The rollout makes no progress.'} Look at the pods' events."
    return None


def _degraded(view: View, cached: Claimed, scheduled: Claimed) -> Claimed:
    if view.refused:
        return Claimed("Degraded", True, view.refused[0].reason, " ".join(problem.message for problem in view.refused))
    if not cached.holds and cached.reason not in _UNDER_WAY:
        return Claimed("Degraded", True, cached.reason, cached.message)
    if not scheduled.holds:
        return Claimed("Degraded", True, scheduled.reason, scheduled.message)
    if problem := container_problem(view.observed.pods_of("worker")):
        return Claimed("Degraded", True, problem.reason, problem.message)
    if view.refusal:
        return Claimed("Degraded", True, view.refusal.reason, _rolled_back(view, view.refusal))
    if stuck := _stuck_rollout(view):
        return Claimed("Degraded", True, "ProgressDeadlineExceeded", stuck)
    return Claimed("Degraded", False, "AsWanted", "Nothing is wrong.")


def _model(view: View) -> dict[str, Any]:
    named = {"name": queue_name(view.server), "file": view.volume.file.path}
    return named | bytes_told(view.volume.file.size_bytes, view.progress, is_there=view.model_is_there)
