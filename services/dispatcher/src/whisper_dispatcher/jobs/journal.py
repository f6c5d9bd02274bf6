"""The ways a job may change, each one write to the journal that only one writer can win."""

from __future__ import annotations

import asyncio
import time

from whisper_contracts import names
from whisper_contracts.failures import SENTENCES, FailureReason
from whisper_contracts.messages import (
    DeadLetter,
    HookTask,
    JobRecord,
    JobState,
    Message,
    Plan,
    PlanTask,
    WindowResult,
)
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.errors import WrongLastSequence
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs.index import TOMBSTONE_TTL_S, JobView

_REPLICA_LOOK_S = 0.05
_TOMBSTONE_HEADERS = {"Nats-TTL": f"{TOMBSTONE_TTL_S}s"}


async def read_record(jetstream: JetStream, client: str, job: str) -> JobRecord | None:
    stored = await jetstream.get_last(names.JOURNAL_STREAM, names.record_subject(client, job))
    return JobRecord.decode(stored.data) if stored else None


async def read_plan(jetstream: JetStream, client: str, job: str) -> Plan | None:
    stored = await jetstream.get_last(names.JOURNAL_STREAM, names.plan_result_subject(client, job))
    return Plan.decode(stored.data) if stored else None


async def read_results(jetstream: JetStream, view: JobView, indexes: list[int]) -> dict[int, WindowResult]:
    """The results that are there, of the windows asked for."""
    subjects = [names.window_result_subject(view.model, view.client, view.job, index) for index in indexes]
    if len(subjects) == 1:  # a note: a third of the messages that a batch takes
        only = await jetstream.get_last(names.JOURNAL_STREAM, subjects[0])
        found = [only] if only else []
    else:
        found = await jetstream.get_all_last(names.JOURNAL_STREAM, subjects)
    results = [WindowResult.decode(stored.data) for stored in found]
    return {result.index: result for result in results}


async def read_result(jetstream: JetStream, view: JobView, index: int) -> WindowResult | None:
    """None when there is none: a replica that is behind is asked again."""
    subject = names.window_result_subject(view.model, view.client, view.job, index)
    while (stored := await jetstream.get_last(names.JOURNAL_STREAM, subject)) is None:
        if not await jetstream.holds(names.JOURNAL_STREAM, subject):
            return None
        await asyncio.sleep(_REPLICA_LOOK_S)
    return WindowResult.decode(stored.data)


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
        # An Idempotency-Key may make the same job id again, of another record.
        message_id=f"{record.job}.{record.created_at}.{generation}.{again}",
    )


async def set_state(jetstream: JetStream, view: JobView, state: JobState) -> bool:
    """Compare-and-set on the state this process has seen; False when somebody else changed it."""
    subject = names.state_subject(view.client, view.job)
    try:
        await jetstream.publish_once(subject, state.encode(), last_sequence=view.state_sequence)
    except WrongLastSequence:
        # An erased job's id came again, and its tombstone, which this process has seen, has expired since.
        expired = view.state is None and view.state_sequence > 0
        if expired and await jetstream.get_last(names.JOURNAL_STREAM, subject) is None:
            return await write_once(jetstream, subject, state)
        return False
    return True


async def complete(jetstream: JetStream, view: JobView) -> bool:
    await _queue_hook(jetstream, view)
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
    """Dead letter first, so that a failed job without one cannot be; state last, for then it may be requeued."""
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
    await purge_work(jetstream, view.client, view.job)
    await _queue_hook(jetstream, view)
    state = JobState(state="failed", at=now, generation=view.generation, reason=reason, message=message)
    won = await set_state(jetstream, view, state)
    if not won:
        winner = await _state_that_won(jetstream, view)
        if winner is None or winner.state != "failed":
            await jetstream.purge(names.JOURNAL_STREAM, names.dead_subject(view.client, view.job))
    return won


async def _state_that_won(jetstream: JetStream, view: JobView) -> JobState | None:
    """Newer than the state this process has seen; None when the job was erased since."""
    subject = names.state_subject(view.client, view.job)
    while True:
        stored = await jetstream.get_last(names.JOURNAL_STREAM, subject)
        if stored is not None and stored.sequence > view.state_sequence:
            return JobState.decode(stored.data)
        if not await jetstream.holds(names.JOURNAL_STREAM, subject):
            return None
        # The replica that answered is behind.
        await asyncio.sleep(_REPLICA_LOOK_S)


