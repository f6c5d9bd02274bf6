"""`/delete`: what it names is gone, job, audio and text; and it says so only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_harness import until
from updates_harness import BotStage, bot_stage

from whisper_bot.gateway_client import GatewayAway
from whisper_bot.records import Note
from whisper_bot.store import Kept

CHAT = 60
ANOTHER_CHAT = 61
"""In which nothing else is to be erased."""
SENTENCES = "This is one of very many sentences. " * 250


@pytest.fixture
async def bot(nats_url: str) -> AsyncIterator[BotStage]:
    async with bot_stage(nats_url) as bot:
        yield bot


class Held:
    """Stands before a call: it goes on when it is let."""

    def __init__(self, owner: Any, name: str) -> None:
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        self._call = getattr(owner, name)
        setattr(owner, name, self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.reached.set()
        await self.go.wait()
        return await self._call(*arguments, **named)


def voice(bot: BotStage) -> dict[str, Any]:
    return bot.telegram.voice(b"a recording")


async def test_a_reply_to_a_further_part_erases_the_recording(bot: BotStage) -> None:
    bot.stage.stand_in.texts = [SENTENCES]
    await bot.say(CHAT, text="/format messages")
    message = await bot.say(CHAT, **voice(bot))
    note = await bot.note(CHAT, message)
    assert note and len(note.parts) == 2 and len(await bot.jobs()) == 1
    assert "Erased" in await bot.reply(CHAT, note.parts[-1], "/delete")
    assert await bot.jobs() == [] and await bot.note(CHAT, message) is None


async def test_a_reply_to_a_file_behind_a_button_erases_the_recording(bot: BotStage) -> None:
    message = await bot.say(CHAT, **voice(bot))
    answer = bot.said_to(CHAT, message)
    bot.telegram.tap(CHAT, answer.message_id, answer.buttons()["SRT"])
    await bot.settled(CHAT)
    file = bot.said_to(CHAT, answer.message_id)
    assert "Erased" in await bot.reply(CHAT, file.message_id, "/delete")
    assert await bot.jobs() == [] and await bot.note(CHAT, message) is None


async def test_a_reply_to_any_other_message_erases_nothing_and_says_so(bot: BotStage) -> None:
    message = await bot.say(CHAT, **voice(bot))
    other = bot.telegram.say(CHAT, text="/help@another_bot")
    assert "nothing" in await bot.reply(CHAT, other, "/delete")
    assert len(await bot.jobs()) == 1 and await bot.note(CHAT, message)


async def test_one_recording_is_erased_and_the_others_stay(bot: BotStage) -> None:
    first, second = [await bot.say(CHAT, **voice(bot)) for _ in range(2)]
    assert "Erased" in await bot.reply(CHAT, first, "/delete")
    kept = await bot.note(CHAT, second)
    assert await bot.note(CHAT, first) is None and kept and await bot.jobs() == [kept.job]


async def test_what_is_erased_while_it_is_uploaded_leaves_no_job(bot: BotStage) -> None:
    """The gateway cannot be reached at first when the new job is to be erased."""
    upload, erase, away = Held(bot.gateway, "submit"), bot.gateway.erase, [GatewayAway("away")]

    async def first_away(job: str) -> None:
        if away:
            raise away.pop()
        await erase(job)

    bot.gateway.erase = first_away  # type: ignore[method-assign]
    bot.telegram.say(ANOTHER_CHAT, **voice(bot))
    await upload.reached.wait()
    command = bot.telegram.say(ANOTHER_CHAT, text="/delete")
    await until(lambda: bool(bot.telegram.replies_to(ANOTHER_CHAT, command)))
    upload.go.set()
    await bot.settled(ANOTHER_CHAT)
    assert not away and bot.stage.stand_in.seen
    assert await bot.jobs() == []


async def test_a_delete_that_comes_again_erases_nothing_that_was_sent_since(bot: BotStage) -> None:
    erase, away = bot.gateway.erase, [GatewayAway("away")]

    async def first_away(job: str) -> None:
        if away:
            raise away.pop()
        await erase(job)

    first = await bot.say(CHAT, **voice(bot))
    bot.gateway.erase = first_away  # type: ignore[method-assign]
    command = bot.telegram.say(CHAT, text="/delete")
    await until(lambda: not away)
    second = await bot.say(CHAT, **voice(bot))
    await until(lambda: bool(bot.telegram.replies_to(CHAT, command)))
    kept = await bot.note(CHAT, second)
    assert await bot.note(CHAT, first) is None and kept and await bot.jobs() == [kept.job]
    assert bot.said_to(CHAT, second).text


async def test_a_job_that_its_record_names_just_then_is_erased_too(bot: BotStage) -> None:
    upload, read = Held(bot.gateway, "submit"), bot.store.notes_of
    message = bot.telegram.say(CHAT, **voice(bot))

    async def read_a_moment_before(chat: int) -> list[Kept[Note]]:
        notes = await read(chat)
        upload.go.set()
        while (note := await bot.note(CHAT, message)) and note.job is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return notes

    await upload.reached.wait()
    bot.store.notes_of = read_a_moment_before  # type: ignore[method-assign]
    await bot.say(CHAT, text="/delete")
    assert bot.stage.stand_in.seen
    assert await bot.jobs() == [] and await bot.note(CHAT, message) is None


async def test_everything_is_erased_with_the_settings(bot: BotStage) -> None:
    await bot.say(CHAT, text="/silent")
    message = await bot.say(CHAT, **voice(bot))
    await bot.say(CHAT, text="/delete")
    assert await bot.jobs() == [] and await bot.note(CHAT, message) is None
    assert not (await bot.store.chat_settings(CHAT)).sequence
