"""An object of ours that has children of its own: a WhisperServer or a WhisperModel."""

from __future__ import annotations

from typing import Protocol

from whisper_operator.crd.placement import Placement


class Owner(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def spec(self) -> Placement: ...
