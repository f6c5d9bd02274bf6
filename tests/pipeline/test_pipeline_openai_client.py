"""The official OpenAI client against a pipeline that really transcribes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from up_harness import Up, spoken, started

from whisper_models.bundled import sample_path

HELLO = "hello world one two three"
MODEL = "demo.en"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, whisper_server_binary: Path) -> Iterator[Up]:
    with started(tmp_path_factory.mktemp("up"), whisper_server_binary) as running:
        yield running


@pytest.fixture
def api(up: Up) -> Iterator[openai.OpenAI]:
    ready = up.wait_ready()
    with openai.OpenAI(api_key=ready["key"], base_url=f"{ready['url']}/v1", max_retries=0, timeout=60) as client:
        yield client


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


@pytest.mark.parametrize(
    "sample",
    [
        "hello.wav",
        "voice-note.ogg",
        "message.mp3",
        "stereo.wav",
        "note.m4a",
        "note.webm",
        "note.flac",
        "call.amr",
        "video.mp4",
    ],
)
def test_every_kind_of_recording_becomes_its_words(api: openai.OpenAI, sample: str) -> None:
    answer = api.audio.transcriptions.create(model="whisper-1", file=sample_path(sample))
    assert plain(answer.text) == spoken(sample)


def test_text_is_the_words_alone(api: openai.OpenAI) -> None:
    answer = api.audio.transcriptions.create(model=MODEL, file=sample_path("hello.wav"), response_format="text")
    assert answer.strip() == HELLO


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        ("srt", r"1\n00:00:0\d,\d{3} --> 00:00:0\d,\d{3}\n(.+)\n\n?"),
        ("vtt", r"WEBVTT\n\n00:00:0\d\.\d{3} --> 00:00:0\d\.\d{3}\n(.+)\n\n?"),
    ],
)
def test_subtitles_have_times_and_words(api: openai.OpenAI, wanted: str, shape: str) -> None:
    answer = api.audio.transcriptions.create(model=MODEL, file=sample_path("hello.wav"), response_format=wanted)
    found = re.fullmatch(shape, answer)
    assert found, answer
    assert plain(found[1]) == HELLO


def test_word_times_grow_within_the_recording(api: openai.OpenAI) -> None:
    answer = api.audio.transcriptions.create(
        model=MODEL,
        file=sample_path("hello.wav"),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert answer.words
    assert [plain(word.word) for word in answer.words] == HELLO.split()
    times = [time for word in answer.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= answer.duration == pytest.approx(1.94, abs=0.01)
    assert not answer.segments


def test_segments_hold_the_words_within_the_recording(api: openai.OpenAI) -> None:
    answer = api.audio.transcriptions.create(
        model=MODEL,
        file=sample_path("hello.wav"),
        response_format="verbose_json",
        timestamp_granularities=["segment"],
    )
    assert answer.segments
    assert plain("".join(segment.text for segment in answer.segments)) == HELLO
    assert 0 <= answer.segments[0].start < answer.segments[-1].end <= answer.duration
    assert answer.language == "english"
    assert not answer.words


def test_a_stream_ends_with_the_text_that_its_pieces_make(api: openai.OpenAI) -> None:
    stream = api.audio.transcriptions.create(model=MODEL, file=sample_path("voice-note.ogg"), stream=True)
    events = list(stream)
    pieces = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert events[-1].type == "transcript.text.done"
    assert plain(events[-1].text) == spoken("voice-note.ogg")
    assert "".join(pieces) == events[-1].text


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_a_translation_into_english_is_the_text(api: openai.OpenAI) -> None:
    answer = api.audio.translations.create(model="whisper-1", file=sample_path("hello.wav"))
    assert plain(answer.text) == HELLO


def test_the_models_are_listed(api: openai.OpenAI) -> None:
    assert [model.id for model in api.models.list()] == [MODEL]
    assert api.models.retrieve("whisper-1").id == "whisper-1"


def test_a_wrong_key_is_an_authentication_error(api: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="API key"):
        api.with_options(api_key="wf_nobody").audio.transcriptions.create(
            model="whisper-1", file=sample_path("hello.wav")
        )


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (("note.ogg", b""), "empty"),
        (("note.ogg", bytes(range(256)) * 100), "no audio or video format that this service knows"),
    ],
    ids=["empty", "garbage"],
)
def test_what_is_no_audio_is_a_bad_request(api: openai.OpenAI, file: tuple[str, bytes], sentence: str) -> None:
    with pytest.raises(openai.BadRequestError, match=sentence) as caught:
        api.audio.transcriptions.create(model="whisper-1", file=file)
    assert caught.value.param == "file"
