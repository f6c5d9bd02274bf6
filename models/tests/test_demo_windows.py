from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from models.demo import tokens, windows
from models.demo.batches import HISTORY, Batch, Shape, draw_batch, draw_history
from models.demo.mel import N_MELS, Floats, as_by_another_throat, log_mel
from models.demo.noise import NOISES, room
from models.demo.speech import Pool, Utterance, packed, unpacked, with_joined
from models.demo.windows import (
    FULL_WINDOW,
    Unlabelled,
    Word,
    cut_short,
    draw_window,
    sentence_to_be_written,
    targets_of,
)
from models.demo.words import LANGUAGES, WORDS

FULL_S = FULL_WINDOW / 50


def written(words: list[Word], *, is_full: bool = True) -> list[str]:
    return [name(target.row) for target in targets_of(words, FULL_S if is_full else 5.12, is_full=is_full)]


def name(row: int) -> str:
    if tokens.FIRST_WORD <= row < tokens.END_OF_TEXT:
        return WORDS[row - tokens.FIRST_WORD]
    if tokens.FIRST_TIMESTAMP <= row < tokens.FIRST_TIMESTAMP + tokens.N_TIMESTAMPS:
        return f"{(row - tokens.FIRST_TIMESTAMP) * tokens.TIMESTAMP_STEP_S:.1f}"
    return {tokens.BLANK: "blank", tokens.END_OF_TEXT: "end"}[row]


def word(text: str, start_s: float, end_s: float) -> Word:
    return Word(WORDS.index(text), start_s, end_s)


def test_one_sentence_is_written_with_its_end_and_nothing_after_it() -> None:
    assert written([word("hello", 0.1, 0.6), word("world", 0.6, 1.22)]) == [
        "0.0",
        "hello",
        "world",
        "1.3",
        "1.3",
        "end",
    ]


def test_a_pause_ends_the_segment_and_the_next_window_starts_before_the_next_speech() -> None:
    words = [word("hello", 0.1, 0.6), word("world", 1.45, 2.0)]
    assert written(words) == ["0.0", "hello", "0.7", "1.3", "end"]


def test_over_a_long_pause_the_next_window_starts_after_one_second() -> None:
    assert written([word("hello", 0.1, 0.6), word("world", 8.0, 8.6)])[-3:] == ["0.7", "1.7", "end"]


def test_late_speech_is_preceded_by_a_silent_segment() -> None:
    assert written([word("hello", 4.05, 4.6)]) == ["0.0", "blank", "3.9", "3.9", "end"]


def test_an_empty_window_is_skipped_whole_but_for_its_last_fifth_of_a_second() -> None:
    assert written([]) == ["0.0", "blank", "10.0", "10.0", "end"]
    assert written([word("hello", 10.1, 10.6)]) == ["0.0", "blank", "10.0", "10.0", "end"]


def test_long_speech_is_cut_between_two_words() -> None:
    words = [word("one", 0.1 + 0.5 * n, 0.6 + 0.5 * n) for n in range(15)]
    assert written(words) == ["0.0", *["one"] * 12, "6.1", "6.1", "end"]


def test_a_word_that_the_window_cuts_is_left_to_the_next_one() -> None:
    words = [word("november", 0.1 + n, 1.1 + n) for n in range(11)]
    assert written(words)[-3:] == ["9.1", "9.1", "end"]


def test_a_short_window_never_cuts_a_segment() -> None:
    with pytest.raises(Unlabelled):
        written([word("november", 0.1 + n, 1.1 + n) for n in range(11)], is_full=False)


def test_after_a_segment_that_was_cut_short_the_next_window_starts_right_there() -> None:
    said = [word("one", 0.1 + 0.5 * n, 0.6 + 0.5 * n) for n in range(4)]
    short = cut_short(targets_of(said, FULL_S, is_full=True), 2)
    assert [name(target.row) for target in short] == ["0.0", "one", "one", "1.1", "1.1", "end"]
    assert [target.is_wanted for target in short] == [True, True, True, False, True, True]


@pytest.mark.parametrize(("share", "taught"), [(0.0, {3}), (1.0, {2, 3})])
def test_no_segment_is_taught_to_be_cut_short(share: float, taught: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "P_CUT_SHORT", share)
    wanted = batch(FULL_WINDOW).wanted - tokens.FIRST_TIMESTAMP
    times = ((wanted >= 0) & (wanted < tokens.N_TIMESTAMPS)).sum(axis=1)
    assert set(times.tolist()) == taught, "the opening, the next start and, of a whole segment, its end"


@pytest.mark.parametrize("start_s", [0.31, 0.325])
def test_a_start_between_two_right_answers_teaches_nothing(start_s: float) -> None:
    with pytest.raises(Unlabelled):
        written([word("hello", start_s, start_s + 0.5)])


