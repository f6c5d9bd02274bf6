from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_harness import MODEL, Stage, stage, until

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import MAX_INLINE_AUDIO_BYTES
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jobs import journal


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url) as running:
        yield running


async def test_a_short_file_is_answered_with_its_text(on: Stage) -> None:
    answer = await on.transcribe()
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"transcription": "Hello there."}
    [record] = on.stand_in.seen
    assert (record.class_, record.audio_object, record.options.model) == ("interactive", None, "base.en")
    stored = await on.jetstream.get_last(names.JOURNAL_STREAM, names.audio_subject(on.client, record.job))
    assert stored
    assert stored.data == b"RIFF audio"
    queued = await on.jetstream.subjects(names.PLAN_STREAM, names.job_plan_filter(on.client, record.job))
    assert queued == {names.plan_subject("interactive", on.client, record.job): 1}


async def test_a_long_file_lies_in_the_object_store(on: Stage, tmp_path) -> None:
    audio = bytes(range(256)) * 4096
    assert len(audio) > MAX_INLINE_AUDIO_BYTES
    answer = await on.transcribe(audio)
    assert answer.status_code == 200
    [record] = on.stand_in.seen
    assert (record.class_, record.audio_object, record.size_bytes) == ("bulk", record.job, len(audio))
    await objects.download(on.jetstream, names.AUDIO_BUCKET, record.job, tmp_path / "audio")
    assert (tmp_path / "audio").read_bytes() == audio


async def test_after_the_limit_the_job_is_answered(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    answer = await on.http.post("/transcribe", files={"file": b"RIFF audio"}, headers={"Prefer": "wait=0.1"})
    assert answer.status_code == 202
    job = answer.json()["job"]
    assert job["state"] == "queued"
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"


async def test_fields_may_come_after_the_file(on: Stage) -> None:
    parts = [("file", ("a.wav", b"RIFF audio")), ("language", (None, "English")), ("prompt", (None, "Names"))]
    answer = await on.http.post("/transcribe", files=parts)
    assert answer.status_code == 200
    [record] = on.stand_in.seen
    assert (record.options.language, record.options.prompt) == ("en", "Names")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (FailureReason.BAD_AUDIO, 400),
        (FailureReason.NO_AUDIO_STREAM, 400),
        (FailureReason.UNSUPPORTED_LANGUAGE, 400),
        (FailureReason.TOO_LARGE, 413),
        (FailureReason.TOO_LONG, 422),
        (FailureReason.SERVER_UNAVAILABLE, 503),
        (FailureReason.SERVER_ERROR, 503),
        (FailureReason.TIMEOUT, 504),
        (FailureReason.INTERNAL, 500),
    ],
)
async def test_a_failed_job_answers_its_reason(on: Stage, reason: FailureReason, status: int) -> None:
    on.stand_in.failure = reason
    answer = await on.transcribe()
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == (str(reason), f"It failed with {reason}.")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("form", [{}, {"stream": "true"}])
async def test_whoever_waits_for_a_job_that_is_erased_is_told_so(on: Stage, form: dict[str, str]) -> None:
    on.stand_in.after_window[0] = asyncio.Event()
    waiting = asyncio.create_task(
        on.http.post("/v1/audio/transcriptions", files={"file": b"RIFF audio"}, data={"model": MODEL} | form)
    )
    await until(lambda: any(view.total for view in on.gateway.index.jobs(on.client)))
    (view,) = on.gateway.index.jobs(on.client)
    await journal.erase(on.jetstream, view)
    assert "job_not_found" in (await asyncio.wait_for(waiting, 10)).text


async def test_an_identical_upload_joins_the_running_job(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    first = asyncio.create_task(on.transcribe())
    second = asyncio.create_task(on.transcribe())
    third = asyncio.create_task(on.transcribe(prompt="other options"))
    await until(lambda: len(on.stand_in.seen) >= 2 and not on.gateway.uploading)
    on.stand_in.after_plan.set()
    answers = await asyncio.gather(first, second, third)
    jobs = [answer.headers["x-job-id"] for answer in answers]
    assert jobs[0] == jobs[1] != jobs[2]
    assert {answer.json()["transcription"] for answer in answers} == {"Hello there."}


async def test_a_job_whose_acceptance_got_no_answer_may_have_been_joined_and_stays(
    on: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    on.stand_in.after_plan.clear()
    publish_once, lost = on.gateway.jetstream.publish_once, []

    async def without_answer(subject: str, *given: Any, **options: Any) -> int:
        sequence = await publish_once(subject, *given, **options)
        if subject.endswith(".record") and not lost:
            lost.append(subject)
            raise QueueUnavailable("no answer")
        return sequence

    monkeypatch.setattr(on.gateway.jetstream, "publish_once", without_answer)
    answer = await on.http.post("/v1/jobs", files={"file": b"audio"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "queue_unavailable")
    await until(lambda: bool(on.stand_in.seen))
    [record] = on.stand_in.seen
    answer = await on.http.post("/v1/jobs", files={"file": b"audio"})
    assert answer.json()["job"]["id"] == record.job


async def test_an_identical_upload_after_the_answer_is_a_new_job(on: Stage) -> None:
    on.stand_in.after_text.clear()
    jobs = [(await on.transcribe()).headers["x-job-id"] for _ in range(3)]
    assert len(set(jobs)) == 3


async def test_an_identical_long_upload_leaves_no_second_object(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    audio = b"long" * MAX_INLINE_AUDIO_BYTES
    before = await on.jetstream.subjects(f"OBJ_{names.AUDIO_BUCKET}", "$O.audio.C.>")
    assert await on.submit(audio) == await on.submit(audio)
    after = await on.jetstream.subjects(f"OBJ_{names.AUDIO_BUCKET}", "$O.audio.C.>")
    assert len(after) == len(before) + 1
