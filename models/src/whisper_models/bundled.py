"""What a checkout and the wheel carry: the demo model and the recordings that it is tried with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from whisper_models.catalogue import DEMO
from whisper_models.checksums import has_known_checksum
from whisper_models.ggml import PART_SUFFIX, InvalidModelFile

DEMO_VARIABLE = "WHISPER_DEMO_MODEL"
_PACKAGE = Path(__file__).resolve().parent
_FOLDER = _PACKAGE / "files" if (_PACKAGE / "files").is_dir() else _PACKAGE.parents[1]
"""Beside the package in a wheel, models/ in a checkout."""


class NotBundled(Exception):
    """The installation is not whole, and nothing says where the file is."""


def demo_model_path() -> Path:
    override = os.environ.get(DEMO_VARIABLE)
    path = Path(override) if override else _FOLDER / "demo" / DEMO.file
    if path.is_file():
        return path
    raise NotBundled(f"The demo model is not at {path}. Set {DEMO_VARIABLE} to the path of {DEMO.file}.")


def copy_demo_model(folder: Path) -> Path:
    """Raises NotBundled or InvalidModelFile; a file of that name is whole."""
    target = folder / DEMO.file
    if target.is_file() and has_known_checksum(target, DEMO):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + PART_SUFFIX)
    shutil.copyfile(demo_model_path(), part)
    if not has_known_checksum(part, DEMO):
        raise InvalidModelFile(f"{demo_model_path()} does not have the demo model's checksum. Restore the file.")
    part.replace(target)
    return target


def sample_path(name: str) -> Path:
    """A recording by its file name, such as hello.wav."""
    path = _FOLDER / "samples" / name
    if path.is_file():
        return path
    raise NotBundled(
        f"The sample recording {name} is not at {path}. Install the package again, or run from a whole checkout."
    )
