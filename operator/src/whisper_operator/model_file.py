"""Which file a model is, how it is fetched and where it lies."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from whisper_models.catalogue import BUNDLED, catalogue
from whisper_operator.crd.fields import SecretKeyRef
from whisper_operator.crd.model_source import DownloadSource, HttpSource, HuggingFaceSource, S3Source
from whisper_operator.naming import short_hash

MOUNT_PATH = "/models"
HUGGING_FACE = "https://huggingface.co"
GIB = 1024**3
VERSIONS_KEPT = 2
"""A change of the model fetches the new file while the old one serves."""


@dataclass(frozen=True, slots=True)
class SecretVariable:
    """An environment variable of the download."""

    name: str
    secret: SecretKeyRef
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ModelFile:
    path: str
    """On the volume."""
    fetch_arguments: tuple[str, ...] = ()
    """Of `whisper-models`; empty: the file is there already."""
    secrets: tuple[SecretVariable, ...] = ()
    size_bytes: int | None = None

    @property
    def mounted_path(self) -> str:
        return f"{MOUNT_PATH}/{self.path}"


def downloaded_file(source: DownloadSource) -> ModelFile:
    if source.http:
        return _from_url(source.http)
    if source.hugging_face:
        return _from_hugging_face(source.hugging_face)
    if source.s3:
        return _from_s3(source.s3)
    assert source.name is not None  # the CRD's rule: exactly one source
    known = BUNDLED.get(source.name) or catalogue().get(source.name)
    mirror = ("--mirror", source.mirror) if source.mirror else ()
    return ModelFile(
        path=known.file if known else f"ggml-{source.name}.bin",
        fetch_arguments=("fetch", source.name, *mirror, "--json"),
        size_bytes=known.size_bytes if known else None,
    )


def _from_url(source: HttpSource) -> ModelFile:
    file = f"{source.sha256[:16]}.bin"
    arguments = ("fetch-url", source.url, "--file", file, "--sha256", source.sha256)
    return ModelFile(file, arguments, _token(source.token_secret_ref))


def _from_hugging_face(source: HuggingFaceSource) -> ModelFile:
    # Another revision is another file: the old one may still be in use.
    version = short_hash([source.repository, source.file, source.revision, source.sha256])
    file = f"{version}-{PurePosixPath(source.file).name}"
    url = f"{HUGGING_FACE}/{source.repository}/resolve/{source.revision}/{source.file}"
    checksum = ("--sha256", source.sha256) if source.sha256 else ()
    return ModelFile(file, ("fetch-url", url, "--file", file, *checksum), _token(source.token_secret_ref))


def _token(secret: SecretKeyRef | None) -> tuple[SecretVariable, ...]:
    return (SecretVariable("WHISPER_MODELS_TOKEN", secret),) if secret else ()


def _from_s3(source: S3Source) -> ModelFile:
    file = f"{source.sha256[:16]}.bin"
    place = ("--region", source.region, *(("--endpoint", source.endpoint) if source.endpoint else ()))
    arguments = ("fetch-s3", source.bucket, source.key, "--file", file, "--sha256", source.sha256, *place)
    secret = source.credentials_secret_ref
    needed, session = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "AWS_SESSION_TOKEN"
    secrets = (
        (
            *(SecretVariable(key, SecretKeyRef(name=secret.name, key=key)) for key in needed),
            SecretVariable(session, SecretKeyRef(name=secret.name, key=session), optional=True),
        )
        if secret
        else ()
    )
    return ModelFile(file, arguments, secrets)


def claim_size(source: DownloadSource) -> str:
    """Room for two versions, in whole Gi; for an unknown file, as much as the largest models need."""
    size_bytes = _likely_size_bytes(source)
    return f"{max(1, math.ceil(size_bytes * VERSIONS_KEPT / GIB))}Gi"


def _likely_size_bytes(source: DownloadSource) -> int:
    sizes = {model.name: model.size_bytes for model in (*BUNDLED.values(), *catalogue().values()) if model.size_bytes}
    if source.name is None:
        return max(sizes.values())
    # A quantised or language-bound model is never larger than its family's whole one.
    family = re.split(r"[.-]", source.name)[0]
    relatives = [size for name, size in sizes.items() if re.split(r"[.-]", name)[0] == family]
    return sizes.get(source.name) or max(relatives, default=max(sizes.values()))
