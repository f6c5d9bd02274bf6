"""Accepting a job: audio, record and work on disk, or a clear refusal with nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from whisper_contracts import names
from whisper_contracts.messages import JobRecord, TranscribeOptions
from whisper_dispatcher.gateway import metrics
from whisper_dispatcher.gateway.errors import ApiError, unavailable
from whisper_dispatcher.gateway.uploads import AudioUpload
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable, WrongLastSequence
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex, JobView
from whisper_dispatcher.logs import trace_id

log = structlog.get_logger()

CLAIM_TTL_S = 24 * 3600
RECORD_WAIT_S = 2.0
"""A record follows its audio at once; after so long its gateway must have died in between."""
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Submission:
    """What was asked for, beside the audio."""

    client: str
    options: TranscribeOptions
    filename: str = ""
    callback_url: str | None = None
    traceparent: str = ""
    is_retry: bool = False
    """The client says that it sends this again, having lost the first answer: a completed job is joined too."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """The note that says which job runs an upload; job "" = there is none."""

    subject: str
    job: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class _Audio:
    sequence: int
    sha256: str


def upload_digest(sha256: str, submission: Submission) -> str:
    """The identity of an upload: the same file with other options, or another webhook, is another one."""
    asked = submission.options.model_dump(mode="json", exclude={"version"}) | {"callback": submission.callback_url}
    return hashlib.sha256(f"{sha256}\n{json.dumps(asked, sort_keys=True)}".encode()).hexdigest()


class Submitter:
    """Every method returns the id of the job that has the audio, which may be one that was there already."""

    def __init__(self, jetstream: JetStream, index: JobIndex) -> None:
        self._jetstream = jetstream
        self._index = index

    async def submit_or_join(
        self, submission: Submission, upload: AudioUpload, check_quota: Callable[[], None] = lambda: None
    ) -> str:
        """An identical upload of the client that is still running is joined. check_quota: raises if no job may begin."""
        subject = names.upload_subject(submission.client, upload_digest(upload.sha256, submission))
        claim = await self._read_claim(subject)
        if await self._is_joinable(submission, claim.job):
            await upload.abort()
            return _joined(claim.job, submission)
        check_quota()
        await upload.commit()
        record = _record(submission, upload)
        won = await self._store(record, upload, claim)
        if not won:
            other = await self._read_claim(subject)
            if other.job != record.job and await self._is_joinable(submission, other.job):
                await self._take_back(record)
                return _joined(other.job, submission)
        return _accepted(record)

    async def submit_keyed(self, submission: Submission, upload: AudioUpload) -> str:
        """With an Idempotency-Key: the upload's job id is the key's. Raises 409 when the key had another upload."""
        record = _record(submission, upload)
        if existing := await journal.read_record(self._jetstream, record.client, record.job):
            await upload.abort()
            if self._index.is_erased(record.job):
                raise unavailable(
                    "The job of this Idempotency-Key is being deleted. Send the request again in a moment."
                )
            return _same(existing, record)
        await self._store_keyed(record, upload)
        try:
            if not await journal.write_once(self._jetstream, names.record_subject(record.client, record.job), record):
                if existing := await self._await_record(record.client, record.job):
                    return _same(existing, record)
                raise unavailable()
        except QueueFull:
            await self._take_back_unrecorded(record)
            raise
        try:
            await self._queue(record)
        except QueueFull:
            await self._take_back(record)
            raise
        return _accepted(record)

    async def _queue(self, record: JobRecord) -> None:
        try:
            await journal.queue_plan(self._jetstream, record, generation=0)
        except QueueUnavailable:
            _log_unqueued(record)

    async def _store(self, record: JobRecord, upload: AudioUpload, claim: _Claim) -> bool:
        """All writes in one round trip, in this order on the wire. False when the claim went to somebody else."""
        jetstream = self._jetstream
        writes = [jetstream.publish_once(names.record_subject(record.client, record.job), record.encode())]
        if upload.inline is not None:
            writes.insert(0, jetstream.publish(names.audio_subject(record.client, record.job), upload.inline))
        planned = journal.queue_plan(jetstream, record, generation=0)
        # Last, so that a note whose job has no record is one that came to nothing.
        note, ttl = json.dumps({"job": record.job}).encode(), {"Nats-TTL": f"{CLAIM_TTL_S}s"}
        claimed = jetstream.publish_once(claim.subject, note, last_sequence=claim.sequence, headers=ttl)
        *stored, queued, noted = await asyncio.gather(*writes, planned, claimed, return_exceptions=True)
        problems = [result for result in stored if isinstance(result, BaseException)]
        if isinstance(queued, QueueFull):
            problems.append(queued)
        elif isinstance(queued, BaseException) and not problems:
            _log_unqueued(record)
        if problems:
            # Without an answer it may be stored, and an identical upload may have joined it: then it goes its way.
            if any(isinstance(problem, QueueFull) for problem in problems):
                await self._take_back(record)
            raise problems[0]
        return not isinstance(noted, WrongLastSequence)

    async def _store_keyed(self, record: JobRecord, upload: AudioUpload) -> None:
        """Never over the audio of a record: two uploads with one key may arrive at once."""
        try:
            await self._store_audio(record, upload, 0)
            return
        except WrongLastSequence:
            there = await self._stored_audio(record)
        if there and there.sha256 == record.sha256:
            await upload.abort()
            return
        # Another file: its record comes now, or its gateway died before it could write one.
        if existing := await self._await_record(record.client, record.job):
            await upload.abort()
            _same(existing, record)
            return
        try:
            await self._store_audio(record, upload, there.sequence if there else 0)
        except WrongLastSequence:
            raise _conflict() from None

    async def _store_audio(self, record: JobRecord, upload: AudioUpload, last_sequence: int) -> None:
        if upload.inline is None:
            await upload.commit(last_sequence)
        else:
            subject = names.audio_subject(record.client, record.job)
            await self._jetstream.publish_once(subject, upload.inline, last_sequence=last_sequence)

    async def _stored_audio(self, record: JobRecord) -> _Audio | None:
        """What lies under the record's id, whoever sent it."""
        if record.audio_object:
            found = await objects.find(self._jetstream, names.AUDIO_BUCKET, record.audio_object)
            return _Audio(found.sequence, found.sha256) if found else None
        stored = await self._jetstream.get_last(names.JOURNAL_STREAM, names.audio_subject(record.client, record.job))
        return _Audio(stored.sequence, hashlib.sha256(stored.data).hexdigest()) if stored else None

    async def _read_claim(self, subject: str) -> _Claim:
        stored = await self._jetstream.get_last(names.JOURNAL_STREAM, subject)
        return _Claim(subject, str(json.loads(stored.data)["job"]), stored.sequence) if stored else _Claim(subject)

    async def _is_joinable(self, submission: Submission, job: str) -> bool:
        if not job or self._index.is_erased(job):
            return False
        view = self._index.get(job, submission.client)
        if view and view.record:
            return submission.is_retry if view.has_text else not view.is_final
        return await journal.read_record(self._jetstream, submission.client, job) is not None

    async def _await_record(self, client: str, job: str) -> JobRecord | None:
        deadline = time.monotonic() + RECORD_WAIT_S
        while True:
            record = await journal.read_record(self._jetstream, client, job)
            if record or time.monotonic() > deadline:
                return record
            await asyncio.sleep(POLL_S)

    async def _take_back(self, record: JobRecord) -> None:
        """What of a refused job was stored; where NATS is away too, the planner's sweeps end it."""
        await self._quietly(journal.erase(self._jetstream, JobView(record.client, record.job)), record)

    async def _take_back_unrecorded(self, record: JobRecord) -> None:
        """The same, unless another upload with the key has a record under this id by now."""
        await self._quietly(journal.erase_ghost(self._jetstream, JobView(record.client, record.job)), record)

    async def _quietly(self, erasure: Awaitable[object], record: JobRecord) -> None:
        try:
            await erasure
        except (QueueUnavailable, QueueFull) as error:
            log.warning("a refused job could not be taken back", job=record.job, reason=str(error))


