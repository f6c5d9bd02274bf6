"""The sender against the strict stand-in: what is repeated, what is not, and what becomes of refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bot_harness import TOKEN
from fake_telegram import FakeTelegram, Fault

from whisper_bot.answers import FileAnswer, TextAnswer
from whisper_bot.errors import (
    AnotherPoller,
    ChatGone,
    ChatMoved,
    FileTooBig,
    FileUnavailable,
    MessageGone,
    OutcomeUnknown,
    Refused,
    TelegramAway,
    TokenRefused,
)
from whisper_bot.methods import Place
from whisper_bot.telegram import LONGEST_BACKOFF_S, Clock, Telegram, backoff_s

SCALE = 0.01


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    fake = FakeTelegram(TOKEN, clock_scale=SCALE)
    await fake.start()
    yield fake
    await fake.stop()


def fast_clock() -> Clock:
    loop = asyncio.get_running_loop()
    return Clock(lambda: loop.time() / SCALE, lambda delay_s: asyncio.sleep(delay_s * SCALE))


@pytest.fixture
async def telegram(fake: FakeTelegram) -> AsyncIterator[Telegram]:
    telegram = Telegram(TOKEN, fake.url, clock=fast_clock())
    yield telegram
    await telegram.close()


def faults(fake: FakeTelegram, *wanted: Fault) -> None:
    """For the next calls, one each."""
    left = list(wanted)
    fake.decide_fault = lambda _, __: left.pop(0) if left else None


async def test_an_edit_is_repeated_until_it_is_there(fake: FakeTelegram, telegram: Telegram) -> None:
    message = await telegram.send(Place(1), TextAnswer("wait …"))
    faults(fake, Fault(0), Fault(500), Fault(429, retry_after_s=20), Fault(0, applied=True))
    await telegram.edit(1, message, TextAnswer("done"))
    assert fake.messages[1, message].text == "done"
    assert [method for method, _ in fake.calls].count("editMessageText") == 5
    assert fake.too_early == []


@pytest.mark.parametrize("fault", [Fault(0), Fault(0, applied=True), Fault(500), Fault(502, applied=True)])
async def test_a_new_message_whose_answer_is_lost_is_not_sent_again(
    fake: FakeTelegram, telegram: Telegram, fault: Fault
) -> None:
    faults(fake, fault)
    with pytest.raises(OutcomeUnknown):
        await telegram.send(Place(1), TextAnswer("hello"))
    assert len(fake.calls) == 1


async def test_a_new_message_that_has_to_wait_is_sent_when_it_may(fake: FakeTelegram, telegram: Telegram) -> None:
    faults(fake, Fault(429, retry_after_s=30))
    started = asyncio.get_running_loop().time()
    await telegram.send(Place(1), TextAnswer("hello"))
    assert asyncio.get_running_loop().time() - started >= 30 * SCALE
    assert fake.too_early == []


async def test_a_text_becomes_a_file_in_its_place(fake: FakeTelegram, telegram: Telegram) -> None:
    message = await telegram.send(Place(1), TextAnswer("wait …"))
    await telegram.edit(1, message, FileAnswer("a.txt", "длинно".encode(), "caption"))
    shown = fake.messages[1, message]
    assert (shown.words, shown.file_name, shown.caption) == ("длинно", "a.txt", "caption")
    with pytest.raises(MessageGone):
        await telegram.edit(1, message, TextAnswer("text again"))


async def test_the_chats_calls_keep_their_order(fake: FakeTelegram, telegram: Telegram) -> None:
    faults(fake, Fault(429, retry_after_s=5))
    await asyncio.gather(*(telegram.send(Place(1), TextAnswer(str(number))) for number in range(8)))
    assert [shown.text for shown in fake.by_bot(1)] == [str(number) for number in range(8)]


async def test_refusals_have_names(fake: FakeTelegram, telegram: Telegram) -> None:
    fake.blocked.add(2)
    fake.migrated[-3] = -1003
    for chat, expected in ((2, ChatGone), (-3, ChatMoved)):
        with pytest.raises(expected):
            await telegram.send(Place(chat), TextAnswer("hello"))
    with pytest.raises(MessageGone):
        await telegram.edit(1, 999, TextAnswer("hello"))
    with pytest.raises(Refused):
        await telegram.send(Place(1), TextAnswer("a" * 4097))


def test_however_often_it_failed_there_is_a_wait_before_the_next_call() -> None:
    assert all(0 <= backoff_s(failures) <= LONGEST_BACKOFF_S for failures in (1, 100, 1_024, 100_000))


async def test_a_reply_to_a_deleted_message_is_sent_without_it(fake: FakeTelegram, telegram: Telegram) -> None:
    message = await telegram.send(Place(1, reply_to=12345), TextAnswer("hello"))
    assert fake.messages[1, message].reply_to is None


async def test_progress_is_dropped_while_its_chat_is_paused(fake: FakeTelegram, telegram: Telegram) -> None:
    message = await telegram.send(Place(1), TextAnswer("wait …"))
    faults(fake, Fault(429, retry_after_s=3000))
    assert await telegram.try_edit(1, message, TextAnswer("1 %"))
    calls = len(fake.calls)
    assert await telegram.try_edit(1, message, TextAnswer("2 %"))
    assert len(fake.calls) == calls
    assert fake.messages[1, message].text == "wait …"


async def test_progress_without_an_answer_may_still_come(fake: FakeTelegram, telegram: Telegram) -> None:
    message = await telegram.send(Place(1), TextAnswer("wait …"))
    faults(fake, Fault(0, applied=True))
    assert not await telegram.try_edit(1, message, TextAnswer("1 %"))


async def test_files_come_whole_or_not_at_all(fake: FakeTelegram, telegram: Telegram, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    path = await telegram.download(fake.add_file(content), tmp_path / "a")
    assert path.read_bytes() == content
    with pytest.raises(FileTooBig):
        await telegram.download(fake.add_file(b"x", size_bytes=(20 << 20) + 1), tmp_path / "b")
    with pytest.raises(FileUnavailable):
        await telegram.download("never-there", tmp_path / "c")
    faults(fake, Fault(500))
    with pytest.raises(TelegramAway):
        await telegram.download(fake.add_file(content), tmp_path / "d")


@pytest.mark.parametrize("method", ["getFile", "getUpdates", "getMe"])
async def test_a_pause_for_calls_about_no_chat_is_kept_to_the_second(
    fake: FakeTelegram, telegram: Telegram, tmp_path: Path, method: str
) -> None:
    content = fake.add_file(b"content")
    fake.say(1, text="hello")
    asked: list[float] = []

    def once(called: str, _: dict[str, Any]) -> Fault | None:
        if called != method:
            return None
        asked.append(asyncio.get_running_loop().time())
        return Fault(429, retry_after_s=20) if len(asked) == 1 else None

    fake.decide_fault = once
    if method == "getFile":
        assert (await telegram.download(content, tmp_path / "a")).read_bytes() == b"content"
    else:
        assert await (telegram.updates(0) if method == "getUpdates" else telegram.me())
    assert len(asked) == 2 and asked[1] - asked[0] >= 20 * SCALE


@pytest.mark.parametrize(("status", "case"), [(400, Refused), (403, TelegramAway), (404, TelegramAway)])
async def test_a_refused_poll_is_one_of_the_known_cases(
    fake: FakeTelegram, telegram: Telegram, status: int, case: type[Exception]
) -> None:
    fake.say(1, text="hello")
    faults(fake, Fault(status, description="something new"))
    with pytest.raises(case):
        await telegram.updates(0)


async def test_a_failed_download_says_nothing_of_the_address(
    fake: FakeTelegram, telegram: Telegram, tmp_path: Path
) -> None:
    fake.decide_fault = lambda method, _: Fault(502) if method == "download" else None
    with pytest.raises(TelegramAway) as caught:
        await telegram.download(fake.add_file(b"content"), tmp_path / "a")
    assert TOKEN not in str(caught.value) and caught.value.__suppress_context__


async def test_a_local_server_names_the_file_in_its_folder(fake: FakeTelegram, tmp_path: Path) -> None:
    telegram = Telegram(TOKEN, fake.url, clock=fast_clock(), local_files=True)
    try:
        path = await telegram.download(fake.add_file(b"content", file_id="abs"), tmp_path / "a")
    finally:
        await telegram.close()
    assert path == Path("voice/abs") and not (tmp_path / "a").exists()


async def test_a_result_with_fields_of_a_newer_telegram_is_read(fake: FakeTelegram, telegram: Telegram) -> None:
    keep = fake._keep

    def newer(shown: Any) -> dict[str, Any]:
        return keep(shown) | {"date": "tomorrow", "chat": {"id": "new", "type": "hologram"}}

    fake._keep = newer  # type: ignore[method-assign]
    assert await telegram.send(Place(1), TextAnswer("hello")) > 0
    assert len(fake.calls) == 1


async def test_a_wrong_token_and_a_second_poller_are_told_apart(fake: FakeTelegram) -> None:
    stranger = Telegram("1:wrong", fake.url, clock=fast_clock())
    first, second = (Telegram(TOKEN, fake.url, clock=fast_clock()) for _ in range(2))
    try:
        with pytest.raises(TokenRefused):
            await stranger.me()
        polling = asyncio.create_task(first.updates(0))
        while not fake._poll:  # noqa: ASYNC110  another task's doing
            await asyncio.sleep(0.01)
        taking_over = asyncio.create_task(second.updates(0))
        with pytest.raises(AnotherPoller):
            await polling
        taking_over.cancel()
        await asyncio.gather(taking_over, return_exceptions=True)
    finally:
        for each in (stranger, first, second):
            await each.close()
