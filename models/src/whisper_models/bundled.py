"""What a checkout and the wheel carry: the demo models and the recordings that they are tried with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from whisper_models.catalogue import DEMO, CatalogueModel
from whisper_models.checksums import has_known_checksum
from whisper_models.ggml import PART_SUFFIX, InvalidModelFile

DEMO_VARIABLE = "WHISPER_DEMO_MODEL"
_PACKAGE = Path(__file__).resolve().parent
_FOLDER = _PACKAGE / "files" if (_PACKAGE / "files").is_dir() else _PACKAGE.parents[1]
"""Beside the package in a wheel, models/ in a checkout."""


class NotBundled(Exception):
    """The installation is not whole, and nothing says where the file is."""


def demo_model_path(model: CatalogueModel = DEMO) -> Path:
    """Of a bundled model; the variable names the English one, and the other lies beside it."""
    override = os.environ.get(DEMO_VARIABLE)
    english = Path(override) if override else _FOLDER / "demo" / DEMO.file
    path = english if model == DEMO else english.with_name(model.file)
    if path.is_file():
        return path
    raise NotBundled(f"The model {model.name} is not at {path}. Set {DEMO_VARIABLE} to the path of {DEMO.file}.")


def copy_demo_model(model: CatalogueModel, folder: Path) -> Path:
    """Raises NotBundled or InvalidModelFile; a file of that name is whole."""
    target = folder / model.file
    if target.is_file() and has_known_checksum(target, model):
        return target
    source = demo_model_path(model)
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + PART_SUFFIX)
    shutil.copyfile(source, part)
    if not has_known_checksum(part, model):
        raise InvalidModelFile(f"{source} does not have the checksum of the model {model.name}. Restore the file.")
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
