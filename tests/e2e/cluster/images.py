"""The project's images, as the e2e builds them."""

from __future__ import annotations

import shutil
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from . import paths
from .commands import run
from .errors import ClusterError
from .image_build import Builder, Image

_PYTHON_DOCKERFILE = paths.CHECKOUT / "images" / "python" / "Dockerfile"
_WHISPER_DOCKERFILE = paths.CHECKOUT / "images" / "whisper" / "Dockerfile"
_NATS_DOCKERFILE = """\
FROM scratch
COPY nats-server /usr/local/bin/nats-server
ENV PATH=/usr/local/bin
EXPOSE 4222 8222 6222
ENTRYPOINT ["nats-server"]
"""


def _name(image: str) -> str:
    return f"localhost/whisperfleet/{image}:e2e"


IMAGES = {
    **{
        process: Image(_name(process), _PYTHON_DOCKERFILE, paths.CHECKOUT, {"PROCESS": process})
        for process in ("operator", "dispatcher", "bot", "models")
    },
    "whisper-server": Image(_name("whisper-server"), _WHISPER_DOCKERFILE, paths.CHECKOUT, target="server"),
    "whisper-worker": Image(_name("whisper-worker"), _WHISPER_DOCKERFILE, paths.CHECKOUT, target="worker"),
}
NATS = "nats"


def build_images(names: Iterable[str], builder: Builder, console: Console) -> list[Path]:
    """Builds each and returns its archive."""
    archives = []
    for name in names:
        if name != NATS and name not in IMAGES:
            raise ClusterError(f"There is no image {name!r}. Choose from {', '.join([*IMAGES, NATS])}.")
        console.print(f"Building the image {name}", highlight=False)
        archives.append(_build_nats(builder) if name == NATS else _build(IMAGES[name], builder))
    return archives


def _build(image: Image, builder: Builder) -> Path:
    builder.build(image)
    return builder.archive(image.name)


def _build_nats(builder: Builder) -> Path:
    """Stands in for the official image where no registry has it, with the locked nats-server under its name."""
    server = Path(sysconfig.get_path("scripts")) / "nats-server"
    version = run([server, "--version"], limit_s=20).strip().removeprefix("nats-server: v")
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(server, scratch)
        dockerfile = Path(scratch, "Dockerfile")
        dockerfile.write_text(_NATS_DOCKERFILE, "utf-8")
        return _build(Image(f"docker.io/library/nats:{version}-alpine", dockerfile, Path(scratch)), builder)
