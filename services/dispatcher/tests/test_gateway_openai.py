from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import openai
import pytest
from gateway_harness import MODEL, Stage, stage, until

from whisper_contracts.failures import FailureReason
from whisper_dispatcher.jobs.clients import revoke_client

NOTE = ("note.ogg", b"OggS audio", "audio/ogg")


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url) as running:
        running.stand_in.texts = [" One two.", " Three four."]
        yield running


@pytest.fixture
async def api(on: Stage) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx.AsyncClient(transport=on.http._transport)
    async with openai.AsyncOpenAI(api_key=on.key, base_url="http://gateway/v1", http_client=transport) as client:
        yield client


async def test_json_has_the_text_and_the_seconds(api: openai.AsyncOpenAI) -> None:
    answer = await api.audio.transcriptions.create(model="whisper-1", file=NOTE)
    assert answer.text == "One two. Three four."
    assert answer.usage
    assert answer.usage.to_dict() == {"type": "duration", "seconds": 20}


@pytest.mark.parametrize(
    ("wanted", "beginning"), [("text", "One two. Three"), ("srt", "1\n00:00:00,000 -->"), ("vtt", "WEBVTT\n")]
)
async def test_the_plain_formats_come_as_text(api: openai.AsyncOpenAI, wanted: str, beginning: str) -> None:
    answer = await api.audio.transcriptions.create(model=MODEL, file=NOTE, response_format=wanted)
    assert isinstance(answer, str)
    assert answer.startswith(beginning)


