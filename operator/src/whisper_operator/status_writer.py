"""Writes statuses that are news, and tells of what they say."""

from __future__ import annotations

from datetime import UTC, datetime

from whisper_operator.cluster import ApiError, Cluster
from whisper_operator.events import Recorder, happenings
from whisper_operator.patches import merge_patch
from whisper_operator.resources import Manifest, Resource


class StatusWriter:
    def __init__(self, cluster: Cluster, resource: Resource, recorder: Recorder) -> None:
        self._cluster = cluster
        self._resource = resource
        self._recorder = recorder

    async def write(self, body: Manifest, status: Manifest) -> Manifest | None:
        """The object as it is then; None: nothing is news, or it is gone."""
        before = body.get("status") or {}
        patch = merge_patch(before, status)
        if not patch:
            return None
        metadata = body["metadata"]
        try:
            answer = await self._cluster.merge_status(self._resource, metadata["namespace"], metadata["name"], patch)
        except ApiError as error:
            if error.status == 404:
                return None  # deleted meanwhile
            raise
        for happened in happenings(before.get("conditions") or [], status["conditions"]):
            await self._recorder.tell(body, happened)
        return answer


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
