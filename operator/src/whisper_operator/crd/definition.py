"""CustomResourceDefinition manifests of our kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from whisper_operator.crd.fields import rule
from whisper_operator.crd.schema import structural_schema
from whisper_operator.crd.whisper_client import WhisperClient
from whisper_operator.crd.whisper_model import WhisperModel
from whisper_operator.crd.whisper_server import MAX_NAME_LENGTH, WhisperServer

GROUP = "whisperfleet.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True)
class Column:
    """Of `kubectl get`. priority 0 is always shown, 1 with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""

    def as_manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        if self.description:
            manifest["description"] = self.description
        return manifest | ({"priority": self.priority} if self.priority else {})


@dataclass(frozen=True, slots=True)
class Kind:
    kind: str
    plural: str
    short_names: tuple[str, ...]
    model: type[BaseModel]
    columns: tuple[Column, ...]
    scalable: bool = False
    has_service: bool = False
    """Of its own name, which a Service may not bear if it begins with a digit."""

    @property
    def name(self) -> str:
        return f"{self.plural}.{GROUP}"


def _condition(type_: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

WHISPER_SERVER = Kind(
    kind="WhisperServer",
    plural="whisperservers",
    short_names=("wsp",),
    model=WhisperServer,
    columns=(
        Column("Model", ".status.model.name"),
        Column("Ready", _condition("Ready", "status")),
        Column("Reason", _condition("Ready", "reason")),
        Column("Up", ".status.readyReplicas", "integer", description="Pods that take work."),
        Column("Want", ".spec.replicas", "integer", description="Pods that are asked for."),
        Column("Model%", ".status.model.percent", "integer", description="How much of the model is downloaded."),
        Column("Backend", ".status.backend"),
        Column("Pending", ".status.queue.pending", "integer", description="Windows that wait."),
        _AGE,
        Column("Message", _condition("Ready", "message"), priority=1),
    ),
    scalable=True,
    has_service=True,
)

WHISPER_CLIENT = Kind(
    kind="WhisperClient",
    plural="whisperclients",
    short_names=("wcl",),
    model=WhisperClient,
    columns=(
        Column("Ready", _condition("Ready", "status")),
        Column("Reason", _condition("Ready", "reason")),
        Column("Secret", ".status.secretName", description="The Secret with the API key."),
        Column("Client", ".status.client", description="The id, as `whisperfleet clients list` shows it."),
        Column("Models", ".spec.models", description="What it may use; empty = all."),
        _AGE,
        Column("Message", _condition("Ready", "message"), priority=1),
    ),
)

WHISPER_MODEL = Kind(
    kind="WhisperModel",
    plural="whispermodels",
    short_names=("wmo",),
    model=WhisperModel,
    columns=(
        Column("Ready", _condition("Ready", "status")),
        Column("Reason", _condition("Cached", "reason")),
        Column("Model%", ".status.percent", "integer", description="How much of the model is downloaded."),
        Column("Path", ".status.path", description="The verified file on the claim."),
        Column("Users", ".status.users", "integer", description="WhisperServers that use it."),
        _AGE,
        Column("Claim", ".status.claim", priority=1),
        Column("Message", _condition("Cached", "message"), priority=1),
    ),
)

KINDS = (WHISPER_SERVER, WHISPER_MODEL, WHISPER_CLIENT)


def definition(kind: Kind) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.name},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["all", "whisper"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": _subresources(kind),
                    "additionalPrinterColumns": [column.as_manifest() for column in kind.columns],
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                }
            ],
        },
    }


def _subresources(kind: Kind) -> dict[str, Any]:
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return {"status": {}} | ({"scale": scale} if kind.scalable else {})


def _root_schema(kind: Kind) -> dict[str, Any]:
    schema = structural_schema(kind.model)
    name_rules = [
        rule(
            f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
            f"the name must have at most {MAX_NAME_LENGTH} characters: names of children are made of it",
        ),
    ]
    service_rules = [
        rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "the name must begin with a letter and hold only a-z, 0-9 and '-': a Service bears it",
        ),
    ]
    identity = {
        "apiVersion": {"type": "string", "description": f"Version of this kind: {API_VERSION}."},
        "kind": {"type": "string", "description": f"This kind: {kind.kind}."},
        "metadata": {"type": "object"},
    }
    return schema | {
        "properties": identity | schema["properties"],
        "x-kubernetes-validations": name_rules + (service_rules if kind.has_service else []),
    }
