"""What keeps pods from working, read from their status: a reason for programs and a sentence for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from whisper_operator.naming import FETCH
from whisper_operator.resources import Manifest

_OVER = frozenset({"Succeeded", "Failed"})
_IMAGE = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
_RUNTIME = "Check the image, the runtime class and the node; it is tried again."
_CONFIGURATION = {
    "CreateContainerConfigError": "Make the Secret, ConfigMap or key that it names; the pod starts by itself.",
    "CreateContainerError": _RUNTIME,
    "RunContainerError": _RUNTIME,
}
"""By why there is no container: what to do."""
_VOLUME = re.compile(r"persistentvolumeclaim|storageclass|volume node affinity|persistentvolume", re.IGNORECASE)

DOWNLOAD_REASONS = {
    "Unreachable": "DownloadUnreachable",
    "Unauthorized": "DownloadUnauthorized",
    "NotFound": "DownloadNotFound",
    "Stalled": "DownloadStalled",
    "ChecksumMismatch": "ChecksumMismatch",
    "InsufficientSpace": "InsufficientSpace",
    "NotAModel": "NotAModel",
}
"""From the downloader's reasons to those of the condition ModelCached."""

WORKER_REASONS = {
    "golden_clip": "GoldenClipFailed",
    "cpu_fallback": "CPUFallback",
    "server_failed": "ServerFailed",
    "not_a_model": "NotAModel",
}
"""From what a worker's last log line says to those of the condition Degraded."""


@dataclass(frozen=True, slots=True)
class Problem:
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What the pods ask of the cluster beyond CPU and memory."""

    device: str | None = None
    """An extended resource."""
    storage_class: str | None = None


def sentence(said: str) -> str:
    """What others said, closed, so that another sentence can follow."""
    said = said.rstrip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


def scheduling_problem(pods: Iterable[Manifest], wish: Wish) -> Problem | None:
    for pod in pods:
        for condition in _status(pod).get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return _unschedulable(pod["metadata"]["name"], condition, wish)
    return None


def _unschedulable(pod: str, condition: Manifest, wish: Wish) -> Problem:
    device = wish.device
    why = sentence(condition.get("message") or condition.get("reason") or "the scheduler does not say why")
    if device and f"Insufficient {device}" in why:
        return Problem(
            "InsufficientGPU",
            f"No node has {device} free for pod {pod}: {why} Free one, add a node, or ask for another resource.",
        )
    if _VOLUME.search(why):
        return Problem(
            "ClaimPending",
            f"The volume of pod {pod} cannot be had{_of_class(wish)}: {why} Check spec.cache and the nodes.",
        )
    return Problem("Unschedulable", f"Pod {pod} fits on no node: {why} Check requests, node selector and tolerations.")


def _of_class(wish: Wish) -> str:
    return f" (storage class {wish.storage_class})" if wish.storage_class else ""


def container_problem(pods: Iterable[Manifest]) -> Problem | None:
    """The first container that cannot start or keeps ending."""
    for pod in pods:
        # One that was evicted stays as it ended; another is in its place.
        if "deletionTimestamp" in pod["metadata"] or _status(pod).get("phase") in _OVER:
            continue
        for container in _containers(pod):
            if problem := _container_problem(pod["metadata"]["name"], container):
                return problem
    return None


def _container_problem(pod: str, container: Manifest) -> Problem | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    why = sentence(waiting.get("message") or reason)
    if reason in _IMAGE:
        return Problem(
            "ImagePullBackOff",
            f"Pod {pod} cannot get image {container.get('image')}: {why} Check its name and the pull secrets.",
        )
    if reason in _CONFIGURATION:
        return Problem("PodMisconfigured", f"Pod {pod} cannot start: {why} {_CONFIGURATION[reason]}")
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if ended is None or (ended.get("exitCode") == 0 and (container["name"] == FETCH or not container["restartCount"])):
        return None
    if (container.get("state") or {}).get("running") and container.get("ready"):
        return None  # it has recovered
    return _ended(pod, container, ended)


def _ended(pod: str, container: Manifest, ended: Manifest) -> Problem:
    if ended.get("reason") == "OOMKilled":
        return Problem(
            "OOMKilled",
            f"Pod {pod} used more memory than its limit. Raise spec.resources.limits.memory or lower slots.",
        )
    said = last_record(ended.get("message") or "")
    if container["name"] == FETCH:
        return _download_ended(pod, said, ended)
    why = sentence(str(said.get("error") or said.get("message") or _exit(ended)))
    reason = WORKER_REASONS.get(str(said.get("reason")), "CrashLoop")
    return Problem(reason, f"The worker in pod {pod} ended: {why}{_after_worker(reason, pod)}")


def _download_ended(pod: str, said: dict[str, Any], ended: Manifest) -> Problem:
    reason = DOWNLOAD_REASONS.get(str(said.get("reason")))
    if reason and said.get("message"):
        return Problem(reason, str(said["message"]))
    why = sentence(str(said.get("message") or _exit(ended)))
    look = f"Look at `kubectl logs {pod} -c {FETCH}`; it is tried again."
    return Problem(reason or "DownloadFailed", f"The download in pod {pod} ended: {why} {look}")


def _after_worker(reason: str, pod: str) -> str:
    """What to do. The other reasons come with it already; and after a rollback the pod is gone, with its log."""
    match reason:
        case "ServerFailed":
            return " Check the model file, spec.server and the memory."
        case "CrashLoop":
            return f" `kubectl logs {pod} --previous` has the rest."
    return ""


def _exit(ended: Manifest) -> str:
    return f"exit code {ended.get('exitCode')}"


def last_record(text: str) -> dict[str, Any]:
    """The last line that is a JSON object; else its last line as `message`."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            return record
    return {"message": lines[-1].strip()} if lines else {}


def _containers(pod: Manifest) -> Iterator[Manifest]:
    status = _status(pod)
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _status(pod: Manifest) -> Manifest:
    status: Manifest = pod.get("status") or {}
    return status
