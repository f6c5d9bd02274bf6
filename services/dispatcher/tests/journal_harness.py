"""A job's life in the journal, written by hand."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway_harness import MODEL, until

from whisper_contracts import names
from whisper_contracts.messages import (
    JobRecord,
    Message,
    Plan,
    Segment,
    TranscribeOptions,
    WindowResult,
    WindowSpan,
)
from whisper_dispatcher.jetstream.streams import JetStream, Stored
from whisper_dispatcher.jetstream.tail import Tail
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex, JobView


def unique() -> str:
    return uuid.uuid4().hex[:12]


def record(client: str, job: str, **changes: object) -> JobRecord:
    fields: dict[str, object] = {
        "job": job,
        "client": client,
        "class_": "interactive",
        "options": TranscribeOptions(model=MODEL, language="en"),
        "created_at": time.time(),
        "size_bytes": 3,
        "sha256": "ab",
    }
    return JobRecord.model_validate(fields | changes, by_name=True)


def result(index: int, text: str = "hello") -> WindowResult:
    return WindowResult(
        index=index, language="en", segments=(Segment(start_s=10.0 * index, end_s=10.0 * index + 1, text=text),)
    )


def plan(windows: int) -> Plan:
    spans = tuple(WindowSpan(start_s=10.0 * index, end_s=10.0 * (index + 1)) for index in range(windows))
    return Plan(duration_s=10.0 * windows, windows=spans, class_="interactive")


class BehindAtFirst(JetStream):
    """Read from a replica that does not have some subjects yet: each as often as it is named."""

    def __init__(self, jetstream: JetStream, *missing: str) -> None:
        super().__init__(jetstream.client)
        self._behind = jetstream
        self._missing = Counter(missing)

    async def close(self) -> None:
        """Of the connection that both have, so that it does not count as lost."""
        await self._behind.close()

    def _is_missing(self, subject: str) -> bool:
        self._missing[subject] -= 1
        return self._missing[subject] >= 0

    async def get_last(self, stream: str, subject: str) -> Stored | None:
        return None if self._is_missing(subject) else await super().get_last(stream, subject)

    async def get_all_last(self, stream: str, subjects: list[str]) -> list[Stored]:
        return await super().get_all_last(stream, [each for each in subjects if not self._is_missing(each)])

    async def messages(self, stream: str, subject: str) -> AsyncIterator[Stored]:
        if not self._is_missing(subject):
            async for stored in super().messages(stream, subject):
                yield stored


@dataclass
class Book:
    """The journal of one client: written here, and read back through an index that follows it."""

    jetstream: JetStream
    client: str = field(default_factory=unique)
    index: JobIndex = field(default_factory=JobIndex)

    async def accept(self, job: str | None = None, audio: bytes = b"audio", **changes: object) -> JobView:
        accepted = record(self.client, job or unique(), **changes)
        await self.jetstream.publish(names.audio_subject(self.client, accepted.job), audio)
        assert await journal.write_once(self.jetstream, names.record_subject(self.client, accepted.job), accepted)
        view = await self.index.wait_record(accepted.job, 5)
        assert view
        return view

    async def write(self, subject: str, message: Message) -> None:
        sequence = await self.jetstream.publish(subject, message.encode())
        await self.seen(names.parse_job_subject(subject).job, sequence)

    async def seen(self, job: str, sequence: int) -> None:
        def is_seen() -> bool:
            view = self.index.get(job)
            return view is not None and view.last_sequence >= sequence

        await until(is_seen)

    async def gone(self, job: str) -> None:
        await until(lambda: self.index.get(job) is None)

    async def left(self, job: str) -> set[str]:
        """Every subject that still holds something of the job, its tombstone aside."""
        patterns = (
            (names.JOURNAL_STREAM, names.job_filter(self.client, job)),
            (names.JOURNAL_STREAM, names.audio_subject(self.client, job)),
            (names.JOURNAL_STREAM, names.dead_subject(self.client, job)),
            (names.PLAN_STREAM, names.job_plan_filter(self.client, job)),
            (names.WINDOWS_STREAM, names.job_windows_filter(self.client, job)),
        )
        found: set[str] = set()
        for stream, pattern in patterns:
            found |= (await self.jetstream.subjects(stream, pattern)).keys()
        return found - {names.state_subject(self.client, job)}


@asynccontextmanager
async def book(jetstream: JetStream) -> AsyncIterator[Book]:
    opened = Book(jetstream)
    tail = Tail(jetstream, names.JOURNAL_STREAM, [names.job_filter(opened.client, "*")], opened.index.apply)
    await tail.start()
    yield opened
    await tail.stop()
