"""A recording that is sent on one day and answered on the next counts on the first alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_harness import NatsServer, prepare, until
from updates_harness import BotStage, bot_stage

import whisper_bot.quota

USER = 80
MEASURED_S = 10.0


@pytest.fixture
async def bot(tmp_path: Any) -> AsyncIterator[BotStage]:
    nats = NatsServer(tmp_path)
    nats.start()
    try:
        await prepare(nats.url)
        async with bot_stage(nats.url, bot_minutes_per_day=10) as bot:
            yield bot
    finally:
        nats.kill()


@pytest.mark.parametrize(("kind", "seconds"), [("voice", 3.0), ("document", MEASURED_S)])
async def test_a_recording_counts_on_the_day_it_was_sent(
    bot: BotStage, monkeypatch: pytest.MonkeyPatch, kind: str, seconds: float
) -> None:
    content = bot.telegram.voice(b"a recording")["voice"]
    if kind == "document":
        del content["duration"]
    monkeypatch.setattr(whisper_bot.quota, "_today", lambda: "2026-12-31")
    bot.stage.stand_in.after_plan.clear()
    bot.telegram.say(USER, **{kind: content})
    await until(lambda: bool(bot.stage.stand_in.seen))
    monkeypatch.setattr(whisper_bot.quota, "_today", lambda: "2027-01-01")
    bot.stage.stand_in.after_plan.set()
    await bot.settled(USER)
    days = [await bot.store.usage(USER, day) for day in ("2026-12-31", "2027-01-01")]
    assert [day.record.total_s for day in days] == [seconds, 0.0]
