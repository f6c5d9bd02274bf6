"""A WhisperModel as the operator works with it, and what it means for the servers that wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whisper_operator.crd.definition import WHISPER_MODEL
from whisper_operator.crd.whisper_model import WhisperModelSpec

ON_ITS_WAY = frozenset({"Downloading", "DownloadPending"})


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a server's model is not on its volume yet, where that is another object's work."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SharedModel:
    name: str
    namespace: str
    uid: str
    generation: int
    spec: WhisperModelSpec
    verified_path: str | None = None
    """On its claim, as it said last."""
    waiting: Waiting | None = None
    """Given where there is no such path."""

    @property
    def kind(self) -> str:
        return WHISPER_MODEL.kind


def why_waiting(name: str, status: Mapping[str, Any]) -> Waiting:
    """status: of the WhisperModel. What is on its way has one reason, what has failed its own."""
    cached = next((each for each in status.get("conditions") or () if each["type"] == "Cached"), None)
    if cached is None:
        return Waiting("WaitingForModel", f"WhisperModel {name} has not been looked at yet.")
    reason = "WaitingForModel" if cached["reason"] in ON_ITS_WAY or cached["status"] == "True" else cached["reason"]
    return Waiting(reason, f"WhisperModel {name}: {cached['message']}")
