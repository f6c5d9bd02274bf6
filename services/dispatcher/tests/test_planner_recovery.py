"""Jobs that are taken over, broken, cancelled, or that somebody waits for elsewhere."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from audio_harness import as_wav, encoded, speech_like, tone
from gateway_harness import until
from journal_harness import BehindAtFirst, plan
from planner_harness import LIMIT_S, MODEL, Stage, StandInWorker, drain, gone, opened

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import (
    HookTask,
    Segment,
    TranscribeOptions,
    WindowFailure,
    WindowResult,
    WindowTask,
)
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.pull import Delivery, Puller, keep_in_progress
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex, JobView
from whisper_dispatcher.planner import job_run, process, work_dir
from whisper_dispatcher.planner.cage import Reply
from whisper_dispatcher.planner.decode import Decoder
from whisper_dispatcher.planner.job_run import JobRun
from whisper_dispatcher.planner.process import Planner


@pytest.fixture
async def stage(nats_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with opened(nats_url, tmp_path) as stage:
        yield stage
    assert list(tmp_path.iterdir()) == [], "decoded audio was left behind"


async def test_a_plan_that_is_there_is_used(stage: Stage) -> None:
    await stage.start_worker()
    view = await stage.jobs.accept(audio=as_wav(tone(20.0)))
    await stage.jobs.write(names.plan_result_subject(view.client, view.job), plan(windows=2))
    await stage.jobs.write(
        names.window_result_subject(MODEL, view.client, view.job, 0),
        WindowResult(index=0, segments=(Segment(start_s=0, end_s=1, text=" of another planner"),)),
    )
    assert view.record
    await journal.queue_plan(stage.jobs.jetstream, view.record, generation=0)
    await stage.start_planner()
    assert await stage.final(view) == "completed"
    assert await stage.texts(view) == [" of another planner", " w1"]
    assert [task.index for task in stage.worker.of(view)] == [1]


async def test_a_plan_that_a_replica_lacks_is_not_made_again(stage: Stage) -> None:
    """Another cut doubles words."""
    await stage.start_worker()
    planner, _ = await stage.start_planner()
    view = await stage.jobs.accept(audio=as_wav(tone(20.0)))
    subject = names.plan_result_subject(view.client, view.job)
    await stage.jobs.write(subject, plan(windows=2))
    await until(lambda: bool((known := planner.index.get(view.job)) and known.total))
    planner.jetstream = BehindAtFirst(planner.jetstream, subject)
    assert view.record
    await journal.queue_plan(stage.jobs.jetstream, view.record, generation=0)
    assert await stage.final(view) == "completed"
    assert [(task.start_s, task.end_s) for task in stage.worker.of(view)] == [(0, 10), (10, 20)]


async def test_a_plan_that_came_first_and_cannot_be_read_yet_is_waited_for(stage: Stage) -> None:
    view = await stage.jobs.accept(audio=as_wav(tone(31.0)))
    subject = names.plan_result_subject(view.client, view.job)
    assert view.record
    unheard = JobView(view.client, view.job, view.record)
    await stage.jobs.write(subject, plan(windows=2))
    behind = BehindAtFirst(stage.jobs.jetstream, subject)
    decoder = Decoder(max_duration_s=60)
    own_disk = work_dir.WorkDir(stage.settings.work_dir)
    run = JobRun(behind, JobIndex(), decoder, stage.settings, own_disk, unheard, view.record, generation=0)
    with pytest.raises(QueueUnavailable):
        await run.run()
    await decoder.close()
    assert not await stage.jobs.jetstream.subjects(
        names.WINDOWS_STREAM, names.job_windows_filter(view.client, view.job)
    )


async def test_audio_that_a_replica_lacks_is_not_taken_for_gone(stage: Stage) -> None:
    """The job failed as expired."""
    await stage.start_worker()
    planner, _ = await stage.start_planner()
    view = await stage.jobs.accept(audio=as_wav(tone(3.0)))
    planner.jetstream = BehindAtFirst(planner.jetstream, names.audio_subject(view.client, view.job))
    assert view.record
    await journal.queue_plan(stage.jobs.jetstream, view.record, generation=0)
    assert await stage.final(view) == "completed"


async def test_a_job_whose_audio_is_gone_fails(stage: Stage) -> None:
    await stage.start_planner()
    view = await stage.jobs.accept(audio=as_wav(tone(3.0)))
    await journal.delete_audio(stage.jobs.jetstream, view.client, view.job)
    assert view.record
    await journal.queue_plan(stage.jobs.jetstream, view.record, generation=0)
    assert await stage.final(view) == "failed"
    assert view.state
    assert view.state.reason is FailureReason.EXPIRED


async def test_a_window_that_was_lost_is_queued_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_run, "RECHECK_S", 0.2)
    await stage.start_planner()
    view = await stage.submit(speech_like(phrases=9))
    await until(lambda: view.total is not None)
    queued = names.job_windows_filter(view.client, view.job)
    async with asyncio.timeout(5):
        while not await stage.jobs.jetstream.purge(names.WINDOWS_STREAM, queued):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await stage.start_worker()
    assert await stage.final(view) == "completed"
    assert len(await stage.texts(view)) == view.total


async def test_a_window_given_up_fails_the_job_with_its_reason(stage: Stage) -> None:
    def give_up(task: WindowTask) -> WindowFailure:
        return WindowFailure(
            generation=task.generation,
            index=task.index,
            attempts=5,
            reason=FailureReason.SERVER_ERROR,
            message="It broke.",
        )

    stage.worker.answer = give_up
    await stage.start_worker()
    await stage.start_planner()
    view = await stage.submit(as_wav(tone(3.0)))
    assert await stage.final(view) == "failed"
    assert view.state
    assert (view.state.reason, view.state.message) == (FailureReason.SERVER_ERROR, "It broke.")
    # Requeued with a worker that is well again, it completes.
    stage.worker.answer = StandInWorker(stage.jobs.jetstream).answer
    assert await journal.requeue(stage.jobs.jetstream, view)
    await until(lambda: not view.is_final)
    assert await stage.final(view) == "completed"
    assert await stage.texts(view) == [" w0"]


class FullDisk(Decoder):
    def __init__(self) -> None:
        super().__init__(max_duration_s=60)
        self.is_full = True
        self.tries = 0

    async def decode(self, source: bytes | Path, target: Path, *, is_bulk: bool = False) -> float:
        self.tries += 1
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return await super().decode(source, target, is_bulk=is_bulk)


async def test_a_job_waits_until_a_full_disk_has_room(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It failed, and only a requeue helped."""
    monkeypatch.setattr(process, "DISK_FULL_RETRY_S", 0.05)
    await stage.start_worker()
    planner, _ = await stage.start_planner()
    await planner.decoder.close()
    planner.decoder = disk = FullDisk()
    view = await stage.submit(encoded("ogg", "libopus"))
    await until(lambda: disk.tries > process.MAX_CRASHES)
    disk.is_full = False
    assert await stage.final(view) == "completed"


