"""The life of one recording: a status message, a job, progress, the answer in the status message's place.

Level-triggered: each pass reads the note's record, does what is missing, and may be cut off anywhere. Whatever
is done twice is harmless (the same job, the same edit), but for one thing: a new message. Between Telegram's taking
it and our record of its id, a crash leaves a status message that nobody knows of, never a second answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from whisper_bot import metrics
from whisper_bot.answers import Button, FileAnswer, TextAnswer, answers, progress_text
from whisper_bot.draining import completed
from whisper_bot.errors import ChatGone, ChatMoved, MessageGone, OutcomeUnknown, Refused, TelegramAway
from whisper_bot.gateway_client import GatewayAway, GatewayClient, JobUnknown, KeyRefused
from whisper_bot.methods import Place
from whisper_bot.notices import Notices
from whisper_bot.quota import Quota
from whisper_bot.records import Note
from whisper_bot.sentences import failure_sentence, sentence
from whisper_bot.settings import BotSettings
from whisper_bot.store import Kept, Store
from whisper_bot.telegram import Telegram, backoff_s
from whisper_bot.transfer import NotSubmitted, Transfers
from whisper_contracts.failures import RETRYABLE
from whisper_dispatcher.jetstream.errors import WrongLastSequence
from whisperfleet.client import Job

log = structlog.get_logger()

RECEIVED = "👀"
PROGRESS_PRIVATE_S = 4.0
PROGRESS_GROUP_S = 15.0
PROGRESS_LOAD_S = 0.05
"""Added for each recording under way, so that a thousand of them ask the gateway no more than 20 times a second."""
LATE_EDIT_S = 5.0
KEY_REFUSED_S = 30.0
AWAY_NOTICE_AFTER = 10
UNKNOWN_JOBS = 3
"""A gateway that has just started, or is another replica, may not know a new job yet."""


class NoteRuns:
    def __init__(self, store: Store, telegram: Telegram, gateway: GatewayClient, settings: BotSettings) -> None:
        self._store = store
        self._telegram = telegram
        self._gateway = gateway
        self._quota = Quota(store, settings)
        self._notices = Notices(telegram, settings.bot_admins)
        self._transfers = Transfers(telegram, gateway, settings)
        # Progress whose edit got no answer: it may be carried out after the final edit, which is then made again.
        self._late: set[str] = set()
        self.under_way: Callable[[], int] = lambda: 0

    async def acknowledge(self, key: str) -> None:
        """Sees to it that the status message stands in the chat, and in the record."""
        await self._until_settled(key, self._acknowledged)

    async def finish(self, key: str) -> None:
        """Returns when the answer is in the chat and in the record."""
        await self._until_settled(key, self._pass)

    async def _until_settled(self, key: str, act: Callable[[Kept[Note]], Any]) -> None:
        """Again after everything that passes by itself. Raises QueueUnavailable: without records nothing is done."""
        failures = 0
        while True:
            kept = await self._store.note(key)
            if kept is None or kept.record.outcome:
                return
            try:
                await act(kept)
                return
            except WrongLastSequence:
                continue  # changed meanwhile: look again
            except (GatewayAway, KeyRefused, TelegramAway, OutcomeUnknown, JobUnknown) as problem:
                failures += 1
                if isinstance(problem, JobUnknown) and failures >= UNKNOWN_JOBS:
                    await self._adapt(key, problem)
                await self._wait_out(kept.record, problem, failures)
            except (ChatGone, ChatMoved, MessageGone, Refused) as change:
                await self._adapt(key, change)

    async def _wait_out(self, note: Note, problem: Exception, failures: int) -> None:
        delay_s = backoff_s(failures)
        if isinstance(problem, GatewayAway):
            delay_s = max(delay_s, problem.retry_after_s)
            if failures == 1:
                await self._show(note, sentence("waiting", note.reads))
            if failures == AWAY_NOTICE_AFTER:
                await self._notices.tell("notice_gateway_away", reason=str(problem))
        elif isinstance(problem, KeyRefused):
            delay_s = KEY_REFUSED_S
            await self._notices.tell("notice_key_refused")
        reason = str(problem) or type(problem).__name__
        log.warning(
            "note waits", note=note.key, job=note.job, reason=reason, failures=failures, delay_s=round(delay_s, 1)
        )
        await self._telegram.clock.sleep(delay_s)

    async def _adapt(self, key: str, change: Exception) -> None:
        """The world is not as the record has it: put that down, and the next pass acts on it."""
        kept = await self._store.note(key)
        if kept is None or kept.record.outcome:
            return
        log.info("note adapts", note=key, job=kept.record.job, change=type(change).__name__)
        match change:
            case ChatMoved(chat=chat):
                await self._store.save_note(kept, moved_to=chat, status_id=None, parts=(), sends=0)
            case MessageGone():
                await self._store.save_note(kept, status_id=None, parts=(), sends=0)
            case JobUnknown():
                await self._store.save_note(kept, job=None, requeue=False)
            case ChatGone():
                if kept.record.job:
                    with suppress(GatewayAway, KeyRefused):  # else its work was for nothing
                        await self._gateway.erase(kept.record.job)
                await self._done(kept, "unreachable")
            case _:
                await self._notices.tell("notice_answer_refused", reason=str(change))
                await self._done(kept, "failed")

    async def _pass(self, kept: Kept[Note]) -> None:
        kept = await self._acknowledged(kept)
        async with self._quota.turn(kept.record):
            await self._answered(kept)

    async def _answered(self, kept: Kept[Note]) -> None:
        note = kept.record
        if note.requeue and note.job:
            await self._gateway.requeue(note.job)
            kept = await self._store.save_note(kept, requeue=False)
            await self._show(note, sentence("received", note.reads))
        try:
            kept = await self._submitted(kept)
        except NotSubmitted as reason:
            await self._quota.count(note, 0.0)
            await self._edit_status(kept.record, TextAnswer(reason.text))
            await self._done(kept, "failed")
            return
        job = await self._follow(kept.record)
        await self._quota.count(note, _length_s(note, job))
        kept = await self._answer(kept, job)
        if kept.record.key in self._late:
            self._late.discard(kept.record.key)
            await self._telegram.clock.sleep(LATE_EDIT_S)
            await self._answer(kept, job)
        await self._done(kept, "answered" if job.state == "completed" else "failed")

    async def _acknowledged(self, kept: Kept[Note]) -> Kept[Note]:
        note = kept.record
        if note.status_id is not None:
            return kept
        if note.sends == 0:
            await self._telegram.react(note.shown_in, note.message_id, RECEIVED)
        received = TextAnswer(sentence("received", note.reads))
        return await completed(self._new_message(kept, received, lambda message_id: {"status_id": message_id}))

    async def _new_message(
        self, kept: Kept[Note], answer: TextAnswer, record: Callable[[int], dict[str, Any]]
    ) -> Kept[Note]:
        """Put down before it is begun, so that it is known afterwards how many may have been lost.

        record: what its id changes in the note.
        """
        note = kept.record
        if note.sends > len(note.parts) + (note.status_id is not None):
            metrics.ORPHANS.inc()
            log.warning("a message may stand in the chat unknown to us", note=note.key, chat=note.shown_in)
        kept = await self._store.save_note(kept, sends=note.sends + 1)
        reply_to = note.message_id if note.status_id is None else note.status_id
        place = Place(note.shown_in, reply_to, note.thread_id, note.silent)
        message_id = await self._telegram.send(place, answer)
        return await self._store.save_note(kept, **record(message_id))

    async def _edit_status(self, note: Note, answer: TextAnswer | FileAnswer) -> None:
        if note.status_id is None:
            raise MessageGone
        await self._telegram.edit(note.shown_in, note.status_id, answer)

    async def _show(self, note: Note, text: str) -> None:
        if note.silent or note.status_id is None:
            return
        if not await self._telegram.try_edit(note.shown_in, note.status_id, TextAnswer(text)):
            self._late.add(note.key)

    async def _submitted(self, kept: Kept[Note]) -> Kept[Note]:
        note = kept.record
        if note.job:
            return kept
        if self._quota.is_measured_later(note) and (over := await self._quota.refusal(note)):
            raise NotSubmitted(sentence(over.key, note.reads, **over.values))
        job = await self._transfers.submit(note)
        log.info("submitted", note=note.key, job=job)
        try:
            return await self._store.save_note(kept, job=job)
        except WrongLastSequence:
            if await self._store.note(note.key) is None:
                await self._erase(job)
            raise

    async def _erase(self, job: str) -> None:
        """Of a recording that was deleted while it was uploaded: nothing else knows of the job."""
        failures = 0
        while True:
            try:
                await self._gateway.erase(job)
                log.info("erased", job=job, because="its recording was deleted meanwhile")
                return
            except (GatewayAway, KeyRefused) as problem:
                failures += 1
                log.warning("a job is still to be erased", job=job, reason=str(problem), failures=failures)
                await self._telegram.clock.sleep(backoff_s(failures))

    async def _follow(self, note: Note) -> Job:
        """The job once it is final."""
        assert note.job
        waiting = asyncio.create_task(self._gateway.wait_final(note.job))
        interval_s = PROGRESS_PRIVATE_S if note.chat > 0 else PROGRESS_GROUP_S
        shown = ""
        try:
            while True:
                await asyncio.wait({waiting}, timeout=interval_s + PROGRESS_LOAD_S * self.under_way())
                job = await self._gateway.job(note.job)
                if job.is_final:
                    return job
                if waiting.done():
                    waiting.result()
                    await self._telegram.clock.sleep(backoff_s(1))
                    waiting = asyncio.create_task(self._gateway.wait_final(note.job))
                if (text := progress_text(job, note.reads)) != shown:
                    await self._show(note, text)
                    shown = text
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _answer(self, kept: Kept[Note], job: Job) -> Kept[Note]:
        note = kept.record
        if job.state != "completed":
            retry = (Button(sentence("button_retry", note.reads), f"retry:{note.message_id}"),)
            text = failure_sentence(job.reason or job.state, note.reads)
            await self._edit_status(note, TextAnswer(text, buttons=retry if job.reason in RETRYABLE else ()))
            return kept
        text = await self._gateway.result(job.id, "text")
        srt = await self._gateway.result(job.id, "srt") if note.answer_format == "srt" else ""
        first, *further = answers(note, text, srt)
        kept = await self._placed(kept, len(further))
        await self._edit_status(kept.record, first)
        for message_id, part in zip(kept.record.parts, further, strict=True):
            await self._telegram.edit(note.shown_in, message_id, part)
        return kept

    async def _placed(self, kept: Kept[Note], further: int) -> Kept[Note]:
        """A message for each further part, empty yet: what may be sent twice must not be the text."""
        while len(kept.record.parts) < further:
            number = len(kept.record.parts) + 2
            text = sentence("part", kept.record.reads, number=number, total=further + 1)
            kept = await completed(self._new_message(kept, TextAnswer(text), _add_part(kept.record)))
        return kept

    async def _done(self, kept: Kept[Note], outcome: str) -> None:
        await self._store.save_note(kept, outcome=outcome)
        metrics.NOTES.labels(outcome).inc()
        log.info("done", note=kept.record.key, job=kept.record.job, outcome=outcome)


def _length_s(note: Note, job: Job) -> float:
    """What Telegram said, else what the service found."""
    return (note.file.duration if note.file else 0.0) or job.duration_s or 0.0


def _add_part(note: Note) -> Callable[[int], dict[str, Any]]:
    return lambda message_id: {"parts": (*note.parts, message_id)}
