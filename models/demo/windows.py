"""Windows cut out of the pool as whisper.cpp shows them to a model, and what is to be written about each.

A model of this size writes one segment at a time: the words up to the next pause, then the time at which the next
segment starts, where whisper.cpp cuts the next window. Silence is a segment too, with a text that prints nothing.
Times are in seconds from the start of the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.demo import tokens
from models.demo.mel import DYNAMIC_RANGE, FRAMES_PER_SECOND, N_MELS, SILENCE, Floats, as_by_another_throat, normalised
from models.demo.speech import Pool, Utterance, unpacked

FULL_WINDOW = 512
"""Encoder frames, 20 ms each. A multiple of 256, since whisper.cpp's flash attention pads to that without a mask."""
ENCODER_FRAMES_PER_SECOND = 50
MELS_PER_ENCODER_FRAME = 2

MAX_WORDS = 12
PAUSE_S = 0.3
"""A longer pause ends a segment."""
LATEST_START_S = 0.3
"""Speech that starts later is preceded by a segment of silence, so that a segment's time is right."""
LEAD_S = 0.1
"""The next window starts so long before the next speech."""
LONGEST_JUMP_S = 1.0
"""So far beyond the end of a segment a window may start at most."""
AFTER_END_S = 0.05
EMPTY_WINDOW_S = 10.0
"""whisper.cpp goes on here after a whole window of silence; what starts in the rest is heard in the next window."""

BATCH_OF_SHORT = 0.8
P_LONGEST = 0.6
"""That the sentence to be written is the longest of three: long ones are learnt last."""
P_CUT_SHORT = 0.12
"""whisper.cpp ends a segment in the middle of speech where no word is likely enough; the next must start right there."""
P_EMPTY = 0.10
P_NOISE = 0.6
P_LOUDER_ELSEWHERE = 0.4
P_TELEPHONE = 0.12
P_ANOTHER_THROAT = 0.6
THROATS = (0.85, 1.18)
"""Of which factor the resonances of a voice are moved: more speakers than espeak-ng has."""
_FIRST_MEL_ABOVE_4_KHZ = 62


@dataclass(frozen=True)
class Word:
    number: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Target:
    """One token to be written, and where in the window it can be heard; None: nowhere."""

    row: int
    heard_s: tuple[float, float] | None = None
    begins_s: float | None = None
    """When a word begins; a little of the token's probability goes to that timestamp, for word times."""
    is_wanted: bool = True
    """False: the model reads it, and is not to learn to write it."""


@dataclass(frozen=True)
class Window:
    mels: Floats
    words: list[Word]
    targets: list[Target]
    language: str | None
    """None when nothing is said."""


class Unlabelled(Exception):
    """The window is on the border between two right answers, or cannot be one."""


def floor_to_step(seconds: float) -> float:
    return float(np.floor(seconds / tokens.TIMESTAMP_STEP_S + 1e-6)) * tokens.TIMESTAMP_STEP_S


def targets_of(words: list[Word], length_s: float, *, is_full: bool) -> list[Target]:
    """What is to be written about a window. Raises Unlabelled."""
    opening = Target(tokens.timestamp_row(0))
    start_s = words[0].start_s if words else None
    if start_s is None or start_s > LATEST_START_S:
        end_s = _end_of_silence(start_s, length_s, is_full=is_full)
        heard = None if start_s is None or start_s > end_s + 1 else (start_s - 0.3, start_s + 0.2)
        row = tokens.timestamp_row(end_s)
        return [
            opening,
            Target(tokens.BLANK, heard),
            Target(row, heard),
            Target(row, heard),
            Target(tokens.END_OF_TEXT),
        ]
    segment = first_segment(words, length_s)
    rest = words[len(segment) :]
    if segment[-1].end_s + 0.25 > length_s:
        raise Unlabelled
    if not is_full and rest and len(segment) < MAX_WORDS and rest[0].start_s - segment[-1].end_s <= PAUSE_S:
        # Only the end of a full window may cut a segment.
        raise Unlabelled
    end_s, next_s = _end_and_next(segment[-1].end_s, rest[0].start_s if rest else None, length_s)
    written = [Target(tokens.FIRST_WORD + w.number, (w.start_s, w.end_s), max(0.0, w.start_s)) for w in segment]
    last_s = segment[-1].end_s
    return [
        opening,
        *written,
        Target(tokens.timestamp_row(end_s), (last_s - 0.2, last_s + 0.2)),
        Target(tokens.timestamp_row(next_s), (max(last_s, next_s - 0.3), next_s + 0.2)),
        Target(tokens.END_OF_TEXT),
    ]


