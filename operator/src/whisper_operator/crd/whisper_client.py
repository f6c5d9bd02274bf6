"""WhisperClient, v1alpha1: who may call the gateway, with a key that the operator makes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from whisper_operator.crd.fields import Bytes, Conditions, QueueName, Shape

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Quotas(Shape):
    requests_per_minute: Count | None = Field(
        default=None, description="Requests a minute that each gateway answers; without limit if left out."
    )
    jobs_in_flight: Count | None = Field(
        default=None, description="Jobs that may be queued or running at a time; without limit if left out."
    )
    audio_seconds_per_day: Count | None = Field(
        default=None, description="Seconds of audio in a day, which ends at midnight UTC; without limit if left out."
    )


class WhisperClientSpec(Shape):
    """What is wanted."""

    quotas: Quotas = Field(default_factory=Quotas, description="How much the client may ask for.")
    models: Annotated[list[QueueName], Field(max_length=64)] = Field(
        default=[], description="Canonical names of the models that it may use; empty = all, later ones too."
    )
    rotation: Annotated[int, Field(ge=0, le=2_147_483_647)] = Field(
        default=0,
        description="Any other number makes a new key in the same Secret at once, and the old one stops working.",
    )


class WhisperClientStatus(Shape):
    """What is there."""

    observed_generation: Bytes | None = Field(default=None, description="The generation that this status is about.")
    conditions: Conditions = Field(default=[], description="What holds and what does not.")
    secret_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="The Secret with the API key as `key` and the webhooks' secret as `webhook-secret`."
    )
    client: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The client's id, as `whisperfleet clients list` and dead letters show it."
    )
    rotation: int | None = Field(default=None, description="The rotation whose key works.")


class WhisperClient(Shape):
    """An API client of the gateway: one key, with quotas."""

    spec: WhisperClientSpec = Field(default_factory=WhisperClientSpec)
    status: WhisperClientStatus | None = None
