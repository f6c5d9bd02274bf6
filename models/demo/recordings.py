"""What the model is measured on: sentences and speakers that training never had, at known times."""

from __future__ import annotations

import io
import random
import wave
from dataclasses import dataclass

import numpy as np

from models.demo.espeak import espeak
from models.demo.mel import SAMPLE_RATE_HZ, Floats
from models.demo.noise import pink, street, white
from models.demo.speech import HELD_OUT_SPEAKERS, as_text, draw_manner, resampled
from models.demo.words import Language, draw_sentence

LONGEST_SENTENCE_S = 6.0
NOISE_S = 20
_AUDIBLE = 0.004


@dataclass(frozen=True)
class Recording:
    sound: Floats
    """16 kHz"""
    text: str
    spans_s: tuple[tuple[float, float], ...]
    """When each sentence sounds."""


def sentences(language: Language, count: int, *, noisy: bool) -> list[Recording]:
    chance = random.Random(f"evaluation {language.code} {noisy}")  # noqa: S311 - the same at every run
    return [_sentence(language, chance, noisy=noisy) for _ in range(count)]


def long_file(language: Language, minutes: float, number: int) -> Recording:
    """Sentences by one speaker after another, with the pauses of somebody who thinks."""
    chance = random.Random(f"evaluation {language.code} long {number}")  # noqa: S311
    parts, texts, spans_s, now_s = [np.zeros(8_000, np.float32)], [], [], 0.5
    while now_s < minutes * 60:
        said = _sentence(language, chance, noisy=False)
        spans_s.append((now_s, now_s + len(said.sound) / SAMPLE_RATE_HZ))
        pause = np.zeros(int(chance.choice((0.4, 0.6, 0.9, 1.5, 3.0)) * SAMPLE_RATE_HZ), np.float32)
        parts += [said.sound, pause]
        texts.append(said.text)
        now_s += (len(said.sound) + len(pause)) / SAMPLE_RATE_HZ
    return Recording(np.concatenate(parts), " ".join(texts), tuple(spans_s))


def wordless() -> dict[str, Recording]:
    """By name; each must come out as nothing."""
    chance = np.random.default_rng(99)
    size = NOISE_S * SAMPLE_RATE_HZ
    sounds = {"silence": np.zeros(size, np.float32)}
    for name, kind in (("white", white), ("pink", pink), ("street-like", street)):
        for level, gain in (("faint", 0.003), ("loud", 0.1)):
            sounds[f"{name} noise, {level}"] = gain * kind(size, chance)
    return {name: Recording(sound, "", ()) for name, sound in sounds.items()}


def as_wav(sound: Floats) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE_HZ)
        wav.writeframes((np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def _sentence(language: Language, chance: random.Random, *, noisy: bool) -> Recording:
    while True:
        words = draw_sentence(language, chance)
        text, _ = as_text(words, chance)
        manner = draw_manner(language, chance, HELD_OUT_SPEAKERS)
        sound = resampled(espeak().say(text, manner).sound, espeak().rate_hz, linear=False)
        loud = np.nonzero(np.abs(sound) > _AUDIBLE)[0]
        if len(loud) and len(sound) <= LONGEST_SENTENCE_S * SAMPLE_RATE_HZ:
            break
    sound = sound[loud[0] : loud[-1] + 1]
    if not noisy:
        return Recording(sound, " ".join(words), ((0.0, len(sound) / SAMPLE_RATE_HZ),))
    noise = np.random.default_rng(chance.getrandbits(32))
    before_s, after_s = chance.uniform(0, 1.2), chance.uniform(0, 0.8)
    padded = np.pad(sound, (int(before_s * SAMPLE_RATE_HZ), int(after_s * SAMPLE_RATE_HZ)))
    kind = chance.choice((white, pink, street))
    # 18 to 45 dB below the speech.
    level = np.std(sound) * 10 ** -(chance.uniform(18, 45) / 20)
    heard = padded + level * kind(len(padded), noise)
    span_s = (before_s, before_s + len(sound) / SAMPLE_RATE_HZ)
    return Recording(np.asarray(heard * 10 ** chance.uniform(-1, 0), np.float32), " ".join(words), (span_s,))
