"""Where a WhisperServer's model is kept, decided from its spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whisper_operator.model_file import ModelFile, claim_size, downloaded_file
from whisper_operator.naming import claim_name, download_job_name
from whisper_operator.server import Manifest, Server

SINGLE_NODE = ("ReadWriteOnce", "ReadWriteOncePod")

Kind = Literal["OwnClaim", "GivenClaim", "PodClaim", "PodDisk"]


class ImpossibleCache(Exception):
    """What is wished for cannot work; the sentence says what can."""


@dataclass(frozen=True, slots=True)
class ModelVolume:
    """OwnClaim: the server's own claim. GivenClaim: one that is there. PodClaim, PodDisk: gone with the pod."""

    kind: Kind
    file: ModelFile
    claim: str | None = None
    serves_one_pod: bool = False
    """Nodes other than the first cannot mount it, so a rollout may not start a new pod beside the old one."""

    @property
    def fetched_by_job(self) -> bool:
        return bool(self.file.fetch_arguments) and self.claim is not None

    @property
    def fetched_by_pod(self) -> bool:
        return bool(self.file.fetch_arguments) and self.claim is None


def model_volume(server: Server) -> ModelVolume:
    """Raises ImpossibleCache."""
    spec = server.spec
    if spec.model.claim:
        return ModelVolume("GivenClaim", ModelFile(spec.model.claim.path), spec.model.claim.name)
    file = downloaded_file(spec.model)
    cache = spec.cache
    single_node = cache.access_mode in SINGLE_NODE
    shared = server.most_replicas > 1
    match cache.mode or ("PerPod" if single_node and shared else "PerServer"):
        case "PerServer" if single_node and shared:
            raise ImpossibleCache(
                f"cache.mode PerServer with access mode {cache.access_mode} lets the pods of one node alone mount the "
                f"model, and there may be {server.most_replicas} pods. Choose mode PerPod, or accessMode ReadWriteMany."
            )
        case "PerServer":
            return ModelVolume("OwnClaim", file, claim_name(server), serves_one_pod=single_node)
        case "ExistingClaim":
            return ModelVolume("GivenClaim", file, cache.claim_name)
        case "PerPod":
            return ModelVolume("PodClaim", file)
        case "Ephemeral":
            return ModelVolume("PodDisk", file)


def claim_spec(server: Server) -> Manifest:
    cache = server.spec.cache
    spec: Manifest = {
        "accessModes": [cache.access_mode],
        "resources": {"requests": {"storage": cache.size or claim_size(server.spec.model)}},
    }
    return spec | ({} if cache.storage_class_name is None else {"storageClassName": cache.storage_class_name})


def pod_volume(server: Server, volume: ModelVolume) -> Manifest:
    match volume.kind:
        case "PodClaim":
            return {"name": "model", "ephemeral": {"volumeClaimTemplate": {"spec": claim_spec(server)}}}
        case "PodDisk":
            return {"name": "model", "emptyDir": {}}
        case _:
            return {"name": "model", "persistentVolumeClaim": {"claimName": volume.claim}}


def job_name(server: Server, volume: ModelVolume) -> str:
    """Another file or another claim is another download, and a Job cannot be changed."""
    return download_job_name(server, [volume.claim, volume.file.path, *volume.file.fetch_arguments])