def cut_short(targets: list[Target], words: int) -> list[Target]:
    """The same segment with no more than so many words, ended where the next one begins."""
    begins_s = targets[words + 1].begins_s or 0.0
    row = tokens.timestamp_row(begins_s)
    end = Target(row, is_wanted=False)
    next_start = Target(row, (begins_s - 0.2, begins_s + 0.2))
    return [*targets[: words + 1], end, next_start, Target(tokens.END_OF_TEXT)]


def first_segment(words: list[Word], length_s: float) -> list[Word]:
    """The words up to the first pause, or as many as one segment and the window hold."""
    segment = words[:1]
    for word in words[1:MAX_WORDS]:
        if word.start_s - segment[-1].end_s > PAUSE_S or word.end_s + 0.25 > length_s:
            break
        segment = [*segment, word]
    return segment


def _end_of_silence(start_s: float | None, length_s: float, *, is_full: bool) -> float:
    if start_s is None or start_s > length_s - 0.3:
        if not is_full:
            # A short window is a full one that was cut: what comes after it is not known.
            raise Unlabelled
        return EMPTY_WINDOW_S
    if start_s - LATEST_START_S < 0.03:
        raise Unlabelled
    return min(EMPTY_WINDOW_S, floor_to_step(start_s - LEAD_S))


def _end_and_next(end_s: float, next_start_s: float | None, length_s: float) -> tuple[float, float]:
    """The end of a segment, and where the next window starts."""
    if next_start_s is not None and next_start_s - end_s <= PAUSE_S:
        border_s = round(next_start_s / tokens.TIMESTAMP_STEP_S) * tokens.TIMESTAMP_STEP_S
        return border_s, border_s
    written_s = min(floor_to_step(end_s + AFTER_END_S + tokens.TIMESTAMP_STEP_S / 2), tokens.LAST_TIMESTAMP_S)
    if next_start_s is None or next_start_s > length_s - 0.3:
        return written_s, written_s
    next_s = min(floor_to_step(next_start_s - LEAD_S), floor_to_step(written_s + LONGEST_JUMP_S))
    return written_s, max(written_s, next_s)


def draw_window(pool: Pool, code: str, frames: int, chance: np.random.Generator) -> Window:
    """`frames`: of the encoder."""
    is_full = frames == FULL_WINDOW
    while True:
        try:
            if is_full and chance.random() < P_EMPTY:
                return _empty_window(pool, frames, chance)
            return _spoken_window(pool, code, frames, chance)
        except Unlabelled:
            continue


def _empty_window(pool: Pool, frames: int, chance: np.random.Generator) -> Window:
    log_power = np.full((frames * MELS_PER_ENCODER_FRAME, N_MELS), SILENCE, np.float32)
    level = chance.uniform(-2.6, 0.0)
    if chance.random() < 0.85:
        log_power = mixed(log_power, pool.noises, level - chance.uniform(0.0, 6.0), chance)
        log_power = _ended(log_power, 0.3, chance)
    loudest = float(log_power.max())
    if chance.random() < 0.5:
        # Somebody speaks elsewhere in the file.
        loudest = max(loudest, level + chance.uniform(0, 2))
    length_s = frames / ENCODER_FRAMES_PER_SECOND
    return Window(normalised(log_power, loudest), [], targets_of([], length_s, is_full=True), None)


def _spoken_window(pool: Pool, code: str, frames: int, chance: np.random.Generator) -> Window:
    length_s = frames / ENCODER_FRAMES_PER_SECOND
    level = chance.uniform(-2.6, 0.0)
    log_power, words = _laid_out(pool, code, frames, level, chance)
    if not words:
        raise Unlabelled
    targets = targets_of(words, length_s, is_full=frames == FULL_WINDOW)
    written = sum(target.begins_s is not None for target in targets)
    if written > 1 and chance.random() < P_CUT_SHORT:
        targets = cut_short(targets, int(chance.integers(1, written)))
    if chance.random() < P_NOISE:
        log_power = mixed(log_power, pool.noises, level - 2.0 - chance.uniform(0.9, 6.0), chance)
        log_power = _ended(log_power, words[-1].end_s + 0.05, chance)
    if chance.random() < 0.5:
        # Microphones and telephones tilt the spectrum.
        tilt = np.linspace(-1, 1, N_MELS, dtype=np.float32) * chance.uniform(-0.4, 0.4)
        log_power = log_power + np.where(log_power > SILENCE + 0.1, tilt, 0)
    if chance.random() < P_TELEPHONE:
        log_power = as_by_telephone(log_power)
    loudest = float(log_power.max())
    if chance.random() < P_LOUDER_ELSEWHERE:
        loudest += chance.uniform(0, 1.2)
    return Window(normalised(log_power, loudest), words, targets, code)


