"""How a transcript is cut and dressed. Telegram counts UTF-16 units."""

from __future__ import annotations

import random

import pytest

from whisper_bot.answers import MAX_TEXT_UNITS, FileAnswer, TextAnswer, answers, shortened, split, utf16_units
from whisper_bot.records import AnswerFormat, Note

LONG = "The quick brown fox jumps over the lazy dog. " * 300


def note(answer_format: AnswerFormat = "text") -> Note:
    return Note(chat=1, message_id=2, user=3, reads="en", answer_format=answer_format)


@pytest.mark.parametrize(
    ("text", "units", "parts"),
    [
        ("", 10, []),
        ("short", 10, ["short"]),
        ("exactly 10", 10, ["exactly 10"]),
        ("One two. Three four.", 12, ["One two.", "Three four."]),
        ("one two three four", 9, ["one two", "three", "four"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("A. bcdefgh ijkl", 12, ["A. bcdefgh", "ijkl"]),
        ("😀😀😀", 4, ["😀😀", "😀"]),
        ("😀😀😀", 3, ["😀", "😀", "😀"]),
    ],
)
def test_a_text_is_cut_after_a_sentence_else_at_a_space_else_where_it_must_be(
    text: str, units: int, parts: list[str]
) -> None:
    assert split(text, units) == parts


def test_no_word_is_lost_or_broken_at_any_limit() -> None:
    random.seed(1)
    words = [random.choice(["a", "fox.", "jumps", "лиса!", "😀", "数据。"]) for _ in range(400)]
    for units in range(8, 60):
        parts = split(" ".join(words), units)
        assert " ".join(parts).split() == words
        assert all(utf16_units(part) <= units for part in parts)


def test_units_are_telegrams() -> None:
    assert [utf16_units(text) for text in ("", "aя", "😀", "a😀")] == [0, 2, 2, 3]


@pytest.mark.parametrize(("length", "kind"), [(MAX_TEXT_UNITS, TextAnswer), (MAX_TEXT_UNITS + 1, FileAnswer)])
def test_what_does_not_fit_into_a_message_is_a_file(length: int, kind: type) -> None:
    (answer,) = answers(note(), "a" * length, "")
    assert isinstance(answer, kind)


def test_a_long_message_is_folded_and_a_short_one_is_not() -> None:
    (short,) = answers(note(), "hello", "")
    (long,) = answers(note(), LONG[:1000], "")
    assert isinstance(short, TextAnswer) and not short.is_quote
    assert isinstance(long, TextAnswer) and long.is_quote


def test_messages_come_only_where_they_are_wanted_and_are_few() -> None:
    wanted = answers(note("messages"), LONG, "")
    assert len(wanted) == 4
    assert " ".join(part.text for part in wanted if isinstance(part, TextAnswer)).split() == LONG.split()
    assert [len(part.buttons) for part in wanted] == [0, 0, 0, 2]
    (too_many,) = answers(note("messages"), LONG * 5, "")
    assert isinstance(too_many, FileAnswer)


@pytest.mark.parametrize(("answer_format", "name"), [("txt", "transcript.txt"), ("srt", "transcript.srt")])
def test_a_format_that_is_a_file_is_always_one(answer_format: AnswerFormat, name: str) -> None:
    (answer,) = answers(note(answer_format), "hello", "1\n00:00 --> 00:01\nhello")
    assert isinstance(answer, FileAnswer)
    assert answer.file_name == name
    assert answer.caption == "hello"


def test_silence_has_a_sentence() -> None:
    for answer_format in ("text", "messages", "txt", "srt"):
        (answer,) = answers(note(answer_format), "", "")  # type: ignore[arg-type]
        assert isinstance(answer, TextAnswer) and "no words" in answer.text


def test_a_caption_ends_at_a_word() -> None:
    assert shortened("one two three four", 12) == "one two …"
    assert utf16_units(shortened(LONG, 300)) <= 300
