"""A WhisperClient as the operator works with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whisper_operator.crd.whisper_client import WhisperClientSpec
from whisper_operator.server import parse_spec, unix_seconds


@dataclass(frozen=True, slots=True)
class Client:
    name: str
    namespace: str
    uid: str
    generation: int
    spec: WhisperClientSpec
    created_at: float = 0.0
    """Unix seconds."""


def parse_client(body: Mapping[str, Any]) -> Client:
    """Raises InvalidSpec."""
    metadata = body["metadata"]
    return Client(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        spec=parse_spec(WhisperClientSpec, body),
        created_at=unix_seconds(metadata.get("creationTimestamp")),
    )
