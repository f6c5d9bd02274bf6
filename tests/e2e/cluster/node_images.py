"""Images for a machine without a registry: the bases that the Dockerfiles name, and the node's own add-ons."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from rich.console import Console

from . import paths
from .commands import run
from .image_build import Buildah, Image
from .programs import IMAGE_PROGRAMS, ensure_programs

DEBIAN = "docker.io/library/debian:bookworm-slim"
PYTHON = "docker.io/library/python:3.11-slim-bookworm"
_DEBOOTSTRAP_LIMIT_S = 600.0
_DEBIAN_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
# Builds see the machine's certificates in place of the image's; an upgrade would fail to write over them.
_KEEP_CERTIFICATES = r"Package: ca-certificates\nPin: release *\nPin-Priority: 50\n"
_DEBIAN_DOCKERFILE = """\
FROM scratch
ADD rootfs.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["bash"]
"""
# Debian's own Python 3.11 stands in for the one of the official image.
_PYTHON_DOCKERFILE = f"""\
FROM {DEBIAN}
ENV LANG=C.UTF-8
RUN apt-get update \\
 && apt-get install --yes --no-install-recommends ca-certificates python3 python3-pip python3-venv \\
 && ln -s python3 /usr/bin/python \\
 && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED
CMD ["python3"]
"""
_PROGRAM_DOCKERFILE = """\
FROM scratch
COPY {name} /{name}
USER 65532:65532
ENTRYPOINT ["/{name}"]
"""


def node_image_archives(console: Console) -> list[Path]:
    """What the node itself runs, as archives in the cache."""
    buildah = Buildah()
    ensure_base_images(console)
    programs = ensure_programs(IMAGE_PROGRAMS, console)
    archives = []
    for name, path in programs.items():
        kept = paths.images_folder() / f"{name}-{path.parent.name}.tar"
        if not kept.is_file():
            with tempfile.TemporaryDirectory() as scratch:
                shutil.copy(path, scratch)
                image = _image(
                    f"localhost/whisperfleet/{name}:e2e", Path(scratch), _PROGRAM_DOCKERFILE.format(name=name)
                )
                buildah.build(image)
            buildah.save(image.name, kept)
        archives.append(kept)
    return [*archives, buildah.archive(DEBIAN)]


def ensure_base_images(console: Console) -> None:
    """Makes each one once, under the name of the official image, so that Dockerfiles need no change."""
    buildah = Buildah()
    if not buildah.has(DEBIAN):
        console.print(f"Making the base image {DEBIAN}", highlight=False)
        with tempfile.TemporaryDirectory() as scratch:
            _debootstrap(Path(scratch) / "rootfs.tar")
            buildah.build(_image(DEBIAN, Path(scratch), _DEBIAN_DOCKERFILE))
    if not buildah.has(PYTHON):
        console.print(f"Making the base image {PYTHON}", highlight=False)
        with tempfile.TemporaryDirectory() as scratch:
            buildah.build(_image(PYTHON, Path(scratch), _PYTHON_DOCKERFILE))


def _image(name: str, folder: Path, dockerfile: str) -> Image:
    (folder / "Dockerfile").write_text(dockerfile, "utf-8")
    return Image(name, folder / "Dockerfile", folder)


def _debootstrap(target: Path) -> None:
    options = ["--variant=apt", "--mode=root", '--aptopt=Acquire::Check-Valid-Until "false"']
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    options += [
        "--include=ca-certificates",
        f"--customize-hook=printf '{_KEEP_CERTIFICATES}' > \"$1\"/etc/apt/preferences.d/keep",
    ]
    options += ['--customize-hook=rm -f "$1"/etc/resolv.conf "$1"/etc/hostname']
    # The machine's own sources name its mirror; those of another release are of no use.
    own = _DEBIAN_SOURCES.is_file() and "bookworm" in _DEBIAN_SOURCES.read_text("utf-8")
    run(
        ["mmdebstrap", *options, "bookworm", target, *([_DEBIAN_SOURCES] if own else [])],
        limit_s=_DEBOOTSTRAP_LIMIT_S,
    )
