"""A client's key: the Secret that holds it, and the gateway's record, which holds its hash alone.

Both follow from the WhisperClient and its Secret, so nothing is lost with the queue: the record is written again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from typing import Any

from whisper_contracts.messages import SECRET_PREFIX, ClientRecord
from whisper_dispatcher.jobs.clients import key_hash, new_key
from whisper_operator.client import Client
from whisper_operator.crd.definition import API_VERSION, GROUP, WHISPER_CLIENT
from whisper_operator.naming import MANAGED_BY, controller
from whisper_operator.problems import Problem
from whisper_operator.resources import Manifest

KEY = "key"
WEBHOOK_SECRET = "webhook-secret"  # noqa: S105  its name
ROTATION_ANNOTATION = f"{GROUP}/rotation"
MIN_KEY_LENGTH = 32
_OWNER_PREFIX = "whisperclient"


def secret_name(client: Client) -> str:
    return f"{client.name}-key"


def new_secret(client: Client) -> Manifest:
    webhook_secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(client),
            "namespace": client.namespace,
            "labels": {
                "app.kubernetes.io/name": "whisper-client",
                "app.kubernetes.io/part-of": "whisperfleet",
                **MANAGED_BY,
            },
            "annotations": {ROTATION_ANNOTATION: str(client.spec.rotation)},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": WHISPER_CLIENT.kind,
                    "name": client.name,
                    "uid": client.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "type": "Opaque",
        "data": {KEY: _encoded(new_key()), WEBHOOK_SECRET: _encoded(webhook_secret)},
    }


def rotation_patch(client: Client, live: Manifest) -> Manifest | None:
    """A merge patch with another key, where one is wanted. It holds for the version that it was made from alone."""
    annotations = live["metadata"].get("annotations") or {}
    wanted = str(client.spec.rotation)
    if annotations.get(ROTATION_ANNOTATION) == wanted:
        return None
    version = live["metadata"]["resourceVersion"]
    return {
        "metadata": {"resourceVersion": version, "annotations": {ROTATION_ANNOTATION: wanted}},
        "data": {KEY: _encoded(new_key())},
    }


def foreign(client: Client, live: Manifest) -> Problem | None:
    """Whether the Secret of that name is somebody else's, which is never touched."""
    if (controller(live) or {}).get("uid") == client.uid:
        return None
    return Problem(
        "NameTaken",
        f"There is a Secret {secret_name(client)} in {client.namespace} already that is not this client's. "
        f"Delete it, or rename the WhisperClient.",
    )


def unusable(live: Manifest) -> Problem | None:
    if len(_decoded(live, KEY)) >= MIN_KEY_LENGTH:
        return None
    return Problem(
        "KeyUnusable",
        f"Secret {live['metadata']['name']} has no `{KEY}` of at least {MIN_KEY_LENGTH} characters. "
        f"Delete the Secret, and a new one is made.",
    )


def client_record(client: Client, live: Manifest) -> tuple[str, ClientRecord]:
    """The key's hash and what the gateway is to know of it."""
    quotas = client.spec.quotas
    return key_hash(_decoded(live, KEY)), ClientRecord(
        client=client_id(client),
        name=f"{client.namespace}/{client.name}",
        created_at=client.created_at,
        requests_per_minute=quotas.requests_per_minute,
        jobs_in_flight=quotas.jobs_in_flight,
        audio_seconds_per_day=quotas.audio_seconds_per_day,
        models=tuple(client.spec.models) or None,
        webhook_secret=_decoded(live, WEBHOOK_SECRET),
        owner=record_owner(client.namespace, client.uid),
    )


def client_id(client: Client) -> str:
    """The same after a rotation, so that the client keeps its jobs."""
    return hashlib.sha256(client.uid.encode()).hexdigest()[:12]


def record_owner(namespace: str, uid: str) -> str:
    return f"{_OWNER_PREFIX}/{namespace}/{uid}"


def is_kept_by(owner: str, namespace: str | None) -> bool:
    """Whether an operator of this namespace, None = all, answers for a record of that owner."""
    return owner.startswith(f"{_OWNER_PREFIX}/{namespace}/" if namespace else f"{_OWNER_PREFIX}/")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(live: dict[str, Any], key: str) -> str:
    """Empty where there is none, or no text."""
    try:
        return base64.b64decode((live.get("data") or {}).get(key, "")).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return ""
