"""Names, labels and annotations of what belongs to a WhisperServer or WhisperModel, whose names have 50 characters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from whisper_operator.crd.definition import API_VERSION, GROUP, WHISPER_MODEL, WHISPER_SERVER
from whisper_operator.owner import Owner
from whisper_operator.resources import Manifest
from whisper_operator.server import Server

FIELD_MANAGER = "whisper-operator"
HASH_ANNOTATION = f"{GROUP}/applied-hash"
MANAGED_BY = {"app.kubernetes.io/managed-by": FIELD_MANAGER}
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
NAME_LABEL = "app.kubernetes.io/name"
_NAMES = {WHISPER_SERVER.kind: "whisper-server", WHISPER_MODEL.kind: "whisper-model"}

FETCH = "fetch"
"""Name of the container that downloads."""
WORKER = "worker"
"""Name of the container that works."""

Component = Literal["worker", "download"]


def claim_name(owner: Owner) -> str:
    """A server and a model of one name have a claim each."""
    return f"{owner.name}-model" if owner.kind == WHISPER_SERVER.kind else f"{owner.name}-whispermodel"


def nats_secret_name(server: Server) -> str:
    return f"{server.name}-nats"


def download_job_name(owner: Owner, identity: list[str | None]) -> str:
    """identity: what is downloaded, and where to."""
    what = "fetch" if owner.kind == WHISPER_SERVER.kind else "model"
    return f"{owner.name}-{what}-{short_hash(identity)}"


def short_hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def selector_labels(owner: Owner, component: Component) -> dict[str, str]:
    """Never to be changed: a Deployment's selector cannot be."""
    return {
        NAME_LABEL: _NAMES[owner.kind],
        INSTANCE_LABEL: owner.name,
        COMPONENT_LABEL: component,
    }


def labels(owner: Owner, component: Component = "worker") -> dict[str, str]:
    return selector_labels(owner, component) | MANAGED_BY | {"app.kubernetes.io/part-of": "whisperfleet"}


def kind_named(live: Manifest) -> str | None:
    """By its labels: which of our kinds it belongs to."""
    name = live["metadata"].get("labels", {}).get(NAME_LABEL)
    return next((kind for kind, label in _NAMES.items() if label == name), None)


def owner_reference(owner: Owner) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller(live: Manifest) -> Mapping[str, str] | None:
    """The owner that answers for a live object."""
    references = live["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def metadata(owner: Owner, name: str, *, component: Component = "worker", owned: bool = True) -> Manifest:
    """owned: it is deleted together with its owner."""
    found: Manifest = {"name": name, "namespace": owner.namespace, "labels": labels(owner, component)}
    return found | ({"ownerReferences": [owner_reference(owner)]} if owned else {})
