"""500 long answers in parts, while Telegram asks for pauses, fails and goes silent. Its clock and ours run fast."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiogram.exceptions import TelegramRetryAfter
from bot_harness import TOKEN, Fleet, is_status
from chaos_bot import LONG_WORDS, stub_whisper_server
from fake_chats import Shown
from fake_telegram import FakeTelegram, Fault

from whisper_bot.answers import split
from whisper_bot.gateway_client import GatewayClient
from whisper_bot.note_run import NoteRuns
from whisper_bot.records import File, Note
from whisper_bot.settings import BotSettings
from whisper_bot.store import Kept, Store, ensure_streams
from whisper_bot.telegram import Clock, Telegram
from whisper_dispatcher.jetstream.streams import JetStream, connected
from whisper_models.bundled import sample_path

ANSWERS = 500
CHATS = 50
SCALE = 0.01
"""Seconds of ours in one of theirs."""
SILENCE_S = 4.0
"""After this a call is given up. On a busy machine it may be one that would have been answered: a fault like any other."""
AT_A_TIME = 60

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"), pytest.mark.timeout(280)]


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    telegram = FakeTelegram(TOKEN, clock_scale=SCALE)
    await telegram.start()
    yield telegram
    await telegram.stop()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real one whose words are many; its own bot has nobody to talk to."""
    folder = tmp_path_factory.mktemp("long")
    nobody = FakeTelegram(TOKEN)
    nobody.url = "http://127.0.0.1:9"
    fleet = Fleet(folder, nobody, stub_whisper_server(folder))
    fleet.start()
    try:
        yield fleet
    finally:
        fleet.kill()


@pytest.fixture
async def jetstream(pipeline: Fleet) -> AsyncIterator[JetStream]:
    running = pipeline.running()
    async with connected(running["nats_url"], name="t", user="admin", password=running["nats_password"]) as jetstream:
        await ensure_streams(jetstream)
        yield jetstream


def many_faults() -> Any:
    chance = random.Random(7)

    def decide(method: str, _: dict[str, Any]) -> Fault | None:
        if method == "setMessageReaction":
            return None
        dice = chance.random()
        applied = chance.random() < 0.5
        if dice < 0.10:
            return Fault(429, retry_after_s=chance.randint(1, 30))
        if dice < 0.14:
            return Fault(0, applied=applied)
        if dice < 0.18:
            return Fault(502, applied=applied)
        if dice < 0.19:
            return Fault(200, delay_s=2 * SILENCE_S / SCALE, applied=applied)
        return None

    return decide


async def finished_job(pipeline: Fleet, gateway: GatewayClient, http: httpx.AsyncClient) -> str:
    answer = await http.post("/v1/jobs", files={"file": sample_path("message.mp3").read_bytes()})
    job = str(answer.json()["job"]["id"])
    async with asyncio.timeout(60):
        await gateway.wait_final(job)
    return job


class Obedience:
    """Stands between the bot and the wire: a call that begins in a pause that the bot was asked for is put down."""

    def __init__(self) -> None:
        self.early: list[str] = []
        self.pauses = 0
        self._until: dict[int, float] = {}

    async def __call__(self, make_request: Any, bot: Any, method: Any) -> Any:
        now = asyncio.get_running_loop().time
        chat = getattr(method, "chat_id", 0)
        if now() < self._until.get(chat, 0.0):
            self.early.append(method.__api_method__)
        try:
            return await make_request(bot, method)
        except TelegramRetryAfter as refusal:
            self.pauses += 1
            self._until[chat] = now() + refusal.retry_after * SCALE
            raise


def fast_clock() -> Clock:
    loop = asyncio.get_running_loop()
    return Clock(lambda: loop.time() / SCALE, lambda delay_s: asyncio.sleep(delay_s * SCALE))


async def test_no_part_of_500_long_answers_is_lost_doubled_or_out_of_order(
    pipeline: Fleet, jetstream: JetStream, telegram: FakeTelegram
) -> None:
    ready = pipeline.ready()
    settings = BotSettings(telegram_bot_token=TOKEN, api_key=ready["key"], url=ready["url"])
    client = Telegram(TOKEN, telegram.url, clock=fast_clock(), request_timeout_s=SILENCE_S)
    obedience = Obedience()
    client._bot.session.middleware.register(obedience)
    gateway = GatewayClient(settings.url, ready["key"])
    store = Store(jetstream, 1, 3600)
    runs = NoteRuns(store, client, gateway, settings)
    async with httpx.AsyncClient(base_url=ready["url"], headers={"X-API-Key": ready["key"]}) as http:
        job = await finished_job(pipeline, gateway, http)
    telegram.decide_fault = many_faults()
    places = asyncio.Semaphore(AT_A_TIME)

    async def answer(number: int) -> tuple[int, int]:
        chat = 1 + number % CHATS
        message = telegram.say(chat, text="a recording")
        note = Note(
            chat=chat,
            message_id=message,
            user=chat,
            reads="en",
            file=File(file_id="f"),
            answer_format="messages",
            silent=True,
            job=job,
        )
        async with places:
            await store.save_note(Kept(note))
            await runs.acknowledge(note.key)
            await runs.finish(note.key)
        return chat, message

    try:
        keys = await asyncio.gather(*(answer(number) for number in range(ANSWERS)))
    finally:
        await client.close()
        await gateway.close()
    assert obedience.early == [] and obedience.pauses > 100
    parts = split(LONG_WORDS)
    assert len(parts) == 3
    assert {json.dumps(shown_answers(telegram, *key)) for key in keys} == {json.dumps([parts])}
    shown = [each for each in telegram.messages.values() if each.by_bot and not is_status(each)]
    assert len(shown) == ANSWERS * len(parts)
    assert telegram.faults > ANSWERS


def shown_answers(telegram: FakeTelegram, chat: int, message: int) -> list[list[str]]:
    """Each answer to the recording, its parts in the order in which they stand in the chat."""
    first = [shown for shown in telegram.replies_to(chat, message) if not is_status(shown)]
    return [[shown.text, *further(telegram, shown)] for shown in first]


def further(telegram: FakeTelegram, first: Shown) -> list[str]:
    shown = telegram.replies_to(first.chat, first.message_id)
    assert all(each.message_id > first.message_id for each in shown)
    return [each.text for each in shown if not is_status(each)]
