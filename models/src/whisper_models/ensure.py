"""From what a person wrote after --model to a file that whisper-server can load."""

from __future__ import annotations

from pathlib import Path

from whisper_models.bundled import copy_demo_model, demo_model_path
from whisper_models.cache import models_folder
from whisper_models.catalogue import BUNDLED, find
from whisper_models.download import Progress, download_model
from whisper_models.ggml import check_model_file


async def ensure_model(
    name_or_path: str | Path,
    *,
    folder: Path | None = None,
    mirror: str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """A bundled demo model, a catalogue model (downloaded into the cache when missing), or a file that exists.

    Raises UnknownModel, NotBundled, DownloadFailed or InvalidModelFile, each with a sentence for the user.
    """
    if is_path(name_or_path):
        path = Path(name_or_path)
    elif bundled := BUNDLED.get(str(name_or_path)):
        path = copy_demo_model(bundled, folder) if folder else demo_model_path(bundled)
    else:
        return await download_model(
            find(str(name_or_path)), folder or models_folder(), mirror=mirror, on_progress=on_progress
        )
    check_model_file(path)
    return path


def is_path(name_or_path: str | Path) -> bool:
    """No model name holds a slash or ends in .bin, so a mistyped path is told as a missing file, not as a name."""
    return isinstance(name_or_path, Path) or "/" in name_or_path or name_or_path.endswith((".bin", ".part"))
