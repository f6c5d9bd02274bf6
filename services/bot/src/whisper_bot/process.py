"""The bot's process: from its settings to SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import structlog

from whisper_bot import redaction
from whisper_bot.bot import Bot
from whisper_bot.errors import Refused, TelegramAway, TokenRefused
from whisper_bot.gateway_client import GatewayClient
from whisper_bot.intake import Polling, Webhook
from whisper_bot.sentences import LANGUAGES, menu
from whisper_bot.settings import BotSettings
from whisper_bot.store import Store, ensure_streams
from whisper_bot.telegram import Telegram, backoff_s, real_clock
from whisper_dispatcher import event_loop, probes
from whisper_dispatcher.jetstream.errors import QueueRefused, QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything the bot talks to."""

    jetstream: JetStream
    telegram: Telegram
    gateway: GatewayClient


async def serve(settings: BotSettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopping.set)
    connecting = asyncio.create_task(settings.connect("bot"))
    if not await _is_done_before(stopping, connecting):
        return
    connecting.result().on_loss(stopping.set)
    async with _outside(settings, connecting.result()) as outside:
        starting = asyncio.create_task(_start(settings, outside))
        if await _is_done_before(stopping, starting):
            bot, intake = starting.result()
            await _run(bot, intake, settings, outside, stopping)


async def _is_done_before(event: asyncio.Event, work: asyncio.Task[Any]) -> bool:
    """Waits for either; work that comes too late is dropped."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work.done():
        return True
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return False


@contextlib.asynccontextmanager
async def _outside(settings: BotSettings, jetstream: JetStream) -> AsyncIterator[Outside]:
    telegram = Telegram(
        settings.token, settings.telegram_api_url, local_files=settings.telegram_local_files, clock=real_clock()
    )
    gateway = GatewayClient(settings.url, settings.api_key.get_secret_value())
    try:
        yield Outside(jetstream, telegram, gateway)
    finally:
        await gateway.close()
        await telegram.close()
        await jetstream.close()


async def _start(settings: BotSettings, outside: Outside) -> tuple[Bot, Polling | Webhook]:
    """Waits for NATS and for Telegram. Raises TokenRefused."""
    failures = 0
    while True:
        try:
            await ensure_streams(outside.jetstream, settings.bot_stream_replicas)
            bot_id, name = await outside.telegram.me()
            store = Store(outside.jetstream, bot_id, settings.bot_records_ttl_s)
            intake = await _intake(settings, store, outside.telegram)
            for language in LANGUAGES:
                await outside.telegram.show_commands(menu(language), language if language != LANGUAGES[0] else None)
            bot = Bot(outside.jetstream, store, outside.telegram, outside.gateway, settings)
            bot.name = name
            return bot, intake
        except TokenRefused:
            raise
        except (QueueUnavailable, QueueRefused, TelegramAway, Refused) as reason:  # a cluster that elects refuses too
            failures += 1
            log.warning("waiting to start", reason=str(reason), failures=failures)
            await asyncio.sleep(min(5.0, backoff_s(failures)))


async def _intake(settings: BotSettings, store: Store, telegram: Telegram) -> Polling | Webhook:
    if settings.bot_webhook_url is None:
        await telegram.use_polling()
        return Polling(store, telegram)
    assert settings.bot_webhook_secret
    await telegram.use_webhook(settings.bot_webhook_url, settings.bot_webhook_secret.get_secret_value())
    return Webhook(store, settings)


async def _run(
    bot: Bot, intake: Polling | Webhook, settings: BotSettings, outside: Outside, stopping: asyncio.Event
) -> None:
    def ready() -> str | None:
        return None if outside.jetstream.is_connected and intake.problem is None else intake.problem or "NATS is away."

    listener = await probes.serve(settings.probe_host, settings.probe_port, healthy=lambda: None, ready=ready)
    working = asyncio.create_task(bot.run())
    taking = asyncio.create_task(intake.run())
    stopped = asyncio.create_task(stopping.wait())
    log.info("bot ready", name=bot.name)
    try:
        await asyncio.wait({working, taking, stopped}, return_when=asyncio.FIRST_COMPLETED)
        failure = taking.exception() if taking.done() else None
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        bot.drain()
        await working
        if failure:
            raise failure
    finally:
        for task in (working, taking, stopped):
            task.cancel()
        listener.close()


def main() -> None:
    settings = BotSettings.load()
    settings.start_reporting("bot")
    redaction.install(settings.token)
    try:
        event_loop.run(serve(settings))
    except TokenRefused:
        sys.exit("Telegram does not know the token in TELEGRAM_BOT_TOKEN. Copy it again from @BotFather.")
    except Exception:
        log.exception("the bot ends")  # a bare traceback could show the token
        sys.exit(1)
