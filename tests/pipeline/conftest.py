"""Each module starts one pipeline, since that takes seconds, and its tests share it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

from whisper_dispatcher.local.tools import ensure_whisper_server

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@pytest.fixture(scope="session")
def whisper_server_binary() -> Path:
    return ensure_whisper_server(Console(stderr=True))
