from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

from gateway_harness import NatsServer


def test_a_bot_whose_streams_nats_refuses_says_why_and_tries_again(tmp_path: Path) -> None:
    """A cluster refuses for a moment too, while it elects."""
    server = NatsServer(tmp_path)
    server.start()
    told = {
        "TELEGRAM_BOT_TOKEN": "700:token",
        "WHISPERFLEET_API_KEY": "k",
        "WHISPERFLEET_NATS_URL": server.url,
        "WHISPERFLEET_BOT_STREAM_REPLICAS": "3",
    }
    bot = subprocess.Popen(
        [sys.executable, "-m", "whisper_bot"], env=os.environ | told, stderr=subprocess.PIPE, text=True
    )
    try:
        assert bot.stderr
        first, second = islice((line for line in bot.stderr if "waiting to start" in line), 2)
        assert "NATS refused stream TELEGRAM_UPDATES: replicas > 1 not supported" in first
        assert "failures=2" in second
    finally:
        bot.kill()
        bot.communicate()
        server.kill()
