"""The bot is killed in every phase of its work, drained, cut off from NATS: every recording is answered once."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from bot_harness import TOKEN, Bots, Fleet, is_alive, is_status, until
from chaos_bot import WORDS
from fake_telegram import Fault

from whisper_bot.gateway_client import GatewayClient
from whisper_bot.note_run import NoteRuns
from whisper_bot.records import File, Note
from whisper_bot.settings import BotSettings
from whisper_bot.store import RECORDS_STREAM, UPDATES_STREAM, Kept, Store, ensure_streams, note_subject
from whisper_bot.telegram import Telegram, real_clock
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import JobState
from whisper_dispatcher.jetstream.streams import JetStream, connected
from whisper_dispatcher.loopback import free_port, is_free
from whisper_models.bundled import sample_path

PHASES = [
    ("getUpdates", False),
    ("setMessageReaction", False),
    ("sendMessage", False),
    ("sendMessage", True),
    ("getFile", False),
    ("download", False),
    ("editMessageText", False),
    ("editMessageText", True),
]
SECRET = "a-secret"

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"), pytest.mark.timeout(240)]


def voice(fleet: Fleet) -> dict[str, Any]:
    return fleet.telegram.voice(sample_path("hello.wav").read_bytes())


def kill_at(bot: Bots, method: str, chat: int, applied: bool) -> Callable[[str, dict[str, Any]], Fault | None]:
    """The bot is dead before Telegram answers this call."""

    def decide(called: str, params: dict[str, Any]) -> Fault | None:
        is_it = called == method and int(params.get("chat_id", chat)) == chat and is_alive(bot.pid)
        if not is_it:
            return None
        os.kill(bot.pid, signal.SIGKILL)
        return Fault(0, applied=applied)

    return decide


def test_killed_in_any_phase_the_next_bot_answers_once(fleet: Fleet, bot: Bots, tmp_path: Path) -> None:
    telegram, log = fleet.telegram, tmp_path / "bot.log"
    sent = []
    for number, (method, applied) in enumerate(PHASES):
        chat = 100 + number
        bot.start(log)
        telegram.decide_fault = kill_at(bot, method, chat, applied)
        sent.append((chat, telegram.say(chat, **voice(fleet))))
        until(lambda: not is_alive(bot.pid), 60, f"the kill at {method}")
        telegram.decide_fault = lambda _, __: None
    bot.start(log)
    for chat, message in sent:
        assert fleet.answer_to(chat, message, limit_s=60).text == WORDS
    # The kill at one recording may come between Telegram's yes to another one's status message and our record of it.
    begun = asyncio.run(sends_of(fleet, sent))
    left = {chat: sum(is_status(shown) for shown in telegram.by_bot(chat)) for chat, _ in sent}
    assert left[100 + PHASES.index(("sendMessage", True))]
    assert all(orphans < begun[chat] for chat, orphans in left.items()), "an orphan that the record does not know of"
    assert all(len(telegram.by_bot(chat)) == orphans + 1 for chat, orphans in left.items())


def test_a_drained_bot_leaves_its_work_to_the_next_at_once(fleet: Fleet, bot: Bots, tmp_path: Path) -> None:
    telegram, log = fleet.telegram, tmp_path / "bot.log"
    bot.start(log)
    fleet.kill_child("planner", signal.SIGSTOP)
    try:
        sent = [telegram.say(200, **voice(fleet)) for _ in range(5)]
        until(lambda: len(telegram.by_bot(200)) == 5, 60, "the status messages")
        bot.end(signal.SIGTERM)
    finally:
        fleet.kill_child("planner", signal.SIGCONT)
    bot.start(log)
    for message in sent:
        assert fleet.answer_to(200, message, limit_s=60).text == WORDS
    assert len(telegram.by_bot(200)) == 5
    assert "Traceback" not in log.read_text()


def test_what_cannot_be_stored_is_not_confirmed_to_telegram(fleet: Fleet, bot: Bots, tmp_path: Path) -> None:
    telegram, log = fleet.telegram, tmp_path / "bot.log"
    probes = f"http://127.0.0.1:{free_port()}"
    bot.start(log, WHISPERFLEET_PROBE_PORT=probes.rpartition(":")[2])
    first = telegram.say(300, **voice(fleet))
    fleet.answer_to(300, first)
    until(lambda: not telegram.waiting(), 30)
    assert httpx.get(f"{probes}/readyz", timeout=60).status_code == 200
    fleet.kill_child("nats-server", signal.SIGSTOP)
    try:
        second = telegram.say(300, **voice(fleet))
        until(lambda: "no updates" in log.read_text(), 60, "word of it in the log")
        assert [update["message"]["message_id"] for update in telegram.waiting()] == [second]
        problem = httpx.get(f"{probes}/readyz", timeout=60)
        assert problem.status_code == 503 and "Updates cannot be stored" in problem.text
        assert httpx.get(f"{probes}/healthz", timeout=60).status_code == 200
        assert "whisper_bot_updates_stored_total" in httpx.get(f"{probes}/metrics", timeout=60).text
    finally:
        fleet.kill_child("nats-server", signal.SIGCONT)
    assert fleet.answer_to(300, second, limit_s=90).text == WORDS


async def test_a_webhook_takes_updates_with_the_secret_and_says_200_once_they_are_stored(
    fleet: Fleet, bot: Bots, tmp_path: Path
) -> None:
    telegram, log, port = fleet.telegram, tmp_path / "bot.log", free_port()
    bot.start(
        log,
        WHISPERFLEET_BOT_WEBHOOK_URL=f"http://127.0.0.1:{port}/telegram",
        WHISPERFLEET_BOT_WEBHOOK_SECRET=SECRET,
        WHISPERFLEET_BOT_WEBHOOK_PORT=str(port),
    )
    until(lambda: not is_free(port), 90, "the webhook")
    message = telegram.say(400, **voice(fleet))
    # A bot that was killed before may have left others unconfirmed.
    (update,) = [each for each in telegram.waiting() if each["message"]["message_id"] == message]
    assert await telegram.push_webhook(update, secret="guessed") == 401
    assert await telegram.push_webhook(update) == 200
    assert await telegram.push_webhook(update) == 200
    assert fleet.answer_to(400, message).text == WORDS
    assert len(telegram.by_bot(400)) == 1
    fleet.kill_child("nats-server", signal.SIGSTOP)
    try:
        assert await telegram.push_webhook(update | {"update_id": 1}) == 503
    finally:
        fleet.kill_child("nats-server", signal.SIGCONT)


def test_a_webhook_whose_port_is_taken_ends_the_bot_with_a_word_of_it(bot: Bots, tmp_path: Path) -> None:
    log = tmp_path / "bot.log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bot.start(
            log,
            WHISPERFLEET_BOT_WEBHOOK_URL=f"http://127.0.0.1:{port}/telegram",
            WHISPERFLEET_BOT_WEBHOOK_SECRET=SECRET,
            WHISPERFLEET_BOT_WEBHOOK_PORT=str(port),
        )
        until(lambda: not is_alive(bot.pid), 90, "the end of the bot")
    assert "the bot ends" in log.read_text() and "already in use" in log.read_text()


async def test_a_failure_that_may_pass_can_be_tried_again(fleet: Fleet, bot: Bots, tmp_path: Path) -> None:
    """The job's failure is written as a worker that gave up would have it written; everything after it is real."""
    telegram, running = fleet.telegram, fleet.running()
    bot.start(tmp_path / "bot.log")
    fleet.kill_child("planner", signal.SIGSTOP)
    try:
        message = telegram.say(500, **voice(fleet), language_code="ru")
        await asyncio.to_thread(until, lambda: telegram.by_bot(500), 60, "the status message")
        async with connected(running["nats_url"], name="t", user="admin", password=running["nats_password"]) as queue:
            async with asyncio.timeout(60):
                while (note := await note_of(queue, f"500.{message}")) is None or note.job is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            record = (await queue.get_all_last("JOURNAL", [f"whisper.jobs.*.{note.job}.record"]))[0]
            state = JobState(state="failed", at=1.0, reason=FailureReason.SERVER_ERROR, message="")
            await queue.publish_once(record.subject.replace(".record", ".state"), state.encode())
        failed = await asyncio.to_thread(fleet.answer_to, 500, message)
        assert "не справился" in failed.text
    finally:
        fleet.kill_child("planner", signal.SIGCONT)
    telegram.tap(500, failed.message_id, failed.buttons()["Попробовать ещё раз"], language_code="ru")
    await asyncio.to_thread(until, lambda: failed.text == WORDS, 60, "the answer after all")
    assert len(telegram.by_bot(500)) == 1


