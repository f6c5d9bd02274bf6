"""`/transcribe` for what the bot has seen before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_harness import MODEL, until
from updates_harness import BotStage, bot_stage

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import ModelRecord
from whisper_dispatcher.jetstream import buckets
from whisper_dispatcher.jetstream.streams import connected

GROUP = -70
AUTOMATIC_GROUP = -71


@pytest.fixture
async def bot(nats_url: str) -> AsyncIterator[BotStage]:
    async with connected(nats_url, name="test") as jetstream:
        model = ModelRecord(name=MODEL, languages=("en", "de"), default=True)
        await buckets.put(jetstream, names.MODELS_BUCKET, names.token(MODEL), model.encode())
    async with bot_stage(nats_url) as bot:
        bot.telegram.admins.add((GROUP, 8))
        yield bot


async def asked(bot: BotStage, recording: int, voice: dict[str, Any]) -> list[str]:
    """All that stands below the recording after one more `/transcribe`."""
    await bot.say(GROUP, user=8, text="/transcribe", reply=(recording, voice))
    return [shown.text for shown in bot.telegram.replies_to(GROUP, recording)]


async def test_what_was_answered_is_not_answered_again(bot: BotStage) -> None:
    voice = bot.telegram.voice(b"a recording")
    recording = await bot.say(GROUP, user=8, **voice)
    assert await asked(bot, recording, voice) == ["Hello there."]
    assert await asked(bot, recording, voice) == ["Hello there."]
    assert "already" in bot.telegram.by_bot(GROUP)[-1].text
    assert len(bot.stage.stand_in.seen) == 1


async def test_what_failed_starts_anew_with_what_was_chosen_since(bot: BotStage) -> None:
    """The job is another one: the same one would have the old language for ever."""
    voice = bot.telegram.voice(b"a recording")
    recording = await bot.say(GROUP, user=8, **voice)
    bot.stage.stand_in.failure = FailureReason.UNSUPPORTED_LANGUAGE
    (refusal,) = await asked(bot, recording, voice)
    assert "/language" in refusal
    bot.stage.stand_in.failure = None
    await bot.say(GROUP, user=8, text="/language de")
    assert await asked(bot, recording, voice) == [refusal, "Hello there."]
    assert [record.options.language for record in bot.stage.stand_in.seen] == [None, "de"]
    assert len(await bot.jobs()) == 1


async def test_whoever_asks_for_anothers_recording_is_free_once_it_is_done(nats_url: str) -> None:
    async with bot_stage(nats_url, bot_jobs_in_flight=1) as bot:
        bot.telegram.admins.add((AUTOMATIC_GROUP, 8))
        await bot.say(AUTOMATIC_GROUP, user=8, text="/auto")
        bot.stage.stand_in.after_plan.clear()
        voice = bot.telegram.voice(b"a recording")
        recording = bot.telegram.say(AUTOMATIC_GROUP, user=9, **voice)
        await until(lambda: bool(bot.stage.stand_in.seen))
        bot.telegram.say(AUTOMATIC_GROUP, user=8, text="/transcribe", reply=(recording, voice))
        await until(lambda: not bot.telegram.waiting())
        bot.stage.stand_in.after_plan.set()
        await bot.settled(AUTOMATIC_GROUP)
        own = await bot.say(AUTOMATIC_GROUP, user=8, **bot.telegram.voice(b"another recording"))
        assert bot.said_to(AUTOMATIC_GROUP, own).text == "Hello there."


async def test_what_could_not_be_shown_starts_anew(bot: BotStage) -> None:
    voice = bot.telegram.voice(b"a recording")
    recording = await bot.say(GROUP, user=8, **voice)
    bot.telegram.blocked.add(GROUP)
    assert await asked(bot, recording, voice) == []
    note = await bot.note(GROUP, recording)
    assert note and note.outcome == "unreachable"
    bot.telegram.blocked.clear()
    assert await asked(bot, recording, voice) == ["Hello there."]
