"""Minutes of audio per user and day, counted by recording, so that a repeat counts once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from whisper_bot.decide import Say, refusal
from whisper_bot.records import Note
from whisper_bot.settings import BotSettings
from whisper_bot.store import Store


class Quota:
    def __init__(self, store: Store, settings: BotSettings) -> None:
        self._store = store
        self._settings = settings
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def refusal(self, note: Note, in_flight: int = 0) -> Say | None:
        """Why the recording is not taken. in_flight: how many others of the user are under way."""
        if not self._is_limited:
            return refusal(note, 0.0, in_flight, self._settings)
        usage = (await self._store.usage(note.user, _day(note))).record
        used_s = sum(seconds for key, seconds in usage.seconds.items() if key != note.key)
        return refusal(note, used_s, in_flight, self._settings)

    async def taken(self, note: Note) -> Note:
        """With its day, on which the length that Telegram told counts. Raises WrongLastSequence as `count` does."""
        note = note.model_copy(update={"counts_on": _today()})
        await self.count(note, note.file.duration if note.file else 0.0)
        return note

    async def count(self, note: Note, seconds: float) -> None:
        """Raises WrongLastSequence when another recording of the user is counted at the same time."""
        if not self._is_limited:
            return
        usage = await self._store.usage(note.user, _day(note))
        if usage.record.seconds.get(note.key, 0.0) == seconds:
            return
        counted = usage.record.model_copy(update={"seconds": usage.record.seconds | {note.key: seconds}})
        await self._store.save_usage(note.user, _day(note), counted, usage.sequence)

    @asynccontextmanager
    async def turn(self, note: Note) -> AsyncIterator[None]:
        """What is measured only by the service goes one at a time: each is counted before the next may be refused."""
        if not self.is_measured_later(note):
            yield
            return
        async with self._turns.setdefault(note.user, asyncio.Lock()):
            yield

    def is_measured_later(self, note: Note) -> bool:
        """Telegram tells no length of documents."""
        return self._is_limited and not (note.file and note.file.duration)

    @property
    def _is_limited(self) -> bool:
        return self._settings.bot_minutes_per_day is not None


def _day(note: Note) -> str:
    return note.counts_on or _today()


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
