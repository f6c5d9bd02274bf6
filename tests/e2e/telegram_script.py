"""The bot's strict fake of Telegram, run inside the cluster beside its three files with what the bot's image has.

The Bot API is at port 8081. At port 8082 a person writes and looks: `POST /chats/N/notes` says the body as a voice note
and answers its id, `GET /chats/N` lists what the bot shows in the chat.
"""

from __future__ import annotations

import asyncio
import os
import time

from aiohttp import web
from fake_telegram import FakeTelegram

API_PORT = 8081
PERSON_PORT = 8082


def person(telegram: FakeTelegram) -> web.Application:
    async def say(request: web.Request) -> web.Response:
        note = telegram.voice(await request.read())
        return web.json_response(telegram.say(int(request.match_info["chat"]), **note))

    async def look(request: web.Request) -> web.Response:
        shown = telegram.by_bot(int(request.match_info["chat"]))
        return web.json_response(
            [{"text": each.text, "reply_to": each.reply_to, "edits": each.edits} for each in shown]
        )

    app = web.Application()
    app.router.add_post("/chats/{chat}/notes", say)
    app.router.add_get("/chats/{chat}", look)
    return app


async def serve() -> None:
    # As with Telegram, no number comes twice: a kept cluster remembers those of earlier runs.
    telegram = FakeTelegram(os.environ["TELEGRAM_BOT_TOKEN"], first_number=int(time.time()))
    await telegram.start(API_PORT, host=None)
    runner = web.AppRunner(person(telegram))
    await runner.setup()
    await web.TCPSite(runner, None, PERSON_PORT).start()
    await asyncio.Event().wait()


asyncio.run(serve())
