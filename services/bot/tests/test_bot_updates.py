"""What becomes of updates that cannot be carried out as they stand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from updates_harness import BotStage, bot_stage

from whisper_bot.bot import hand_back_s

GROUP = -50


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
