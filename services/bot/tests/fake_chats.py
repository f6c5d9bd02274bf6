"""Telegram's chats: what people do there and what is shown, without any rule of the Bot API.

May be asked from another thread than the server's, so lists are copied before they are walked through.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BOT_ID = 4242


@dataclass(slots=True)
class Shown:
    """A message as the chat shows it."""

    message_id: int
    chat: int
    by_bot: bool
    text: str = ""
    entities: list[dict[str, Any]] = field(default_factory=list)
    document: bytes | None = None
    file_name: str = ""
    caption: str = ""
    reply_to: int | None = None
    markup: dict[str, Any] | None = None
    silent: bool = False
    thread_id: int = 0
    edits: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        return self.document.decode() if self.document is not None else self.text

    def buttons(self) -> dict[str, str]:
        rows = (self.markup or {}).get("inline_keyboard", [])
        return {button["text"]: button["callback_data"] for row in rows for button in row}


class Chats:
    """announce: called when there is a new update."""

    def __init__(self, first_number: int) -> None:
        self.messages: dict[tuple[int, int], Shown] = {}
        self.reactions: dict[tuple[int, int], str] = {}
        self.callback_answers: dict[str, str] = {}
        self.blocked: set[int] = set()
        self.migrated: dict[int, int] = {}
        self.topics: set[tuple[int, int]] = set()
        """Of forums. A thread of replies is none, though its messages name it."""
        self.admins: set[tuple[int, int]] = set()
        self.confirmed = 0
        self.announce: Callable[[], None] = lambda: None
        self._files: dict[str, tuple[bytes, int]] = {}
        self._updates: list[dict[str, Any]] = []
        self._numbers = itertools.count(first_number)
        self._update_numbers = itertools.count(999 + first_number)

    def say(self, chat: int, *, user: int = 0, **content: Any) -> int:
        """A person's message; content as in a Message: text=, voice=, reply_to=… Its id comes back."""
        message_id = next(self._numbers)
        self.messages[chat, message_id] = Shown(message_id, chat, by_bot=False, text=content.get("text", ""))
        self._push({"message": self._message(chat, message_id, user, content)})
        return message_id

    def _message(self, chat: int, message_id: int, user: int, content: dict[str, Any]) -> dict[str, Any]:
        content = dict(content)
        language = content.pop("language_code", "en")
        reply = content.pop("reply", None)
        sender = {"id": user or abs(chat), "is_bot": False, "first_name": "Ann", "language_code": language}
        kind = "private" if chat > 0 else "supergroup"
        message = {"message_id": message_id, "date": 1_700_000_000, "chat": {"id": chat, "type": kind}, "from": sender}
        if reply:
            message["reply_to_message"] = self._message(chat, reply[0], user, reply[1])
        return message | content

    def tap(self, chat: int, message_id: int, data: str, *, user: int = 0, language_code: str = "en") -> str:
        """Taps a button under one of the bot's messages; the callback's id comes back."""
        assert data in self.messages[chat, message_id].buttons().values()
        number = str(next(self._numbers))
        self.callback_answers[number] = ""
        sender = {"id": user or abs(chat), "is_bot": False, "first_name": "Ann", "language_code": language_code}
        under = self._message(chat, message_id, BOT_ID, {"text": "…"})
        query = {"id": number, "from": sender, "message": under, "chat_instance": "1", "data": data}
        self._push({"callback_query": query})
        return number

    def join(self, chat: int) -> None:
        """The bot is added to a group."""
        base = self._message(chat, 0, 77, {})
        member = {"user": {"id": BOT_ID, "is_bot": True, "first_name": "Bot"}}
        change = {"old_chat_member": member | {"status": "left"}, "new_chat_member": member | {"status": "member"}}
        self._push({"my_chat_member": {"chat": base["chat"], "from": base["from"], "date": 1} | change})

    def push_again(self, update: dict[str, Any]) -> None:
        self._updates.append(update)
        self.announce()

    def _push(self, update: dict[str, Any]) -> None:
        self.push_again({"update_id": next(self._update_numbers)} | update)

    def add_file(self, content: bytes, *, file_id: str = "", size_bytes: int | None = None) -> str:
        """size_bytes: what the server says, where the content is smaller for the test's sake."""
        file_id = file_id or f"file-{next(self._numbers)}"
        self._files[file_id] = (content, len(content) if size_bytes is None else size_bytes)
        return file_id

    def voice(self, content: bytes, duration_s: int = 3) -> dict[str, Any]:
        file_id = self.add_file(content)
        return {
            "voice": {
                "file_id": file_id,
                "file_unique_id": f"u{file_id}",
                "duration": duration_s,
                "mime_type": "audio/ogg",
                "file_size": len(content),
            }
        }

    def replies_to(self, chat: int, message_id: int) -> list[Shown]:
        found = [shown for shown in list(self.messages.values()) if shown.chat == chat and shown.reply_to == message_id]
        return sorted(found, key=lambda shown: shown.message_id)

    def by_bot(self, chat: int) -> list[Shown]:
        found = [shown for shown in list(self.messages.values()) if shown.chat == chat and shown.by_bot]
        return sorted(found, key=lambda shown: shown.message_id)

    def waiting(self) -> list[dict[str, Any]]:
        """Updates that have not been confirmed."""
        return [update for update in self._updates if update["update_id"] >= self.confirmed]
