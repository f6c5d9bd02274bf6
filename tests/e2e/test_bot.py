"""The chart's bot, as a person in a chat meets it; Telegram alone is a stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e import installation
from tests.e2e.cluster import paths
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.images import IMAGES
from tests.e2e.installation import PLATFORM, Manifest, restricted_pod
from tests.e2e.objects import Objects, own_namespace
from tests.e2e.speech import NOTE, forwarded

from whisper_models.bundled import sample_path

SCRIPTS = (
    Path(__file__).with_name("telegram_script.py"),
    *(paths.CHECKOUT / "services" / "bot" / "tests" / f"fake_{part}.py" for part in ("telegram", "bot_api", "chats")),
)
API_PORT = 8081
PERSON_PORT = 8082
TOKEN = "4242:AAF-secret_of_the_bot"
TOKEN_SECRET = "telegram"
CLIENT = "telegram-bot"
BOT = f"deployment/{PLATFORM}-bot"


@dataclass(frozen=True, slots=True)
class Chat:
    """A private one with the bot."""

    url: str

    def say_note(self) -> int:
        answer = httpx.post(f"{self.url}/notes", content=sample_path("voice-note.ogg").read_bytes(), timeout=10)
        assert answer.status_code == httpx.codes.OK, answer.text
        return int(answer.json())

    def shown(self) -> list[dict[str, Any]]:
        """All that the bot has written and not taken away, oldest first."""
        found: list[dict[str, Any]] = httpx.get(self.url, timeout=10).json()
        return found

    def answers(self) -> list[tuple[int, str]]:
        """What stands below which message."""
        return [(each["reply_to"], each["text"]) for each in self.shown()]


@pytest.fixture(scope="module")
def telegram(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """A namespace with the fake at http://telegram:8081 and a server that hears English."""
    with own_namespace(cluster) as objects:
        objects.server("heard", {"queue": {"default": True}})
        script = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "telegram"}}
        objects.apply(script | {"data": {file.name: file.read_text("utf-8") for file in SCRIPTS}})
        container: Manifest = {
            "name": "telegram",
            "image": IMAGES["bot"].name,
            "command": ["python", f"/script/{SCRIPTS[0].name}"],
            "env": [{"name": "TELEGRAM_BOT_TOKEN", "value": TOKEN}],
            "readinessProbe": {"tcpSocket": {"port": PERSON_PORT}, "periodSeconds": 1},
            "volumeMounts": [{"name": "script", "mountPath": "/script"}],
        }
        pod = restricted_pod("telegram", container, [{"name": "script", "configMap": {"name": "telegram"}}])
        pod["metadata"]["name"] = "telegram"
        objects.apply({"apiVersion": "v1", "kind": "Pod"} | pod)
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "telegram"}}
        objects.apply(service | {"spec": {"selector": {"app": "telegram"}, "ports": [{"port": API_PORT}]}})
        objects.kubectl("wait", "--for=condition=Ready", "pod/telegram", "--timeout=60s", limit_s=65)
        objects.wait_ready("heard")
        yield objects


@pytest.fixture(scope="module")
def bot(telegram: Objects, platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """The platform with the bot, its key the one of a WhisperClient; without it again afterwards."""
    platform.client(CLIENT)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKEN_SECRET}}
    platform.apply(secret | {"stringData": {"token": TOKEN}})
    values = {
        "bot.token.secretName": TOKEN_SECRET,
        "bot.apiKey.secretName": f"{CLIENT}-key",
        "bot.telegramApiUrl": f"http://telegram.{telegram.namespace}:{API_PORT}",
    }
    try:
        installation.install(cluster, values)
        yield platform
    finally:
        installation.install(cluster)
        platform.kubectl("delete", f"secret/{TOKEN_SECRET}", f"whisperclient/{CLIENT}")


@pytest.fixture(scope="module")
def person(telegram: Objects, cluster: Cluster) -> Iterator[str]:
    with forwarded(cluster, telegram.namespace, "pod/telegram", PERSON_PORT) as port:
        yield f"http://127.0.0.1:{port}"


def test_a_voice_note_becomes_its_words_in_one_message(bot: Objects, person: str) -> None:
    chat = Chat(f"{person}/chats/1")
    note = chat.say_note()
    bot.wait("The words appear", lambda: (note, NOTE) in chat.answers(), limit_s=120)
    (answer,) = chat.shown()
    assert answer["edits"]


def test_a_note_sent_while_the_bot_is_away_is_answered_by_the_next_and_no_other_again(
    bot: Objects, person: str
) -> None:
    chat = Chat(f"{person}/chats/2")
    before = chat.say_note()
    bot.wait("The words appear", lambda: (before, NOTE) in chat.answers(), limit_s=120)
    bot.kubectl("scale", BOT, "--replicas=0")
    bot.kubectl(
        "wait", "--for=delete", "pod", "--selector=app.kubernetes.io/component=bot", "--timeout=60s", limit_s=65
    )
    meanwhile = chat.say_note()
    bot.kubectl("scale", BOT, "--replicas=1")
    bot.wait("The words appear", lambda: (meanwhile, NOTE) in chat.answers(), limit_s=120)
    assert chat.answers() == [(before, NOTE), (meanwhile, NOTE)]
