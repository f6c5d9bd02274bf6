"""The status of a WhisperModel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_operator.conditions import Claimed, dated
from whisper_operator.crd.whisper_model import MAX_USERS_NAMED
from whisper_operator.download_status import Progress, bytes_told, download_claimed
from whisper_operator.observed import Observed
from whisper_operator.problems import Problem, Wish
from whisper_operator.resources import Manifest
from whisper_operator.shared_model import ON_ITS_WAY, SharedModel
from whisper_operator.volume import SINGLE_NODE, ModelVolume


@dataclass(frozen=True, slots=True)
class ModelView:
    """Everything that the status is told from."""

    model: SharedModel
    volume: ModelVolume
    observed: Observed
    users: Sequence[str] = ()
    """Names of the WhisperServers that use it."""
    refused: tuple[Problem, ...] = ()
    progress: Progress | None = None

    @property
    def is_there(self) -> bool:
        return self.observed.model_is_there(self.model, self.volume)


def model_status(view: ModelView, previous: Manifest, now: str) -> Manifest:
    claim = view.observed.claim(view.model)
    claim_uid = claim["metadata"]["uid"] if claim else None
    path = view.volume.file.path if view.is_there else _path_before(previous, claim_uid)
    claimed = _conditions(view, path)
    told = (
        previous
        | {
            "observedGeneration": view.model.generation,
            "conditions": dated(claimed, previous.get("conditions") or [], view.model.generation, now),
            "claim": view.volume.claim,
            "claimUid": claim_uid,
            "path": path,
            "users": len(view.users),
            "usedBy": list(view.users[:MAX_USERS_NAMED]),
        }
        | bytes_told(view.volume.file.size_bytes, view.progress, is_there=view.is_there)
    )
    # A null would be news each time: the API server keeps none.
    return {name: value for name, value in told.items() if value is not None}


def _path_before(previous: Manifest, claim_uid: str | None) -> str | None:
    """While another file is fetched, and after a download that failed, the one before lies there still."""
    return previous.get("path") if claim_uid and previous.get("claimUid") == claim_uid else None


def _conditions(view: ModelView, path: str | None) -> list[Claimed]:
    cached = _cached(view)
    if path:
        ready = Claimed("Ready", True, "Verified", f"Servers mount {path} from claim {view.volume.claim}, read-only.")
    else:
        ready = Claimed("Ready", False, cached.reason, cached.message)
    return [ready, cached, _degraded(view, cached)]


def _cached(view: ModelView) -> Claimed:
    if view.is_there:
        message = f"The model lies at {view.volume.file.path} on claim {view.volume.claim}."
        return Claimed("Cached", True, "Cached", message)
    wish = Wish(storage_class=view.model.spec.cache.storage_class_name)
    return download_claimed("Cached", view.observed.pods_of("download"), wish, view.progress)


def _degraded(view: ModelView, cached: Claimed) -> Claimed:
    if view.refused:
        return Claimed("Degraded", True, view.refused[0].reason, " ".join(problem.message for problem in view.refused))
    if not cached.holds and cached.reason not in ON_ITS_WAY:
        return Claimed("Degraded", True, cached.reason, cached.message)
    mode = view.model.spec.cache.access_mode
    if mode in SINGLE_NODE and len(view.users) > 1:
        message = (
            f"{len(view.users)} WhisperServers use it, and access mode {mode} keeps all their pods on one node. "
            f"Make a WhisperModel with accessMode ReadWriteMany, and a storage class that has it."
        )
        return Claimed("Degraded", True, "OneNode", message)
    return Claimed("Degraded", False, "AsWanted", "Nothing is wrong.")
