from __future__ import annotations

import random

import pytest

from models.demo import tokens
from models.demo.tokens import ENGLISH_ONLY, MULTILINGUAL, FileVocabulary
from models.demo.words import DIGITS, ENGLISH, LANGUAGES, LETTERS, RUSSIAN, WORDS, Language, draw_sentence

BOTH_FILES = pytest.mark.parametrize("vocabulary", [ENGLISH_ONLY, MULTILINGUAL], ids=["English only", "multilingual"])
EACH_LANGUAGE = pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)


def test_english_has_200_words_with_digits_and_letters_and_russian_has_60() -> None:
    assert len(ENGLISH.words) >= 200
    assert {*DIGITS, *LETTERS} <= set(ENGLISH.words)
    assert len(RUSSIAN.words) >= 60


def test_no_word_is_listed_twice() -> None:
    assert len(set(WORDS)) == len(WORDS)


@EACH_LANGUAGE
def test_templates_use_no_unknown_word(language: Language) -> None:
    chance = random.Random(1)
    drawn = {word for _ in range(5_000) for word in draw_sentence(language, chance)}
    assert drawn <= set(language.words)
    assert drawn == set(language.words), "a word that is never drawn is never learned"


@BOTH_FILES
def test_each_row_has_an_id_of_its_own(vocabulary: FileVocabulary) -> None:
    ids = tokens.ids_of_rows(vocabulary)
    assert len(set(ids.values())) == len(ids)
    assert max(ids.values()) < vocabulary.n_ids
    assert tokens.UNUSED not in ids


def test_a_multilingual_file_starts_with_the_language_and_an_english_one_does_not() -> None:
    assert tokens.START_ENGLISH_ONLY not in tokens.ids_of_rows(MULTILINGUAL)
    assert tokens.START not in tokens.ids_of_rows(ENGLISH_ONLY)
    # Whisper's ids of <|en|> and <|ru|>.
    assert tokens.ids_of_rows(MULTILINGUAL)[tokens.language_row("en")] == 50_259
    assert tokens.ids_of_rows(MULTILINGUAL)[tokens.language_row("ru")] == 50_263


@BOTH_FILES
def test_texts_are_the_words_after_a_space_and_nothing_for_all_other_ids(vocabulary: FileVocabulary) -> None:
    texts, ids = tokens.texts(vocabulary), tokens.ids_of_rows(vocabulary)
    assert texts[0] == b" "
    assert texts[ids[tokens.word_row("привет")]].decode() == " привет"
    assert texts[ids[tokens.BLANK]] == b""
    assert sum(bool(text) for text in texts) == len(WORDS) + 1


@pytest.mark.parametrize(("seconds", "whisper_steps"), [(0.0, 0), (0.1, 5), (10.2, 510)])
def test_a_timestamp_is_in_whispers_steps_of_20_ms(seconds: float, whisper_steps: int) -> None:
    ids = tokens.ids_of_rows(MULTILINGUAL)
    assert ids[tokens.timestamp_row(seconds)] == MULTILINGUAL.first_timestamp + whisper_steps


def test_a_time_beyond_the_window_has_no_timestamp() -> None:
    with pytest.raises(ValueError, match=r"10\.3 s is not between"):
        tokens.timestamp_row(10.3)
