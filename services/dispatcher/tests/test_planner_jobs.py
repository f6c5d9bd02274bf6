"""What becomes of an upload: windows, or a failure with a reason."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from audio_harness import as_wav, pause, speech_like, tone
from journal_harness import unique
from planner_harness import MODEL, Stage, gone, opened

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import (
    MAX_WINDOW_S,
    DeadLetter,
    Segment,
    WindowResult,
    WindowTask,
)
from whisper_contracts.pcm import BYTES_PER_SECOND
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.planner import recording
from whisper_dispatcher.planner.decode import Decoder
from whisper_dispatcher.planner.work_dir import WorkDir


class NotedDecoder(Decoder):
    def __init__(self, *, max_duration_s: float) -> None:
        super().__init__(max_duration_s=max_duration_s)
        self.bulk: list[bool] = []

    async def decode(self, source: bytes | Path, target: Path, *, is_bulk: bool = False) -> float:
        self.bulk.append(is_bulk)
        target.write_bytes(bytes(BYTES_PER_SECOND))
        return 1.0


@pytest.fixture
async def stage(nats_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with opened(nats_url, tmp_path) as stage:
        yield stage
    assert list(tmp_path.iterdir()) == [], "decoded audio was left behind"


async def test_a_note_is_one_interactive_window_and_its_audio_goes(stage: Stage) -> None:
    await stage.start_worker()
    await stage.start_planner()
    view = await stage.submit(as_wav(tone(3.0)))
    assert await stage.final(view) == "completed"
    assert await stage.texts(view) == [" w0"]
    assert (stage.worker.classes, stage.worker.lengths_s) == ({"interactive"}, [3.0])
    await gone(stage, names.JOURNAL_STREAM, names.audio_subject(view.client, view.job))
    await gone(stage, names.PLAN_STREAM, names.job_plan_filter(view.client, view.job))


async def test_silence_is_an_empty_transcript_without_a_worker(stage: Stage) -> None:
    await stage.start_planner()
    view = await stage.submit(as_wav(pause(4.0)))
    assert await stage.final(view) == "completed"
    assert await stage.texts(view) == [""]


@pytest.mark.parametrize("class_", names.CLASSES)
async def test_a_recording_is_decoded_as_work_of_its_class(stage: Stage, tmp_path: Path, class_: names.Class) -> None:
    view = await stage.jobs.accept(audio=b"OggS", class_=class_)
    assert view.record
    decoder = NotedDecoder(max_duration_s=60)
    async with recording.opened(stage.jobs.jetstream, view.record, decoder, work_dir=WorkDir(tmp_path), max_audio_s=60):
        assert decoder.bulk == [class_ == "bulk"]


async def test_a_long_recording_is_cut_into_windows_that_cover_it(stage: Stage) -> None:
    await stage.start_worker()
    await stage.start_planner()
    view = await stage.submit(speech_like(phrases=15))
    assert await stage.final(view) == "completed"
    tasks = sorted(stage.worker.of(view), key=lambda task: task.index)
    assert await stage.texts(view) == [f" w{task.index}" for task in tasks]
    edges = [0.0, *(task.end_s for task in tasks)]
    assert [task.start_s for task in tasks] == edges[:-1]
    assert edges[-1] == view.duration_s == 150.0
    assert max(stage.worker.lengths_s) <= MAX_WINDOW_S
    # Every cut lies in a pause: the last second of each ten.
    assert all(edge % 10 >= 9.0 or edge % 10 == 0 for edge in edges)
    assert stage.worker.classes == {"bulk"}


async def test_an_upload_in_the_object_store_is_planned_like_any_other(stage: Stage) -> None:
    await stage.start_worker()
    await stage.start_planner()
    job = unique()
    view = await stage.jobs.accept(job, audio_object=job)
    upload = objects.Upload(stage.jobs.jetstream, names.AUDIO_BUCKET, job)
    await upload.write(speech_like(phrases=4))
    await upload.finish()
    assert view.record
    await journal.queue_plan(stage.jobs.jetstream, view.record, generation=0)
    assert await stage.final(view) == "completed"
    assert await stage.texts(view) == [" w0", " w1"]
    stored_as = base64.urlsafe_b64encode(job.encode()).decode()
    await gone(stage, f"OBJ_{names.AUDIO_BUCKET}", f"$O.{names.AUDIO_BUCKET}.M.{stored_as}")


@pytest.mark.parametrize("audio", [b"this is a letter, not a recording", as_wav(tone(0.0))], ids=["text", "no sound"])
async def test_what_is_no_audio_fails_with_a_dead_letter(stage: Stage, audio: bytes) -> None:
    await stage.start_planner()
    view = await stage.submit(audio)
    assert await stage.final(view) == "failed"
    stored = await stage.jobs.jetstream.get_last(names.JOURNAL_STREAM, names.dead_subject(view.client, view.job))
    assert stored
    letter = DeadLetter.decode(stored.data)
    assert letter.reason is FailureReason.BAD_AUDIO
    assert letter.message.endswith(".")


@pytest.mark.parametrize("behind", [0, 1], ids=["at once", "from a replica that is behind"])
async def test_the_language_of_the_first_window_holds_for_all(stage: Stage, behind: int) -> None:
    await stage.start_worker()
    view = await stage.submit(speech_like(phrases=9), language=None)
    await stage.start_planner(*[names.window_result_subject(MODEL, view.client, view.job, 0)] * behind)
    assert await stage.final(view) == "completed"
    tasks = stage.worker.of(view)
    assert [(task.index, task.options.language) for task in tasks[:1]] == [(0, None)]
    assert {task.options.language for task in tasks[1:]} == {"de"}
    assert len(tasks) > 2


async def test_the_language_is_that_of_the_first_words(stage: Stage) -> None:
    """Silence let every window guess for itself, and what was guessed of music was forced on the whole recording."""

    def answer(task: WindowTask) -> WindowResult:
        segments = (Segment(start_s=task.start_s, end_s=task.end_s, text=" hallo"),)
        music = task.start_s < 90
        return WindowResult(index=task.index, language="nn" if music else "de", segments=() if music else segments)

    stage.worker.answer = answer
    await stage.start_worker()
    await stage.start_planner()
    view = await stage.submit(as_wav(pause(60), tone(120)), language=None)
    assert await stage.final(view) == "completed"
    tasks = stage.worker.of(view)
    heard = next(place for place, task in enumerate(tasks) if task.start_s >= 90)
    assert min(task.index for task in tasks) > 0, "the first window is silent"
    assert heard > 0, "the second part is music"
    assert {task.options.language for task in tasks[: heard + 1]} == {None}
    assert {task.options.language for task in tasks[heard + 1 :]} == {"de"}


async def test_a_recording_without_any_words_ends_with_none(stage: Stage) -> None:
    stage.worker.answer = lambda task: WindowResult(index=task.index, language="nn")
    await stage.start_worker()
    await stage.start_planner()
    view = await stage.submit(as_wav(pause(100), tone(100)), language=None)
    assert await stage.final(view) == "completed"
    assert set(await stage.texts(view)) == {""}


async def test_sequential_windows_are_prompted_with_the_one_before(stage: Stage) -> None:
    await stage.start_worker()
    await stage.start_planner()
    view = await stage.submit(speech_like(phrases=9), mode="sequential", prompt="Names: Juliet.")
    assert await stage.final(view) == "completed"
    tasks = stage.worker.of(view)
    assert [task.index for task in tasks] == list(range(len(tasks)))
    assert [task.prompt for task in tasks] == [
        "Names: Juliet.",
        *(f"Names: Juliet.  w{task.index}" for task in tasks[:-1]),
    ]