async def test_an_update_delivered_again_while_it_is_held_is_let_go_by_neither(
    fleet: Fleet, bot: Bots, tmp_path: Path
) -> None:
    """The second delivery was acknowledged at once, and with it the first: when that failed, the recording was lost."""
    telegram, running = fleet.telegram, fleet.running()
    bot.start(tmp_path / "bot.log")
    fleet.kill_child("planner", signal.SIGSTOP)
    try:
        message = telegram.say(700, **voice(fleet))
        await asyncio.to_thread(until, lambda: telegram.by_bot(700), 60, "the status message")
        async with connected(running["nats_url"], name="t", user="admin", password=running["nats_password"]) as queue:
            (held,) = (await queue.subjects(UPDATES_STREAM, "telegram.updates.700")).items()
            assert held[1] == 1
            stored = await queue.api(f"STREAM.MSG.GET.{UPDATES_STREAM}", {"last_by_subj": held[0]})
            await queue.publish(held[0], base64.b64decode(stored["message"]["data"]))
            sticker = telegram.say(701, sticker={"file_id": "s"})
            await asyncio.to_thread(fleet.answer_to, 701, sticker)
            assert await queue.subjects(UPDATES_STREAM, held[0]) == {held[0]: 2}
    finally:
        fleet.kill_child("planner", signal.SIGCONT)
    assert (await asyncio.to_thread(fleet.answer_to, 700, message)).text == WORDS
    assert len(telegram.by_bot(700)) == 1


