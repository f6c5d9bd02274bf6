"""The journal as it comes in: into the index, and to whoever listens to one job."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from pydantic import ValidationError

from whisper_contracts.names import parse_job_subject
from whisper_dispatcher.gateway import metrics
from whisper_dispatcher.jetstream.streams import Stored
from whisper_dispatcher.jobs.index import JobIndex

log = structlog.get_logger()

MAX_RECENT = 256
MAX_RECENT_BYTES = 16 * 1024


class Listener:
    """The messages of one job since the listening began, in order."""

    def __init__(self) -> None:
        self._messages: deque[Stored] = deque()
        self._arrived = asyncio.Event()

    def put(self, stored: Stored) -> None:
        self._messages.append(stored)
        self._arrived.set()

    def empty(self) -> bool:
        return not self._messages

    async def wait(self) -> None:
        """Until there is one. Takes none away, so that it can be cancelled."""
        await self._arrived.wait()

    def get(self) -> Stored:
        stored = self._messages.popleft()
        if not self._messages:
            self._arrived.clear()
        return stored


class JobFeed:
    def __init__(self, index: JobIndex) -> None:
        self._index = index
        self._listeners: dict[str, set[Listener]] = {}
        self._recent: OrderedDict[str, bytes] = OrderedDict()

    def recent(self, subject: str) -> bytes | None:
        """A plan or result that has just come by, so that the answer to a short note need not read it again."""
        return self._recent.get(subject)

    def apply(self, stored: Stored) -> None:
        try:
            self._index.apply(stored)
        except (ValidationError, ValueError) as error:
            # One message that a newer process wrote in another shape must not stop the following of the rest.
            log.error("a journal message cannot be read", subject=stored.subject, error=type(error).__name__)
            return
        subject = parse_job_subject(stored.subject)
        view = self._index.get(subject.job)
        if view and not view.heeds(subject):
            return
        if subject.kind in ("window", "failure"):
            metrics.SETTLED.inc()
        if subject.kind in ("plan", "window") and len(stored.data) <= MAX_RECENT_BYTES:
            self._recent[stored.subject] = stored.data
            if len(self._recent) > MAX_RECENT:
                self._recent.popitem(last=False)
        for listener in self._listeners.get(subject.job, ()):
            listener.put(stored)

    @contextmanager
    def listen(self, job: str) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.setdefault(job, set()).add(listener)
        try:
            yield listener
        finally:
            self._listeners[job].discard(listener)
            if not self._listeners[job]:
                del self._listeners[job]
