"""Where a model comes from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from whisper_models.catalogue import DEMO_MODEL, catalogue
from whisper_operator.crd.fields import ObjectName, SecretKeyRef, Sha256, Shape, Url, rule, shape_config

ModelFile = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=512)]


def _known_names(schema: dict[str, Any]) -> None:
    """An unknown name is refused at apply; an operator that is older than the object still reads it."""
    schema["enum"] = [DEMO_MODEL, *catalogue()]


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


class ClaimSource(Shape):
    name: ObjectName = Field(description="Name of a PersistentVolumeClaim in the same namespace.")
    path: ModelFile = Field(description="Path of the model file on the volume.")


_DOWNLOADS = "[has(self.name), has(self.http), has(self.huggingFace)]"
_ALL = "[has(self.name), has(self.http), has(self.huggingFace), has(self.claim)]"


class DownloadSource(Shape):
    """What can be downloaded."""

    model_config = shape_config(
        rule(f"{_DOWNLOADS}.exists_one(given, given)", "give exactly one of name, http and huggingFace"),
        rule("!has(self.mirror) || has(self.name)", "mirror goes with name: it holds the catalogue's files"),
    )

    name: CatalogueName | None = Field(
        default=None, description="Name in the catalogue, such as base.en; size and checksums come from there."
    )
    mirror: Url | None = Field(
        default=None, description="Address of a folder that holds the catalogue's files, for clusters without internet."
    )
    http: HttpSource | None = Field(default=None, description="A file on a web server.")
    hugging_face: HuggingFaceSource | None = Field(default=None, description="A file on Hugging Face.")


class ModelSource(DownloadSource):
    """A model: downloaded, or on a volume that is there."""

    model_config = shape_config(
        rule(f"{_ALL}.exists_one(given, given)", "give exactly one of name, http, huggingFace and claim"),
        rule("!has(self.mirror) || has(self.name)", "mirror goes with name: it holds the catalogue's files"),
    )

    claim: ClaimSource | None = Field(default=None, description="A file on a volume that exists already.")
