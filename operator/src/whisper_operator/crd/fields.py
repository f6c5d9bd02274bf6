"""Shapes and field types that our kinds share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

MAX_REPLICAS = 1000


class Shape(BaseModel):
    """A part of an object. Strictness is the API server's job: a rolled-back operator must read newer objects."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


def rule(expression: str, message: str) -> JsonDict:
    """A CEL rule of the shape or field that it is given to."""
    return {"rule": expression, "message": message}


def rules(*checks: JsonDict) -> JsonDict:
    return {"x-kubernetes-validations": list(checks)}


def shape_config(*checks: JsonDict) -> ConfigDict:
    return ConfigDict(json_schema_extra=rules(*checks))


def passthrough(type_: str, description: str, **schema: Any) -> Any:
    """A part that goes into the pod as it stands; the API server checks it there."""
    shape: dict[str, Any] = {"type": type_, "description": description} | schema
    target = shape["items"] if type_ == "array" else shape
    target["x-kubernetes-preserve-unknown-fields"] = True
    return WithJsonSchema(shape)


QUANTITY_PATTERN = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]+))?$"

Quantity = Annotated[
    str,
    BeforeValidator(str),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
            "maxLength": 64,
        }
    ),
]

IntOrPercent = Annotated[
    int | str,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": r"^[0-9]+%?$",
            "maxLength": 16,
        }
    ),
]

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"

ObjectName = Annotated[str, Field(pattern=DNS_NAME, max_length=253)]
SecretKey = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
LabelText = Annotated[str, Field(max_length=317)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", max_length=64)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2048)]
QueueName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=63)]
LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$", max_length=3)]

StringMap = Annotated[dict[str, LabelText], Field(max_length=64)]
QuantityMap = Annotated[dict[str, Quantity], Field(max_length=16)]


Bytes = Annotated[int, Field(json_schema_extra={"format": "int64"})]


class SecretKeyRef(Shape):
    name: ObjectName = Field(description="Name of the Secret, in the same namespace.")
    key: SecretKey = Field(description="Key inside the Secret.")


class SecretRef(Shape):
    name: ObjectName = Field(description="Name of the Secret, in the same namespace.")


class ConfigMapKeyRef(Shape):
    name: ObjectName = Field(description="Name of the ConfigMap, in the same namespace.")
    key: SecretKey = Field(description="Key inside the ConfigMap, text or binary.")


class Resources(Shape):
    requests: QuantityMap | None = Field(
        default=None, description="What is reserved for each pod, such as cpu and memory."
    )
    limits: QuantityMap | None = Field(default=None, description="What each pod may use at most.")


class Toleration(Shape):
    key: Annotated[str, Field(max_length=317)] | None = Field(
        default=None, description="Key of the taint; empty = every."
    )
    operator: Annotated[str, Field(json_schema_extra={"enum": ["Exists", "Equal"]})] | None = Field(
        default=None, description="How the value is compared."
    )
    value: Annotated[str, Field(max_length=63)] | None = Field(default=None, description="Value of the taint.")
    effect: (
        Annotated[str, Field(json_schema_extra={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]})] | None
    ) = Field(default=None, description="Effect of the taint; empty = every.")
    toleration_seconds: int | None = Field(
        default=None, description="How long a NoExecute taint is endured; empty = for ever."
    )


class Condition(Shape):
    type: Annotated[str, Field(max_length=316)] = Field(description="What the condition is about.")
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})] = Field(
        description="Whether it holds."
    )
    reason: Annotated[str, Field(max_length=1024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")] = Field(
        description="Why, as one word for programs."
    )
    message: Annotated[str, Field(max_length=32768)] = Field(
        default="", description="Why and what to do, as a sentence for people."
    )
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When the status last changed."
    )
    observed_generation: int | None = Field(
        default=None, description="The generation of the object that this was said about."
    )


CONDITIONS_AS_MAP = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
Conditions = Annotated[list[Condition], Field(max_length=16, json_schema_extra=CONDITIONS_AS_MAP)]

AnyObject = dict[str, Any]
