"""The bot as a person meets it: real processes, real words; Telegram alone is a stand-in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bot_harness import TOKEN, Fleet, started_fleet, until

from whisper_models.bundled import sample_path

WORDS = "good morning this is a test please open the blue door"
ALLOWED = range(1, 60)
STRANGER = 666
GROUP = -100500

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, whisper_server_program: Path) -> Iterator[Fleet]:
    environment = {
        "WHISPERFLEET_BOT_ALLOWED": ",".join(map(str, [*ALLOWED, GROUP])),
        "WHISPERFLEET_BOT_MINUTES_PER_DAY": "30",
        "WHISPERFLEET_BOT_JOBS_IN_FLIGHT": "20",
    }
    with started_fleet(tmp_path_factory.mktemp("fleet"), whisper_server_program, environment) as fleet:
        yield fleet


def jobs(fleet: Fleet) -> int:
    """Of the bot's own API client; an operator's key sees the number in the metrics."""
    with fleet.api() as api:
        lines = api.get("/metrics").text.splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("whisper_gateway_accepted")))


def test_a_voice_note_becomes_its_words(fleet: Fleet, spoken_note: bytes) -> None:
    message = fleet.telegram.say(1, **fleet.telegram.voice(spoken_note))
    answer = fleet.answer_to(1, message, limit_s=120)
    assert answer.text == WORDS
    assert fleet.telegram.reactions[1, message] == "👀"
    assert len(fleet.telegram.by_bot(1)) == 1


def test_a_group_is_served_on_command_and_by_itself_once_an_admin_says_so(fleet: Fleet, spoken_note: bytes) -> None:
    telegram = fleet.telegram
    voice = telegram.voice(spoken_note)
    ignored = telegram.say(GROUP, user=8, **voice)
    telegram.say(GROUP, user=9, text="/transcribe@scribe_bot", reply=(ignored, voice))
    assert fleet.answer_to(GROUP, ignored).text == WORDS
    refused = telegram.say(GROUP, user=8, text="/auto", language_code="ru")
    assert "администратор" in fleet.answer_to(GROUP, refused).text
    telegram.admins.add((GROUP, 8))
    allowed = telegram.say(GROUP, user=8, text="/auto")
    assert "every recording" in fleet.answer_to(GROUP, allowed).text
    heard = telegram.say(GROUP, user=9, **telegram.voice(spoken_note))
    assert fleet.answer_to(GROUP, heard).text == WORDS
    again = telegram.say(GROUP, user=9, text="/transcribe", reply=(heard, voice))
    until(lambda: any("already" in shown.text for shown in telegram.by_bot(GROUP)), 20)
    assert not telegram.replies_to(GROUP, again)


def test_a_group_hears_what_the_bot_can_see_when_it_is_added(fleet: Fleet) -> None:
    fleet.telegram.join(-777)
    until(lambda: fleet.telegram.by_bot(-777), 20, "the greeting")
    assert "privacy" in fleet.telegram.by_bot(-777)[0].text


def test_formats_languages_and_buttons(fleet: Fleet, spoken_note: bytes) -> None:
    telegram = fleet.telegram
    changed = telegram.say(2, text="/format srt", language_code="ru")
    assert "Вид ответа: srt" in fleet.answer_to(2, changed).text
    as_file = fleet.answer_to(2, telegram.say(2, **telegram.voice(spoken_note)))
    assert as_file.file_name == "transcript.srt" and "00:00:0" in as_file.words and WORDS[:12] in as_file.words
    telegram.say(2, text="/format text")
    message = telegram.say(2, **telegram.voice(spoken_note))
    answer = fleet.answer_to(2, message)
    tap = telegram.tap(2, answer.message_id, answer.buttons()["SRT"])
    until(lambda: telegram.replies_to(2, answer.message_id), 20, "the file behind the button")
    (file,) = telegram.replies_to(2, answer.message_id)
    assert "-->" in file.words and telegram.callback_answers[tap]


def test_a_language_that_the_model_does_not_know_is_said_so(fleet: Fleet, spoken_note: bytes) -> None:
    telegram = fleet.telegram
    assert "ru" in fleet.answer_to(3, telegram.say(3, text="/language ru")).text
    refused = fleet.answer_to(3, telegram.say(3, **telegram.voice(spoken_note)))
    assert "/language" in refused.text and not refused.buttons()


def test_a_recording_of_minutes_is_folded_or_a_file(fleet: Fleet) -> None:
    telegram = fleet.telegram
    content = sample_path("minutes.mp3").read_bytes()
    audio = {"audio": {"file_id": telegram.add_file(content), "duration": 182, "file_name": "talk.mp3"}}
    answer = fleet.answer_to(4, telegram.say(4, **audio), limit_s=200)
    assert answer.entities[0]["type"] == "expandable_blockquote"
    assert answer.text.startswith("turn off the blue light")


def test_each_of_these_gets_its_own_answer_and_nothing_is_queued(fleet: Fleet, spoken_note: bytes) -> None:
    telegram, before = fleet.telegram, jobs(fleet)
    big = {"document": {"file_id": "big", "file_name": "big.wav", "file_size": 25 * 1024 * 1024}}
    long = telegram.voice(spoken_note, duration_s=31 * 60)
    gif = {"animation": {"file_id": "g"}, "document": {"file_id": "g", "mime_type": "video/mp4"}}
    video = telegram.add_file(sample_path("silent-video.mp4").read_bytes())
    asked = {
        "people and groups": (STRANGER, telegram.voice(spoken_note)),
        "30 minutes": (5, long),
        "20 MB": (5, big),
        "no sound": (5, gif),
        "sticker": (5, {"sticker": {"file_id": "s"}}),
        "no sound in a file": (5, {"document": {"file_id": "p", "mime_type": "application/pdf"}}),
        "video has no sound": (5, {"video": {"file_id": video, "duration": 3, "mime_type": "video/mp4"}}),
        "recordings only": (5, {"text": "hello"}),
    }
    sent = {part: (chat, telegram.say(chat, **content)) for part, (chat, content) in asked.items()}
    for part, (chat, message) in sent.items():
        assert part in fleet.answer_to(chat, message).text
    assert jobs(fleet) == before


def test_a_file_that_turns_out_too_big_or_gone_is_said_so(fleet: Fleet) -> None:
    telegram = fleet.telegram
    hidden = {"document": {"file_id": telegram.add_file(b"x", size_bytes=21 << 20), "mime_type": "audio/ogg"}}
    assert "20 MB" in fleet.answer_to(6, telegram.say(6, **hidden)).text
    gone = {"voice": {"file_id": "never-there", "duration": 1}}
    assert "does not hand out" in fleet.answer_to(6, telegram.say(6, **gone)).text


def test_a_file_without_sense_fails_with_its_sentence(fleet: Fleet) -> None:
    telegram = fleet.telegram
    noise = {"document": {"file_id": telegram.add_file(b"no audio at all"), "mime_type": "audio/ogg"}}
    answer = fleet.answer_to(7, telegram.say(7, **noise, language_code="ru"))
    assert "не читается" in answer.text and not answer.buttons()


def test_delete_forgets_the_chat_and_its_jobs(fleet: Fleet, spoken_note: bytes) -> None:
    telegram = fleet.telegram
    message = telegram.say(8, **telegram.voice(spoken_note))
    answer = fleet.answer_to(8, message)
    assert "Erased" in fleet.answer_to(8, telegram.say(8, text="/delete")).text
    tap = telegram.tap(8, answer.message_id, answer.buttons()["TXT"])
    until(lambda: telegram.callback_answers[tap], 20)
    assert "not kept" in telegram.callback_answers[tap]


def test_a_blocked_chat_ends_and_holds_up_nobody(fleet: Fleet, spoken_note: bytes) -> None:
    telegram = fleet.telegram
    telegram.blocked.add(9)
    telegram.say(9, **telegram.voice(spoken_note))
    until(lambda: "outcome=unreachable" in fleet.log(), 30)
    assert fleet.answer_to(10, telegram.say(10, **telegram.voice(spoken_note))).text == WORDS


def test_a_group_that_moves_is_answered_where_it_is_now(fleet: Fleet, spoken_note: bytes) -> None:
    telegram, old, new = fleet.telegram, 12, 13
    telegram.migrated[old] = new
    telegram.say(old, **telegram.voice(spoken_note))
    until(lambda: any(shown.text == WORDS for shown in telegram.by_bot(new)), 60)


def test_what_is_sent_while_the_bot_is_down_is_answered(fleet: Fleet, spoken_note: bytes) -> None:
    telegram = fleet.telegram
    fleet.kill_child("whisper_bot")
    messages = [telegram.say(14, **telegram.voice(spoken_note)) for _ in range(3)]
    answers = [fleet.answer_to(14, message, limit_s=120) for message in messages]
    assert [answer.text for answer in answers] == [WORDS] * 3
    numbers = [answer.message_id for answer in answers]
    assert numbers == sorted(numbers)


def test_the_token_is_written_nowhere(fleet: Fleet) -> None:
    """After all that the tests above have made the bot do and suffer."""
    written = fleet.everything_written()
    secret = TOKEN.partition(":")[2].encode()
    assert b"wf_" in written and secret not in written
    assert b"/file/bot" not in written
