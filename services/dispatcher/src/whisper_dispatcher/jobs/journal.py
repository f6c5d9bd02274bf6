"""The ways a job may change, each one write to the journal that only one writer can win."""

from __future__ import annotations

import time

from whisper_contracts import names
from whisper_contracts.failures import SENTENCES, FailureReason
from whisper_contracts.messages import (
    DeadLetter,
    JobRecord,
    JobState,
    Message,
    Plan,
    PlanTask,
    WindowResult,
)
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.connection import JetStream
from whisper_dispatcher.jetstream.errors import WrongLastSequence
from whisper_dispatcher.jobs.index import JobView

TOMBSTONE_TTL_S = 24 * 3600


async def read_record(jetstream: JetStream, client: str, job: str) -> JobRecord | None:
    stored = await jetstream.get_last(names.JOURNAL_STREAM, names.record_subject(client, job))
    return JobRecord.decode(stored.data) if stored else None


async def read_plan(jetstream: JetStream, client: str, job: str) -> Plan | None:
    stored = await jetstream.get_last(names.JOURNAL_STREAM, names.plan_result_subject(client, job))
    return Plan.decode(stored.data) if stored else None


async def read_results(jetstream: JetStream, client: str, job: str, indexes: list[int]) -> dict[int, WindowResult]:
    """The results that are there, of the windows asked for."""
    subjects = [names.window_result_subject(client, job, index) for index in indexes]
    found = await jetstream.get_all_last(names.JOURNAL_STREAM, subjects)
    results = [WindowResult.decode(stored.data) for stored in found]
    return {result.index: result for result in results}


async def write_once(jetstream: JetStream, subject: str, message: Message) -> bool:
    """False when somebody else was first; then what they wrote counts."""
    try:
        await jetstream.publish_once(subject, message.encode())
    except WrongLastSequence:
        return False
    return True


async def queue_plan(jetstream: JetStream, record: JobRecord, *, generation: int, again: int = 0) -> None:
    """again: counts what the journal's healing publishes once more, since a used message id is dropped."""
    task = PlanTask(job=record.job, client=record.client, generation=generation, traceparent=record.traceparent)
    await jetstream.publish(
        names.plan_subject(record.class_, record.client, record.job),
        task.encode(),
        message_id=f"{record.job}.{generation}.{again}",
    )


async def set_state(jetstream: JetStream, view: JobView, state: JobState) -> bool:
    """Compare-and-set on the state this process has seen; False when somebody else changed it."""
    subject = names.state_subject(view.client, view.job)
    try:
        await jetstream.publish_once(subject, state.encode(), last_sequence=view.state_sequence)
    except WrongLastSequence:
        return False
    return True


async def complete(jetstream: JetStream, view: JobView) -> bool:
    return await set_state(jetstream, view, JobState(state="completed", at=time.time(), generation=view.generation))


async def fail(
    jetstream: JetStream,
    view: JobView,
    reason: FailureReason,
    message: str,
    *,
    window: int | None = None,
    attempts: int = 0,
) -> bool:
    """Dead letter first, so that a failed job without one cannot be."""
    now = time.time()
    letter = DeadLetter(
        job=view.job,
        client=view.client,
        reason=reason,
        message=message,
        window=window,
        attempts=attempts,
        at=now,
        generation=view.generation,
    )
    await jetstream.publish(names.dead_subject(view.client, view.job), letter.encode())
    state = JobState(state="failed", at=now, generation=view.generation, reason=reason, message=message)
    won = await set_state(jetstream, view, state)
    if not won:
        await jetstream.purge(names.JOURNAL_STREAM, names.dead_subject(view.client, view.job))
    await purge_work(jetstream, view.client, view.job)
    return won


async def cancel(jetstream: JetStream, view: JobView) -> bool:
    """False when the job was final already. Queued work is purged; a running window is told to stop."""
    reason = FailureReason.CANCELLED
    state = JobState(
        state="cancelled", at=time.time(), generation=view.generation, reason=reason, message=SENTENCES[reason]
    )
    if view.is_final or not await set_state(jetstream, view, state):
        return False
    await purge_work(jetstream, view.client, view.job)
    await jetstream.publish_core(names.cancel_subject(view.job))
    return True


async def requeue(jetstream: JetStream, view: JobView) -> bool:
    """A failed job starts again where it stopped: windows that have results are kept."""
    if view.record is None or view.state is None or view.state.state != "failed":
        return False
    generation = view.generation + 1
    await jetstream.purge(names.JOURNAL_STREAM, f"whisper.jobs.{view.client}.{view.job}.failure.*")
    if not await set_state(jetstream, view, JobState(state="queued", at=time.time(), generation=generation)):
        return False
    await jetstream.purge(names.JOURNAL_STREAM, names.dead_subject(view.client, view.job))
    await queue_plan(jetstream, view.record, generation=generation)
    return True


async def purge_work(jetstream: JetStream, client: str, job: str) -> None:
    """A late ack of what is purged is harmless."""
    await jetstream.purge(names.PLAN_STREAM, names.job_plan_filter(client, job))
    await jetstream.purge(names.WINDOWS_STREAM, names.job_windows_filter(client, job))


async def delete_audio(jetstream: JetStream, client: str, job: str) -> None:
    await jetstream.purge(names.JOURNAL_STREAM, names.audio_subject(client, job))
    await objects.delete(jetstream, names.AUDIO_BUCKET, job)


async def erase(jetstream: JetStream, view: JobView) -> None:
    """Forget a final job and its transcript everywhere; a tombstone tells the other processes."""
    state = JobState(state="deleted", at=time.time(), generation=view.generation)
    await jetstream.publish(
        names.state_subject(view.client, view.job), state.encode(), headers={"Nats-TTL": f"{TOMBSTONE_TTL_S}s"}
    )
    await purge_work(jetstream, view.client, view.job)
    for kind in ("record", "plan", "window.*", "attempt.*", "failure.*"):
        await jetstream.purge(names.JOURNAL_STREAM, f"whisper.jobs.{view.client}.{view.job}.{kind}")
    await jetstream.purge(names.JOURNAL_STREAM, names.dead_subject(view.client, view.job))
    await delete_audio(jetstream, view.client, view.job)
