"""How far the downloads are: the last line that each of their pods has logged."""

from __future__ import annotations

import time

from whisper_operator.cluster import ApiError, Cluster, Unreachable
from whisper_operator.download_status import Progress
from whisper_operator.naming import FETCH
from whisper_operator.observed import Observed
from whisper_operator.owner import Owner
from whisper_operator.problems import last_record
from whisper_operator.resources import Manifest, ObjectKey
from whisper_operator.volume import ModelVolume

ASK_EVERY_S = 2.0


class Downloads:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[ObjectKey, tuple[float, Progress | None]] = {}

    def forget(self, key: ObjectKey) -> None:
        self._known.pop(key, None)

    async def progress(
        self, owner: Owner, volume: ModelVolume, observed: Observed
    ) -> tuple[Progress | None, float | None]:
        """The progress, where known, and after how many seconds to ask again, where a download runs."""
        key = (owner.namespace, owner.name)
        if not volume.fetched_by_job or observed.model_is_there(owner, volume):
            self.forget(key)
            return None, None
        running = next((pod for pod in observed.pods_of("download") if _is_running(pod)), None)
        asked_at, known = self._known.get(key, (0.0, None))
        if running is None:
            return known, None
        now = time.monotonic()
        if now - asked_at >= ASK_EVERY_S:
            known = await self._ask(running) or known
            self._known[key] = (now, known)
        return known, ASK_EVERY_S

    async def _ask(self, pod: Manifest) -> Progress | None:
        metadata = pod["metadata"]
        try:
            line = await self._cluster.last_log_line(metadata["namespace"], metadata["name"], FETCH)
        except (ApiError, Unreachable):
            return None  # the container has just ended, or its node is away; the pod's status tells
        record = last_record(line)
        if not isinstance(record.get("bytes"), int):
            return None
        return Progress(record["bytes"], record.get("total"))


def _is_running(pod: Manifest) -> bool:
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    return any("running" in (container.get("state") or {}) for container in containers)
