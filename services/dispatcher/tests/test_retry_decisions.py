from __future__ import annotations

import random

import pytest

from whisper_contracts.failures import RETRYABLE, FailureReason
from whisper_dispatcher.jobs.retry import MAX_ATTEMPTS, MAX_DELAY_S, GiveUp, TryAgain, decide


class Highest(random.Random):
    """Draws the top of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("reason", list(FailureReason))
@pytest.mark.parametrize("attempts", range(1, MAX_ATTEMPTS + 2))
def test_faults_of_the_service_alone_are_tried_again_until_attempts_run_out(
    reason: FailureReason, attempts: int
) -> None:
    decision = decide(reason, attempts, random.Random(0))
    is_again = reason in RETRYABLE and attempts < MAX_ATTEMPTS
    assert isinstance(decision, TryAgain if is_again else GiveUp)


def test_the_longest_delay_doubles() -> None:
    delays = [decide(FailureReason.TIMEOUT, attempts, Highest()) for attempts in range(1, MAX_ATTEMPTS)]
    assert delays == [TryAgain(1.0), TryAgain(2.0), TryAgain(4.0), TryAgain(8.0)]
    assert all(delay.delay_s <= MAX_DELAY_S for delay in delays if isinstance(delay, TryAgain))


def test_delays_are_spread_over_their_whole_range() -> None:
    rng = random.Random(1)
    delays = [decide(FailureReason.SERVER_ERROR, 4, rng) for _ in range(200)]
    seconds = sorted(delay.delay_s for delay in delays if isinstance(delay, TryAgain))
    assert len(seconds) == 200
    assert 0 <= seconds[0] < 1
    assert 7 < seconds[-1] <= 8
