"""The bot as a person meets it: real processes, real words; Telegram alone is a stand-in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bot_harness import TOKEN, Fleet
from fake_telegram import FakeTelegram

WORDS = "good morning this is a test please open the blue door"
ALLOWED = range(1, 60)
STRANGER = 666
GROUP = -100500

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, whisper_server_program: Path) -> Iterator[Fleet]:
    telegram = FakeTelegram(TOKEN)
    telegram.start_in_thread()
    environment = {
        "WHISPERFLEET_BOT_ALLOWED": ",".join(map(str, [*ALLOWED, GROUP])),
        "WHISPERFLEET_BOT_MINUTES_PER_DAY": "30",
        "WHISPERFLEET_BOT_JOBS_IN_FLIGHT": "20",
    }
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), telegram, whisper_server_program, environment)
    fleet.start()
    try:
        yield fleet
    finally:
        fleet.kill()
        telegram.stop_in_thread()


def jobs(fleet: Fleet) -> int:
    """Of the bot's own API client; an operator's key sees the number in the metrics."""
    with fleet.api() as api:
        lines = api.get("/metrics").text.splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("whisper_gateway_accepted")))


def test_a_voice_note_becomes_its_words(fleet: Fleet, spoken_note: bytes) -> None:
    message = fleet.telegram.say(1, **fleet.telegram.voice(spoken_note))
    answer = fleet.answer_to(1, message, limit_s=120)
    assert answer.text == WORDS
    assert fleet.telegram.reactions[1, message] == "👀"
    assert len(fleet.telegram.by_bot(1)) == 1
