"""The workers that this gateway hears, and what each said last."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg
from pydantic import ValidationError

from whisper_contracts import names
from whisper_contracts.messages import HEARTBEAT_S, ServerStatus, WorkerStatus

SILENCE_S = 3.5 * HEARTBEAT_S
"""After so long a worker is gone."""
MOST_WORKERS = 4096
LARGEST_BYTES = 64 * 1024


@dataclass(slots=True)
class Workers:
    now: Callable[[], float] = time.time
    _heard: dict[str, tuple[float, WorkerStatus]] = field(default_factory=dict)

    async def on_message(self, message: Msg) -> None:
        self.hear(message.subject, message.data)

    def hear(self, subject: str, data: bytes) -> None:
        """A worker speaks for itself alone, which its subject proves: NATS let it use that one."""
        self._forget_the_silent()
        if len(data) > LARGEST_BYTES or (subject not in self._heard and len(self._heard) >= MOST_WORKERS):
            return
        try:
            status = WorkerStatus.decode(data)
            if names.worker_subject(status.model, status.worker) != subject:
                return
        except (ValidationError, ValueError):
            return
        self._heard[subject] = (self.now(), status)

    def as_json(self) -> list[dict[str, Any]]:
        """By model and name. Times in Unix seconds, by this gateway's clock."""
        self._forget_the_silent()
        heard = sorted(self._heard.values(), key=lambda each: (each[1].model, each[1].worker))
        return [_worker_json(status, at) for at, status in heard]

    def _forget_the_silent(self) -> None:
        oldest = self.now() - SILENCE_S
        for subject in [subject for subject, (at, _) in self._heard.items() if at < oldest]:
            del self._heard[subject]


def _worker_json(status: WorkerStatus, at: float) -> dict[str, Any]:
    return {
        "worker": status.worker,
        "model": status.model,
        "version": status.software,
        "started_at": at - status.uptime_s,
        "draining": status.draining,
        "servers": [_server_json(server, at) for server in status.servers],
    }


def _server_json(server: ServerStatus, at: float) -> dict[str, Any]:
    work = server.work
    return {
        "doing": server.doing,
        "device": server.device,
        "restarts": server.restarts,
        "job": work.job if work else None,
        "window": work.window if work else None,
        "since": at - work.busy_s if work else None,
    }
