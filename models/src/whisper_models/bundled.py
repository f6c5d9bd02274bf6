"""What the checkout carries: the demo model and the recordings that it is tried with."""

from __future__ import annotations

import os
from pathlib import Path

from whisper_models.catalogue import DEMO

DEMO_VARIABLE = "WHISPER_DEMO_MODEL"
_MODELS_FOLDER = Path(__file__).resolve().parents[2]


class NotBundled(Exception):
    """The package runs outside a checkout, and nothing says where the file is."""


def demo_model_path() -> Path:
    override = os.environ.get(DEMO_VARIABLE)
    path = Path(override) if override else _MODELS_FOLDER / "demo" / DEMO.file
    if path.is_file():
        return path
    raise NotBundled(f"The demo model is not at {path}. Set {DEMO_VARIABLE} to the path of {DEMO.file}.")


def sample_path(name: str) -> Path:
    """A recording by its file name, such as hello.wav."""
    path = _MODELS_FOLDER / "samples" / name
    if path.is_file():
        return path
    raise NotBundled(f"The sample recording {name} is not at {path}. Run from a complete checkout of the repository.")
