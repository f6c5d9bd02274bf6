"""The only module that talks to Telegram. Its calls are paced, its refusals become a short closed list.

What may be repeated (edits, reactions) is repeated here until Telegram has answered. A new message may not:
Telegram has no idempotency key, so an answer that got lost is `OutcomeUnknown`, and the caller decides.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import aiohttp
import structlog
from aiogram import Bot
from aiogram import exceptions as refusals
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.methods import (
    AnswerCallbackQuery,
    DeleteWebhook,
    EditMessageMedia,
    GetChatMember,
    GetFile,
    GetMe,
    GetUpdates,
    Response,
    SendDocument,
    SetMessageReaction,
    SetMyCommands,
    SetWebhook,
    TelegramMethod,
)
from aiogram.types import (
    BotCommand,
    ReactionTypeEmoji,
)

from whisper_bot import metrics
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
from whisper_bot.methods import Place, edit_of, new_message
from whisper_bot.pacing import Pacing
from whisper_bot.records import ALLOWED_UPDATES

log = structlog.get_logger()
T = TypeVar("T", bound=Any)

REQUEST_TIMEOUT_S = 15
MESSAGE_GONE = ("message to edit not found", "message_id_invalid", "can't be edited", "no text in the message")
"""In small letters, of what Telegram says when a message cannot be edited; the second for some that were deleted."""
UPLOAD_TIMEOUT_S = 120
DOWNLOAD_TIMEOUT_S = 300
POLL_S = 25
MAX_CONNECTIONS = 200
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
DOUBLINGS = 10
"""More than lead to the longest wait; some thousand would be no float any more."""
ADMIN_STATUSES = ("creator", "administrator")


@dataclass(frozen=True, slots=True)
class Clock:
    """Injected, so that minutes of waiting can be tested in seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


def real_clock() -> Clock:
    return Clock(asyncio.get_running_loop().time, asyncio.sleep)


class _Session(AiohttpSession):
    """Leaves results as Telegram wrote them. aiogram's models of them refuse what a newer Telegram adds, and a message
    that was sent would count as not sent."""

    def check_response(self, bot: Bot, method: TelegramMethod[T], status_code: int, content: str) -> Response[T]:
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise refusals.ClientDecodeError("no JSON", error, status_code) from None
        if status_code == HTTPStatus.OK and answer.get("ok"):
            return Response.model_construct(ok=True, result=answer["result"])
        return super().check_response(bot, method, status_code, content)


