from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gateway_harness import MODEL, until
from journal_harness import BehindAtFirst, Book, book, plan, result, unique

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import DeadLetter, JobState, WindowFailure
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobView

TIMEOUT = FailureReason.TIMEOUT


@pytest.fixture
async def jobs(jetstream: JetStream) -> AsyncIterator[Book]:
    async with book(jetstream) as opened:
        yield opened


async def final(jobs: Book, view: JobView) -> str:
    seen = await jobs.index.wait_final(view.job, 5)
    return seen.name if seen else "not final"


async def dead_letter(jobs: Book, job: str) -> DeadLetter | None:
    stored = await jobs.jetstream.get_last(names.JOURNAL_STREAM, names.dead_subject(jobs.client, job))
    return DeadLetter.decode(stored.data) if stored else None


async def test_record_plan_and_results_are_read_as_written(jobs: Book) -> None:
    view = await jobs.accept()
    assert view.record == await journal.read_record(jobs.jetstream, jobs.client, view.job)
    assert await journal.read_plan(jobs.jetstream, jobs.client, view.job) is None
    assert await journal.write_once(jobs.jetstream, names.plan_result_subject(jobs.client, view.job), plan(3))
    for index in (2, 0):
        await jobs.write(names.window_result_subject(MODEL, jobs.client, view.job, index), result(index))
    assert await journal.read_plan(jobs.jetstream, jobs.client, view.job) == plan(3)
    found = await journal.read_results(jobs.jetstream, view, [0, 1, 2])
    assert found == {0: result(0), 2: result(2)}


async def test_a_second_plan_does_not_replace_the_first(jobs: Book) -> None:
    view = await jobs.accept()
    subject = names.plan_result_subject(jobs.client, view.job)
    assert await journal.write_once(jobs.jetstream, subject, plan(3))
    assert not await journal.write_once(jobs.jetstream, subject, plan(4))
    assert await journal.read_plan(jobs.jetstream, jobs.client, view.job) == plan(3)


async def test_of_completing_and_cancelling_one_happens(jobs: Book) -> None:
    view = await jobs.accept()
    assert await journal.complete(jobs.jetstream, view)
    # As a process sees it that has not heard of the completion.
    late = JobView(jobs.client, view.job, record=view.record)
    assert not await journal.cancel(jobs.jetstream, late)
    assert await final(jobs, view) == "completed"
    assert not await journal.cancel(jobs.jetstream, view)


@pytest.mark.parametrize("end", ["complete", "cancel", "fail"])
async def test_every_end_of_a_job_queues_its_webhook(jobs: Book, end: str) -> None:
    """Whoever ends it: a cancelled or expired job may have been taken by no planner."""
    view = await jobs.accept(callback_url="https://example.com/hook")
    ends = {
        "complete": lambda: journal.complete(jobs.jetstream, view),
        "cancel": lambda: journal.cancel(jobs.jetstream, view),
        "fail": lambda: journal.fail(jobs.jetstream, view, TIMEOUT, "Too slow."),
    }
    assert await ends[end]()
    queued = await jobs.jetstream.subjects(names.HOOKS_STREAM, names.HOOKS_SUBJECTS)
    assert names.hook_subject(jobs.client, view.job) in queued


async def test_cancelling_takes_the_queued_work_away(jobs: Book) -> None:
    view = await jobs.accept()
    assert view.record
    await journal.queue_plan(jobs.jetstream, view.record, generation=0)
    for index in range(3):
        subject = names.window_subject("base.en", "bulk", jobs.client, view.job, index)
        await jobs.jetstream.publish(subject, b"pcm")
    kept = names.window_subject("base.en", "bulk", jobs.client, "another", 0)
    await jobs.jetstream.publish(kept, b"pcm")
    assert await journal.cancel(jobs.jetstream, view)
    assert await final(jobs, view) == "cancelled"
    left = await jobs.left(view.job)
    assert left == {names.record_subject(jobs.client, view.job), names.audio_subject(jobs.client, view.job)}
    assert await jobs.jetstream.subjects(names.WINDOWS_STREAM, kept) == {kept: 1}


