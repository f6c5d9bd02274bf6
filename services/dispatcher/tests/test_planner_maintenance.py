from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from gateway_harness import MODEL, until
from journal_harness import Book, book, plan, record, result, unique

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import JobState, PlanTask
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.pull import Puller
from whisper_dispatcher.jetstream.streams import JetStream, Stored
from whisper_dispatcher.jetstream.tail import Tail
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex, JobView, Written
from whisper_dispatcher.planner.maintenance import Maintenance, is_done_work, is_orphan, is_outlived
from whisper_dispatcher.planner.settings import PlannerSettings

SETTINGS = PlannerSettings(maintenance_every_s=30, job_expiry_s=1000, result_ttl_s=100, dead_letter_ttl_s=500)
MINUTE_S = 60.0


@pytest.fixture
async def jobs(jetstream: JetStream) -> AsyncIterator[Book]:
    async with book(jetstream) as opened:
        yield opened


@pytest.fixture
def maintenance(jobs: Book) -> Maintenance:
    return Maintenance(jobs.jetstream, jobs.index, SETTINGS, held=set(), _swept_at=time.time())


async def plans_of(jobs: Book, view: JobView) -> int:
    return sum(
        (await jobs.jetstream.subjects(names.PLAN_STREAM, names.job_plan_filter(jobs.client, view.job))).values()
    )


def test_an_orphan_is_an_open_job_without_a_plan_message_after_a_while() -> None:
    view = JobView("c", "j", record=record("c", "j", created_at=1000.0))
    assert is_orphan(view, set(), now=1031.0, grace_s=30.0)
    assert not is_orphan(view, set(), now=1029.0, grace_s=30.0)
    assert not is_orphan(view, {"j"}, now=1031.0, grace_s=30.0)
    assert not is_orphan(JobView("c", "j"), set(), now=1031.0, grace_s=30.0)
    view.state = JobState(state="queued", at=1020.0, generation=1)
    assert not is_orphan(view, set(), now=1031.0, grace_s=30.0)
    assert is_orphan(view, set(), now=1051.0, grace_s=30.0)
    view.state = JobState(state="completed", at=1020.0)
    assert not is_orphan(view, set(), now=9999.0, grace_s=30.0)


@pytest.mark.parametrize(
    ("state", "age_s", "outlived"),
    [
        (None, 1e9, False),
        ("queued", 1e9, False),
        ("completed", 99.0, False),
        ("completed", 101.0, True),
        ("cancelled", 101.0, True),
        ("failed", 499.0, False),
        ("failed", 501.0, True),
    ],
)
def test_dead_letters_outlive_results(state: str | None, age_s: float, outlived: bool) -> None:
    found = JobState.model_validate({"state": state, "at": 0.0}) if state else None
    assert is_outlived(found, now=age_s, settings=SETTINGS) is outlived


async def test_a_lost_plan_message_is_queued_again(jobs: Book, maintenance: Maintenance) -> None:
    view = await jobs.accept()
    assert view.record
    await journal.queue_plan(jobs.jetstream, view.record, generation=0)
    await jobs.jetstream.purge(names.PLAN_STREAM, names.job_plan_filter(jobs.client, view.job))
    await maintenance.tend(time.time())
    assert await plans_of(jobs, view) == 0, "too early: it may be on its way"
    await maintenance.tend(time.time() + MINUTE_S)
    await maintenance.tend(time.time() + MINUTE_S)
    assert await plans_of(jobs, view) == 1
    puller = Puller(jobs.jetstream, names.PLAN_STREAM, names.plan_consumer("interactive"))
    await puller.start()
    while delivery := await puller.pull():
        await delivery.ack()
        if (task := PlanTask.decode(delivery.data)).job == view.job:
            break
    assert (task.job, task.client, task.generation) == (view.job, jobs.client, 0)
    await puller.stop()


@pytest.mark.parametrize(
    ("state", "plan_is_done"),
    [(None, False), ("queued", False), ("failed", False), ("completed", True), ("cancelled", True)],
)
def test_work_is_done_when_its_result_is_there_or_its_job_has_ended(state: str | None, plan_is_done: bool) -> None:
    view = JobView("c", "j", record=record("c", "j"), total=3, by_model={MODEL: Written(done={1})})
    view.state = JobState.model_validate({"state": state, "at": 0.0}) if state else None
    assert is_done_work(names.window_subject("base.en", "bulk", "c", "j", 1), view)
    assert is_done_work(names.window_subject("base.en", "bulk", "c", "j", 2), view) is plan_is_done
    assert is_done_work(names.plan_subject("bulk", "c", "j"), view) is plan_is_done
    assert not is_done_work(names.plan_subject("bulk", "c", "other"), None)