class Telegram:
    def __init__(
        self,
        token: str,
        api_url: str,
        *,
        clock: Clock,
        local_files: bool = False,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        api = TelegramAPIServer.from_base(api_url, is_local=local_files)
        self._bot = Bot(token, session=_Session(api=api, limit=MAX_CONNECTIONS))
        self._local_files = local_files
        self._request_timeout_s = request_timeout_s
        self.clock = clock
        self._pacing = Pacing()
        # Calls about one chat go one after another, in the order in which they were asked for.
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def close(self) -> None:
        await self._bot.session.close()

    async def updates(self, offset: int) -> list[dict[str, Any]]:
        """Waits for news. With the offset, everything before it is confirmed: Telegram forgets it."""
        method = GetUpdates(offset=offset, timeout=POLL_S, allowed_updates=ALLOWED_UPDATES)
        found: list[dict[str, Any]] = await self._about_no_chat(method, POLL_S + REQUEST_TIMEOUT_S)
        return found

    async def me(self) -> tuple[int, str]:
        """The bot's id and user name."""
        user = await self._about_no_chat(GetMe())
        return int(user["id"]), str(user.get("username", ""))

    async def use_polling(self) -> None:
        await self._about_no_chat(DeleteWebhook(drop_pending_updates=False))

    async def use_webhook(self, url: str, secret: str) -> None:
        await self._about_no_chat(SetWebhook(url=url, secret_token=secret, allowed_updates=ALLOWED_UPDATES))

    async def show_commands(self, commands: dict[str, str], language: str | None) -> None:
        listed = [BotCommand(command=name, description=text) for name, text in commands.items()]
        await self._about_no_chat(SetMyCommands(commands=listed, language_code=language))

    async def send(self, place: Place, answer: TextAnswer | FileAnswer) -> int:
        """The new message's id. Raises OutcomeUnknown, ChatGone, ChatMoved, Refused."""
        sent = await self._deliver(place.chat, new_message(place, answer), is_idempotent=False)
        return int(sent["message_id"])

    async def edit(self, chat: int, message_id: int, answer: TextAnswer | FileAnswer) -> None:
        """Done when this returns, however often Telegram had to be asked. Raises MessageGone, ChatGone, ChatMoved, Refused."""
        await self._deliver(chat, edit_of(chat, message_id, answer), is_idempotent=True)

    async def try_edit(self, chat: int, message_id: int, answer: TextAnswer) -> bool:
        """Progress: dropped when it cannot go now. False: it may still come."""
        return await self._try(chat, edit_of(chat, message_id, answer))

    async def react(self, chat: int, message_id: int, emoji: str) -> None:
        """A nicety: some chats forbid it."""
        method = SetMessageReaction(chat_id=chat, message_id=message_id, reaction=[ReactionTypeEmoji(emoji=emoji)])
        await self._try(chat, method)

    async def _try(self, chat: int, method: TelegramMethod[Any]) -> bool:
        """Once, and only when the chat is neither busy nor paused. False: without an answer, so it may still happen."""
        lock = self._lock(chat)
        if lock.locked() or self._pacing.wait_s(chat, self.clock.now()) > 0:
            return True
        async with lock:
            self._pacing.went(chat, self.clock.now())
            try:
                await self._once(method)
            except TelegramAway:
                return False
            except refusals.TelegramRetryAfter as refusal:
                self._pacing.refused(chat, refusal.retry_after, self.clock.now())
            except refusals.TelegramAPIError as refusal:
                log.debug("a nicety was refused", chat=chat, reason=refusal.message)
        return True

    async def answer_tap(self, tap_id: str, text: str) -> None:
        """Telegram takes it for some seconds after the tap only."""
        try:
            await self._once(AnswerCallbackQuery(callback_query_id=tap_id, text=text))
        except (TelegramAway, refusals.TelegramAPIError):
            log.debug("a tap was not answered")

    async def is_admin(self, chat: int, user: int) -> bool:
        """Raises ChatGone, ChatMoved."""
        try:
            member = await self._deliver(chat, GetChatMember(chat_id=chat, user_id=user), is_idempotent=True)
        except Refused:
            return False
        return member["status"] in ADMIN_STATUSES

    async def download(self, file_id: str, to: Path) -> Path:
        """Where the file lies: `to`, or its place in the local server's folder.

        Raises FileTooBig, FileUnavailable, TelegramAway. No message of theirs has the file's address: it holds the token.
        """
        try:
            file = await self._about_no_chat(GetFile(file_id=file_id))
        except Refused as refusal:
            if "too big" in str(refusal):
                raise FileTooBig from None
            raise FileUnavailable(str(refusal)) from None
        if "file_path" not in file:
            raise FileUnavailable("no file path")
        if self._local_files:
            return Path(file["file_path"])
        try:
            await self._bot.download_file(file["file_path"], to, timeout=DOWNLOAD_TIMEOUT_S)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TelegramAway(f"download: {type(error).__name__}") from None
        return to

    async def _about_no_chat(self, method: TelegramMethod[Any], timeout_s: float | None = None) -> Any:
        """Again when Telegram asks for a pause. Raises TelegramAway and Refused."""
        while True:
            try:
                return await self._once(method, timeout_s)
            except refusals.TelegramRetryAfter as refusal:
                log.warning(
                    "telegram asks for a pause", method=method.__api_method__, retry_after_s=refusal.retry_after
                )
                metrics.PAUSES.inc()
                await self.clock.sleep(refusal.retry_after)
            except refusals.TelegramBadRequest as refusal:
                raise Refused(refusal.message) from None
            except refusals.TelegramAPIError as refusal:
                raise TelegramAway(type(refusal).__name__) from None

    async def _deliver(self, chat: int, method: TelegramMethod[Any], *, is_idempotent: bool) -> Any:
        """In the chat's order, at its pace, again after 429 and, if it may be repeated, after silence."""
        async with self._lock(chat):
            failures = 0
            while True:
                await self._await_turn(chat)
                try:
                    return await self._once(method)
                except refusals.TelegramRetryAfter as refusal:
                    log.warning("telegram asks for a pause", chat=chat, retry_after_s=refusal.retry_after)
                    metrics.PAUSES.inc()
                    self._pacing.refused(chat, refusal.retry_after, self.clock.now())
                except TelegramAway as problem:
                    if not is_idempotent:
                        raise OutcomeUnknown from None
                    failures += 1
                    log.warning("telegram is away", chat=chat, reason=str(problem), failures=failures)
                    await self.clock.sleep(backoff_s(failures))
                except refusals.TelegramAPIError as refusal:
                    if (result := _settled(refusal)) is not None:
                        raise result from None
                    return True  # not modified: it is there already

    def _lock(self, chat: int) -> asyncio.Lock:
        return self._locks.setdefault(chat, asyncio.Lock())

    async def _await_turn(self, chat: int) -> None:
        while wait_s := self._pacing.wait_s(chat, self.clock.now()):
            await self.clock.sleep(wait_s)
        self._pacing.went(chat, self.clock.now())

    async def _once(self, method: TelegramMethod[Any], timeout_s: float | None = None) -> Any:
        is_upload = isinstance(method, EditMessageMedia | SendDocument)
        timeout_s = timeout_s or (UPLOAD_TIMEOUT_S if is_upload else self._request_timeout_s)
        try:
            with metrics.TELEGRAM_CALLS.labels(method.__api_method__).time():
                return await self._bot(method, request_timeout=timeout_s)  # type: ignore[arg-type]  # handed to aiohttp
        except refusals.TelegramConflictError:
            raise AnotherPoller from None
        except refusals.TelegramUnauthorizedError:
            raise TokenRefused("the token is wrong or revoked") from None
        except (refusals.TelegramServerError, refusals.ClientDecodeError) as error:
            raise TelegramAway(type(error).__name__) from None
        except refusals.TelegramEntityTooLarge:
            raise
        except refusals.TelegramNetworkError as error:
            raise TelegramAway(type(error).__name__) from None


def backoff_s(failures: int) -> float:
    """failures: from 1. Full jitter, so that chats that waited together do not come together."""
    return random.uniform(0, min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures, DOUBLINGS)))  # noqa: S311


def _settled(refusal: refusals.TelegramAPIError) -> Exception | None:
    """What a final refusal means to us; None = what was asked for is so already."""
    words = refusal.message.lower()
    if isinstance(refusal, refusals.TelegramMigrateToChat):
        return ChatMoved(refusal.migrate_to_chat_id)
    if isinstance(refusal, refusals.TelegramForbiddenError) or "chat not found" in words:
        return ChatGone(refusal.message)
    if "message is not modified" in words:
        return None
    if any(said in words for said in MESSAGE_GONE):
        return MessageGone(refusal.message)
    return Refused(refusal.message)
