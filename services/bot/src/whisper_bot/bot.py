"""Takes stored updates one by one, has them answered, and only then lets go of them.

An update whose bot died is delivered again by JetStream; a drained bot hands its updates back at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

import structlog
from pydantic import ValidationError

from whisper_bot import metrics
from whisper_bot.decide import (
    Change,
    Erase,
    Intent,
    Move,
    Retry,
    Say,
    SendTranscript,
    Situation,
    Transcribe,
    decide,
)
from whisper_bot.erasing import Erasing
from whisper_bot.errors import ChatGone, ChatMoved, TelegramAway
from whisper_bot.gateway_client import GatewayAway, GatewayClient, JobUnknown, KeyRefused
from whisper_bot.note_run import NoteRuns
from whisper_bot.quota import Quota
from whisper_bot.records import Note, Update
from whisper_bot.replies import Replies
from whisper_bot.sentences import sentence
from whisper_bot.settings import BotSettings
from whisper_bot.store import CONSUMER, UPDATES_ACK_WAIT_S, UPDATES_STREAM, Kept, Store
from whisper_bot.telegram import Telegram
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable, WrongLastSequence
from whisper_dispatcher.jetstream.pull import Delivery, Puller, keep_in_progress
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.stopping import unless_stopped

log = structlog.get_logger()

PULL_S = 5.0
HAND_BACK_S = 2.0
LONGEST_HAND_BACK_S = 600.0
DOUBLINGS = 10
"""More than lead to the longest time; some thousand would be no float any more."""
AWAY_S = 0.2


class Bot:
    def __init__(
        self, jetstream: JetStream, store: Store, telegram: Telegram, gateway: GatewayClient, settings: BotSettings
    ) -> None:
        self._jetstream = jetstream
        self._store = store
        self._telegram = telegram
        self._gateway = gateway
        self._settings = settings
        self._runs = NoteRuns(store, telegram, gateway, settings)
        self._runs.under_way = lambda: len(self._held)
        self._replies = Replies(store, telegram)
        self._quota = Quota(store, settings)
        self._erasing = Erasing(store, gateway)
        self._held: set[asyncio.Task[None]] = set()
        # Of one chat, status messages stand in the order of the recordings.
        self._chats: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._user_of: dict[str, int] = {}
        """By the key of each note under way."""
        self._notes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._stopping = asyncio.Event()
        self.name = ""

    def drain(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        puller = Puller(self._jetstream, UPDATES_STREAM, CONSUMER)
        await puller.start()
        free = asyncio.Semaphore(self._settings.bot_open_messages)
        while not self._stopping.is_set() and await unless_stopped(self._stopping, free.acquire()):
            delivery = await self._next(puller)
            if delivery is None:
                free.release()
                continue
            task = asyncio.create_task(self._hold(delivery))
            self._held.add(task)
            metrics.OPEN_NOTES.set(len(self._held))
            task.add_done_callback(self._let_go)
            task.add_done_callback(lambda _: free.release())
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)
        await puller.stop()

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._held.discard(task)
        metrics.OPEN_NOTES.set(len(self._held))

    async def _next(self, puller: Puller) -> Delivery | None:
        try:
            return await unless_stopped(self._stopping, puller.pull(expires_s=PULL_S))
        except QueueUnavailable:
            await asyncio.sleep(AWAY_S)
            return None

    async def _hold(self, delivery: Delivery) -> None:
        progress = asyncio.create_task(keep_in_progress(delivery, UPDATES_ACK_WAIT_S / 3))
        started = time.monotonic()
        try:
            update = Update.model_validate_json(delivery.data)
        except ValidationError:
            log.error("a stored update cannot be read", subject=delivery.subject)
            progress.cancel()
            await delivery.ack()
            return
        try:
            await self._handle(update)
            await delivery.ack()
            metrics.ANSWER_S.observe(time.monotonic() - started)
        except asyncio.CancelledError:
            await delivery.hand_back()
            raise
        except (QueueUnavailable, QueueFull, WrongLastSequence) as reason:
            log.warning("update handed back", subject=delivery.subject, reason=str(reason))
            await delivery.hand_back(HAND_BACK_S)
        except Exception:
            log.exception("an update failed", subject=delivery.subject, deliveries=delivery.deliveries)
            await delivery.hand_back(hand_back_s(delivery.deliveries))
        finally:
            progress.cancel()

    async def _handle(self, update: Update) -> None:
        async with self._chats.setdefault(update.chat, asyncio.Lock()):
            chat = await self._store.chat_settings(update.chat)
            intent = decide(update, Situation(chat.record, self._settings, self.name))
            if intent is None:
                return
            key = await self._begin(update, intent, chat.sequence)
        if key:
            await self._finish(key)

    async def _begin(self, update: Update, intent: Intent, settings_sequence: int) -> str | None:
        """Everything that belongs into the chat's order; the key of a note that is to be finished."""
        match intent:
            case Say():
                await self._replies.say(update, intent)
            case Transcribe():
                return await self._take(update, intent)
            case Change():
                await self._change(update, intent, settings_sequence)
            case Erase():
                await self._erase(update, intent)
            case Move(to_chat=to_chat):
                await self._move(update.chat, to_chat)
            case Retry(note_key=key):
                return await self._retry(update, key)
            case SendTranscript():
                await self._send_transcript(update, intent)
        return None

    async def _finish(self, key: str) -> None:
        """One at a time works on a note. A second delivery waits for the first, which may fail where it must not."""
        async with self._notes.setdefault(key, asyncio.Lock()):
            if kept := await self._store.note(key):
                self._user_of.setdefault(key, kept.record.user)
            try:
                await self._runs.finish(key)
            finally:
                # Whoever asked for it, in a group another than who sent it.
                self._user_of.pop(key, None)

    async def _take(self, update: Update, intent: Transcribe) -> str | None:
        note = intent.note
        kept = await self._store.note(note.key) or Kept(note)
        is_new = not kept.sequence or kept.record.file is None  # the latter: a refusal was begun
        if not is_new and intent.is_asked and kept.record.outcome == "answered":
            await self._replies.say(update, Say("already"), reply_to=kept.record.status_id)
            return None
        if is_new or (intent.is_asked and kept.record.outcome):
            if say := await self._quota.refusal(note, in_flight=Counter(self._user_of.values())[note.user]):
                await self._replies.say(update, say)
                return None
            await self._begin_note(note, kept)
        self._user_of.setdefault(note.key, note.user)
        await self._runs.acknowledge(note.key)
        return note.key

    async def _begin_note(self, note: Note, before: Kept[Note]) -> None:
        """In the place of one that failed, whose job has the options of then."""
        if before.record.job:
            with _gateway_as_queue():
                await self._gateway.erase(before.record.job)
        await self._store.save_note(Kept(await self._quota.taken(note), before.sequence))

    async def _retry(self, update: Update, key: str) -> str | None:
        kept = await self._store.note(key)
        reader = self._replies.reader(update)
        tap = update.callback_query
        assert tap
        if kept is None or kept.record.file is None:
            await self._telegram.answer_tap(tap.id, sentence("tap_gone", reader))
            return None
        await self._telegram.answer_tap(tap.id, sentence("tap_taken", reader))
        if kept.record.outcome == "failed":
            await self._store.save_note(kept, outcome=None, requeue=kept.record.job is not None)
        return key

    async def _send_transcript(self, update: Update, intent: SendTranscript) -> None:
        reader = self._replies.reader(update)
        tap = update.callback_query
        assert tap
        kept = await self._store.note(intent.note_key)
        try:
            if kept is None or kept.record.job is None:
                raise JobUnknown
            with _gateway_as_queue():
                text = await self._gateway.result(kept.record.job, "text" if intent.extension == "txt" else "srt")
        except JobUnknown:
            await self._telegram.answer_tap(tap.id, sentence("tap_gone", reader))
            return
        await self._telegram.answer_tap(tap.id, sentence("tap_file", reader))
        await self._replies.send_file(update, kept.record, text, intent.extension)

    async def _change(self, update: Update, intent: Change, sequence: int) -> None:
        if not await self._may(update, intent.needs_admin):
            return
        await self._store.save_chat_settings(update.chat, intent.settings, sequence)
        await self._replies.say(update, intent.say)

    async def _erase(self, update: Update, intent: Erase) -> None:
        if not await self._may(update, intent.needs_admin):
            return
        is_known = True
        assert update.message
        with _gateway_as_queue():
            if intent.message_id is None:
                await self._erasing.chat(update.chat, update.message.message_id)
            else:
                is_known = await self._erasing.recording(update.chat, intent.message_id)
        await self._replies.say(update, Say("deleted" if is_known else "nothing_to_delete"))

    async def _may(self, update: Update, needs_admin: bool) -> bool:
        user = update.message.from_.id if update.message and update.message.from_ else 0
        if not needs_admin:
            return True
        try:
            if await self._is_admin(update.chat, user):
                return True
        except ChatGone as reason:
            log.warning("a command is let go", chat=update.chat, update=update.update_id, reason=str(reason))
            return False
        except TelegramAway as reason:
            raise QueueUnavailable(f"telegram is away: {reason}") from reason
        await self._replies.say(update, Say("admins_only"))
        return False

    async def _is_admin(self, chat: int, user: int) -> bool:
        try:
            return await self._telegram.is_admin(chat, user)
        except ChatMoved as moved:
            return await self._telegram.is_admin(moved.chat, user)

    async def _move(self, chat: int, to_chat: int) -> None:
        """The supergroup keeps what the group had chosen."""
        old, new = await self._store.chat_settings(chat), await self._store.chat_settings(to_chat)
        if old.sequence and not new.sequence:
            await self._store.save_chat_settings(to_chat, old.record, 0)


@contextmanager
def _gateway_as_queue() -> Iterator[None]:
    """Without either of them the update has to come again."""
    try:
        yield
    except (GatewayAway, KeyRefused) as reason:
        raise QueueUnavailable(f"the gateway is away: {reason}") from reason


def hand_back_s(deliveries: int) -> float:
    """deliveries: from 1."""
    return min(LONGEST_HAND_BACK_S, HAND_BACK_S ** min(deliveries, DOUBLINGS))
