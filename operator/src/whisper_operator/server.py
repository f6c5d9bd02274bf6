"""WhisperServers and WhisperModels as the operator works with them: parsed once, where they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from whisper_operator.crd.definition import WHISPER_SERVER
from whisper_operator.crd.whisper_model import WhisperModelSpec
from whisper_operator.crd.whisper_server import WhisperServerSpec
from whisper_operator.shared_model import SharedModel, why_waiting

Spec = TypeVar("Spec", bound=BaseModel)


class InvalidSpec(Exception):
    """A sentence for the author of the object. The API server refuses most of it; newer and older objects come here."""


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    namespace: str
    uid: str
    generation: int
    spec: WhisperServerSpec
    created_at: float = 0.0
    """Unix seconds."""
    shared: SharedModel | None = None
    """The WhisperModel that the spec names, once it has been looked up."""

    @property
    def kind(self) -> str:
        return WHISPER_SERVER.kind

    @property
    def replicas(self) -> int:
        """How many pods are wanted now."""
        if self.spec.suspend:
            return 0
        if self.spec.replicas is not None:
            return self.spec.replicas
        return self.spec.autoscaling.min_replicas if self.spec.autoscaling else 1

    @property
    def most_replicas(self) -> int:
        """How many pods there may come to be without a change by hand."""
        scaled = self.spec.autoscaling.max_replicas if self.spec.autoscaling else 0
        return max(1 if self.spec.replicas is None else self.spec.replicas, scaled)


def parse_spec(shape: type[Spec], body: Mapping[str, Any]) -> Spec:
    """Raises InvalidSpec."""
    try:
        return shape.model_validate(body.get("spec") or {})
    except ValidationError as error:
        problems = "; ".join(f"spec.{_path(problem['loc'])}: {problem['msg']}" for problem in error.errors())
        raise InvalidSpec(f"{problems}. Correct the object.") from error


def parse_server(body: Mapping[str, Any]) -> Server:
    """Raises InvalidSpec."""
    metadata = body["metadata"]
    return Server(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        spec=parse_spec(WhisperServerSpec, body),
        created_at=unix_seconds(metadata.get("creationTimestamp")),
    )


def parse_model(body: Mapping[str, Any]) -> SharedModel:
    """Raises InvalidSpec."""
    metadata, status = body["metadata"], body.get("status") or {}
    path = status.get("path")
    return SharedModel(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        spec=parse_spec(WhisperModelSpec, body),
        verified_path=path,
        waiting=None if path else why_waiting(metadata["name"], status),
    )


def unix_seconds(timestamp: str | None) -> float:
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
