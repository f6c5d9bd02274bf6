"""What several of the bot's tests need from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bot_harness import Bots, Fleet, started_fleet
from chaos_bot import stub_whisper_server
from gateway_harness import prepared_nats
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
    with started_fleet(folder, stub_whisper_server(folder), with_bot=False) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a nats-server with the gateway's streams."""
    with prepared_nats(tmp_path_factory.mktemp("nats")) as nats:
        yield nats.url


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
