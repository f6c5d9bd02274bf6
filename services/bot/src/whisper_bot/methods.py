"""What a message or an edit is in the Bot API's words. Nothing here is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiogram.methods import EditMessageMedia, EditMessageText, SendDocument, SendMessage, TelegramMethod
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    MessageEntity,
    ReplyParameters,
)

from whisper_bot.answers import Button, FileAnswer, TextAnswer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new message goes."""

    chat: int
    reply_to: int | None = None
    thread_id: int | None = None
    silent: bool = False


def new_message(place: Place, answer: TextAnswer | FileAnswer) -> SendMessage | SendDocument:
    where: dict[str, Any] = {
        "chat_id": place.chat,
        "reply_parameters": _reply(place),
        "message_thread_id": place.thread_id,
        "disable_notification": place.silent or None,
        "reply_markup": _markup(answer.buttons),
    }
    if isinstance(answer, TextAnswer):
        return SendMessage(text=answer.text, entities=_entities(answer), **where)
    document = BufferedInputFile(answer.content, answer.file_name)
    return SendDocument(document=document, caption=answer.caption or None, **where)


def edit_of(chat: int, message_id: int, answer: TextAnswer | FileAnswer) -> TelegramMethod[Any]:
    markup = _markup(answer.buttons)
    if isinstance(answer, TextAnswer):
        return EditMessageText(
            chat_id=chat, message_id=message_id, text=answer.text, entities=_entities(answer), reply_markup=markup
        )
    media = InputMediaDocument(
        media=BufferedInputFile(answer.content, answer.file_name), caption=answer.caption or None
    )
    return EditMessageMedia(chat_id=chat, message_id=message_id, media=media, reply_markup=markup)


def _entities(answer: TextAnswer) -> list[MessageEntity] | None:
    if not answer.is_quote:
        return None
    return [MessageEntity(type="expandable_blockquote", offset=0, length=answer.units)]


def _markup(buttons: tuple[Button, ...]) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    row = [InlineKeyboardButton(text=button.text, callback_data=button.data) for button in buttons]
    return InlineKeyboardMarkup(inline_keyboard=[row])


def _reply(place: Place) -> ReplyParameters | None:
    if place.reply_to is None:
        return None
    return ReplyParameters(message_id=place.reply_to, allow_sending_without_reply=True)
