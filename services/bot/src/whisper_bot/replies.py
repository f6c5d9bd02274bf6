"""Replies that need no work: help, settings, refusals, files behind a button.

Each is a new message, which Telegram cannot be asked for twice without danger. It is put down before and after:
after a crash in between, or an answer that got lost, it is sent again. Rather two replies than none.
"""

from __future__ import annotations

import structlog

from whisper_bot import metrics
from whisper_bot.answers import FileAnswer, TextAnswer, file_answer
from whisper_bot.decide import Say, reader_of
from whisper_bot.draining import completed
from whisper_bot.errors import ChatGone, ChatMoved, OutcomeUnknown, Refused
from whisper_bot.methods import Place
from whisper_bot.records import Note, Update
from whisper_bot.sentences import language_for, sentence
from whisper_bot.store import Kept, Store
from whisper_bot.telegram import Telegram, backoff_s

log = structlog.get_logger()


class Replies:
    def __init__(self, store: Store, telegram: Telegram) -> None:
        self._store = store
        self._telegram = telegram

    def reader(self, update: Update) -> str:
        if update.callback_query:
            return language_for(update.callback_query.from_.language_code)
        if update.message:
            return reader_of(update.message)
        return language_for(update.my_chat_member.from_.language_code if update.my_chat_member else "")

    async def say(self, update: Update, say: Say, *, reply_to: int | None = None) -> None:
        text = sentence(say.key, self.reader(update), **say.values)
        record = self._record(update)
        if reply_to is None and update.message:
            reply_to = update.message.message_id
        await self._reply(record, TextAnswer(text), reply_to)
        log.info("replied", chat=record.chat, update=update.update_id, with_=say.key)

    async def send_file(self, update: Update, note: Note, text: str, extension: str) -> None:
        """Belongs to the note's recording, and is erased with it."""
        record = self._record(update).model_copy(update={"message_id": note.message_id})
        await self._reply(record, file_answer(text, extension, ()), note.status_id)

    async def _reply(self, record: Note, answer: TextAnswer | FileAnswer, reply_to: int | None) -> None:
        failures = 0
        while True:
            kept = await self._store.note(record.key) or Kept(record)
            if kept.record.outcome:
                return
            if kept.record.sends:
                metrics.ORPHANS.inc()
            kept = await self._store.save_note(kept, sends=kept.record.sends + 1)
            place = Place(kept.record.shown_in, reply_to, record.thread_id)
            try:
                await completed(self._send(kept, place, answer))
            except OutcomeUnknown:
                failures += 1
                await self._telegram.clock.sleep(backoff_s(failures))
            except ChatMoved as moved:
                await self._store.save_note(kept, moved_to=moved.chat)
            except (ChatGone, Refused) as reason:
                log.warning("a reply was not taken", chat=record.chat, reason=str(reason))
                await self._store.save_note(kept, outcome="unreachable")

    async def _send(self, kept: Kept[Note], place: Place, answer: TextAnswer | FileAnswer) -> None:
        message_id = await self._telegram.send(place, answer)
        await self._store.save_note(kept, status_id=message_id, outcome="answered")

    def _record(self, update: Update) -> Note:
        if tap := update.callback_query:
            return Note(chat=update.chat, message_id=0, tap=tap.id, user=tap.from_.id, reads=self.reader(update))
        if post := update.message:
            note = Note(chat=post.chat.id, message_id=post.message_id, user=post.sender_id, reads=self.reader(update))
            return note.model_copy(update={"thread_id": post.topic_id})
        return Note(chat=update.chat, message_id=0, tap=f"u{update.update_id}", user=0, reads=self.reader(update))
