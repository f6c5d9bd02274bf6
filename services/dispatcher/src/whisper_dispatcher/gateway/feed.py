"""The journal as it comes in: into the index, and to whoever listens to one job."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from pydantic import ValidationError

from whisper_contracts.names import parse_job_subject
from whisper_dispatcher.jetstream.connection import Stored
from whisper_dispatcher.jobs.index import JobIndex

log = structlog.get_logger()

MAX_WAITING_EVENTS = 10_000


class JobFeed:
    def __init__(self, index: JobIndex) -> None:
        self._index = index
        self._listeners: dict[str, set[asyncio.Queue[Stored]]] = {}

    def apply(self, stored: Stored) -> None:
        try:
            self._index.apply(stored)
        except (ValidationError, ValueError) as error:
            # One message that a newer process wrote in another shape must not stop the following of the rest.
            log.error("a journal message cannot be read", subject=stored.subject, error=type(error).__name__)
            return
        _, job, _, _ = parse_job_subject(stored.subject)
        for queue in self._listeners.get(job, ()):
            if queue.qsize() < MAX_WAITING_EVENTS:
                queue.put_nowait(stored)

    @contextmanager
    def listen(self, job: str) -> Iterator[asyncio.Queue[Stored]]:
        """Every journal message of the job from now on."""
        queue: asyncio.Queue[Stored] = asyncio.Queue()
        self._listeners.setdefault(job, set()).add(queue)
        try:
            yield queue
        finally:
            self._listeners[job].discard(queue)
            if not self._listeners[job]:
                del self._listeners[job]
