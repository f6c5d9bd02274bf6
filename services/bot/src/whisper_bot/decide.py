"""From an update to what is to be done about it. Plain decisions: nothing here reads or writes anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from whisper_bot.records import AnswerFormat, Chat, ChatSettings, File, Note, Person, Post, Tap, Update
from whisper_bot.records import note_key as key_of
from whisper_bot.sentences import language_for
from whisper_bot.settings import MIB, BotSettings

SOUND_TYPES = ("audio/", "video/", "application/ogg")
SOUND_SUFFIXES = frozenset(
    ".aac .aif .aiff .amr .flac .m4a .m4b .mka .mkv .mov .mp3 .mp4 .mpeg .mpga .oga .ogg .opus .wav .weba .webm .wma .avi".split()
)
COMMAND = re.compile(r"/([a-z_]+)(?:@(\w+))?(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)
LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")
DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Say:
    """One sentence as a reply."""

    key: str
    values: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transcribe:
    note: Note
    is_asked: bool = False
    """By a command, so that somebody waits for a word even when it was done before."""


@dataclass(frozen=True, slots=True)
class Change:
    settings: ChatSettings
    say: Say
    needs_admin: bool


@dataclass(frozen=True, slots=True)
class Erase:
    """message_id: of one recording or its answer; None = everything of the chat."""

    message_id: int | None
    needs_admin: bool


@dataclass(frozen=True, slots=True)
class Retry:
    note_key: str


@dataclass(frozen=True, slots=True)
class SendTranscript:
    note_key: str
    extension: str


@dataclass(frozen=True, slots=True)
class Move:
    to_chat: int


Intent = Say | Transcribe | Change | Erase | Retry | SendTranscript | Move


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision depends on, beside the update."""

    chat: ChatSettings
    settings: BotSettings
    bot_name: str


def decide(update: Update, situation: Situation) -> Intent | None:
    """None: it is not for us."""
    if update.callback_query:
        return _decide_tap(update.callback_query, situation.settings)
    if member := update.my_chat_member:
        has_joined = member.new_chat_member.status in ("member", "administrator")
        was_out = member.old_chat_member.status in ("left", "kicked")
        return Say("joined") if has_joined and was_out and member.chat.is_group else None
    post = update.message
    if post is None or post.is_service or (post.from_ and post.from_.is_bot and not post.sender_chat):
        return None
    if post.migrate_to_chat_id:
        return Move(post.migrate_to_chat_id)
    if not _is_addressed(post, situation):
        return None
    if not _is_allowed(post.chat, post.from_, situation.settings):
        return Say("not_allowed", {"id": post.from_.id if post.chat.is_private and post.from_ else post.chat.id})
    if post.text:
        return _decide_command(post, situation, update.update_id)
    return _decide_content(post, situation)


def _decide_tap(tap: Tap, settings: BotSettings) -> Intent | None:
    action, _, message_id = tap.data.partition(":")
    if tap.message is None or not message_id.isdecimal():
        return None
    if not _is_allowed(tap.message.chat, tap.from_, settings):
        return Say("not_allowed", {"id": tap.from_.id})
    key = key_of(tap.message.chat.id, int(message_id))
    if action == "retry":
        return Retry(key)
    return SendTranscript(key, action) if action in ("srt", "txt") else None


def _is_addressed(post: Post, situation: Situation) -> bool:
    if command := COMMAND.fullmatch(post.text.strip()):
        return command[2] is None or command[2].lower() == situation.bot_name.lower()
    return post.chat.is_private or (situation.chat.automatic and recording_of(post) is not None)


def _is_allowed(chat: Chat, person: Person | None, settings: BotSettings) -> bool:
    ids = {chat.id} | ({person.id} if person else set())
    return not settings.bot_allowed or bool(ids & settings.bot_allowed)


def _decide_content(post: Post, situation: Situation) -> Intent:
    file = recording_of(post)
    if file is not None:
        return Transcribe(_note(post, post, file, situation.chat))
    if post.animation:
        return Say("no_sound")  # Telegram turns soundless videos into animations
    if post.sticker:
        return Say("sticker")
    return Say("not_audio" if post.document or post.photo else "send_audio")


def recording_of(post: Post) -> File | None:
    if file := post.voice or post.audio or post.video_note or post.video:
        return file
    if (document := post.document) and not post.animation and _has_sound(document):
        return document
    return None


