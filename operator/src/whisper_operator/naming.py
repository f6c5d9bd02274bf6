"""Names, labels and annotations of what belongs to a WhisperServer. A server's name has at most 50 characters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from whisper_operator.crd.definition import API_VERSION, GROUP, WHISPER_SERVER
from whisper_operator.server import Manifest, Server

FIELD_MANAGER = "whisper-operator"
HASH_ANNOTATION = f"{GROUP}/applied-hash"
MANAGED_BY = {"app.kubernetes.io/managed-by": FIELD_MANAGER}
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"

FETCH = "fetch"
"""Name of the container that downloads."""
WORKER = "worker"
"""Name of the container that works."""

Component = Literal["worker", "download"]


def claim_name(server: Server) -> str:
    return f"{server.name}-model"


def nats_secret_name(server: Server) -> str:
    return f"{server.name}-nats"


def download_job_name(server: Server, identity: list[str | None]) -> str:
    """identity: what is downloaded, and where to."""
    return f"{server.name}-fetch-{short_hash(identity)}"


def short_hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def selector_labels(server: Server, component: Component) -> dict[str, str]:
    """Never to be changed: a Deployment's selector cannot be."""
    return {
        "app.kubernetes.io/name": "whisper-server",
        INSTANCE_LABEL: server.name,
        COMPONENT_LABEL: component,
    }


def labels(server: Server, component: Component = "worker") -> dict[str, str]:
    return selector_labels(server, component) | MANAGED_BY | {"app.kubernetes.io/part-of": "whisperfleet"}


def owner_reference(server: Server) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": WHISPER_SERVER.kind,
        "name": server.name,
        "uid": server.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller(live: Manifest) -> Mapping[str, str] | None:
    """The owner that answers for a live object."""
    references = live["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def metadata(server: Server, name: str, *, component: Component = "worker", owned: bool = True) -> Manifest:
    """owned: it is deleted together with the server."""
    found: Manifest = {"name": name, "namespace": server.namespace, "labels": labels(server, component)}
    return found | ({"ownerReferences": [owner_reference(server)]} if owned else {})
