from __future__ import annotations

import numpy as np
import pytest

from models.demo.evaluation import Heard, error_row, time_row
from models.demo.recordings import Recording, as_wav, wordless
from models.demo.schedule import FULL, PEAK_RATE, SHORT, STEPS, WARM_UP, course, rate_at


def test_training_goes_from_short_windows_to_full_ones() -> None:
    shapes = course(1_000)
    assert set(shapes[:500]) == {SHORT}
    assert set(shapes[500:750]) == {SHORT, FULL}
    assert set(shapes[751:]) == {FULL}


def test_a_training_that_goes_on_sees_what_it_would_have_seen() -> None:
    assert course(1_000)[600:] == course(1_000)[600:]
    assert course(STEPS) == course(STEPS)


@pytest.mark.parametrize(
    ("step", "share"), [(0, 1 / WARM_UP), (WARM_UP // 2 - 1, 0.5), (STEPS // 2, 0.51), (STEPS, 0.02)]
)
def test_the_rate_warms_up_and_then_falls(step: int, share: float) -> None:
    assert rate_at(step, STEPS) == pytest.approx(PEAK_RATE * share, rel=0.02)


def said(text: str, *spans_s: tuple[float, float]) -> Recording:
    return Recording(np.zeros(160, np.float32), text, spans_s)


def test_error_rates_are_weighted_by_words() -> None:
    recordings = [said("one two three"), said("four")]
    row = error_row("x", 0.03, recordings, [Heard("one two three", ()), Heard("five", ())])
    assert row.measured == "25.00% of 4 words"
    assert not row.is_met
    assert error_row("x", 0.25, recordings, [Heard("one two", ()), Heard("four", ())]).is_met


def test_times_are_those_of_the_worst_of_95_percent() -> None:
    row = time_row("x", said("one two", (0.0, 1.0), (2.0, 3.0)), Heard("", ((0.1, 1.0), (2.0, 3.2))))
    assert row.is_met
    assert not time_row("x", said("one", (0.0, 1.0)), Heard("", ((0.5, 1.0),))).is_met
    assert not time_row("x", said("one", (0.0, 1.0)), Heard("", ())).is_met


def test_a_wav_is_as_whisper_server_takes_it() -> None:
    data = as_wav(np.array([0, 0.5, -1, 2], np.float32))
    assert data[:4] == b"RIFF"
    assert np.frombuffer(data[-8:], "<i2").tolist() == [0, 16_383, -32_767, 32_767]


def test_silence_and_three_noises_are_measured_faint_and_loud() -> None:
    recordings = wordless()
    assert len(recordings) == 7
    assert all(recording.text == "" for recording in recordings.values())
    assert not recordings["silence"].sound.any()
