"""What becomes of updates that cannot be carried out as they stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_harness import until
from journal_harness import BehindAtFirst
from updates_harness import BotStage, bot_stage

from whisper_bot.bot import hand_back_s
from whisper_bot.records import ChatSettings
from whisper_bot.store import RECORDS_STREAM, UPDATES_STREAM, Store

GROUP = -50
PERSON = 51


@pytest.fixture
async def bot(nats_url: str) -> AsyncIterator[BotStage]:
    async with bot_stage(nats_url) as bot:
        yield bot


async def test_a_command_of_a_group_that_threw_the_bot_out_is_let_go(bot: BotStage) -> None:
    bot.telegram.blocked.add(GROUP)
    await bot.say(GROUP, user=8, text="/auto")
    assert not bot.telegram.by_bot(GROUP)
    assert not (await bot.store.chat_settings(GROUP)).record.automatic


async def test_whether_somebody_is_an_admin_is_asked_where_the_group_has_moved(bot: BotStage) -> None:
    bot.telegram.migrated[GROUP] = -1050
    bot.telegram.admins.add((-1050, 8))
    await bot.say(GROUP, user=8, text="/delete")
    assert "Erased" in bot.telegram.by_bot(-1050)[0].text
    await bot.say(GROUP, user=9, text="/delete")
    assert "Only an admin" in bot.telegram.by_bot(-1050)[1].text


async def test_a_thread_of_replies_is_no_topic_to_answer_in(bot: BotStage) -> None:
    """Every reply in a supergroup names its thread; to send into one that is no topic is refused."""
    first = bot.telegram.say(GROUP, user=8, text="hello")
    message = await bot.say(GROUP, user=8, text="/help", message_thread_id=first)
    assert bot.said_to(GROUP, message).thread_id == 0


async def test_a_command_in_a_topic_is_answered_in_the_topic(bot: BotStage) -> None:
    bot.telegram.topics.add((GROUP, 3))
    message = await bot.say(GROUP, user=8, text="/help", message_thread_id=3, is_topic_message=True)
    assert bot.said_to(GROUP, message).thread_id == 3


def test_an_update_that_always_fails_comes_back_ever_later_up_to_a_limit() -> None:
    assert [hand_back_s(deliveries) for deliveries in (1, 2, 9, 10, 1_024, 100_000)] == [2, 4, 512, 600, 600, 600]


@pytest.mark.parametrize("gone", ["message to edit not found", "MESSAGE_ID_INVALID"])
async def test_a_status_message_that_somebody_deleted_is_replaced(bot: BotStage, gone: str) -> None:
    bot.telegram.gone = gone
    bot.stage.stand_in.after_plan.clear()
    message = bot.telegram.say(PERSON, **bot.telegram.voice(b"a recording"))
    await until(lambda: bool(bot.stage.stand_in.seen))
    status = bot.said_to(PERSON, message)
    del bot.telegram.messages[PERSON, status.message_id]
    bot.stage.stand_in.after_plan.set()
    await bot.settled(PERSON)
    assert bot.said_to(PERSON, message).text == "Hello there."


async def test_a_bot_whose_places_are_all_taken_stops_at_once(nats_url: str) -> None:
    async with asyncio.timeout(30), bot_stage(nats_url, bot_open_messages=1) as bot:
        bot.stage.stand_in.after_plan.clear()
        bot.telegram.say(PERSON, **bot.telegram.voice(b"a recording"))
        await until(lambda: bool(bot.stage.stand_in.seen))


async def test_a_record_that_cannot_be_read_costs_no_recording(bot: BotStage) -> None:
    """A newer version may have written it, before it was taken back."""
    subject = "telegram.chats.77"
    await bot.stage.jetstream.publish(subject, b'{"answer_format": "hologram"}')
    bot.telegram.say(77, **bot.telegram.voice(b"OggS audio"))
    await handed_back(bot)
    await bot.stage.jetstream.publish(subject, ChatSettings().encode())
    await bot.settled(77)
    assert "Hello there." in [shown.text for shown in bot.telegram.by_bot(77)]


async def handed_back(bot: BotStage) -> None:
    async with asyncio.timeout(60):
        while not (await updates_consumer(bot))["num_redelivered"]:  # noqa: ASYNC110  NATS has nothing to wait for
            await asyncio.sleep(0.05)


async def updates_consumer(bot: BotStage) -> dict[str, Any]:
    (name,) = (await bot.stage.jetstream.api(f"CONSUMER.NAMES.{UPDATES_STREAM}"))["consumers"]
    return await bot.stage.jetstream.api(f"CONSUMER.INFO.{UPDATES_STREAM}.{name}")


async def test_a_note_is_kept_until_it_has_its_answer_and_then_for_a_time(bot: BotStage) -> None:
    bot.stage.stand_in.after_plan.clear()
    message = bot.telegram.say(78, **bot.telegram.voice(b"OggS audio"))
    await until(lambda: bool(bot.stage.stand_in.seen))
    assert await ttl_of(bot, message) is None
    bot.stage.stand_in.after_plan.set()
    await bot.settled(78)
    assert await ttl_of(bot, message) == "3600s"


async def test_a_replica_that_is_behind_makes_no_note_unknown(bot: BotStage) -> None:
    """The update would be let go of, since there is nothing to be answered."""
    message = await bot.say(79, **bot.telegram.voice(b"OggS audio"))
    behind = BehindAtFirst(bot.stage.jetstream, f"telegram.notes.79.{message}")
    kept = await Store(behind, 1, 3600).note(f"79.{message}")
    assert kept and kept.record.outcome == "answered"


async def ttl_of(bot: BotStage, message: int) -> str | None:
    stored = await bot.stage.jetstream.get_last(RECORDS_STREAM, f"telegram.notes.78.{message}")
    assert stored
    return stored.headers.get("Nats-TTL")
