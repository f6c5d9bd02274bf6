"""What there is of a WhisperServer or WhisperModel in the cluster: its children and their pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from whisper_operator.naming import COMPONENT_LABEL, Component, claim_name
from whisper_operator.owner import Owner
from whisper_operator.resources import Manifest
from whisper_operator.server import Server
from whisper_operator.volume import ModelVolume, job_name

ChildKey = tuple[str, str]
"""Kind and name."""


def child_key(manifest: Mapping[str, object]) -> ChildKey:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return str(manifest["kind"]), str(metadata["name"])


@dataclass(frozen=True, slots=True)
class Observed:
    children: Mapping[ChildKey, Manifest]
    pods: tuple[Manifest, ...] = ()

    @classmethod
    def of(cls, children: Iterable[Manifest], pods: Iterable[Manifest] = ()) -> Observed:
        return cls({child_key(child): child for child in children}, tuple(pods))

    def claim(self, owner: Owner) -> Manifest | None:
        return self.children.get(("PersistentVolumeClaim", claim_name(owner)))

    def deployment(self, server: Server) -> Manifest | None:
        return self.children.get(("Deployment", server.name))

    def job(self, owner: Owner, volume: ModelVolume) -> Manifest | None:
        return self.children.get(("Job", job_name(owner, volume)))

    def model_is_there(self, owner: Owner, volume: ModelVolume) -> bool:
        """Whether pods may be started: they bring the model themselves, or it is on their volume."""
        if not volume.fetched_by_job:
            return volume.waiting is None
        job = self.job(owner, volume)
        return job is not None and is_complete(job) and not self.job_is_stale(owner, job)

    def job_is_stale(self, owner: Owner, job: Manifest) -> bool:
        """It filled a claim that is gone; the one of that name is new and empty."""
        claim = self.claim(owner)
        # Times of the API server in one form, which sorts as text.
        return claim is not None and is_complete(job) and created(claim) > job["status"].get("startTime", created(job))

    def pods_of(self, component: Component) -> list[Manifest]:
        return [pod for pod in self.pods if pod["metadata"].get("labels", {}).get(COMPONENT_LABEL) == component]


def created(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("creationTimestamp", ""))


def is_ready(pod: Manifest) -> bool:
    """And not on its way out."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    takes_work = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return takes_work and "deletionTimestamp" not in pod["metadata"]


def is_complete(job: Manifest) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Complete" and condition["status"] == "True" for condition in conditions)
