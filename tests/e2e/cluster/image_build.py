"""Builds images from Dockerfiles, with buildah where there is no Docker."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import paths
from .commands import run, succeeds
from .errors import CommandFailed

_BUILD_LIMIT_S = 3600.0
_SAVE_LIMIT_S = 300.0
_ASK_LIMIT_S = 30.0
_LISTED = ("buildah", "images", "--quiet", "--no-trunc")
# Where a company's mirror or its certificate authority is set up for the machine, builds need it too.
_HOST_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None

    def options(self) -> list[str]:
        """As buildah and docker both take them."""
        options = ["--tag", self.name, "--file", str(self.dockerfile)]
        for key, value in self.arguments.items():
            options += ["--build-arg", f"{key}={value}"]
        return [*options, "--target", self.target] if self.target else options


class Builder(Protocol):
    def build(self, image: Image) -> None: ...

    def archive(self, name: str) -> Path:
        """The image as a file that a cluster can load."""
        ...


class Buildah:
    """Keeps its layers in the user's cache and asks no registry."""

    def __init__(self) -> None:
        folder = paths.images_folder()
        storage = folder / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        config = folder / "storage.conf"
        text = f'[storage]\ndriver = "overlay"\nrunroot = "{storage}/run"\ngraphroot = "{storage}/graph"\n'
        config.write_text(text, "utf-8")
        self._env = {"CONTAINERS_STORAGE_CONF": str(config)}

    def build(self, image: Image) -> None:
        before = self._ids(image.name)
        mounts = [f"--volume={file}:{file}:ro" for file in _HOST_FILES if os.path.isfile(file)]
        command = ["buildah", "bud", "--quiet", "--layers", "--isolation=chroot", "--pull-never", *mounts]
        run([*command, *image.options(), image.context], limit_s=_BUILD_LIMIT_S, env=self._env)
        self._remove_superseded(before, image.name)

    def _remove_superseded(self, before: list[str], name: str) -> None:
        """Of those that had the name, the ones that have none now: each is hundreds of megabytes."""
        superseded = set(before) - set(self._ids(name))
        if not superseded:
            return
        nameless = [*_LISTED, "--filter", "dangling=true"]
        # A space saver: what is still built upon stays, and a store too full to be listed soon is left as it is.
        with suppress(CommandFailed):
            for image in superseded & set(run(nameless, limit_s=_SAVE_LIMIT_S, env=self._env).split()):
                run(["buildah", "rmi", image], limit_s=_SAVE_LIMIT_S, env=self._env)

    def has(self, name: str) -> bool:
        return bool(self._ids(name))

    def archive(self, name: str) -> Path:
        slug = _slug(name)
        kept = paths.images_folder() / f"{slug}@{self._ids(name)[0].removeprefix('sha256:')[:16]}.tar"
        if not kept.is_file():
            for outdated in paths.images_folder().glob(f"{slug}@*.tar"):
                outdated.unlink()
            self.save(name, kept)
        return kept

    def save(self, name: str, target: Path) -> None:
        partial = target.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        # Uncompressed: the file stays on this machine, and both ends would spend seconds on it.
        push = ["buildah", "push", "--quiet", "--disable-compression", name, f"oci-archive:{partial}:{name}"]
        run(push, limit_s=_SAVE_LIMIT_S, env=self._env)
        partial.replace(target)

    def _ids(self, name: str) -> list[str]:
        return run([*_LISTED, "--filter", f"reference={name}"], limit_s=_ASK_LIMIT_S, env=self._env).split()


class Docker:
    def build(self, image: Image) -> None:
        run(["docker", "build", "--quiet", *image.options(), image.context], limit_s=_BUILD_LIMIT_S)

    def archive(self, name: str) -> Path:
        folder = paths.CLUSTER / "images"
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{_slug(name)}.tar"
        run(["docker", "save", "--output", target, name], limit_s=_SAVE_LIMIT_S)
        return target


def _slug(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name)


def docker_works() -> bool:
    return succeeds(["docker", "info"], limit_s=_ASK_LIMIT_S)
