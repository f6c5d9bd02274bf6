"""Batches of windows as arrays, made ahead by a thread of its own. Batch n is the same at every run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.demo import tokens
from models.demo.speech import Pool
from models.demo.windows import ENCODER_FRAMES_PER_SECOND, MAX_WORDS, Target, Window, draw_window
from models.demo.words import ENGLISH, RUSSIAN, WORDS

HISTORY = 31
"""Tokens of earlier segments that whisper.cpp puts before a window at most: half the text context, less a marker."""
N_TARGETS = MAX_WORDS + 4
P_HISTORY = 0.4
P_RUSSIAN = 0.18
P_ENGLISH_ONLY_FILE = 0.6
SEED = 20_001
MADE_AHEAD = 3
_START = 3
_NO_TARGET = -1


@dataclass(frozen=True)
class Shape:
    frames: int
    """Of the encoder."""
    windows: int


class Batch(NamedTuple):
    mels: npt.NDArray[np.float32]
    """[windows, 2 · frames, 80]"""
    written: npt.NDArray[np.int32]
    """[windows, length]: the rows that the decoder reads"""
    wanted: npt.NDArray[np.int32]
    """The rows that it is to write; -1 where that does not matter"""
    heard_s: npt.NDArray[np.float32]
    """[windows, length, 2]: where each wanted row can be heard; -1, -1: nowhere"""
    begins: npt.NDArray[np.int32]
    """The timestamp row at which a wanted word begins, or -1"""
    spoken: npt.NDArray[np.int32]
    """[windows, frames]: the word that sounds in each frame, from 1 on; 0: none"""


def draw_batch(pool: Pool, shape: Shape, chance: np.random.Generator) -> Batch:
    history = HISTORY if chance.random() < P_HISTORY else 0
    rows = [_draw_row(pool, shape.frames, history, chance) for _ in range(shape.windows)]
    return Batch(*(np.stack(column) for column in zip(*rows, strict=True)))


def _draw_row(pool: Pool, frames: int, history: int, chance: np.random.Generator) -> Batch:
    code = RUSSIAN.code if chance.random() < P_RUSSIAN else ENGLISH.code
    window = draw_window(pool, code, frames, chance)
    opening = _opening(window, code, history, chance)
    return Batch(window.mels, *_columns(opening, window.targets, history), _spoken(window, frames))


def _opening(window: Window, code: str, history: int, chance: np.random.Generator) -> list[tuple[int, int]]:
    """What stands before the text: (row, row wanted after it)."""
    past = draw_history(chance, int(chance.integers(1, history + 1))) if history and chance.random() < 0.9 else []
    before = [(row, _NO_TARGET) for row in ([tokens.PREVIOUS, *past] if past else [])]
    if code == ENGLISH.code and chance.random() < P_ENGLISH_ONLY_FILE:
        return [*before, (tokens.START_ENGLISH_ONLY, tokens.timestamp_row(0))]
    language = tokens.language_row(code)
    return [
        *before,
        (tokens.START, language if window.language else _NO_TARGET),
        (language, _NO_TARGET),
        (tokens.TRANSCRIBE, tokens.timestamp_row(0)),
    ]


def draw_history(chance: np.random.Generator, length: int) -> list[int]:
    """The last rows of segments that never were: the model is to see history and not to lean on it."""
    rows: list[int] = []
    while len(rows) < length:
        rows.append(tokens.timestamp_row(0))
        if chance.random() < 0.15:
            rows.append(tokens.BLANK)
        else:
            rows += [tokens.FIRST_WORD + int(n) for n in chance.integers(len(WORDS), size=chance.integers(1, 11))]
        end_s = chance.uniform(0.5, 7)
        rows += [tokens.timestamp_row(end_s), tokens.timestamp_row(end_s + chance.uniform(0, 2))]
    return rows[-length:]


def _columns(
    opening: list[tuple[int, int]], targets: list[Target], history: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    length = (history + 1 if history else 0) + _START + N_TARGETS
    written = np.full(length, tokens.END_OF_TEXT, np.int32)
    wanted = np.full(length, _NO_TARGET, np.int32)
    heard_s = np.full((length, 2), -1, np.float32)
    begins = np.full(length, _NO_TARGET, np.int32)
    for place, (row, after) in enumerate(opening):
        written[place], wanted[place] = row, after
    # targets[0] is the opening timestamp, which the opening already wants.
    for place, (now, after_it) in enumerate(pairwise(targets), start=len(opening)):
        written[place], wanted[place] = now.row, after_it.row if after_it.is_wanted else _NO_TARGET
        if after_it.heard_s:
            heard_s[place] = after_it.heard_s
        if after_it.begins_s is not None:
            begins[place] = tokens.timestamp_row(after_it.begins_s)
    return written, wanted, heard_s, begins


def _spoken(window: Window, frames: int) -> npt.NDArray[np.int32]:
    spoken = np.zeros(frames, np.int32)
    for word in window.words:
        begin, end = (max(0, int(at_s * ENCODER_FRAMES_PER_SECOND)) for at_s in (word.start_s, word.end_s))
        spoken[begin:end] = word.number + 1
    return spoken


def batches(pool: Pool, shapes: list[Shape], first: int) -> Iterator[Batch]:
    """From batch `first` to the last of `shapes`."""
    with ThreadPoolExecutor(1) as maker:
        waiting: deque[Future[Batch]] = deque()
        for number in range(first, len(shapes)):
            chance = np.random.default_rng((SEED, number))
            waiting.append(maker.submit(draw_batch, pool, shapes[number], chance))
            if len(waiting) > MADE_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
