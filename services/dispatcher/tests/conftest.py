"""What several of the dispatcher's tests need from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from whisper_dispatcher.local.tools import ensure_whisper_server
from whisper_models.bundled import demo_model_path


@pytest.fixture(scope="session")
def whisper_server_binary() -> Path:
    return ensure_whisper_server(Console(stderr=True))


@pytest.fixture(scope="session")
def demo_model() -> Path:
    return demo_model_path()
