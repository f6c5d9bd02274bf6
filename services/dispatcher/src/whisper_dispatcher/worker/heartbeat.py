"""What the worker tells of itself, so that people can see the fleet. Nothing waits for it, and nothing is decided by it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from whisper_contracts.messages import HEARTBEAT_S, ServerStatus, ServerWork, WorkerStatus
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.worker.supervisor import SlotState

HOST_CHARS = 64


@dataclass(frozen=True, slots=True)
class AtWork:
    """The window in a server."""

    job: str
    window: int
    since: float
    """Of time.monotonic."""


async def beat(jetstream: JetStream, subject: str, status: Callable[[], WorkerStatus]) -> None:
    while True:
        if jetstream.is_connected:  # else nats-py would keep it, and tell it late
            with suppress(QueueUnavailable):
                await jetstream.publish_core(subject, status().encode())
        await asyncio.sleep(HEARTBEAT_S)


def server_status(state: SlotState, at_work: AtWork | None, now: float) -> ServerStatus:
    """now: of time.monotonic."""
    return ServerStatus(
        doing=doing(state, at_work),
        device=state.backend.device if state.backend else "",
        restarts=state.restarts,
        work=ServerWork(job=at_work.job, window=at_work.window, busy_s=now - at_work.since) if at_work else None,
    )


def doing(state: SlotState, at_work: AtWork | None) -> str:
    if at_work:
        return "busy"
    if state.ready:
        return "idle"
    # It has answered /health, and the golden clip has not come out right yet.
    return "being tried" if state.stage == "running" else state.stage


def worker_name() -> str:
    """Of this process among all workers: a pod has one worker, a machine may have several."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:HOST_CHARS]
    return f"{host}-{os.getpid()}"