def _laid_out(
    pool: Pool, code: str, frames: int, level: float, chance: np.random.Generator
) -> tuple[Floats, list[Word]]:
    """Utterances one after another with pauses between them; the first may have begun before the window."""
    n_mels = frames * MELS_PER_ENCODER_FRAME
    length_s = n_mels / FRAMES_PER_SECOND
    log_power = np.full((n_mels, N_MELS), SILENCE, np.float32)
    words: list[Word] = []
    choice = pool.short[code] if frames < FULL_WINDOW and chance.random() < BATCH_OF_SHORT else pool.utterances[code]
    is_alone = chance.random() < 0.35
    spoken = sentence_to_be_written(choice, chance)
    first, origin_s = _opening(spoken, length_s, chance)
    while True:
        # Frames are 10 ms: the origin is moved to one, so that times are exact.
        offset = round(origin_s * FRAMES_PER_SECOND)
        origin_s = offset / FRAMES_PER_SECOND
        begin, end = max(0, -offset), min(n_mels, len(spoken.log_power) - offset)
        if end > begin:
            heard = unpacked(spoken.log_power[begin + offset : end + offset]) + (level + chance.uniform(-0.6, 0.6))
            if chance.random() < P_ANOTHER_THROAT:
                heard = as_by_another_throat(heard, chance.uniform(*THROATS))
            log_power[begin:end] = np.maximum(log_power[begin:end], heard)
        starts_s = [start_s - origin_s for start_s in spoken.starts_s]
        words += [
            Word(spoken.words[n], starts_s[n], starts_s[n + 1])
            for n in range(first, len(spoken.words))
            if starts_s[n] < length_s
        ]
        if is_alone or starts_s[-1] > length_s:
            return log_power, words
        spoken, first = choice[chance.integers(len(choice))], 0
        origin_s = spoken.starts_s[0] - (starts_s[-1] + _pause_s(chance))


def sentence_to_be_written(choice: list[Utterance], chance: np.random.Generator) -> Utterance:
    places = chance.integers(len(choice), size=3 if chance.random() < P_LONGEST else 1)
    return max((choice[int(place)] for place in places), key=lambda spoken: len(spoken.words))


def _opening(spoken: Utterance, length_s: float, chance: np.random.Generator) -> tuple[int, float]:
    """The first word that counts, and where in the utterance's time the window starts."""
    kind = chance.random()
    start_s = spoken.starts_s[0]
    if kind < 0.06:
        return 0, start_s - chance.uniform(1.0, length_s)
    if kind < 0.68:
        return 0, start_s - chance.uniform(0.03, LATEST_START_S)
    if kind < 0.84:
        return 0, start_s - chance.uniform(0.0, 1.3)
    if kind < 0.92 or len(spoken.words) < 2:
        return 0, start_s - chance.uniform(-0.04, 0.03)
    # whisper.cpp cuts long speech between two words.
    first = int(chance.integers(1, len(spoken.words)))
    return first, spoken.starts_s[first] - chance.uniform(-0.05, 0.05)


def _ended(log_power: Floats, earliest_s: float, chance: np.random.Generator) -> Floats:
    """Now and then the file ends within the window; whisper.cpp shows digital silence after it."""
    length_s = len(log_power) / FRAMES_PER_SECOND
    if earliest_s > length_s or chance.random() < 0.5:
        return log_power
    ended = log_power.copy()
    ended[int(chance.uniform(earliest_s, length_s) * FRAMES_PER_SECOND) :] = SILENCE
    return ended


def _pause_s(chance: np.random.Generator) -> float:
    bounds_s = ((0.06, 0.24), (0.36, 0.9), (0.9, 2.2), (2.2, 6.0))
    low_s, high_s = bounds_s[chance.choice(4, p=[0.12, 0.53, 0.28, 0.07])]
    return float(chance.uniform(low_s, high_s))


def as_by_telephone(log_power: Floats) -> Floats:
    """Sampled at 8 kHz on its way."""
    narrow = log_power.copy()
    narrow[:, _FIRST_MEL_ABOVE_4_KHZ:] = SILENCE
    return narrow


def mixed(log_power: Floats, noises: npt.NDArray[np.uint8], gain: float, chance: np.random.Generator) -> Floats:
    """The sum of two powers, of which the logarithms are known."""
    noise = noises[chance.integers(len(noises))]
    begin = chance.integers(len(noise) - len(log_power))
    added = unpacked(noise[begin : begin + len(log_power)]) + np.float32(gain)
    difference = np.minimum(np.abs(log_power - added), DYNAMIC_RANGE)
    return np.asarray(np.maximum(log_power, added) + np.log10(1 + 10.0**-difference), np.float32)