async def test_work_that_was_left_in_the_queue_though_it_is_done_goes(jobs: Book, maintenance: Maintenance) -> None:
    view = await jobs.accept()
    left = [names.window_subject("base.en", "interactive", jobs.client, view.job, index) for index in range(3)]
    for subject in left:
        await jobs.jetstream.publish(subject, b"audio")
    await jobs.write(names.window_result_subject(MODEL, jobs.client, view.job, 1), result(1))
    queued = names.job_windows_filter(jobs.client, view.job)
    await maintenance.tend(time.time())
    assert set(await jobs.jetstream.subjects(names.WINDOWS_STREAM, queued)) == set(left), "its ack may be on its way"
    await maintenance.tend(time.time())
    assert set(await jobs.jetstream.subjects(names.WINDOWS_STREAM, queued)) == {left[0], left[2]}
    await jobs.write(names.state_subject(jobs.client, view.job), JobState(state="completed", at=time.time()))
    assert view.record
    await journal.queue_plan(jobs.jetstream, view.record, generation=0)
    await maintenance.tend(time.time())
    await maintenance.tend(time.time())
    assert await jobs.jetstream.subjects(names.WINDOWS_STREAM, queued) == {}
    assert await plans_of(jobs, view) == 0


async def test_a_job_that_this_planner_holds_is_left_alone(jobs: Book, maintenance: Maintenance) -> None:
    view = await jobs.accept()
    maintenance.held.add(view.job)
    await maintenance.tend(time.time() + MINUTE_S)
    assert await plans_of(jobs, view) == 0


async def test_a_job_that_waited_too_long_fails_with_a_dead_letter(jobs: Book, maintenance: Maintenance) -> None:
    old = await jobs.accept(created_at=time.time() - 1001)
    young = await jobs.accept()
    await maintenance.tend(time.time())
    assert await jobs.index.wait_final(old.job, 5)
    assert old.state
    assert (old.state.state, old.state.reason) == ("failed", FailureReason.EXPIRED)
    assert names.dead_subject(jobs.client, old.job) in await jobs.left(old.job)
    assert not young.is_final


async def test_a_job_that_was_requeued_late_waits_as_long_as_any(jobs: Book, maintenance: Maintenance) -> None:
    """Dead letters are kept for longer than a job may wait."""
    view = await jobs.accept(created_at=time.time() - 2000)
    assert await journal.fail(jobs.jetstream, view, FailureReason.TIMEOUT, "Too slow.")
    await until(lambda: view.is_final)
    assert await journal.requeue(jobs.jetstream, view)
    await until(lambda: not view.is_final)
    await maintenance.tend(time.time())
    assert JobState.decode((await state_of(jobs, view)).data).state == "queued"


async def state_of(jobs: Book, view: JobView) -> Stored:
    stored = await jobs.jetstream.get_last(names.JOURNAL_STREAM, names.state_subject(jobs.client, view.job))
    assert stored
    return stored


async def test_an_outlived_job_is_erased_and_forgotten_by_every_process(jobs: Book, maintenance: Maintenance) -> None:
    view = await jobs.accept()
    await jobs.write(names.plan_result_subject(jobs.client, view.job), plan(1))
    await jobs.write(names.window_result_subject(MODEL, jobs.client, view.job, 0), result(0))
    assert await journal.complete(jobs.jetstream, view)
    assert await jobs.index.wait_final(view.job, 5)
    async with AsyncExitStack() as stack:
        others = [JobIndex() for _ in range(2)]
        for index in others:
            tail = Tail(jobs.jetstream, names.JOURNAL_STREAM, [names.job_filter(jobs.client, "*")], index.apply)
            await tail.start()
            stack.push_async_callback(tail.stop)
        assert all(index.get(view.job) for index in others)
        await maintenance.tend(time.time() + 90)
        assert jobs.index.get(view.job)
        await maintenance.tend(time.time() + 110)
        await until(lambda: not any(index.get(view.job) for index in [jobs.index, *others]))
    assert await jobs.left(view.job) == set()
    newcomer = JobIndex()
    tail = Tail(jobs.jetstream, names.JOURNAL_STREAM, [names.job_filter(jobs.client, "*")], newcomer.apply)
    await tail.start()
    assert newcomer.get(view.job) is None
    await tail.stop()


async def test_results_that_came_after_the_erasure_are_erased_too(jobs: Book, maintenance: Maintenance) -> None:
    job = unique()
    await jobs.write(names.window_result_subject(MODEL, jobs.client, job, 0), result(0))
    await maintenance.tend(time.time())
    assert await jobs.left(job), "its record might be under way"
    await maintenance.tend(time.time())
    await jobs.gone(job)
    assert await jobs.left(job) == set()


async def test_an_erasure_that_broke_off_is_finished(jobs: Book, maintenance: Maintenance) -> None:
    view = await jobs.accept()
    await jobs.write(names.plan_result_subject(jobs.client, view.job), plan(1))
    await jobs.jetstream.publish(
        names.state_subject(jobs.client, view.job), JobState(state="deleted", at=time.time()).encode()
    )
    await jobs.gone(view.job)
    await maintenance.tend(time.time())
    await maintenance.tend(time.time())
    assert await jobs.left(view.job) == set()


