"""What each step of the training does: on windows of which length, and how far it goes."""

from __future__ import annotations

import math

import numpy as np

from models.demo.batches import Shape
from models.demo.windows import FULL_WINDOW

SEED = 1
STEPS = 11_000
SHORT = Shape(frames=256, windows=24)
FULL = Shape(frames=FULL_WINDOW, windows=12)
PEAK_RATE = 2.5e-3
LAST_RATE = 0.02
"""Of the peak."""
WARM_UP = 200


def course(steps: int) -> list[Shape]:
    """The shape of each step: short windows first, which teach the words, then full ones, which teach the rest."""
    chance = np.random.default_rng(SEED)
    return [_shape_at(step / steps, chance.random()) for step in range(steps)]


def _shape_at(share_done: float, draw: float) -> Shape:
    if share_done < 0.50:
        return SHORT
    return FULL if share_done > 0.75 or draw < 0.5 else SHORT


def rate_at(step: int, steps: int) -> float:
    warm_up = min(1.0, (step + 1) / WARM_UP)
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return PEAK_RATE * warm_up * (LAST_RATE + (1 - LAST_RATE) * cosine)