def _has_sound(document: File) -> bool:
    return document.mime_type.startswith(SOUND_TYPES) or document.suffix in SOUND_SUFFIXES


def _note(asking: Post, recording: Post, file: File, chat: ChatSettings) -> Note:
    return Note(
        chat=recording.chat.id,
        message_id=recording.message_id,
        user=asking.sender_id,
        reads=reader_of(asking),
        file=file,
        spoken=chat.spoken,
        answer_format=chat.answer_format,
        silent=chat.silent,
        thread_id=asking.topic_id,
    )


def reader_of(post: Post) -> str:
    return language_for(post.from_.language_code if post.from_ else "")


def _decide_command(post: Post, situation: Situation, update_id: int) -> Intent | None:
    command = COMMAND.fullmatch(post.text.strip())
    if command is None:
        return Say("unknown_command") if post.chat.is_private else None
    name, argument = command[1].lower(), (command[3] or "").strip()
    match name:
        case "start" | "help":
            return Say(name)
        case "privacy":
            return Say(name, {"days": situation.settings.bot_records_ttl_s // DAY_S})
        case "transcribe":
            return _decide_transcribe(post, situation.chat)
        case "delete":
            replied = post.replied_to
            return Erase(replied.message_id if replied else None, needs_admin=_needs_admin(post))
        case "language" | "format" | "silent" | "auto":
            return _decide_change(post, name, argument.lower(), situation.chat, update_id)
    return Say("unknown_command") if post.chat.is_private else None


def _decide_transcribe(post: Post, chat: ChatSettings) -> Intent:
    replied = post.replied_to
    file = recording_of(replied) if replied else None
    if replied is None or file is None:
        return Say("reply_to_recording")
    return Transcribe(_note(post, replied, file, chat), is_asked=True)


def _decide_change(post: Post, name: str, argument: str, chat: ChatSettings, update_id: int) -> Intent:
    """The changed settings and what is said about them; only said, when nothing changes."""
    changes: dict[str, object] = {}
    is_repeat = chat.changed_by == update_id
    match name:
        case "silent":
            changes = {"silent": chat.silent if is_repeat else not chat.silent}
            say = Say("silent_on" if changes["silent"] else "silent_off")
        case "auto" if post.chat.is_private:
            return Say("groups_only")
        case "auto":
            changes = {"automatic": chat.automatic if is_repeat else not chat.automatic}
            say = Say("auto_on" if changes["automatic"] else "auto_off")
        case "language" if argument and argument != "auto" and not LANGUAGE_CODE.fullmatch(argument):
            return Say("language_unknown", {"language": argument[:20]})
        case "language":
            changes = {"spoken": None if argument == "auto" else argument} if argument else {}
            say = Say("language_is", {"language": argument or chat.spoken or "auto"})
        case _:
            is_known = argument in get_args(AnswerFormat)
            changes = {"answer_format": argument} if is_known else {}
            say = Say("format_is", {"format": argument if is_known else chat.answer_format})
    if not changes:
        return say
    changed = chat.model_copy(update=changes | {"changed_by": update_id})
    return Change(changed, say, needs_admin=_needs_admin(post))


def _needs_admin(post: Post) -> bool:
    """An admin who writes anonymously writes as the group itself."""
    is_anonymous_admin = post.sender_chat is not None and post.sender_chat.id == post.chat.id
    return not post.chat.is_private and not is_anonymous_admin


def refusal(note: Note, used_s: float, in_flight: int, settings: BotSettings) -> Say | None:
    """Why a recording is not taken. used_s: what its user has sent today; in_flight: how many are under way."""
    assert note.file
    if note.file.file_size > settings.max_download_bytes:
        return Say("too_big", {"limit": settings.max_download_bytes // MIB})
    if settings.bot_jobs_in_flight is not None and in_flight >= settings.bot_jobs_in_flight:
        return Say("over_in_flight", {"limit": settings.bot_jobs_in_flight})
    minutes = settings.bot_minutes_per_day
    # The length of a document is not known; it passes while there is time left at all.
    if minutes is not None and (used_s >= minutes * 60 or used_s + note.file.duration > minutes * 60):
        return Say("over_minutes", {"limit": f"{minutes:g}"})
    return None
