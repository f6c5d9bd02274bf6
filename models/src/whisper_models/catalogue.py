"""Which models exist under which name, and what their files must be: name, size and checksums."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

DEMO_MODEL = "demo.en"
MIRROR_VARIABLE = "WHISPER_MODELS_MIRROR"

# A revision, not a branch: the checksums below belong to these bytes.
_REVISION = "5359861c739e955e79d9a303bcbc70fb988958b1"
_SOURCE = f"https://huggingface.co/ggerganov/whisper.cpp/resolve/{_REVISION}"


class UnknownModel(Exception):
    """The sentence says which names come close."""


@dataclass(frozen=True)
class CatalogueModel:
    """`None` means that the fact is not known for sure, so it is not checked."""

    name: str
    file: str
    size_bytes: int | None
    sha1: str | None
    sha256: str | None
    url: str | None = None
    """Where it lies; None: in the folder of all catalogue models."""


DEMO = CatalogueModel(
    name=DEMO_MODEL,
    file="ggml-demo.en-q5_0.bin",
    size_bytes=4_668_607,
    sha1=None,
    sha256="89b73054273e50a02bd71d890325d3810fe50b3311780a9b477235523e21ab38",
)
DEMO_MULTILINGUAL = CatalogueModel(
    name="demo",
    file="ggml-demo-q5_0.bin",
    size_bytes=4_668_677,
    sha1=None,
    sha256="079674e6f39ac27faf2290f8a098ae88b0f6ab9a611b6d21561d460209e3d4fa",
)
BUNDLED = {model.name: model for model in (DEMO, DEMO_MULTILINGUAL)}
"""Come with the checkout and are never downloaded, so `catalogue()` does not list them."""


def _parse_row(row: str) -> CatalogueModel:
    name, size, sha1, sha256 = row.split("\t")
    return CatalogueModel(name, f"ggml-{name}.bin", int(size) if size else None, sha1 or None, sha256 or None)


@cache
def catalogue() -> dict[str, CatalogueModel]:
    text = (files(__package__) / "catalogue.tsv").read_text("utf-8")
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    models = [_parse_row(row) for row in rows[1:]]
    return {model.name: model for model in models}


def find(name: str) -> CatalogueModel:
    models = catalogue()
    if name in models:
        return models[name]
    close = difflib.get_close_matches(name, [*BUNDLED, *models], n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else "`whisper-models list` shows all names."
    raise UnknownModel(f"There is no model named {name!r} in the catalogue. {hint}")


def known_file(file_name: str) -> CatalogueModel | None:
    """What the catalogue or the bundle says about a file of this name."""
    return next((model for model in (*BUNDLED.values(), *catalogue().values()) if model.file == file_name), None)


def model_url(model: CatalogueModel, mirror: str | None = None) -> str:
    """`mirror` (or the environment's WHISPER_MODELS_MIRROR) is the address of a folder that holds the same files."""
    if model.url:
        return model.url
    base = mirror or os.environ.get(MIRROR_VARIABLE) or _SOURCE
    return f"{base.rstrip('/')}/{model.file}"
