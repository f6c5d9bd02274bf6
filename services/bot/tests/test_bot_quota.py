"""Minutes per user and day, of recordings whose length Telegram tells and of those whose length it does not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from bot_harness import Bots, Fleet
from fake_telegram import FakeTelegram

from whisper_models.bundled import sample_path

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"), pytest.mark.timeout(240)]


def document(telegram: FakeTelegram, sample: str) -> dict[str, Any]:
    file_id = telegram.add_file(sample_path(sample).read_bytes())
    return {"document": {"file_id": file_id, "file_name": sample, "mime_type": "audio/mpeg"}}


def jobs(fleet: Fleet) -> int:
    with fleet.api() as api:
        return len(api.get("/v1/jobs", params={"limit": 100}).json()["data"])


def test_files_of_unknown_length_count_what_the_service_measures(fleet: Fleet, bot: Bots, tmp_path: Path) -> None:
    """Sent all at once: the second must not pass before the first is measured."""
    telegram, before = fleet.telegram, jobs(fleet)
    sent = [telegram.say(800, user=80, **document(telegram, "minutes.mp3")) for _ in range(3)]
    voice = telegram.voice(sample_path("hello.wav").read_bytes())
    bot.start(tmp_path / "bot.log", WHISPERFLEET_BOT_MINUTES_PER_DAY="1")
    answers = [fleet.answer_to(800, message, limit_s=120) for message in sent]
    refused = [answer for answer in answers if "minutes of today" in answer.text]
    assert len(refused) == 2
    late = fleet.answer_to(800, telegram.say(800, user=80, **voice))
    assert "minutes of today" in late.text
    assert jobs(fleet) == before + 1
    assert "minutes of today" not in fleet.answer_to(801, telegram.say(801, user=81, **voice)).text


def test_a_refused_recording_costs_no_minutes(fleet: Fleet, bot: Bots, tmp_path: Path) -> None:
    telegram, before = fleet.telegram, jobs(fleet)
    bot.start(tmp_path / "bot.log", WHISPERFLEET_BOT_MINUTES_PER_DAY="1")
    silent = telegram.add_file(sample_path("silent-video.mp4").read_bytes())
    video = {"video": {"file_id": silent, "duration": 59, "mime_type": "video/mp4"}}
    assert "no sound" in fleet.answer_to(810, telegram.say(810, **video)).text
    assert jobs(fleet) == before
    voice = telegram.voice(sample_path("hello.wav").read_bytes(), duration_s=50)
    assert "minutes of today" not in fleet.answer_to(810, telegram.say(810, **voice)).text
    assert jobs(fleet) == before + 1
