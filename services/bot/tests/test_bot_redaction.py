"""The token in no log line, whoever writes it; settings that complain without showing secrets."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from whisper_bot.redaction import HIDDEN, without

TOKEN = "4242:AAF-secret"
LINES = f"""
import logging, structlog
from whisper_bot import redaction
from whisper_dispatcher import logs
logs.configure("bot", as_json=True)
redaction.install({TOKEN!r})
log = structlog.get_logger()
url = "https://api.telegram.org/file/bot{TOKEN}/voice/1.oga"
log.warning("download " + url, url=url, nested={{"urls": [url]}}, error=ValueError(url))
logging.getLogger("aiohttp").error("GET %s", url)
try:
    raise ValueError(url)
except ValueError:
    log.exception("failed")
    logging.getLogger("asyncio").exception("never retrieved")
"""


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        (f"a{TOKEN}b", f"a{HIDDEN}b"),
        ({"k": [TOKEN, 1, None]}, {"k": [HIDDEN, 1, None]}),
        (ValueError(TOKEN), HIDDEN),
        (3.5, 3.5),
    ],
)
def test_the_token_is_hidden_wherever_it_stands(value: object, hidden: object) -> None:
    assert without(TOKEN, value) == hidden


def test_no_logger_writes_the_token() -> None:
    ran = subprocess.run([sys.executable, "-c", LINES], capture_output=True, text=True, timeout=100, check=True)
    assert ran.stderr.count(HIDDEN) >= 6
    assert "AAF" not in ran.stderr + ran.stdout
    assert logging.getLogger().name == "root"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "TELEGRAM_BOT_TOKEN: Field required"),
        ({"TELEGRAM_BOT_TOKEN": TOKEN}, "WHISPERFLEET_API_KEY: Field required"),
        (
            {"TELEGRAM_BOT_TOKEN": TOKEN, "WHISPERFLEET_API_KEY": "wf_secret", "WHISPERFLEET_BOT_ALLOWED": "ann"},
            "WHISPERFLEET_BOT_ALLOWED",
        ),
        (
            {
                "TELEGRAM_BOT_TOKEN": TOKEN,
                "WHISPERFLEET_API_KEY": "wf_secret",
                "WHISPERFLEET_BOT_WEBHOOK_URL": "https://a.b",
            },
            "WHISPERFLEET_BOT_WEBHOOK_SECRET",
        ),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_shown(environment: dict[str, str], said: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WHISPERFLEET_", "TELEGRAM_"))}
    program = "from whisper_bot.settings import BotSettings; BotSettings.load()"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=kept | environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "secret" not in ran.stderr.lower().replace("webhook_secret", "")