class CountedDecoder(Decoder):
    times = 0

    async def decode(self, source: bytes | Path, target: Path, *, is_bulk: bool = False) -> float:
        self.times += 1
        return await super().decode(source, target, is_bulk=is_bulk)


async def counted_decoder(planner: Planner) -> CountedDecoder:
    await planner.decoder.close()
    planner.decoder = decoder = CountedDecoder(max_duration_s=60)
    return decoder


async def limit_windows(stage: Stage, **limits: int) -> None:
    (usual,) = (each for each in topology.streams(topology.Limits()) if each["name"] == names.WINDOWS_STREAM)
    answer = await stage.jobs.jetstream.api(f"STREAM.UPDATE.{names.WINDOWS_STREAM}", usual | limits)
    assert "error" not in answer


@pytest.mark.parametrize("seconds", [3, 40])
async def test_a_recording_is_decoded_once_however_long_the_queue_is_full(
    stage: Stage, seconds: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job_run, "FULL_RETRY_S", 0.05)
    await stage.start_worker()
    planner, _ = await stage.start_planner()
    decoder = await counted_decoder(planner)
    await limit_windows(stage, max_bytes=1000)
    try:
        view = await stage.submit(encoded("ogg", "libopus", seconds=seconds))
        said = ""
        async with asyncio.timeout(LIMIT_S):
            while said.count("the queue is full") < 3:
                said += capsys.readouterr().out
                await asyncio.sleep(0.02)
    finally:
        await limit_windows(stage)
    assert await stage.final(view) == "completed"
    assert decoder.times == 1


@pytest.mark.parametrize("options", [{"language": None}, {"mode": "sequential"}], ids=["language", "sequential"])
async def test_a_result_that_a_replica_lacks_is_asked_for_again(stage: Stage, options: dict[str, object]) -> None:
    """The job was handed back, and its recording decoded a second time."""
    await stage.start_worker()
    planner, _ = await stage.start_planner()
    decoder = await counted_decoder(planner)
    audio = encoded("ogg", "libopus", seconds=40)
    view = await stage.jobs.accept(
        audio=audio, options=TranscribeOptions(model=MODEL, **({"language": "en"} | options))
    )
    subject = names.window_result_subject(MODEL, view.client, view.job, 0)
    planner.jetstream = BehindAtFirst(planner.jetstream, subject, subject)
    assert view.record
    await journal.queue_plan(stage.jobs.jetstream, view.record, generation=0)
    assert await stage.final(view) == "completed"
    assert await stage.texts(view) == [" w0", " w1"]
    assert decoder.times == 1


class DyingFamily(Decoder):
    """Its zygote and all its children die under the first order, given twice."""

    asked = 0

    async def _ask(self, fds: tuple[int, int]) -> Reply | None:
        self.asked += 1
        return None if self.asked <= 2 else await super()._ask(fds)


async def test_a_job_whose_decoders_died_is_tried_again(stage: Stage) -> None:
    """It failed, and only a requeue helped."""
    await stage.start_worker()
    planner, _ = await stage.start_planner()
    await planner.decoder.close()
    planner.decoder = family = DyingFamily(max_duration_s=60)
    view = await stage.submit(encoded("ogg", "libopus"))
    assert await stage.final(view) == "completed"
    assert family.asked == 3


