"""What several of the bot's tests need from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
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