async def cancel(jetstream: JetStream, view: JobView) -> bool:
    """False when the job was final already. Queued work is purged; a running window is told to stop."""
    reason = FailureReason.CANCELLED
    state = JobState(
        state="cancelled", at=time.time(), generation=view.generation, reason=reason, message=SENTENCES[reason]
    )
    if view.is_final:
        return False
    await _queue_hook(jetstream, view)
    if not await set_state(jetstream, view, state):
        return False
    await purge_work(jetstream, view.client, view.job)
    await jetstream.publish_core(names.cancel_subject(view.job))
    return True


async def _queue_hook(jetstream: JetStream, view: JobView) -> None:
    """Before the state is written, so that a crash between the two loses no webhook; it waits for the state."""
    if view.record is None or view.record.callback_url is None:
        return
    hook = HookTask(
        job=view.job,
        client=view.client,
        url=view.record.callback_url,
        generation=view.generation,
        created_at=view.record.created_at,
    )
    await jetstream.publish(names.hook_subject(view.client, view.job), hook.encode(), message_id=f"hook.{hook.id}")


async def requeue(jetstream: JetStream, view: JobView) -> bool:
    """A failed job starts again where it stopped: windows that have results are kept."""
    if view.record is None or view.state is None or view.state.state != "failed":
        return False
    generation = view.generation + 1
    await jetstream.purge(names.JOURNAL_STREAM, names.job_written_filter(view.client, view.job, "failure"))
    if not await set_state(jetstream, view, JobState(state="queued", at=time.time(), generation=generation)):
        return False
    await jetstream.purge(names.JOURNAL_STREAM, names.dead_subject(view.client, view.job))
    await queue_plan(jetstream, view.record, generation=generation)
    return True


async def purge_work(jetstream: JetStream, client: str, job: str) -> None:
    """A late ack of what is purged is harmless."""
    await jetstream.purge(names.PLAN_STREAM, names.job_plan_filter(client, job))
    await jetstream.purge(names.WINDOWS_STREAM, names.job_windows_filter(client, job))


async def delete_audio(
    jetstream: JetStream, client: str, job: str, *, is_inline: bool = False, before: int | None = None
) -> None:
    """is_inline: it is known to lie in the journal, so that no object needs to be looked for. before: a sequence there."""
    await jetstream.purge(names.JOURNAL_STREAM, names.audio_subject(client, job), before=before)
    if not is_inline:
        await objects.delete(jetstream, names.AUDIO_BUCKET, job)


async def erase(jetstream: JetStream, view: JobView) -> None:
    """Forget a final job and its transcript everywhere; a tombstone tells the other processes."""
    tombstone = await jetstream.publish(
        names.state_subject(view.client, view.job), _deleted(view).encode(), headers=_TOMBSTONE_HEADERS
    )
    await finish_erasure(jetstream, view.client, view.job, tombstone)


async def erase_ghost(jetstream: JetStream, view: JobView) -> bool:
    """Forget what came after its job was erased; False when the id has a record again."""
    try:
        tombstone = await jetstream.publish_once(
            names.state_subject(view.client, view.job),
            _deleted(view).encode(),
            of_subject=names.record_subject(view.client, view.job),
            headers=_TOMBSTONE_HEADERS,
        )
    except WrongLastSequence:
        return False
    await finish_erasure(jetstream, view.client, view.job, tombstone)
    return True


async def finish_erasure(jetstream: JetStream, client: str, job: str, tombstone: int) -> None:
    """Purge what a job left in the journal before its tombstone, and its audio.

    The record goes last: while it is there, an Idempotency-Key that names this job starts no new one, so
    nothing that belongs to a new one is purged.
    """
    await purge_work(jetstream, client, job)
    await jetstream.purge(names.JOURNAL_STREAM, names.dead_subject(client, job), before=tombstone)
    await delete_audio(jetstream, client, job, before=tombstone)
    for subject in (
        names.plan_result_subject(client, job),
        *(names.job_written_filter(client, job, kind) for kind in names.WORKER_KINDS),
        names.record_subject(client, job),
    ):
        await jetstream.purge(names.JOURNAL_STREAM, subject, before=tombstone)


def _deleted(view: JobView) -> JobState:
    return JobState(state="deleted", at=time.time(), generation=view.generation)
