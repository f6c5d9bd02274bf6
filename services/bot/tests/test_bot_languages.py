"""The bot and people of two languages: real processes, a real model of both; Telegram alone is a stand-in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bot_harness import Fleet, started_fleet

from whisper_models.bundled import sample_path

ENGLISH = "good morning this is a test please open the blue door"
RUSSIAN = "доброе утро это тест открой дверь пожалуйста"

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, whisper_server_program: Path) -> Iterator[Fleet]:
    environment = {"WHISPERFLEET_BOT_ALLOWED": "1,2,3"}
    folder = tmp_path_factory.mktemp("fleet")
    with started_fleet(folder, whisper_server_program, environment, model="demo") as fleet:
        yield fleet


@pytest.fixture(scope="module")
def russian_note() -> bytes:
    return sample_path("voice-note-ru.ogg").read_bytes()


def test_each_note_is_answered_in_the_language_that_is_spoken_in_it(
    fleet: Fleet, spoken_note: bytes, russian_note: bytes
) -> None:
    telegram = fleet.telegram
    russian = telegram.say(1, **telegram.voice(russian_note), language_code="ru")
    assert fleet.answer_to(1, russian, limit_s=120).text == RUSSIAN
    english = telegram.say(1, **telegram.voice(spoken_note), language_code="ru")
    assert fleet.answer_to(1, english).text == ENGLISH


def test_a_chat_that_pins_russian_gets_russian_and_is_spoken_to_in_it(fleet: Fleet, russian_note: bytes) -> None:
    telegram = fleet.telegram
    pinned = telegram.say(2, text="/language ru", language_code="ru")
    assert "Язык" in fleet.answer_to(2, pinned).text
    note = telegram.say(2, **telegram.voice(russian_note), language_code="ru")
    assert fleet.answer_to(2, note).text == RUSSIAN
