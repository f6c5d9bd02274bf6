"""Sounds without speech: what a microphone hears when nobody talks. The model is taught to write nothing for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.demo.mel import SAMPLE_RATE_HZ, Floats

Doubles = npt.NDArray[np.float64]

_LOWEST_HZ = 20.0


def white(n_samples: int, chance: np.random.Generator) -> Floats:
    return _shaped(n_samples, chance, lambda hz: np.ones_like(hz))


def pink(n_samples: int, chance: np.random.Generator) -> Floats:
    return _shaped(n_samples, chance, lambda hz: hz**-0.5)


def brown(n_samples: int, chance: np.random.Generator) -> Floats:
    return _shaped(n_samples, chance, lambda hz: 1 / hz)


def hiss(n_samples: int, chance: np.random.Generator) -> Floats:
    return _shaped(n_samples, chance, lambda hz: hz**0.5)


def hum(n_samples: int, chance: np.random.Generator) -> Floats:
    """Mains hum and its harmonics over a little pink noise."""
    seconds = np.arange(n_samples) / SAMPLE_RATE_HZ
    mains_hz = chance.choice([50, 60])
    tones = sum(np.sin(2 * np.pi * mains_hz * k * seconds) / k for k in (1, 2, 3, 5))
    return _levelled(np.asarray(tones, np.float32) + 0.3 * pink(n_samples, chance))


def street(n_samples: int, chance: np.random.Generator) -> Floats:
    """Rumble, cars that pass, a horn now and then, knocks."""
    sound = brown(n_samples, chance).astype(np.float64)
    seconds = np.arange(n_samples) / SAMPLE_RATE_HZ
    length_s = n_samples / SAMPLE_RATE_HZ
    for _ in range(1 + int(length_s / 6)):
        passing = np.exp(-(((seconds - chance.uniform(0, length_s)) / chance.uniform(0.8, 2.5)) ** 2))
        sound = sound + chance.uniform(0.5, 2) * passing * _shaped(n_samples, chance, lambda hz: hz**-0.7)
    for _ in range(chance.poisson(length_s / 8)):
        sound = sound + chance.uniform(0.1, 0.8) * _horn(seconds, chance)
    for _ in range(chance.poisson(length_s / 3)):
        since_s = seconds - chance.uniform(0, length_s)
        knock = np.where(since_s > 0, np.exp(-np.maximum(since_s, 0) / chance.uniform(0.01, 0.08)), 0)
        sound = sound + chance.uniform(0.5, 2) * knock * white(n_samples, chance)
    return _levelled(sound)


NOISES: tuple[Callable[[int, np.random.Generator], Floats], ...] = (white, pink, brown, hiss, hum, street)


def room(sound: Floats, rate_hz: int, chance: np.random.Generator) -> Floats:
    """The sound as it reaches a microphone across a room: a short tail of echoes that dies away."""
    decay_s = chance.uniform(0.1, 0.5)
    length = int(decay_s * rate_hz)
    tail = chance.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= chance.uniform(0.1, 0.5) / np.sqrt(np.sum(tail**2))
    size = len(sound) + length
    echoes = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[: len(sound)]
    return np.asarray(sound + echoes, np.float32)


def _shaped(n_samples: int, chance: np.random.Generator, gain: Callable[[Doubles], Doubles]) -> Floats:
    spectrum = np.fft.rfft(chance.standard_normal(n_samples))
    hz = np.maximum(np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ), _LOWEST_HZ)
    return _levelled(np.fft.irfft(spectrum * gain(hz), n_samples))


def _horn(seconds: Doubles, chance: np.random.Generator) -> Floats:
    since_s = seconds - chance.uniform(0, seconds[-1])
    sounding = (since_s > 0) & (since_s < chance.uniform(0.2, 1.0))
    pitch_hz = chance.uniform(300, 500)
    return np.asarray(
        sounding * sum(np.sin(2 * np.pi * pitch_hz * k * seconds) / k for k in (1, 1.25, 2, 3)), np.float32
    )


def _levelled(sound: Floats | Doubles) -> Floats:
    """To a standard deviation of 1."""
    return np.asarray(sound / np.std(sound), np.float32)
