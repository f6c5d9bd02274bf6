"""The Bot API's methods: each refuses what Telegram refuses, with Telegram's words."""

from __future__ import annotations

from typing import Any

from fake_chats import BOT_ID, Chats, Shown

MAX_TEXT_UNITS = 4096
MAX_CAPTION_UNITS = 1024
MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
MAX_DOCUMENT_BYTES = 50 * 1024 * 1024
MAX_CALLBACK_DATA_BYTES = 64
ENTITY_TYPES = ("bold", "italic", "code", "pre", "blockquote", "expandable_blockquote", "text_link")
REACTIONS = ("👍", "👎", "👀", "🔥", "👌", "✍")

Params = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        self.body = {"ok": False, "error_code": status, "description": description}
        if parameters:
            self.body["parameters"] = parameters
        self.status = status
        super().__init__(description)


class BotApi(Chats):
    """A method `doThis` is `_do_this` here."""

    def __init__(self, first_number: int) -> None:
        super().__init__(first_number)
        self.webhook: dict[str, str] | None = None
        self.gone = "message to edit not found"
        """What a deleted message is called; Telegram has two names for it."""

    def _get_me(self, _: Params) -> dict[str, Any]:
        return {"id": BOT_ID, "is_bot": True, "first_name": "Scribe", "username": "scribe_bot"}

    def _set_my_commands(self, params: Params) -> bool:
        if not all(1 <= len(c["description"]) <= 256 for c in params["commands"]):
            raise Refused(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        return True

    def _set_webhook(self, params: Params) -> bool:
        self.webhook = {"url": params["url"], "secret_token": params.get("secret_token", "")}
        return True

    def _delete_webhook(self, params: Params) -> bool:
        assert str(params.get("drop_pending_updates", "false")).lower() == "false", "messages would be lost"
        self.webhook = None
        return True

    def _get_file(self, params: Params) -> dict[str, Any]:
        if params["file_id"] not in self._files:
            raise Refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        if self._files[params["file_id"]][1] > MAX_DOWNLOAD_BYTES:
            raise Refused(400, "Bad Request: file is too big")
        file_id = params["file_id"]
        size = self._files[file_id][1]
        return {"file_id": file_id, "file_unique_id": "u", "file_size": size, "file_path": f"voice/{file_id}"}

    def _get_chat_member(self, params: Params) -> dict[str, Any]:
        chat, user = self._chat(params), int(params["user_id"])
        status = "administrator" if (chat, user) in self.admins else "member"
        return {"status": status, "user": {"id": user, "is_bot": False, "first_name": "Ann"}}

    def _chat(self, params: Params) -> int:
        chat = int(params["chat_id"])
        if chat in self.blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        if chat in self.migrated:
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refused(400, description, migrate_to_chat_id=self.migrated[chat])
        return chat

    def _new_message(self, params: Params) -> Shown:
        chat = self._chat(params)
        reply = params.get("reply_parameters") or {}
        reply_to = reply.get("message_id")
        if reply_to and (chat, reply_to) not in self.messages:
            if not reply.get("allow_sending_without_reply"):
                raise Refused(400, "Bad Request: message to be replied not found")
            reply_to = None
        thread_id = int(params.get("message_thread_id", 0))
        if thread_id and (chat, thread_id) not in self.topics:
            raise Refused(400, "Bad Request: message thread not found")
        silent = str(params.get("disable_notification", "false")).lower() == "true"
        shown = Shown(next(self._numbers), chat, by_bot=True, reply_to=reply_to, silent=silent, thread_id=thread_id)
        shown.markup = _checked_markup(params)
        return shown

    def _keep(self, shown: Shown) -> dict[str, Any]:
        self.messages[shown.chat, shown.message_id] = shown
        kind = "private" if shown.chat > 0 else "supergroup"
        return {"message_id": shown.message_id, "date": 1, "chat": {"id": shown.chat, "type": kind}, "text": shown.text}

    def _send_message(self, params: Params) -> dict[str, Any]:
        shown = self._new_message(params)
        shown.text, shown.entities = _checked_text(params)
        return self._keep(shown)

    def _send_document(self, params: Params) -> dict[str, Any]:
        shown = self._new_message(params)
        shown.file_name, shown.document = _document(params["document"], params)
        shown.caption = _checked_caption(params.get("caption", ""))
        return self._keep(shown)

    def _own(self, params: Params) -> Shown:
        shown = self.messages.get((self._chat(params), int(params["message_id"])))
        if shown is None:
            raise Refused(400, f"Bad Request: {self.gone}")
        if not shown.by_bot:
            raise Refused(400, "Bad Request: message can't be edited")
        return shown

    def _edit_message_text(self, params: Params) -> dict[str, Any]:
        shown = self._own(params)
        if shown.document is not None:
            raise Refused(400, "Bad Request: there is no text in the message to edit")
        text, entities = _checked_text(params)
        markup = _checked_markup(params)
        if (text, entities, markup) == (shown.text, shown.entities, shown.markup):
            raise Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message",
            )
        shown.edits.append(shown.text)
        shown.text, shown.entities, shown.markup = text, entities, markup
        return self._keep(shown)

    def _edit_message_media(self, params: Params) -> dict[str, Any]:
        shown = self._own(params)
        media = params["media"]
        assert media["type"] == "document"
        shown.edits.append(shown.text)
        shown.file_name, shown.document = _document(media["media"], params)
        shown.caption = _checked_caption(media.get("caption", ""))
        shown.text, shown.entities, shown.markup = "", [], _checked_markup(params)
        return self._keep(shown)

    def _delete_message(self, params: Params) -> bool:
        self.messages.pop((self._chat(params), self._own(params).message_id))
        return True

    def _set_message_reaction(self, params: Params) -> bool:
        chat, message_id = self._chat(params), int(params["message_id"])
        (reaction,) = params["reaction"]
        if reaction["emoji"] not in REACTIONS:
            raise Refused(400, "Bad Request: REACTION_INVALID")
        if (chat, message_id) not in self.messages:
            raise Refused(400, "Bad Request: message to react not found")
        self.reactions[chat, message_id] = reaction["emoji"]
        return True

    def _send_chat_action(self, params: Params) -> bool:
        self._chat(params)
        return True

    def _answer_callback_query(self, params: Params) -> bool:
        number = params["callback_query_id"]
        if number not in self.callback_answers:
            raise Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        text = params.get("text", "")
        if utf16_units(text) > 200:
            raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
        self.callback_answers[number] = text
        return True


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _checked_text(params: Params) -> tuple[str, list[dict[str, Any]]]:
    text = params.get("text", "")
    if not text.strip():
        raise Refused(400, "Bad Request: message text is empty")
    if utf16_units(text) > MAX_TEXT_UNITS:
        raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
    entities = params.get("entities") or []
    for entity in entities:
        inside = entity["offset"] >= 0 and 0 < entity["length"] <= utf16_units(text) - entity["offset"]
        if entity["type"] not in ENTITY_TYPES or not inside:
            raise Refused(400, "Bad Request: ENTITY_BOUNDS_INVALID")
    return text.strip(), entities


def _checked_caption(caption: str) -> str:
    if utf16_units(caption) > MAX_CAPTION_UNITS:
        raise Refused(400, "Bad Request: message caption is too long")
    return caption


def _checked_markup(params: Params) -> dict[str, Any] | None:
    markup: dict[str, Any] | None = params.get("reply_markup")
    for row in (markup or {}).get("inline_keyboard", []):
        for button in row:
            if not button["text"] or not 1 <= len(button["callback_data"].encode()) <= MAX_CALLBACK_DATA_BYTES:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
    return markup if markup and any(markup["inline_keyboard"]) else None


def _document(reference: Any, params: Params) -> tuple[str, bytes]:
    if isinstance(reference, str):
        reference = params.get(reference.removeprefix("attach://"))
    if not isinstance(reference, tuple):
        raise Refused(400, "Bad Request: wrong remote file identifier specified")
    name, content = reference
    if not content:
        raise Refused(400, "Bad Request: file must be non-empty")
    if len(content) > MAX_DOCUMENT_BYTES:
        raise Refused(413, "Request Entity Too Large")
    return name, content
