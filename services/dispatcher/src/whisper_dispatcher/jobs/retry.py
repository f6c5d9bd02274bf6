"""Which failures are tried again, and after how long. The only place that knows."""

from __future__ import annotations

import random
from dataclasses import dataclass

from whisper_contracts.failures import RETRYABLE, FailureReason

MAX_ATTEMPTS = 5
BASE_DELAY_S = 1.0
MAX_DELAY_S = 60.0

MAX_DEATHS = 10
"""A window that was begun this often without a word of how it ended takes its workers down: it is given up. Being handed
back is no sign of that: with many slots it happens dozens of times in a second."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    pass


def decide(reason: FailureReason, attempts: int, rng: random.Random) -> TryAgain | GiveUp:
    """attempts: how many have failed, this one included.

    Exponential backoff with full jitter: after attempt n a delay between 0 and min(60, 2^(n-1)) seconds.
    """
    if reason not in RETRYABLE or attempts >= MAX_ATTEMPTS:
        return GiveUp()
    return TryAgain(rng.uniform(0.0, min(MAX_DELAY_S, BASE_DELAY_S * 2 ** (attempts - 1))))
