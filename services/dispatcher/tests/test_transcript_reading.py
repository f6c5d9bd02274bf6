from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gateway_harness import MODEL
from journal_harness import BehindAtFirst, Book, book, plan, result

from whisper_contracts import names
from whisper_dispatcher.gateway import transcripts
from whisper_dispatcher.gateway.errors import ApiError
from whisper_dispatcher.gateway.transcripts import transcript_of
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobView


@pytest.fixture
async def jobs(jetstream: JetStream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Book]:
    monkeypatch.setattr(transcripts, "READ_AGAIN_S", 0.01)
    async with book(jetstream) as opened:
        yield opened


async def transcribed(jobs: Book, windows: int) -> JobView:
    view = await jobs.accept()
    await jobs.write(names.plan_result_subject(view.client, view.job), plan(windows))
    for index in range(windows):
        await jobs.write(names.window_result_subject(MODEL, view.client, view.job, index), result(index, f" w{index}"))
    return view


@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("missing", ["plan", "window"])
@pytest.mark.parametrize("is_completed", [True, False])
async def test_a_transcript_is_read_again_from_a_replica_that_is_behind(
    jobs: Book, windows: int, missing: str, is_completed: bool
) -> None:
    """It was answered with a final 404."""
    view = await transcribed(jobs, windows)
    if is_completed:
        assert await journal.complete(jobs.jetstream, view)
        assert await jobs.index.wait_final(view.job, 5)
    hidden = {
        "plan": names.plan_result_subject(view.client, view.job),
        "window": names.window_result_subject(MODEL, view.client, view.job, windows - 1),
    }
    transcript = await transcript_of(BehindAtFirst(jobs.jetstream, hidden[missing]), view)
    assert transcript.text.split() == [f"w{index}" for index in range(windows)]


async def test_a_transcript_that_was_erased_meanwhile_is_not_found(jobs: Book) -> None:
    view = await transcribed(jobs, 2)
    assert await journal.complete(jobs.jetstream, view)
    await jobs.index.wait_final(view.job, 5)
    await journal.erase(jobs.jetstream, view)
    await jobs.gone(view.job)
    with pytest.raises(ApiError) as caught:
        await transcript_of(jobs.jetstream, view)
    assert (caught.value.status, caught.value.code) == (404, "job_not_found")