async def test_a_failed_job_has_a_dead_letter_and_keeps_its_audio(jobs: Book) -> None:
    view = await jobs.accept()
    assert await journal.fail(jobs.jetstream, view, TIMEOUT, "Too slow.", window=2, attempts=5)
    assert await final(jobs, view) == "failed"
    letter = await dead_letter(jobs, view.job)
    assert letter
    assert (letter.reason, letter.message, letter.window, letter.attempts) == (TIMEOUT, "Too slow.", 2, 5)
    assert names.audio_subject(jobs.client, view.job) in await jobs.left(view.job)


async def test_a_failure_that_came_too_late_leaves_no_dead_letter(jobs: Book) -> None:
    view = await jobs.accept()
    late = JobView(jobs.client, view.job, record=view.record)
    assert await journal.complete(jobs.jetstream, view)
    assert not await journal.fail(jobs.jetstream, late, TIMEOUT, "Too slow.")
    assert await dead_letter(jobs, view.job) is None
    assert await final(jobs, view) == "completed"


async def test_a_second_failure_does_not_take_the_dead_letter_of_the_first(jobs: Book) -> None:
    view = await jobs.accept()
    late = JobView(jobs.client, view.job, record=view.record)
    assert await journal.fail(jobs.jetstream, view, TIMEOUT, "Too slow.")
    assert not await journal.fail(jobs.jetstream, late, TIMEOUT, "Too slow again.")
    assert await dead_letter(jobs, view.job)


async def test_a_replica_that_is_behind_does_not_cost_the_dead_letter_of_the_first(jobs: Book) -> None:
    view = await jobs.accept()
    late = JobView(jobs.client, view.job, record=view.record)
    assert await journal.fail(jobs.jetstream, view, TIMEOUT, "Too slow.")
    behind = BehindAtFirst(jobs.jetstream, *[names.state_subject(jobs.client, view.job)] * 2)
    assert not await journal.fail(behind, late, TIMEOUT, "Too slow again.")
    assert await dead_letter(jobs, view.job)


async def test_a_requeued_job_starts_again_where_it_stopped(jobs: Book) -> None:
    view = await jobs.accept()
    await jobs.write(names.plan_result_subject(jobs.client, view.job), plan(2))
    await jobs.write(names.window_result_subject(MODEL, jobs.client, view.job, 0), result(0))
    failure = WindowFailure(generation=0, index=1, attempts=5, reason=TIMEOUT, message="m")
    await jobs.write(names.failure_subject(MODEL, jobs.client, view.job, 1), failure)
    assert await journal.fail(jobs.jetstream, view, TIMEOUT, "Too slow.")
    await final(jobs, view)
    assert await journal.requeue(jobs.jetstream, view)
    await until(lambda: not view.is_final)
    assert (view.name, view.generation, view.done) == ("running", 1, {0})
    assert await dead_letter(jobs, view.job) is None
    queued = await jobs.jetstream.subjects(names.PLAN_STREAM, names.job_plan_filter(jobs.client, view.job))
    assert list(queued.values()) == [1]
    assert not await journal.requeue(jobs.jetstream, view)


async def test_erasing_leaves_nothing_but_a_tombstone(jobs: Book) -> None:
    view = await jobs.accept()
    assert view.record
    await journal.queue_plan(jobs.jetstream, view.record, generation=0)
    await jobs.write(names.plan_result_subject(jobs.client, view.job), plan(2))
    await jobs.write(names.window_result_subject(MODEL, jobs.client, view.job, 0), result(0))
    upload = objects.Upload(jobs.jetstream, names.AUDIO_BUCKET, view.job)
    await upload.write(bytes(200_000))
    await upload.finish()
    audio_left = await jobs.jetstream.subjects(f"OBJ_{names.AUDIO_BUCKET}", f"$O.{names.AUDIO_BUCKET}.>")
    assert await journal.fail(jobs.jetstream, view, TIMEOUT, "Too slow.")
    await final(jobs, view)
    await journal.erase(jobs.jetstream, view)
    await jobs.gone(view.job)
    assert await jobs.left(view.job) == set()
    after = await jobs.jetstream.subjects(f"OBJ_{names.AUDIO_BUCKET}", f"$O.{names.AUDIO_BUCKET}.>")
    assert len(audio_left) - len(after) == 2


