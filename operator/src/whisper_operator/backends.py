"""What computes in the pods that take work: each worker logs it once, when its servers are ready."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from whisper_operator.cluster import ApiError, Cluster, Unreachable
from whisper_operator.naming import WORKER
from whisper_operator.observed import Observed, is_ready
from whisper_operator.resources import Manifest, ObjectKey

READY_EVENT = "whisper-server ready"
START_BYTES = 65_536
"""Of a log; a worker says little until it is ready."""
ANSWER_LIMIT_S = 5.0
RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Backend:
    pod: str
    name: str
    """cpu, cuda, vulkan, openvino …"""


class Backends:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[ObjectKey, dict[str, Backend | None]] = {}
        """By container: one that was started again may have lost its device. None: its log does not tell."""

    def forget(self, key: ObjectKey) -> None:
        self._known.pop(key, None)

    async def look(self, key: ObjectKey, observed: Observed) -> tuple[tuple[Backend, ...], float | None]:
        """What computes, where known, and after how many seconds to ask again, where a log could not be read."""
        started = {container: pod for pod in observed.pods_of("worker") if (container := _container(pod))}
        known = self._known.get(key, {})
        known = {container: backend for container, backend in known.items() if container in started}
        unknown = [container for container in started if container not in known]
        answers = await asyncio.gather(*(self._ask(started[container]) for container in unknown))
        known |= {container: answer[0] for container, answer in zip(unknown, answers, strict=True) if answer}
        self._known[key] = known
        if not known:
            del self._known[key]
        told = tuple(backend for backend in known.values() if backend)
        return tuple(sorted(told, key=lambda backend: backend.pod)), None if all(answers) else RETRY_S

    async def _ask(self, pod: Manifest) -> tuple[Backend | None] | None:
        """None: not now."""
        meta = pod["metadata"]
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                log = await self._cluster.first_log_bytes(meta["namespace"], meta["name"], WORKER, START_BYTES)
        except (ApiError, Unreachable, TimeoutError):
            return None  # the pod has just ended, or its node is away
        return (backend_told(meta["name"], log),)


def backend_told(pod: str, log: str) -> Backend | None:
    for line in log.splitlines():
        if READY_EVENT not in line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record.get("event") == READY_EVENT and isinstance(record.get("backend"), str):
            return Backend(pod, record["backend"])
    return None


def _container(pod: Manifest) -> str | None:
    """The id of the running worker of a pod that takes work."""
    if not is_ready(pod):
        return None
    for container in pod["status"].get("containerStatuses") or ():
        if container["name"] == WORKER and "running" in (container.get("state") or {}):
            return str(container.get("containerID") or "") or None
    return None
