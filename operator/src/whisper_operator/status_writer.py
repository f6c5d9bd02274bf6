"""Writes statuses that are news."""

from __future__ import annotations

from datetime import UTC, datetime

from whisper_operator.cluster import ApiError, Cluster
from whisper_operator.patches import merge_patch
from whisper_operator.resources import Resource
from whisper_operator.server import Manifest


async def write_status(cluster: Cluster, resource: Resource, body: Manifest, status: Manifest) -> Manifest | None:
    """The object as it is then; None: nothing is news, or it is gone."""
    patch = merge_patch(body.get("status") or {}, status)
    if not patch:
        return None
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    try:
        return await cluster.merge_status(resource, namespace, name, patch)
    except ApiError as error:
        if error.status == 404:
            return None  # deleted meanwhile
        raise


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
