"""A recording that is sent on one day and answered on the next counts on the first alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gateway_harness import until
from updates_harness import BotStage, bot_stage

import whisper_bot.quota

MEASURED_S = 10.0


@pytest.fixture
async def bot(nats_url: str) -> AsyncIterator[BotStage]:
    async with bot_stage(nats_url, bot_minutes_per_day=10) as bot:
        yield bot


@pytest.mark.parametrize(("kind", "user", "seconds"), [("voice", 80, 3.0), ("document", 81, MEASURED_S)])
async def test_a_recording_counts_on_the_day_it_was_sent(
    bot: BotStage, monkeypatch: pytest.MonkeyPatch, kind: str, user: int, seconds: float
) -> None:
    content = bot.telegram.voice(b"a recording")["voice"]
    if kind == "document":
        del content["duration"]
    monkeypatch.setattr(whisper_bot.quota, "_today", lambda: "2026-12-31")
    bot.stage.stand_in.after_plan.clear()
    bot.telegram.say(user, **{kind: content})
    await until(lambda: bool(bot.stage.stand_in.seen))
    monkeypatch.setattr(whisper_bot.quota, "_today", lambda: "2027-01-01")
    bot.stage.stand_in.after_plan.set()
    await bot.settled(user)
    days = [await bot.store.usage(user, day) for day in ("2026-12-31", "2027-01-01")]
    assert [sum(day.record.seconds.values()) for day in days] == [seconds, 0.0]
