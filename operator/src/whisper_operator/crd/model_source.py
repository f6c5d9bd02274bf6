"""Where a model comes from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from whisper_models.catalogue import BUNDLED, catalogue
from whisper_operator.crd.fields import (
    ObjectName,
    SecretKeyRef,
    SecretRef,
    Sha256,
    Shape,
    Url,
    rule,
    shape_config,
)

ModelFile = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=512)]


def _known_names(schema: dict[str, Any]) -> None:
    """An unknown name is refused at apply; an operator that is older than the object still reads it."""
    schema["enum"] = [*BUNDLED, *catalogue()]


CatalogueName = Annotated[str, Field(json_schema_extra=_known_names)]


class HttpSource(Shape):
    url: Url = Field(description="Address of the model file in ggml format.")
    sha256: Sha256 = Field(description="SHA-256 of the file; a file with another one is never used.")
    token_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret with a token that is sent as `Authorization: Bearer`."
    )


class HuggingFaceSource(Shape):
    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$", max_length=200)] = Field(
        description="Repository, as owner/name."
    )
    file: ModelFile = Field(description="Path of the model file inside the repository.")
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]+$", max_length=200)] = Field(
        default="main", description="Branch, tag or commit. Name a commit where no checksum is given."
    )
    sha256: Sha256 | None = Field(default=None, description="SHA-256 of the file, checked after the download.")
    token_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret with an access token, for private and gated repositories."
    )


class S3Source(Shape):
    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=255)] = Field(
        description="Bucket."
    )
    key: Annotated[str, Field(pattern=r"^[^-].*$", max_length=1024)] = Field(
        description="Key of the model file in the bucket."
    )
    sha256: Sha256 = Field(description="SHA-256 of the file; a file with another one is never used.")
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=63)] = Field(
        default="us-east-1", description="Region of the bucket."
    )
    endpoint: Url | None = Field(
        default=None,
        description="Address of a server other than AWS' that speaks S3, such as http://minio.storage:9000.",
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN; "
        "a public bucket needs none.",
    )


class ClaimSource(Shape):
    name: ObjectName = Field(description="Name of a PersistentVolumeClaim in the same namespace.")
    path: ModelFile = Field(description="Path of the model file on the volume.")


class WhisperModelRef(Shape):
    name: ObjectName = Field(description="Name of a WhisperModel in the same namespace.")


_DOWNLOADS = "[has(self.name), has(self.http), has(self.huggingFace), has(self.s3)]"
_ALL = f"{_DOWNLOADS[:-1]}, has(self.claim), has(self.whisperModel)]"
_MIRROR = rule("!has(self.mirror) || has(self.name)", "mirror goes with name: it holds the catalogue's files")


class DownloadSource(Shape):
    """What can be downloaded."""

    model_config = shape_config(
        rule(f"{_DOWNLOADS}.exists_one(given, given)", "give exactly one of name, http, huggingFace and s3"), _MIRROR
    )

    name: CatalogueName | None = Field(
        default=None, description="Name in the catalogue, such as base.en; size and checksums come from there."
    )
    mirror: Url | None = Field(
        default=None, description="Address of a folder that holds the catalogue's files, for clusters without internet."
    )
    http: HttpSource | None = Field(default=None, description="A file on a web server.")
    hugging_face: HuggingFaceSource | None = Field(default=None, description="A file on Hugging Face.")
    s3: S3Source | None = Field(default=None, description="A file in a bucket of S3, or of what speaks like it.")


class ModelSource(DownloadSource):
    """A model: downloaded, or on a volume that is there."""

    model_config = shape_config(
        rule(
            f"{_ALL}.exists_one(given, given)",
            "give exactly one of name, http, huggingFace, s3, claim and whisperModel",
        ),
        _MIRROR,
    )

    claim: ClaimSource | None = Field(default=None, description="A file on a volume that exists already.")
    whisper_model: WhisperModelRef | None = Field(
        default=None, description="A WhisperModel, whose volume these servers mount without a download of their own."
    )