async def test_progress_that_is_carried_out_too_late_does_not_stay(fleet: Fleet) -> None:
    """An edit that got no answer in time may still be carried out, after the answer has been put in its place."""
    telegram, ready, running = fleet.telegram, fleet.ready(), fleet.running()
    settings = BotSettings(telegram_bot_token=TOKEN, api_key=ready["key"], url=ready["url"])
    client = Telegram(TOKEN, telegram.url, clock=real_clock(), request_timeout_s=5)
    gateway = GatewayClient(ready["url"], ready["key"])
    late = [Fault(200, until=lambda: any(shown.text == WORDS for shown in telegram.by_bot(600)))]
    telegram.decide_fault = lambda method, _: late.pop() if method == "editMessageText" and late else None
    message = telegram.say(600, text="a recording")
    fleet.kill_child("planner", signal.SIGSTOP)
    try:
        job = await gateway.submit(sample_path("hello.wav"), language=None, idempotency_key=f"late-{message}")
        note = Note(chat=600, message_id=message, user=600, reads="en", file=File(file_id="f"), job=job)
        async with connected(running["nats_url"], name="t", user="admin", password=running["nats_password"]) as queue:
            await ensure_streams(queue)
            store = Store(queue, 1, 3600)
            await store.save_note(Kept(note))
            finishing = asyncio.create_task(NoteRuns(store, client, gateway, settings).finish(note.key))
            await asyncio.to_thread(until, lambda: not late, 30, "the progress")
            fleet.kill_child("planner", signal.SIGCONT)
            await finishing
    finally:
        fleet.kill_child("planner", signal.SIGCONT)
        await client.close()
        await gateway.close()
    (shown,) = telegram.by_bot(600)
    assert any(text == WORDS for text in shown.edits)
    assert shown.text == WORDS


async def sends_of(fleet: Fleet, sent: list[tuple[int, int]]) -> dict[int, int]:
    """By chat: new messages that the record says were begun, the one that became the answer among them."""
    running = fleet.running()
    async with connected(running["nats_url"], name="t", user="admin", password=running["nats_password"]) as queue:
        notes = [await note_of(queue, f"{chat}.{message}") for chat, message in sent]
    return {note.chat: note.sends for note in notes if note}


async def note_of(queue: JetStream, key: str) -> Note | None:
    stored = await queue.get_last(RECORDS_STREAM, note_subject(key))
    return Note.decode(stored.data) if stored else None
