"""What is done about an update: tables, nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from whisper_bot.decide import (
    Change,
    Erase,
    Move,
    Retry,
    Say,
    SendTranscript,
    Situation,
    Transcribe,
    decide,
    refusal,
)
from whisper_bot.records import ChatSettings, File, Note, Update
from whisper_bot.settings import MIB, BotSettings

PRIVATE = {"id": 5, "type": "private"}
GROUP = {"id": -5, "type": "supergroup"}
ANN = {"id": 5, "is_bot": False, "first_name": "Ann", "language_code": "ru-RU"}
VOICE = {"voice": {"file_id": "f", "duration": 3, "mime_type": "audio/ogg", "file_size": 9}}


def settings(**changes: Any) -> BotSettings:
    return BotSettings(telegram_bot_token="1:a", api_key="k", **changes)


def update(chat: dict[str, Any] = PRIVATE, **content: Any) -> Update:
    message = {"message_id": 7, "date": 1, "chat": chat, "from": ANN} | content
    return Update.model_validate({"update_id": 1, "message": message})


def tapped(data: str) -> Update:
    under = {"message_id": 9, "chat": PRIVATE}
    query = {"id": "1", "from": ANN, "message": under, "data": data}
    return Update.model_validate({"update_id": 1, "callback_query": query})


def decided(of: Update, chat: ChatSettings | None = None, **changes: Any) -> Any:
    return decide(of, Situation(chat or ChatSettings(), settings(**changes), "scribe_bot"))


def document(mime_type: str = "", file_name: str = "") -> dict[str, Any]:
    return {"document": {"file_id": "f", "mime_type": mime_type, "file_name": file_name}}


@pytest.mark.parametrize(
    "content",
    [
        VOICE,
        {"audio": VOICE["voice"]},
        {"video": VOICE["voice"]},
        {"video_note": VOICE["voice"]},
        document("audio/mpeg"),
        document("video/mp4"),
        document("application/ogg"),
        document("application/octet-stream", "Talk.OPUS"),
        VOICE | {"forward_origin": {"type": "user"}},
    ],
)
def test_everything_with_sound_is_transcribed_in_a_private_chat(content: dict[str, Any]) -> None:
    intent = decided(update(**content), ChatSettings(spoken="de", answer_format="srt"))
    assert isinstance(intent, Transcribe)
    note = intent.note
    assert (note.chat, note.message_id, note.user, note.reads) == (5, 7, 5, "ru")
    assert (note.spoken, note.answer_format) == ("de", "srt")


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"sticker": {"file_id": "s"}}, "sticker"),
        (document("application/pdf", "a.pdf"), "not_audio"),
        ({"photo": [{"file_id": "p"}]}, "not_audio"),
        ({"animation": {"file_id": "a"}} | document("video/mp4"), "no_sound"),
        ({"text": "hello"}, "send_audio"),
        ({"text": "/start"}, "start"),
        ({"text": "/start@Scribe_Bot deep-link"}, "start"),
        ({"text": "/help"}, "help"),
        ({"text": "/privacy"}, "privacy"),
        ({"text": "/dance"}, "unknown_command"),
        ({"text": "/transcribe"}, "reply_to_recording"),
        ({"text": "/auto"}, "groups_only"),
        ({"text": "/language"}, "language_is"),
        ({"text": "/language klingon"}, "language_unknown"),
        ({"text": "/format"}, "format_is"),
        ({"text": "/format pdf"}, "format_is"),
    ],
)
def test_what_needs_no_work_gets_its_own_sentence(content: dict[str, Any], key: str) -> None:
    intent = decided(update(**content))
    assert isinstance(intent, Say)
    assert intent.key == key


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("/silent", {"silent": True}),
        ("/language EN", {"spoken": "en"}),
        ("/language auto", {"spoken": None}),
        ("/format messages", {"answer_format": "messages"}),
    ],
)
def test_a_setting_changes_and_the_others_stay(text: str, changed: dict[str, Any]) -> None:
    before = ChatSettings(spoken="ru")
    intent = decided(update(text=text), before)
    assert isinstance(intent, Change)
    assert intent.settings == before.model_copy(update=changed | {"changed_by": 1})
    assert not intent.needs_admin


@pytest.mark.parametrize(("text", "key"), [("/silent", "silent_on"), ("/auto", "auto_on")])
def test_a_switch_that_is_delivered_again_does_not_undo_itself(text: str, key: str) -> None:
    first = decided(update(GROUP, text=text))
    again = decided(update(GROUP, text=text), first.settings)
    assert again == first
    assert first.say.key == key


def test_in_a_group_only_an_admin_changes_settings_or_erases() -> None:
    for text in ("/auto", "/silent", "/language en", "/format txt", "/delete"):
        intent = decided(update(GROUP, text=text))
        assert isinstance(intent, Change | Erase)
        assert intent.needs_admin
        anonymous = decided(update(GROUP, text=text, sender_chat=GROUP))
        assert not anonymous.needs_admin


def test_what_telegram_tells_of_a_private_chat_is_not_answered() -> None:
    pinned = {"message_id": 5, "date": 1, "chat": PRIVATE, "text": "a transcript"}
    assert decided(update(pinned_message=pinned)) is None


def test_who_sends_in_a_groups_name_is_that_group_and_no_other() -> None:
    intent = decided(update(GROUP, sender_chat=GROUP, **VOICE), ChatSettings(automatic=True))
    assert intent.note.user == GROUP["id"]


def test_in_a_group_a_recording_waits_for_a_command_or_for_the_automatic() -> None:
    assert decided(update(GROUP, **VOICE)) is None
    assert isinstance(decided(update(GROUP, **VOICE), ChatSettings(automatic=True)), Transcribe)
    assert decided(update(GROUP, sticker={"file_id": "s"}), ChatSettings(automatic=True)) is None
    assert decided(update(GROUP, text="hello"), ChatSettings(automatic=True)) is None


def test_transcribe_works_on_the_message_it_replies_to() -> None:
    recording = {"message_id": 3, "chat": GROUP, "from": ANN | {"id": 8}} | VOICE
    intent = decided(update(GROUP, text="/transcribe", reply_to_message=recording))
    assert isinstance(intent, Transcribe)
    assert (intent.note.message_id, intent.note.user, intent.is_asked) == (3, 5, True)


@pytest.mark.parametrize(("is_topic", "thread_id"), [({"is_topic_message": True}, 3), ({}, None)])
def test_only_a_topic_is_a_thread_to_answer_in(is_topic: dict[str, Any], thread_id: int | None) -> None:
    """Replies in a supergroup name a thread too, and nothing can be sent into that."""
    intent = decided(update(GROUP, **VOICE, message_thread_id=3, **is_topic), ChatSettings(automatic=True))
    assert intent.note.thread_id == thread_id


def test_a_command_in_a_topic_is_no_reply_to_the_topics_opening() -> None:
    """Telegram has every message of a topic reply to it."""
    topic = {"message_thread_id": 3, "is_topic_message": True}
    opening = {"message_id": 3, "chat": GROUP, "forum_topic_created": {"name": "News"}}
    alone = decided(update(GROUP, text="/delete", reply_to_message=opening, **topic))
    assert alone == Erase(None, needs_admin=True)
    reply = decided(update(GROUP, text="/delete", reply_to_message=opening | {"message_id": 4}, **topic))
    assert reply == Erase(4, needs_admin=True)


def test_a_command_to_another_bot_is_not_for_us() -> None:
    assert decided(update(GROUP, text="/help@other_bot")) is None


def test_a_bot_gets_no_answer_from_a_bot() -> None:
    assert decided(update(**VOICE, **{"from": ANN | {"is_bot": True}})) is None


def test_who_is_not_allowed_hears_the_id_to_ask_for() -> None:
    assert decided(update(**VOICE), bot_allowed="1,2") == Say("not_allowed", {"id": 5})
    assert decided(update(GROUP, text="/help"), bot_allowed="1,2") == Say("not_allowed", {"id": -5})
    assert decided(update(GROUP, **VOICE), bot_allowed="1,2") is None
    assert isinstance(decided(update(**VOICE), bot_allowed="5"), Transcribe)
    assert decided(tapped("srt:3"), bot_allowed="1,2") == Say("not_allowed", {"id": 5})
    assert decided(tapped("retry:3"), bot_allowed="5") == Retry("5.3")
    assert isinstance(decided(update(GROUP, text="/silent"), bot_allowed="-5"), Change)


@pytest.mark.parametrize(
    ("data", "intent"),
    [
        ("retry:3", Retry("5.3")),
        ("srt:3", SendTranscript("5.3", "srt")),
        ("txt:3", SendTranscript("5.3", "txt")),
        ("pdf:3", None),
        ("retry:x", None),
        ("", None),
    ],
)
def test_a_tap_names_its_recording(data: str, intent: Any) -> None:
    assert decided(tapped(data)) == intent


def test_a_group_that_becomes_a_supergroup_moves() -> None:
    assert decided(update(GROUP, migrate_to_chat_id=-100)) == Move(-100)


@pytest.mark.parametrize(
    ("kind", "old", "new", "greets"),
    [
        ("group", "left", "member", True),
        ("supergroup", "kicked", "member", True),
        ("supergroup", "member", "administrator", False),
        ("channel", "left", "administrator", False),
        ("private", "kicked", "member", False),
    ],
)
def test_a_group_is_told_what_the_bot_can_see_when_it_joins(kind: str, old: str, new: str, greets: bool) -> None:
    change = {
        "chat": GROUP | {"type": kind},
        "from": ANN,
        "old_chat_member": {"status": old},
        "new_chat_member": {"status": new},
    }
    intent = decided(Update.model_validate({"update_id": 1, "my_chat_member": change}))
    assert intent == (Say("joined") if greets else None)


@pytest.mark.parametrize(
    ("size", "duration_s", "used_s", "in_flight", "key"),
    [
        (20 * MIB, 60, 0, 0, None),
        (20 * MIB + 1, 60, 0, 0, "too_big"),
        (1, 60, 540, 0, None),
        (1, 61, 540, 0, "over_minutes"),
        (1, 60, 0, 1, None),
        (1, 60, 0, 2, "over_in_flight"),
    ],
)
def test_a_recording_over_a_limit_is_refused(
    size: int, duration_s: int, used_s: float, in_flight: int, key: str | None
) -> None:
    note = Note(chat=1, message_id=1, user=1, reads="en", file=File(file_id="f", file_size=size, duration=duration_s))
    say = refusal(note, used_s, in_flight, settings(bot_minutes_per_day=10, bot_jobs_in_flight=2))
    assert (say.key if say else None) == key


def test_a_local_server_takes_larger_files() -> None:
    note = Note(chat=1, message_id=1, user=1, reads="en", file=File(file_id="f", file_size=25 * MIB))
    assert refusal(note, 0, 0, settings(telegram_local_files=True)) is None


def test_of_an_update_only_what_is_needed_is_stored() -> None:
    sent = update(text="my secret", caption="more of it", **VOICE, **document("", "Call with Ann.OPUS"))
    stored = sent.encode()
    assert b"secret" not in stored and b"Ann" not in stored and b"more" not in stored
    again = Update.model_validate_json(stored)
    assert again == sent
    assert again.message and again.message.document and again.message.document.suffix == ".opus"