async def test_audio_of_a_finished_job_goes_and_that_of_a_failed_one_stays(
    jobs: Book, maintenance: Maintenance
) -> None:
    done, dead, running = [await jobs.accept() for _ in range(3)]
    assert await journal.complete(jobs.jetstream, done)
    assert await journal.fail(jobs.jetstream, dead, FailureReason.TIMEOUT, "Too slow.")
    assert await jobs.index.wait_final(done.job, 5)
    assert await jobs.index.wait_final(dead.job, 5)
    await maintenance.tend(time.time())
    audio = await jobs.jetstream.subjects(names.JOURNAL_STREAM, f"whisper.audio.{jobs.client}.>")
    assert audio.keys() == {names.audio_subject(jobs.client, job.job) for job in (dead, running)}


async def test_chunks_of_a_cut_upload_are_swept(jobs: Book, maintenance: Maintenance) -> None:
    upload = objects.Upload(jobs.jetstream, names.AUDIO_BUCKET, unique())
    await upload.write(bytes(300_000))
    stream, chunks = f"OBJ_{names.AUDIO_BUCKET}", f"$O.{names.AUDIO_BUCKET}.C.>"
    before = await jobs.jetstream.subjects(stream, chunks)
    assert before
    now = time.time()
    for hours in (7, 14):
        await maintenance.tend(now + hours * 3600)
    assert await jobs.jetstream.subjects(stream, chunks) == {}


async def test_a_sweep_that_fails_halfway_takes_nothing_of_an_upload_under_way(
    jobs: Book, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next one came half a minute later, and took what the first had seen."""

    async def away() -> set[str]:
        raise QueueUnavailable("NATS is away")

    upload = objects.Upload(jobs.jetstream, names.AUDIO_BUCKET, unique())
    await upload.write(bytes(300_000))
    monkeypatch.setattr(maintenance, "_sweep_strays", away)
    now = time.time() + 7 * 3600
    for later_s in (0, 30):
        await maintenance.tend(now + later_s)
    await upload.finish()
    await objects.download(jobs.jetstream, names.AUDIO_BUCKET, upload.name, tmp_path / "audio")
    assert (tmp_path / "audio").stat().st_size == 300_000


async def test_audio_that_no_record_followed_is_swept(jobs: Book, maintenance: Maintenance) -> None:
    stray = names.audio_subject(jobs.client, unique())
    await jobs.jetstream.publish(stray, bytes(1000))
    accepted = await jobs.accept(audio=bytes(1000), created_at=time.time())
    kept = names.audio_subject(accepted.client, accepted.job)
    now = time.time()
    maintenance.settings = maintenance.settings.model_copy(update={"job_expiry_s": 1e9})
    await maintenance.tend(now + 7 * 3600)
    assert await jobs.jetstream.get_last(names.JOURNAL_STREAM, stray), "its upload may be under way"
    await maintenance.tend(now + 14 * 3600)
    assert await jobs.jetstream.get_last(names.JOURNAL_STREAM, stray) is None
    assert await jobs.jetstream.get_last(names.JOURNAL_STREAM, kept)


async def test_long_audio_that_no_record_followed_is_swept(jobs: Book, maintenance: Maintenance) -> None:
    """A finished upload whose gateway died before the record; and one that its client sends again at that moment."""
    accepted = await jobs.accept(created_at=time.time())
    kept, stray, sent_again = accepted.job, unique(), unique()
    for name in (kept, stray, sent_again):
        await store(jobs, name)
    now = time.time()
    maintenance.settings = maintenance.settings.model_copy(update={"job_expiry_s": 1e9})
    await maintenance.tend(now + 7 * 3600)
    assert {kept, stray, sent_again} <= await stored(jobs), "their records may follow"
    await store(jobs, sent_again)
    await maintenance.tend(now + 14 * 3600)
    assert {kept, stray, sent_again} & await stored(jobs) == {kept, sent_again}


async def store(jobs: Book, name: str) -> None:
    upload = objects.Upload(jobs.jetstream, names.AUDIO_BUCKET, name)
    await upload.write(bytes(300_000))
    await upload.finish()


async def stored(jobs: Book) -> set[str]:
    return {found.name for found in await objects.listed(jobs.jetstream, names.AUDIO_BUCKET)}


async def test_one_job_that_cannot_be_tended_does_not_end_the_care_for_the_rest(
    jobs: Book, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def met_one(now: float) -> None:
        raise TypeError("a record of a newer version")

    monkeypatch.setattr(maintenance, "_heal", met_one)
    well = await jobs.accept(created_at=time.time() - 1001)
    await maintenance.tend(time.time())
    assert await jobs.index.wait_final(well.job, 5)
