"""A bot, its gateway and Telegram's stand-in in one process, with a nats-server; for planner and worker plays a test."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bot_harness import TOKEN
from fake_chats import Shown
from fake_telegram import FakeTelegram
from gateway_harness import Stage, stage, until

from whisper_bot.bot import Bot
from whisper_bot.gateway_client import GatewayClient
from whisper_bot.intake import Polling
from whisper_bot.records import Note
from whisper_bot.settings import BotSettings
from whisper_bot.store import UPDATES_STREAM, Store, ensure_streams
from whisper_bot.telegram import Telegram, real_clock
from whisperfleet.client import AsyncClient

LIMIT_S = 60.0
_numbers = itertools.count(1, 10_000)
"""Bots of one test file share a nats-server, which must not take their updates for the same."""


@dataclass
class BotStage:
    telegram: FakeTelegram
    gateway: GatewayClient
    store: Store
    stage: Stage

    async def say(self, chat: int, **content: Any) -> int:
        """A person's message; returns its id when the bot has let go of it."""
        message = self.telegram.say(chat, **content)
        await self.settled(chat)
        return message

    async def reply(self, chat: int, to: int, text: str, **content: Any) -> str:
        """What the bot says to a command that replies to a message."""
        message = await self.say(chat, text=text, reply=(to, content))
        return self.said_to(chat, message).text

    def said_to(self, chat: int, message: int) -> Shown:
        (shown,) = self.telegram.replies_to(chat, message)
        return shown

    async def settled(self, chat: int) -> None:
        """Every update of the chat has been taken from Telegram and let go of by the bot."""
        await until(lambda: not self.telegram.waiting())
        async with asyncio.timeout(LIMIT_S):
            while await self.stage.jetstream.subjects(UPDATES_STREAM, f"telegram.updates.{chat}"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def note(self, chat: int, message: int) -> Note | None:
        kept = await self.store.note(f"{chat}.{message}")
        return kept.record if kept else None

    async def jobs(self) -> list[str]:
        answer = await self.stage.http.get("/v1/jobs", params={"limit": 100})
        return [job["id"] for job in answer.json()["data"]]


@asynccontextmanager
async def bot_stage(nats_url: str, **settings: Any) -> AsyncIterator[BotStage]:
    first = next(_numbers)
    fake = FakeTelegram(TOKEN, clock_scale=0.01, first_number=first)
    await fake.start()
    telegram = Telegram(TOKEN, fake.url, clock=real_clock())
    async with stage(nats_url) as gateway_stage:
        client = GatewayClient("http://gateway", gateway_stage.key)
        await client.close()
        transport = gateway_stage.http._transport
        client._client = AsyncClient("http://gateway", gateway_stage.key, patience_s=0, transport=transport)
        await ensure_streams(gateway_stage.jetstream)
        store = Store(gateway_stage.jetstream, first, 3600)
        chosen = BotSettings(telegram_bot_token=TOKEN, api_key=gateway_stage.key, **settings)
        bot = Bot(gateway_stage.jetstream, store, telegram, client, chosen)
        bot.name = "scribe_bot"
        working, taking = asyncio.create_task(bot.run()), asyncio.create_task(Polling(store, telegram).run())
        try:
            yield BotStage(fake, client, store, gateway_stage)
        finally:
            taking.cancel()
            bot.drain()
            await asyncio.gather(working, taking, return_exceptions=True)
            await telegram.close()
            await fake.stop()
