"""What the bot remembers, and the part of Telegram's updates that it reads.

Of an update only these fields are stored: no names, and a text only if it is a command.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from whisper_contracts.messages import Message

AnswerFormat = Literal["text", "messages", "txt", "srt"]
MAX_SUFFIX_CHARACTERS = 10
Outcome = Literal["answered", "failed", "unreachable"]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Chat(_Read):
    id: int
    type: str = "private"

    @property
    def is_private(self) -> bool:
        return self.type == "private"

    @property
    def is_group(self) -> bool:
        return self.type in ("group", "supergroup")


class Person(_Read):
    id: int
    is_bot: bool = False
    language_code: str = ""


PRIVATE_SERVICES = frozenset(
    "pinned_message message_auto_delete_timer_changed chat_background_set write_access_allowed users_shared chat_shared "
    "connected_website proximity_alert_triggered successful_payment refunded_payment gift unique_gift".split()
)


class File(_Read):
    """A voice, audio, video, video note, document or animation, as far as the bot cares."""

    file_id: str
    suffix: str = Field(default="", alias="file_name")
    """Of its name, which is not kept: `.opus`."""
    mime_type: str = ""
    file_size: int = 0
    duration: float = 0.0

    @field_validator("suffix", mode="before")
    @classmethod
    def _only_suffix(cls, name: Any) -> Any:
        _, dot, suffix = str(name).rpartition(".")
        return (dot + suffix.lower())[:MAX_SUFFIX_CHARACTERS] if dot else ""


class Post(_Read):
    """A message."""

    message_id: int
    chat: Chat
    from_: Person | None = Field(default=None, alias="from")
    sender_chat: Chat | None = None
    message_thread_id: int | None = None
    is_topic_message: bool = False
    text: str = ""
    voice: File | None = None
    audio: File | None = None
    video: File | None = None
    video_note: File | None = None
    document: File | None = None
    animation: File | None = None
    sticker: File | None = None
    photo: bool = False
    migrate_to_chat_id: int | None = None
    is_service: bool = False
    """Telegram tells in it what happened in a private chat; nobody said anything."""
    reply_to_message: Post | None = None

    @property
    def sender_id(self) -> int:
        """Who sends in a chat's name has a `from` that all such senders share."""
        return (self.sender_chat or self.from_ or self.chat).id

    @property
    def topic_id(self) -> int | None:
        """Where an answer may go. A thread of replies has an id as well, and nothing can be sent into it."""
        return self.message_thread_id if self.is_topic_message else None

    @property
    def replied_to(self) -> Post | None:
        """Of a topic's messages, those that reply to nothing are sent as replies to its opening."""
        replied = self.reply_to_message
        return None if replied and replied.message_id == self.topic_id else replied

    @model_validator(mode="before")
    @classmethod
    def _whether_service(cls, message: Any) -> Any:
        happened = isinstance(message, dict) and not PRIVATE_SERVICES.isdisjoint(message)
        return message | {"is_service": True} if happened else message

    @field_validator("text", mode="before")
    @classmethod
    def _only_commands(cls, text: Any) -> Any:
        return text if isinstance(text, str) and text.startswith("/") else ""

    @field_validator("photo", mode="before")
    @classmethod
    def _whether(cls, photo: Any) -> bool:
        return bool(photo)


class Tap(_Read):
    """A callback query: somebody tapped a button."""

    id: str
    from_: Person = Field(alias="from")
    message: Post | None = None
    data: str = ""


class Member(_Read):
    status: str


class Membership(_Read):
    chat: Chat
    from_: Person = Field(alias="from")
    old_chat_member: Member
    new_chat_member: Member


class Update(_Read):
    update_id: int
    message: Post | None = None
    callback_query: Tap | None = None
    my_chat_member: Membership | None = None

    @property
    def chat(self) -> int:
        """0 when it belongs to none."""
        if self.message:
            return self.message.chat.id
        if self.callback_query and self.callback_query.message:
            return self.callback_query.message.chat.id
        return self.my_chat_member.chat.id if self.my_chat_member else 0

    def encode(self) -> bytes:
        return self.model_dump_json(by_alias=True, exclude_defaults=True).encode()


ALLOWED_UPDATES = ["message", "callback_query", "my_chat_member"]


def note_key(chat: int, message_id: int) -> str:
    return f"{chat}.{message_id}"


class ChatSettings(Message):
    """What a chat has chosen."""

    spoken: str | None = None
    """Language of the recordings, ISO-639-1; None = detect."""
    answer_format: AnswerFormat = "text"
    silent: bool = False
    automatic: bool = False
    """In a group: every recording is transcribed, without being asked."""
    changed_by: int = 0
    """The update that changed them last: delivered again, it does not undo itself."""


class Note(Message):
    """One recording on its way from Telegram to an answer, or one reply to a command or a tap."""

    chat: int
    message_id: int
    tap: str = ""
    """Id of the callback query that this answers, about the recording `message_id`; "" = the message itself."""
    user: int
    reads: str
    """Language of the sentences, as in the catalogue."""
    file: File | None = None
    counts_on: str = ""
    """Day whose minutes it uses up, though it may be answered on a later one; "" = today."""
    spoken: str | None = None
    answer_format: AnswerFormat = "text"
    silent: bool = False
    thread_id: int | None = None

    status_id: int | None = None
    """The bot's message that becomes the answer. An edit of it is idempotent; a new message is not."""
    sends: int = 0
    """New messages begun, written before each: those without an id here may stand in the chat unknown to us."""
    parts: tuple[int, ...] = ()
    """Messages that hold the answer's further parts."""
    moved_to: int | None = None
    """The supergroup that the chat has become."""

    job: str | None = None
    requeue: bool = False
    """Its failed job is to be tried again."""
    outcome: Outcome | None = None

    @property
    def key(self) -> str:
        return f"{self.chat}.tap-{self.tap}" if self.tap else note_key(self.chat, self.message_id)

    @property
    def message_ids(self) -> tuple[int | None, ...]:
        """Of everything in the chat that belongs to it."""
        return (self.message_id, self.status_id, *self.parts)

    @property
    def idempotency_key(self) -> str:
        return f"tg-{self.chat}-{self.message_id}"

    @property
    def shown_in(self) -> int:
        return self.moved_to or self.chat


class Usage(Message):
    """Seconds of audio that a user sent on a day, by note, so that a repeat counts once."""

    seconds: dict[str, float] = Field(default_factory=dict)
