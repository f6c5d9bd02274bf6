"""Where a model is kept, decided from the spec of its WhisperServer or WhisperModel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whisper_operator.crd.model_source import DownloadSource
from whisper_operator.crd.serving import Cache
from whisper_operator.crd.whisper_model import ModelVolumeClaim
from whisper_operator.model_file import ModelFile, claim_size, downloaded_file
from whisper_operator.naming import claim_name, download_job_name
from whisper_operator.owner import Owner
from whisper_operator.resources import Manifest
from whisper_operator.server import Server
from whisper_operator.shared_model import SharedModel, Waiting

SINGLE_NODE = ("ReadWriteOnce", "ReadWriteOncePod")

Kind = Literal["OwnClaim", "GivenClaim", "SharedClaim", "PodClaim", "PodDisk"]


class ImpossibleCache(Exception):
    """What is wished for cannot work; the sentence says what can."""


@dataclass(frozen=True, slots=True)
class ModelVolume:
    """OwnClaim: the owner's own claim. GivenClaim: one that is there. SharedClaim: a WhisperModel's.

    PodClaim, PodDisk: gone with the pod.
    """

    kind: Kind
    file: ModelFile
    claim: str | None = None
    serves_one_pod: bool = False
    """Nodes other than the first cannot mount it, so a rollout may not start a new pod beside the old one."""
    waiting: Waiting | None = None
    """Why the file is not there yet, where another object fetches it."""

    @property
    def fetched_by_job(self) -> bool:
        return bool(self.file.fetch_arguments) and self.claim is not None

    @property
    def fetched_by_pod(self) -> bool:
        return bool(self.file.fetch_arguments) and self.claim is None


def model_volume(server: Server) -> ModelVolume:
    """Raises ImpossibleCache."""
    spec = server.spec
    if server.shared:
        return _shared_volume(server, server.shared)
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


def _shared_volume(server: Server, model: SharedModel) -> ModelVolume:
    mode = model.spec.cache.access_mode
    if mode in SINGLE_NODE and server.most_replicas > 1:
        raise ImpossibleCache(
            f"WhisperModel {model.name} has access mode {mode}, which lets the pods of one node alone mount it, and "
            f"there may be {server.most_replicas} pods. Give a WhisperModel with accessMode ReadWriteMany."
        )
    return ModelVolume(
        "SharedClaim",
        # Without a verified file no pod is started, so that no pod ever looks for this one.
        ModelFile(model.verified_path or downloaded_file(model.spec.source).path),
        claim_name(model),
        serves_one_pod=mode in SINGLE_NODE,
        waiting=model.waiting,
    )


def shared_model_volume(model: SharedModel) -> ModelVolume:
    """As the WhisperModel itself sees it: what it has to bring, and where to."""
    return ModelVolume("OwnClaim", downloaded_file(model.spec.source), claim_name(model))


@dataclass(frozen=True, slots=True)
class ClaimWish:
    size: str
    access_mode: str
    storage_class: str | None
    retention: Literal["Delete", "Retain"]


def claim_wish(cache: Cache | ModelVolumeClaim, source: DownloadSource) -> ClaimWish:
    return ClaimWish(cache.size or claim_size(source), cache.access_mode, cache.storage_class_name, cache.retention)


def claim_spec(wish: ClaimWish) -> Manifest:
    spec: Manifest = {"accessModes": [wish.access_mode], "resources": {"requests": {"storage": wish.size}}}
    return spec | ({} if wish.storage_class is None else {"storageClassName": wish.storage_class})


def pod_volume(server: Server, volume: ModelVolume) -> Manifest:
    match volume.kind:
        case "PodClaim":
            spec = claim_spec(claim_wish(server.spec.cache, server.spec.model))
            return {"name": "model", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
        case "PodDisk":
            return {"name": "model", "emptyDir": {}}
        case _:
            return claim_volume(volume)


def claim_volume(volume: ModelVolume) -> Manifest:
    return {"name": "model", "persistentVolumeClaim": {"claimName": volume.claim}}


def job_name(owner: Owner, volume: ModelVolume) -> str:
    """Another file or another claim is another download, and a Job cannot be changed."""
    return download_job_name(owner, [volume.claim, volume.file.path, *volume.file.fetch_arguments])
