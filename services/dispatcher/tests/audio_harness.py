"""Recordings made of tones: loud enough to be no silence, with pauses where a test wants them."""

from __future__ import annotations

import io
import wave

import numpy as np

from whisper_contracts.messages import SAMPLE_RATE_HZ


def tone(seconds: float) -> np.ndarray:
    at_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (8000 * np.sin(2 * np.pi * 440 * at_s)).astype(np.int16)


def pause(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.int16)


def as_wav(*parts: np.ndarray) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
        writer.writeframes(np.concatenate(parts).tobytes())
    return file.getvalue()


def speech_like(phrases: int, phrase_s: float = 9.0, pause_s: float = 1.0) -> bytes:
    """Phrases with a pause after each."""
    return as_wav(*(part for _ in range(phrases) for part in (tone(phrase_s), pause(pause_s))))