async def test_verbose_json_has_segments_and_words_when_both_are_asked_for(api: openai.AsyncOpenAI, on: Stage) -> None:
    answer = await api.audio.transcriptions.create(
        model=MODEL, file=NOTE, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert (answer.language, answer.duration) == ("english", 20.0)
    assert [(segment.start, segment.text) for segment in answer.segments] == [
        (0.0, " One two."),
        (10.0, " Three four."),
    ]
    assert [word.word for word in answer.words] == ["One", "two.", "Three", "four."]
    assert on.stand_in.seen[0].options.words


async def test_keywords_are_added_to_the_prompt(api: openai.AsyncOpenAI, on: Stage) -> None:
    keywords = [f"name{number}" for number in range(100)]
    await api.audio.transcriptions.create(model=MODEL, file=NOTE, prompt="Names:", keywords=keywords)
    assert on.stand_in.seen[0].options.prompt == "Names: " + ", ".join(keywords)


@pytest.mark.parametrize(("languages", "status"), [(["ru"], 400), (["en"], 200), (["ru", "en"], 200)])
async def test_one_possible_language_is_the_language(on: Stage, languages: list[str], status: int) -> None:
    form = {"model": MODEL, "languages[]": languages}
    answer = await on.http.post("/v1/audio/transcriptions", files={"file": NOTE}, data=form)
    assert answer.status_code == status, answer.text


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_a_translation_is_a_job_of_its_own_task(api: openai.AsyncOpenAI, on: Stage) -> None:
    answer = await api.audio.translations.create(model="whisper-1", file=NOTE, response_format="verbose_json")
    assert answer.text == "One two. Three four."
    assert answer.to_dict()["task"] == on.stand_in.seen[0].options.task == "translate"


async def test_a_stream_brings_each_window_as_soon_as_it_is_done(api: openai.AsyncOpenAI, on: Stage) -> None:
    stream = await api.audio.transcriptions.create(model=MODEL, file=NOTE, stream=True)
    events = [event async for event in stream]
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert "".join(deltas) == "One two. Three four."
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert done.text == "One two. Three four."
    assert done.to_dict()["usage"]["seconds"] == 20


async def test_a_stream_of_bad_audio_is_a_bad_request(api: openai.AsyncOpenAI, on: Stage) -> None:
    on.stand_in.failure = FailureReason.BAD_AUDIO
    with pytest.raises(openai.BadRequestError, match="bad_audio"):
        await api.audio.transcriptions.create(model=MODEL, file=NOTE, stream=True)


async def test_a_failure_in_the_middle_of_a_stream_is_an_api_error(nats_url: str) -> None:
    async with stage(nats_url, keep_alive_s=0.05) as on:
        on.stand_in.after_plan.clear()
        on.stand_in.failure = FailureReason.SERVER_ERROR
        transport = httpx.AsyncClient(transport=on.http._transport)
        async with openai.AsyncOpenAI(api_key=on.key, base_url="http://gateway/v1", http_client=transport) as api:
            asking = asyncio.create_task(api.audio.transcriptions.create(model=MODEL, file=NOTE, stream=True))
            await until(lambda: b": keep-alive\n\n" in on.app.said)
            on.stand_in.after_plan.set()
            stream = await asking
            with pytest.raises(openai.APIError, match="It failed with server_error"):
                [event async for event in stream]


async def test_a_stream_ends_with_an_api_error_once_its_gateway_is_drained(nats_url: str) -> None:
    async with stage(nats_url, keep_alive_s=0.05, drain_wait_s=0.2) as on:
        on.stand_in.after_window = {0: asyncio.Event()}
        form = {"files": {"file": NOTE}, "data": {"model": MODEL, "stream": "true"}}
        asking = asyncio.create_task(on.http.post("/v1/audio/transcriptions", **form))
        await until(lambda: b": keep-alive\n\n" in on.app.said)
        on.gateway.drain()
        assert "job_still_running" in (await asyncio.wait_for(asking, 10)).text


async def test_a_stream_whose_key_is_revoked_ends_with_an_api_error(api: openai.AsyncOpenAI, on: Stage) -> None:
    on.stand_in.after_window = {1: asyncio.Event()}
    asking = asyncio.create_task(api.audio.transcriptions.create(model=MODEL, file=NOTE, stream=True))
    await until(lambda: any(view.done for view in on.gateway.index.jobs(on.client)))
    await revoke_client(on.jetstream, on.client)
    stream = await asyncio.wait_for(asking, 5)
    with pytest.raises(openai.APIError, match="key was revoked"):
        [event async for event in stream]


async def test_the_models_are_listed_and_found_by_alias(api: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in api.models.list()] == [MODEL]
    assert (await api.models.retrieve("whisper-1")).to_dict()["root"] == MODEL
    assert (await api.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(openai.NotFoundError, match="There is no model 'large'"):
        await api.models.retrieve("large")


async def test_an_unknown_model_is_not_found(api: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await api.audio.transcriptions.create(model="gpt-9", file=NOTE)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_a_wrong_key_is_an_authentication_error(api: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="wrong or was revoked") as caught:
        await api.with_options(api_key="nobody").audio.transcriptions.create(model=MODEL, file=NOTE)
    assert caught.value.request_id


async def test_bad_audio_is_a_bad_request_and_not_sent_again(api: openai.AsyncOpenAI, on: Stage) -> None:
    on.stand_in.failure = FailureReason.BAD_AUDIO
    with pytest.raises(openai.BadRequestError, match="It failed with bad_audio") as caught:
        await api.audio.transcriptions.create(model=MODEL, file=NOTE)
    assert caught.value.type == "invalid_request_error"


async def test_a_permanent_server_failure_is_not_sent_again(api: openai.AsyncOpenAI, on: Stage) -> None:
    on.stand_in.failure = FailureReason.INTERNAL
    with pytest.raises(openai.InternalServerError):
        await api.audio.transcriptions.create(model=MODEL, file=NOTE)
    assert len(on.stand_in.seen) == 1


@pytest.mark.parametrize("done_after_s", [0.5, 1.5])
async def test_a_client_that_gave_up_waiting_joins_its_own_job(
    on: Stage, api: openai.AsyncOpenAI, done_after_s: float
) -> None:
    """The client sends the same upload again a second after a 504; done meanwhile or not, that is no second job."""
    on.stand_in.after_plan.clear()
    asyncio.get_running_loop().call_later(done_after_s, on.stand_in.after_plan.set)
    answer = await api.audio.transcriptions.create(model=MODEL, file=NOTE, extra_headers={"Prefer": "wait=0.3"})
    assert answer.text == "One two. Three four."
    assert len(on.stand_in.seen) == 1


async def test_word_times_need_verbose_json(api: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="needs response_format=verbose_json"):
        await api.audio.transcriptions.create(model=MODEL, file=NOTE, timestamp_granularities=["word"])
