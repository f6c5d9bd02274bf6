"""Log-mel spectrograms exactly as whisper.cpp computes them, before it clips them at the file's loudest point."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
HOP = 160
FRAMES_PER_SECOND = SAMPLE_RATE_HZ // HOP
N_MELS = 80
WINDOW = 400
SILENCE = -10.0
"""log10 of the least power that whisper.cpp knows."""
DYNAMIC_RANGE = 8.0
"""In log10 of power: what lies further below the file's loudest point is lifted to it."""

_LINEAR_BELOW_HZ = 1000.0
_MELS_AT_LINEAR_END = 15.0


@cache
def mel_filters() -> Floats:
    """[80, 201]: triangles on Slaney's mel scale, each of unit area, as Whisper's own filters are."""
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, WINDOW // 2 + 1)
    edges_hz = _mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE_HZ / 2), N_MELS + 2))
    rising = (bins_hz - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    falling = (edges_hz[2:, None] - bins_hz) / np.diff(edges_hz)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    area = 2 / (edges_hz[2:] - edges_hz[:-2])
    return np.asarray(triangles * area[:, None], np.float32)


def log_mel(sound: Floats) -> Floats:
    """[frames, 80] of 16 kHz mono samples between -1 and 1."""
    padded = np.concatenate([sound[1 : WINDOW // 2 + 1][::-1], sound, np.zeros(WINDOW, np.float32)])
    n_frames = (len(padded) - WINDOW) // HOP
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: n_frames * HOP : HOP]
    power = np.abs(np.fft.rfft(windows * _hann(), axis=1)) ** 2
    of_mels = power.astype(np.float32) @ mel_filters().T
    return np.asarray(np.log10(np.maximum(of_mels, 10.0**SILENCE)), np.float32)


def normalised(log_power: Floats, loudest: float) -> Floats:
    """What the network sees; `loudest` is the greatest value of the whole file."""
    return np.asarray((np.maximum(log_power, loudest - DYNAMIC_RANGE) + 4) / 4, np.float32)


def as_by_another_throat(log_power: Floats, factor: float) -> Floats:
    """All of a voice's resonances `factor` times as high, as shorter or longer throats have them."""
    mels = np.linspace(0, _hz_to_mel(SAMPLE_RATE_HZ / 2), N_MELS + 2)[1:-1]
    heard_at = np.interp(_mel_to_hz(mels) / factor, _mel_to_hz(mels), np.arange(N_MELS))
    below = np.minimum(heard_at.astype(int), N_MELS - 2)
    share = (heard_at - below).astype(np.float32)
    return np.asarray(log_power[:, below] * (1 - share) + log_power[:, below + 1] * share, np.float32)


@cache
def _hann() -> Floats:
    return np.asarray(0.5 * (1 - np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)), np.float32)


def _hz_to_mel(hz: float) -> float:
    return _MELS_AT_LINEAR_END + 27 * float(np.log(hz / _LINEAR_BELOW_HZ) / np.log(6.4))


def _mel_to_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = mels * _LINEAR_BELOW_HZ / _MELS_AT_LINEAR_END
    logarithmic = _LINEAR_BELOW_HZ * np.exp((mels - _MELS_AT_LINEAR_END) * np.log(6.4) / 27)
    return np.where(mels < _MELS_AT_LINEAR_END, linear, logarithmic)
