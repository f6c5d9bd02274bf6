"""Comparing a file's bytes with the strongest checksum that is known for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from whisper_models.catalogue import CatalogueModel


def has_known_checksum(path: Path, model: CatalogueModel) -> bool:
    """True also where no checksum is known; sha1 counts only where it is all there is."""
    if model.sha256:
        return _digest(path, "sha256") == model.sha256
    if model.sha1:
        return _digest(path, "sha1") == model.sha1
    return True


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