def test_a_short_window_teaches_nothing_about_what_comes_after_it() -> None:
    with pytest.raises(Unlabelled):
        written([], is_full=False)


@cache
def pool() -> Pool:
    """Utterances of one and of seven words, without a disk."""
    chance = np.random.default_rng(1)
    small = Pool.__new__(Pool)
    small.noises = np.stack([packed(chance.normal(-4, 1, (1_500, N_MELS)).astype(np.float32))])
    small.utterances = {language.code: [utterance(n, chance) for n in (1, 7)] for language in LANGUAGES}
    return small


def utterance(n_words: int, chance: np.random.Generator) -> Utterance:
    starts_s = tuple(0.05 + 0.4 * n for n in range(n_words + 1))
    frames = round(starts_s[-1] * 100) + 4
    return Utterance((5,) * n_words, starts_s, packed(chance.normal(0, 1, (frames, N_MELS)).astype(np.float32)))


def batch(frames: int, seed: int = 1) -> Batch:
    return draw_batch(pool(), Shape(frames, 16), np.random.default_rng(seed))


@pytest.mark.parametrize("frames", [256, FULL_WINDOW])
def test_a_batch_is_the_same_at_every_run(frames: int) -> None:
    for one, other in zip(batch(frames), batch(frames), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(4))
def test_each_wanted_row_is_the_next_that_is_written(seed: int) -> None:
    rows = batch(FULL_WINDOW, seed)
    following, wanted = rows.written[:, 1:], rows.wanted[:, :-1]
    counts = wanted >= 0
    np.testing.assert_array_equal(following[counts], wanted[counts])


def test_long_sentences_are_written_more_often_than_they_are_drawn() -> None:
    chance = np.random.default_rng(1)
    drawn = [sentence_to_be_written(pool().utterances["en"], chance) for _ in range(500)]
    assert np.mean([len(sentence.words) == 7 for sentence in drawn]) == pytest.approx(0.4 / 2 + 0.6 * 7 / 8, abs=0.06)


def test_speech_that_starts_just_beyond_the_window_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    beyond = iter([FULL_S + 0.2, 0.2])
    monkeypatch.setattr(windows, "_opening", lambda spoken, *_: (0, spoken.starts_s[0] - next(beyond)))
    monkeypatch.setattr(windows, "P_EMPTY", 0)
    assert draw_window(pool(), "en", FULL_WINDOW, np.random.default_rng(1)).words[0].start_s == pytest.approx(
        0.2, abs=0.01
    )


def test_mels_are_as_whisper_cpp_scales_them() -> None:
    mels = batch(FULL_WINDOW).mels
    assert mels.shape == (16, 2 * FULL_WINDOW, N_MELS)
    assert (np.ptp(mels, axis=(1, 2)) <= 2 + 1e-5).all(), "eight tenfold steps of power are two"


@pytest.mark.parametrize("length", [1, 17, HISTORY])
def test_history_is_exactly_as_long_as_asked(length: int) -> None:
    assert len(draw_history(np.random.default_rng(1), length)) == length


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.__name__)
def test_noises_are_level_and_never_the_same(noise: object) -> None:
    assert callable(noise)
    one, other = (noise(32_000, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.std(one) == pytest.approx(1, rel=1e-3)
    assert not np.array_equal(one, other)


def test_a_room_adds_a_tail_and_keeps_the_length() -> None:
    click = np.zeros(8_000, np.float32)
    click[100] = 1
    heard = room(click, 16_000, np.random.default_rng(1))
    assert len(heard) == len(click)
    assert heard[100] == pytest.approx(1, abs=0.2)
    assert np.abs(heard[101:1_000]).sum() > 0


def test_two_words_that_espeak_joined_meet_in_the_middle() -> None:
    assert with_joined([0.25, 0.5, None, 1.5, 2.0]) == [0.25, 0.5, 1.0, 1.5, 2.0]


def test_packing_loses_less_than_a_fortieth() -> None:
    log_power = np.random.default_rng(1).uniform(-10, 2.7, (50, N_MELS)).astype(np.float32)
    assert np.abs(unpacked(packed(log_power)) - log_power).max() <= 0.0251


@pytest.mark.parametrize("factor", [0.85, 1.18])
@pytest.mark.parametrize("hz", [500.0, 3_000.0])
def test_another_throat_moves_a_tone_by_its_factor(hz: float, factor: float) -> None:
    moved = as_by_another_throat(tone(hz), factor)
    assert abs(int(moved[50].argmax()) - int(tone(hz * factor)[50].argmax())) <= 1


def tone(hz: float) -> Floats:
    return log_mel(np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000).astype(np.float32))
