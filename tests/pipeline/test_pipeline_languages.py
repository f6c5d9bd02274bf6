"""The model of two languages, heard through the whole pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from up_harness import Up, spoken, started

from whisper_models.bundled import sample_path

RUSSIAN, ENGLISH = "voice-note-ru.ogg", "voice-note.ogg"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, whisper_server_binary: Any) -> Iterator[Up]:
    with started(tmp_path_factory.mktemp("up"), whisper_server_binary, "--model", "demo") as running:
        yield running


@pytest.fixture
def http(up: Up) -> Iterator[httpx.Client]:
    with up.client() as client:
        yield client


def transcribed(http: httpx.Client, sample: str, **form: str) -> dict[str, Any]:
    files = {"file": (sample, sample_path(sample).read_bytes())}
    answer = http.post("/v1/audio/transcriptions", files=files, data={"response_format": "verbose_json", **form})
    assert answer.status_code == httpx.codes.OK, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("sample", "language"), [(RUSSIAN, "russian"), ("message-ru.mp3", "russian"), (ENGLISH, "english")]
)
def test_the_language_that_is_spoken_is_found_and_written(http: httpx.Client, sample: str, language: str) -> None:
    heard = transcribed(http, sample)
    assert (heard["language"], heard["text"].strip()) == (language, spoken(sample))


def test_a_pinned_language_is_written_without_asking_what_is_spoken(http: httpx.Client) -> None:
    heard = transcribed(http, RUSSIAN, language="ru", prompt="pinned")
    assert (heard["language"], heard["text"].strip()) == ("russian", spoken(RUSSIAN))
    mistaken = transcribed(http, RUSSIAN, language="en", prompt="mistaken")
    assert mistaken["language"] == "english"
    assert mistaken["text"].strip() != spoken(RUSSIAN)
