"""Word to the operator's own chats, seldom enough to be read."""

from __future__ import annotations

import time

import structlog

from whisper_bot.answers import TextAnswer
from whisper_bot.errors import ChatGone, ChatMoved, OutcomeUnknown, Refused
from whisper_bot.methods import Place
from whisper_bot.sentences import LANGUAGES, sentence
from whisper_bot.telegram import Telegram

log = structlog.get_logger()

EVERY_S = 3600.0


class Notices:
    def __init__(self, telegram: Telegram, admins: frozenset[int]) -> None:
        self._telegram = telegram
        self._admins = admins
        self._told_at: dict[str, float] = {}

    async def tell(self, key: str, **values: str | int) -> None:
        """The same thing once an hour at most. A notice that cannot be sent is a line in the log."""
        now = time.monotonic()
        if now - self._told_at.get(key, -EVERY_S) < EVERY_S:
            return
        self._told_at[key] = now
        text = sentence(key, LANGUAGES[0], **values)
        log.error("notice", text=text)
        for chat in self._admins:
            try:
                await self._telegram.send(Place(chat), TextAnswer(text))
            except (ChatGone, ChatMoved, OutcomeUnknown, Refused) as problem:
                log.warning("an admin was not reached", chat=chat, reason=type(problem).__name__)
