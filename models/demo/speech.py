"""The pool of utterances that training draws from: spoken once, kept on disk as spectrograms with word times."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.demo.espeak import Manner, espeak
from models.demo.mel import SAMPLE_RATE_HZ, SILENCE, Floats, log_mel
from models.demo.noise import NOISES, room
from models.demo.words import AS_SAID, ENGLISH, LANGUAGES, RUSSIAN, WORDS, Language, draw_sentence

SPEAKERS = (
    "m1 m2 m3 m4 m5 m6 m7 f1 f2 f3 f4 Alex Andy Annie Denis Diogo Gene Jacky Lee Mario Michael Mike adam anika "
    "belinda benjamin boris david ed edward john linda max michel miguel paul pedro quincy rob robert shelby travis "
    "victor zac"
).split()
HELD_OUT_SPEAKERS = tuple("m8 f5 Andrea Hugo Henrique marcelo steph3".split())
"""Only the evaluation uses them."""
ACCENTS = {  # espeak-ng calls British English plain "en".
    ENGLISH.code: ("en-us",) * 5
    + ("en",) * 4
    + ("en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd"),
    RUSSIAN.code: ("ru",),
}

POOL_STEPS_PER_UNIT = 20
"""Spectrograms are kept as bytes, in twentieths of log10 of power."""
UTTERANCES = {ENGLISH.code: 20_000, RUSSIAN.code: 4_000}
SHARD = 500
NOISE_SECONDS = 40
MARGIN_S = 0.02
_AUDIBLE = 0.004
_SHORTEST_WORD_S = 0.03


@dataclass(frozen=True)
class Utterance:
    """A sentence without the silence around it."""

    words: tuple[int, ...]
    starts_s: tuple[float, ...]
    """Of each word, and the end of the last, in the spectrogram."""
    log_power: npt.NDArray[np.uint8]


def draw_manner(language: Language, chance: random.Random, speakers: tuple[str, ...] | list[str]) -> Manner:
    accent = chance.choice(ACCENTS[language.code])
    # A third is said by the accent's own speaker, who is the one that people try first.
    speaker = "" if chance.random() < 0.33 else chance.choice(speakers)
    return Manner(
        voice=f"{accent}+{speaker}" if speaker else accent,
        words_per_minute=chance.randint(110, 205),
        pitch=chance.randint(25, 75),
        pitch_range=chance.randint(20, 80),
        gap=chance.choice((0, 0, 0, 0, 0, 0, 0, 0, 2, 5, 10)),
    )


def as_text(words: tuple[str, ...], chance: random.Random) -> tuple[str, list[int]]:
    """The sentence as espeak-ng gets it, and where each word begins in it."""
    commas = chance.random() < 0.2
    text, places = "", []
    for word in words:
        if text:
            text += ", " if commas and chance.random() < 0.15 else " "
        places.append(len(text))
        text += AS_SAID.get(word, word)
    return text + chance.choice(("", ".", ".", ",", "?", "!")), places


def say(language: Language, chance: random.Random) -> Utterance | None:
    """None when nothing sounds, or a word is too short to be heard."""
    words = draw_sentence(language, chance)
    text, places = as_text(words, chance)
    spoken = espeak().say(text, draw_manner(language, chance, SPEAKERS))
    rate_hz = espeak().rate_hz
    loud = np.nonzero(np.abs(spoken.sound) > _AUDIBLE)[0]
    if len(loud) == 0:
        return None
    begin_s, end_s = loud[0] / rate_hz, (loud[-1] + 1) / rate_hz
    borders_s = with_joined([begin_s, *(spoken.word_starts_s.get(place) for place in places[1:]), end_s])
    if any(after - before < _SHORTEST_WORD_S for before, after in pairwise(borders_s)):
        return None
    cut_s = max(0.0, begin_s - MARGIN_S)
    sound = spoken.sound[int(cut_s * rate_hz) : int((end_s + MARGIN_S) * rate_hz)]
    if chance.random() < 0.25:
        sound = room(sound, rate_hz, np.random.default_rng(chance.getrandbits(32)))
    # At any phase against the spectrogram's hops.
    lead = 480 + chance.randrange(160)
    at_16_khz = resampled(sound, rate_hz, linear=chance.random() < 0.4)
    padded = np.concatenate([np.zeros(lead, np.float32), at_16_khz, np.zeros(640, np.float32)])
    return Utterance(
        tuple(WORDS.index(word) for word in words),
        tuple(border_s - cut_s + lead / SAMPLE_RATE_HZ for border_s in borders_s),
        packed(log_mel(padded)),
    )


def with_joined(borders_s: list[float | None]) -> list[float]:
    """espeak-ng says some words as one, as in "on the": their border is taken to be in the middle of it."""
    known = [place for place, border_s in enumerate(borders_s) if border_s is not None]
    return np.interp(range(len(borders_s)), known, [borders_s[place] or 0.0 for place in known]).tolist()


def resampled(sound: Floats, rate_hz: int, *, linear: bool) -> Floats:
    """To 16 kHz, as a careless or a careful program does it."""
    n_samples = len(sound) * SAMPLE_RATE_HZ // rate_hz
    if linear:
        at = np.arange(n_samples) * (rate_hz / SAMPLE_RATE_HZ)
        return np.asarray(np.interp(at, np.arange(len(sound)), sound), np.float32)
    spectrum = np.fft.rfft(sound)[: n_samples // 2 + 1]
    return np.asarray(np.fft.irfft(spectrum, n_samples) * (n_samples / len(sound)), np.float32)


def packed(log_power: Floats) -> npt.NDArray[np.uint8]:
    return np.clip(np.round((log_power - SILENCE) * POOL_STEPS_PER_UNIT), 0, 255).astype(np.uint8)


def unpacked(packed: npt.NDArray[np.uint8]) -> Floats:
    return np.asarray(packed, np.float32) / np.float32(POOL_STEPS_PER_UNIT) + np.float32(SILENCE)


def make_shard(folder: Path, code: str, number: int) -> Path:
    """Writes SHARD utterances of one language; the same every time."""
    path = folder / f"speech-{code}-{number:03}.npz"
    if path.is_file():
        return path
    language = next(language for language in LANGUAGES if language.code == code)
    chance = random.Random(f"{code} {number}")  # noqa: S311 - the same speech at every run is the point
    utterances = list(_some_utterances(language, chance, SHARD))
    _save(
        path,
        log_power=np.concatenate([utterance.log_power for utterance in utterances]),
        frames=np.array([len(utterance.log_power) for utterance in utterances]),
        words=np.concatenate([utterance.words for utterance in utterances]).astype(np.int16),
        n_words=np.array([len(utterance.words) for utterance in utterances]),
        starts_s=np.concatenate([utterance.starts_s for utterance in utterances]).astype(np.float32),
    )
    return path


def make_noises(folder: Path, seed: int = 1) -> Path:
    path = folder / "noises.npz"
    if not path.is_file():
        chance = np.random.default_rng(seed)
        # Two of each, and of the street, which never sounds the same twice, four.
        kinds = [*NOISES, *NOISES, NOISES[-1], NOISES[-1]]
        sounds = [kind(NOISE_SECONDS * SAMPLE_RATE_HZ, chance) for kind in kinds]
        _save(path, log_power=np.stack([packed(log_mel(sound)) for sound in sounds]))
    return path


def make_pool(folder: Path, share: float = 1.0, processes: int = 2) -> Iterator[Path]:
    """Yields each file as it is there. `share` < 1 makes a smaller pool, for trying things out."""
    folder.mkdir(parents=True, exist_ok=True)
    yield make_noises(folder)
    wanted = [
        (code, number) for code, count in UTTERANCES.items() for number in range(max(1, round(count * share / SHARD)))
    ]
    # Spawned, since a program that has loaded JAX must not fork.
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        yield from pool.map(make_shard, [folder] * len(wanted), *zip(*wanted, strict=True))


class Pool:
    """The utterances and noises of a folder."""

    def __init__(self, folder: Path) -> None:
        self.noises = np.load(folder / "noises.npz")["log_power"]
        self.utterances = {
            language.code: [
                utterance
                for path in sorted(folder.glob(f"speech-{language.code}-*.npz"))
                for utterance in _load_shard(path)
            ]
            for language in LANGUAGES
        }

    @cached_property
    def short(self) -> dict[str, list[Utterance]]:
        """Those that leave room in a five-second window."""
        return {code: [u for u in all_of if u.starts_s[-1] < 3.5] for code, all_of in self.utterances.items()}


def _end_with(parent: int) -> None:
    """Else a killed parent would leave its processes waiting for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _some_utterances(language: Language, chance: random.Random, count: int) -> Iterator[Utterance]:
    while count:
        if utterance := say(language, chance):
            count -= 1
            yield utterance


def _load_shard(path: Path) -> Iterator[Utterance]:
    shard = np.load(path)
    log_power, words, starts_s = shard["log_power"], shard["words"], shard["starts_s"].tolist()
    frame = word = start = 0
    for n_frames, n_words in zip(shard["frames"].tolist(), shard["n_words"].tolist(), strict=True):
        yield Utterance(
            tuple(words[word : word + n_words].tolist()),
            tuple(starts_s[start : start + n_words + 1]),
            log_power[frame : frame + n_frames],
        )
        frame, word, start = frame + n_frames, word + n_words, start + n_words + 1


def _save(path: Path, **arrays: npt.NDArray[np.generic]) -> None:
    """Whole or not at all, so that a kill leaves no half a file."""
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)  # type: ignore[arg-type]
    part.replace(path)
