"""What several of the bot's tests need from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bot_harness import TOKEN, Bots, Fleet
from chaos_bot import stub_whisper_server
from fake_telegram import FakeTelegram
from rich.console import Console

from whisper_dispatcher.local.tools import ensure_whisper_server
from whisper_models.bundled import sample_path


@pytest.fixture(scope="session")
def whisper_server_program() -> Path:
    return ensure_whisper_server(Console(stderr=True))


@pytest.fixture(scope="session")
def spoken_note() -> bytes:
    """OGG/Opus: "good morning this is a test please open the blue door"."""
    return sample_path("voice-note.ogg").read_bytes()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A real pipeline without a bot, in front of a stand-in for whisper-server."""
    folder = tmp_path_factory.mktemp("fleet")
    telegram = FakeTelegram(TOKEN)
    telegram.start_in_thread()
    fleet = Fleet(folder, telegram, stub_whisper_server(folder), with_bot=False)
    fleet.start()
    try:
        yield fleet
    finally:
        fleet.kill()
        telegram.stop_in_thread()


@pytest.fixture(scope="module")
def bots(fleet: Fleet) -> Iterator[Bots]:
    bots = Bots(fleet)
    yield bots
    bots.close()


@pytest.fixture
def bot(fleet: Fleet, bots: Bots) -> Iterator[Bots]:
    yield bots
    bots.end_any()
    fleet.telegram.decide_fault = lambda _, __: None
