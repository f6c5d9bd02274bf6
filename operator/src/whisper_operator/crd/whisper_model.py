"""WhisperModel, v1alpha1: a verified model on a shared volume that many servers mount read-only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from whisper_operator.crd.fields import Bytes, Conditions, ObjectName, Quantity, Shape
from whisper_operator.crd.model_source import DownloadSource
from whisper_operator.crd.placement import Placement

MAX_USERS_NAMED = 100


class ModelVolumeClaim(Shape):
    size: Quantity | None = Field(
        default=None,
        description="Size of the claim; if left out, room for two versions of the model. It may only grow.",
    )
    storage_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Storage class of the claim; the cluster's default if left out."
    )
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"] = Field(
        default="ReadWriteMany",
        description="Access mode of the claim. ReadWriteOnce keeps all pods that use the model on one node.",
    )
    retention: Literal["Delete", "Retain"] = Field(
        default="Delete",
        description="What happens to the claim when the WhisperModel is deleted and no WhisperServer uses it any more.",
    )


class WhisperModelSpec(Placement):
    """What is wanted."""

    source: DownloadSource = Field(description="Where the model comes from.")
    cache: ModelVolumeClaim = Field(
        default_factory=ModelVolumeClaim, description="The claim that holds the model for all servers."
    )


class WhisperModelStatus(Shape):
    """What is there."""

    observed_generation: Bytes | None = Field(default=None, description="The generation that this status is about.")
    conditions: Conditions = Field(default=[], description="What holds and what does not.")
    claim: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="The claim that servers mount."
    )
    claim_uid: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Its UID: another claim of that name is empty."
    )
    path: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="The verified file on the claim; while a new one is fetched, the one before."
    )
    bytes_total: Bytes | None = Field(default=None, description="Size of the file, where known.")
    bytes_downloaded: Bytes | None = Field(default=None, description="How much of it is there.")
    percent: int | None = Field(default=None, description="The same in percent.")
    users: int = Field(default=0, description="How many WhisperServers use it.")
    used_by: Annotated[list[ObjectName], Field(max_length=MAX_USERS_NAMED)] = Field(
        default=[], description="The first hundred of them."
    )


class WhisperModel(Shape):
    """A verified model on a volume that many WhisperServers mount read-only."""

    spec: WhisperModelSpec
    status: WhisperModelStatus | None = None