async def test_a_cancelled_job_is_let_go(stage: Stage) -> None:
    planner, _ = await stage.start_planner()
    view = await stage.submit(speech_like(phrases=9))
    await until(lambda: view.total is not None and view.job in planner.held)
    assert await journal.cancel(stage.jobs.jetstream, view)
    await until(lambda: view.job not in planner.held)
    assert await stage.final(view) == "cancelled"
    await gone(stage, names.JOURNAL_STREAM, names.audio_subject(view.client, view.job))
    await gone(stage, names.PLAN_STREAM, names.job_plan_filter(view.client, view.job))


async def test_a_job_that_is_delivered_again_while_it_is_held_runs_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Delivery] = []
    runs: list[str] = []
    run = JobRun.run

    async def noted_progress(delivery: Delivery, every_s: float) -> None:
        held.append(delivery)
        await keep_in_progress(delivery, every_s)

    async def noted_run(job_run: JobRun) -> None:
        runs.append(job_run.view.job)
        await run(job_run)

    monkeypatch.setattr(process, "keep_in_progress", noted_progress)
    monkeypatch.setattr(JobRun, "run", noted_run)
    await stage.start_planner()
    view = await stage.submit(as_wav(tone(3.0)))
    await until(lambda: view.total is not None)
    # What a killed NATS does by itself: the message comes a second time.
    await held[0].hand_back()
    consumer = f"CONSUMER.INFO.{names.PLAN_STREAM}.{names.plan_consumer('interactive')}"
    async with asyncio.timeout(LIMIT_S):
        while (await stage.jobs.jetstream.api(consumer))["num_redelivered"] != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await stage.start_worker()
    assert await stage.final(view) == "completed"
    await gone(stage, names.PLAN_STREAM, names.job_plan_filter(view.client, view.job))
    assert runs == [view.job]


async def test_a_planner_without_a_free_place_drains_at_once(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"interactive_jobs": 1})
    planner, running = await stage.start_planner()
    view = await stage.submit(as_wav(tone(3.0)))
    await until(lambda: view.job in planner.held)
    async with asyncio.timeout(LIMIT_S):
        await drain(planner, running)
    await stage.start_planner()
    await stage.start_worker()
    assert await stage.final(view) == "completed"


async def test_decoded_audio_that_a_killed_planner_left_goes_and_that_of_a_living_one_stays(
    stage: Stage, tmp_path: Path
) -> None:
    """What was left stayed for ever."""
    await stage.start_planner()
    view = await stage.submit(encoded("ogg", "libopus"))
    await until(lambda: view.total is not None)
    in_use = list(tmp_path.iterdir())
    left = tmp_path / f"{work_dir.FOLDER_PREFIX}left"
    left.mkdir()
    (left / "decoded.pcm").write_bytes(b"audio")
    await stage.start_planner()
    assert (len(in_use), list(tmp_path.iterdir())) == (1, in_use)
    await stage.start_worker()
    assert await stage.final(view) == "completed"


async def test_a_planner_that_drains_hands_its_jobs_to_the_next(stage: Stage) -> None:
    first, running = await stage.start_planner()
    view = await stage.submit(speech_like(phrases=9))
    await until(lambda: view.total is not None and view.job in first.held)
    await drain(first, running)
    cut = await journal.read_plan(stage.jobs.jetstream, view.client, view.job)
    await stage.start_planner()
    await stage.start_worker()
    # Long before the plan message's ack wait would end.
    async with asyncio.timeout(topology.PLAN_ACK_WAIT_S - 5):
        assert await stage.final(view) == "completed"
    assert await journal.read_plan(stage.jobs.jetstream, view.client, view.job) == cut
    assert len(await stage.texts(view)) == view.total


async def test_a_plan_message_that_cannot_be_read_is_dropped(stage: Stage) -> None:
    await stage.start_worker()
    await stage.start_planner()
    await stage.jobs.jetstream.publish(names.plan_subject("interactive", stage.jobs.client, "junk"), b"no json")
    view = await stage.submit(as_wav(tone(3.0)))
    assert await stage.final(view) == "completed"
    await gone(stage, names.PLAN_STREAM, names.job_plan_filter(view.client, "*"))


async def test_a_webhook_is_queued_with_the_final_state(stage: Stage) -> None:
    await stage.start_worker()
    hooks = Puller(stage.jobs.jetstream, names.HOOKS_STREAM, "hooks")
    await hooks.start()
    waiting = asyncio.create_task(hooks.pull(expires_s=LIMIT_S))
    await asyncio.sleep(0.1)
    await stage.start_planner()
    view = await stage.jobs.accept(audio=as_wav(tone(3.0)), callback_url="http://192.0.2.1/")
    assert view.record
    await journal.queue_plan(stage.jobs.jetstream, view.record, generation=0)
    delivery = await waiting
    assert delivery
    assert HookTask.decode(delivery.data).job == view.job
    await delivery.ack()
    assert await stage.final(view) == "completed"
