"""Updates from Telegram onto the disk, and only then confirmed: by polling with the next offset, or by a 200."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import Any

import structlog
from aiohttp import web
from pydantic import ValidationError

from whisper_bot import metrics
from whisper_bot.errors import AnotherPoller, Refused, TelegramAway
from whisper_bot.records import Update
from whisper_bot.settings import BotSettings
from whisper_bot.store import Store
from whisper_bot.telegram import Telegram, backoff_s
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable

log = structlog.get_logger()

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  a header's name
MAX_UPDATE_BYTES = 1024 * 1024
STORING_S = 6.0
"""Longer than a publish waits for NATS."""


async def keep(store: Store, raw: dict[str, Any]) -> None:
    """On disk when this returns. Raises QueueUnavailable or QueueFull."""
    try:
        update = Update.model_validate(raw)
    except ValidationError as error:
        fields = [".".join(map(str, problem["loc"])) for problem in error.errors()]
        log.error("an update cannot be read and is passed over", update=raw.get("update_id"), fields=fields)
        return
    await store.add_update(update)
    metrics.UPDATES.inc()


class Polling:
    def __init__(self, store: Store, telegram: Telegram) -> None:
        self._store = store
        self._telegram = telegram
        self._offset = 0
        self.problem: str | None = "Telegram has not been asked yet."

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                for raw in await self._telegram.updates(self._offset):
                    await keep(self._store, raw)
                    self._offset = int(raw["update_id"]) + 1
                failures, self.problem = 0, None
            except AnotherPoller:
                failures += 1
                self.problem = "Another program polls with the same token, or a webhook is set: stop it."
            except TelegramAway as reason:
                failures += 1
                self.problem = f"Telegram does not answer: {reason}."
            except Refused as reason:
                failures += 1
                self.problem = f"Telegram refuses to hand out updates: {reason}."
            except (QueueUnavailable, QueueFull) as reason:
                failures += 1
                self.problem = f"Updates cannot be stored: {reason}."
            if failures:
                log.warning("no updates", reason=self.problem, failures=failures)
                await asyncio.sleep(min(5.0, backoff_s(failures)))


class Webhook:
    def __init__(self, store: Store, settings: BotSettings) -> None:
        assert settings.bot_webhook_secret
        self._store = store
        self._secret = settings.bot_webhook_secret.get_secret_value().encode()
        app = web.Application(client_max_size=MAX_UPDATE_BYTES)
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STORING_S)
        self._address = (settings.bot_webhook_host, settings.bot_webhook_port)
        self.problem: str | None = None

    async def run(self) -> None:
        """Until cancelled; what is being stored then gets its 200."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, *self._address).start()
            await asyncio.Event().wait()
        finally:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode(), self._secret):
            return web.Response(status=401)
        try:
            raw = await request.json()
            if not isinstance(raw, dict):
                return web.Response(status=400)
            await keep(self._store, raw)
        except json.JSONDecodeError:
            return web.Response(status=400)
        except (QueueUnavailable, QueueFull) as reason:
            self.problem = f"Updates cannot be stored: {reason}."
            log.warning("no updates", reason=self.problem)
            return web.Response(status=503)
        self.problem = None
        return web.Response()