async def test_the_id_of_an_erased_job_may_come_again(jobs: Book) -> None:
    job = names.idempotent_job_id(jobs.client, "my key")
    view = await jobs.accept(job)
    assert await journal.complete(jobs.jetstream, view)
    await final(jobs, view)
    await journal.erase(jobs.jetstream, view)
    await jobs.gone(job)
    again = await jobs.accept(job, audio=b"new audio")
    assert again is not view
    assert await journal.complete(jobs.jetstream, again)
    assert await final(jobs, again) == "completed"


async def test_the_id_may_come_again_when_its_tombstone_has_expired(jobs: Book) -> None:
    job = unique()
    view = await jobs.accept(job)
    await journal.erase(jobs.jetstream, view)
    await jobs.gone(job)
    await jobs.jetstream.purge(names.JOURNAL_STREAM, names.state_subject(jobs.client, job))
    again = await jobs.accept(job)
    assert await journal.complete(jobs.jetstream, again)
    assert await final(jobs, again) == "completed"


async def test_an_erasure_that_is_finished_late_spares_the_jobs_next_life(jobs: Book) -> None:
    job = unique()
    view = await jobs.accept(job)
    assert await journal.complete(jobs.jetstream, view)
    tombstone = await jobs.jetstream.publish(
        names.state_subject(jobs.client, job), JobState(state="deleted", at=1.0).encode()
    )
    await jobs.gone(job)
    await jobs.jetstream.purge(names.JOURNAL_STREAM, names.record_subject(jobs.client, job))
    again = await jobs.accept(job)
    await journal.finish_erasure(jobs.jetstream, jobs.client, job, tombstone)
    assert await journal.read_record(jobs.jetstream, jobs.client, job) == again.record


async def test_a_ghost_is_erased_unless_its_id_has_come_again(jobs: Book) -> None:
    job = unique()
    await jobs.write(names.window_result_subject(MODEL, jobs.client, job, 0), result(0))
    (ghost,) = jobs.index.ghosts()
    blind = JobView(jobs.client, job)
    again = await jobs.accept(job)
    assert not await journal.erase_ghost(jobs.jetstream, blind)
    assert again.record
    assert not again.is_final
    stray = unique()
    await jobs.write(names.window_result_subject(MODEL, jobs.client, stray, 0), result(0))
    (ghost,) = jobs.index.ghosts()
    assert await journal.erase_ghost(jobs.jetstream, ghost)
    await jobs.gone(stray)
    assert await jobs.left(stray) == set()


async def test_a_job_whose_id_comes_again_has_work_and_a_webhook_of_its_own(jobs: Book) -> None:
    """An Idempotency-Key makes the same id of it, within the time in which NATS drops a message id seen before."""
    job, url = unique(), "https://example.com/"
    plans, hooks = names.job_plan_filter(jobs.client, job), names.hook_subject(jobs.client, job)
    for life in (1, 2):
        view = await jobs.accept(job, callback_url=url)
        assert view.record
        await journal.queue_plan(jobs.jetstream, view.record, generation=0)
        assert sum((await jobs.jetstream.subjects(names.PLAN_STREAM, plans)).values()) == 1
        assert await journal.complete(jobs.jetstream, view)
        assert await jobs.jetstream.subjects(names.HOOKS_STREAM, hooks) == {hooks: life}
        await final(jobs, view)
        await journal.erase(jobs.jetstream, view)
        await jobs.gone(job)