def _record(submission: Submission, upload: AudioUpload) -> JobRecord:
    return JobRecord(
        job=upload.job,
        client=submission.client,
        class_="interactive" if upload.inline is not None else "bulk",
        options=submission.options,
        created_at=time.time(),
        filename=submission.filename,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        audio_object=None if upload.inline is not None else upload.job,
        callback_url=submission.callback_url,
        traceparent=submission.traceparent,
    )


def _same(existing: JobRecord, record: JobRecord) -> str:
    wanted = (record.sha256, record.options, record.callback_url)
    if (existing.sha256, existing.options, existing.callback_url) != wanted:
        raise _conflict()
    log.info("idempotency key seen before", job=existing.job, trace=trace_id(record.traceparent))
    return existing.job


def _conflict() -> ApiError:
    return ApiError(
        409,
        "This Idempotency-Key was used with another file or other options. Send a new key with a new upload.",
        code="idempotency_conflict",
        param="Idempotency-Key",
        retry=False,
    )


def _accepted(record: JobRecord) -> str:
    metrics.ACCEPTED.labels(record.class_).inc()
    log.info(
        "accepted",
        job=record.job,
        client=record.client,
        model=record.options.model,
        class_=record.class_,
        size_bytes=record.size_bytes,
        trace=trace_id(record.traceparent),
    )
    return record.job


def _joined(job: str, submission: Submission) -> str:
    metrics.JOINED.inc()
    log.info("joined a running job", job=job, client=submission.client, trace=trace_id(submission.traceparent))
    return job


def _log_unqueued(record: JobRecord) -> None:
    # The record is on disk, so the job is accepted; a planner finds it without work and queues it.
    log.warning("accepted, but not queued yet", job=record.job, trace=trace_id(record.traceparent))
