"""Where recordings are cut, over tone bursts and silences made here."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from whisper_contracts.messages import WindowSpan
from whisper_contracts.pcm import SAMPLE_RATE_HZ
from whisper_dispatcher.planner.cut import cut_windows, frame_energy, silent

Pcm = npt.NDArray[np.int16]


def tone(seconds: float, amplitude: float = 8000) -> Pcm:
    times = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 440 * times)).astype(np.int16)


def noise(seconds: float, amplitude: float) -> Pcm:
    return np.random.default_rng(7).normal(0, amplitude, round(seconds * SAMPLE_RATE_HZ)).astype(np.int16)


def silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), dtype=np.int16)


def talk(*pauses: tuple[float, float], seconds: float) -> Pcm:
    """A tone of `seconds` with pauses (from, to) in it."""
    pcm = tone(seconds)
    for start_s, end_s in pauses:
        pcm[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)] = 0
    return pcm


def windows_of(pcm: Pcm) -> tuple[WindowSpan, ...]:
    return cut_windows(len(pcm) / SAMPLE_RATE_HZ, frame_energy(pcm))


def chatter(seconds: float) -> Pcm:
    """Bursts and pauses of random length over a noisy room."""
    random = np.random.default_rng(3)
    parts: list[Pcm] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE_HZ:
        parts += [tone(random.uniform(0.5, 6)), silence(random.uniform(0.05, 1.5))]
    pcm = np.concatenate(parts)[: round(seconds * SAMPLE_RATE_HZ)]
    return pcm + noise(seconds, 60)[: len(pcm)]


RECORDINGS = {
    "chatter": chatter(200),
    "digital silence": silence(95),
    "noise only": noise(95, 500),
    "one steady tone": tone(95),
    "silence, then a tone": np.concatenate([silence(40), tone(50)]),
    "a tone, then silence": np.concatenate([tone(50), silence(40)]),
    "half digital silence, half noisy room": np.concatenate([silence(45), chatter(45)]),
    "30 s and one sample": tone(30 + 1 / SAMPLE_RATE_HZ),
    "no whole number of frames": chatter(61.2345),
}


@pytest.mark.parametrize("pcm", RECORDINGS.values(), ids=RECORDINGS)
def test_windows_tile_the_recording_and_are_at_most_30_s(pcm: Pcm) -> None:
    windows = windows_of(pcm)
    assert windows[0].start_s == 0
    assert windows[-1].end_s == len(pcm) / SAMPLE_RATE_HZ
    assert all(one.end_s == next_.start_s for one, next_ in pairwise(windows))
    assert all(0 < window.end_s - window.start_s <= 30 for window in windows)
    assert all(window.end_s - window.start_s >= 15 for window in windows[:-1])


@pytest.mark.parametrize("seconds", [0.1, 3, 29.99, 30])
def test_up_to_30_s_is_one_window(seconds: float) -> None:
    assert windows_of(tone(seconds)) == (WindowSpan(start_s=0, end_s=seconds),)


def test_one_sample_more_makes_two_windows() -> None:
    assert len(windows_of(tone(30 + 1 / SAMPLE_RATE_HZ))) == 2


def test_a_cut_falls_in_the_middle_of_the_longest_pause() -> None:
    pcm = talk((10, 12), (17, 17.5), (21, 21.8), (26, 26.5), seconds=40)
    assert windows_of(pcm)[0].end_s == pytest.approx(21.4, abs=0.02)


def test_of_two_equal_pauses_the_later_wins() -> None:
    assert windows_of(talk((17, 17.5), (24, 24.5), seconds=40))[0].end_s == pytest.approx(24.25, abs=0.02)


def test_a_pause_that_begins_before_the_range_is_used_inside_it() -> None:
    assert 15 <= windows_of(talk((14, 16), seconds=40))[0].end_s <= 16


@pytest.mark.parametrize("room", [0, 20, 200, 1500])
def test_a_pause_is_found_above_the_noise_of_the_room(room: int) -> None:
    pcm = talk((5, 5.4), (22, 22.6), (23.5, 23.6), seconds=45)
    assert windows_of(pcm + noise(45, room))[0].end_s == pytest.approx(22.3, abs=0.05)


def test_a_pause_is_found_in_a_noisy_room_after_digital_silence() -> None:
    pcm = np.concatenate([silence(8), talk((12, 12.8), seconds=40) + noise(40, 60)])
    assert windows_of(pcm)[0].end_s == pytest.approx(20.4, abs=0.05)


def test_a_quiet_speaker_after_a_loud_one_is_cut_at_a_pause_too() -> None:
    pcm = np.concatenate([talk((20, 21), seconds=60), tone(60, 200)])
    pcm[80 * SAMPLE_RATE_HZ : 81 * SAMPLE_RATE_HZ] = 0
    assert any(80 <= window.end_s <= 81 for window in windows_of(pcm))


def test_without_a_pause_the_quietest_moment_is_cut() -> None:
    pcm = tone(40)
    pcm[round(19.95 * SAMPLE_RATE_HZ) : round(20.05 * SAMPLE_RATE_HZ)] //= 3
    assert windows_of(pcm)[0].end_s == pytest.approx(20, abs=0.06)


def test_two_hours_from_a_mapped_file_take_seconds(tmp_path: Path) -> None:
    path = tmp_path / "long.pcm"
    pcm = np.memmap(path, dtype=np.int16, mode="w+", shape=7_200 * SAMPLE_RATE_HZ)
    started = time.monotonic()
    assert len(windows_of(pcm)) >= 240
    assert time.monotonic() - started < 20


def test_energy_has_a_value_for_the_last_part_of_a_frame() -> None:
    energy = frame_energy(np.concatenate([tone(0.02), tone(0.01)]))
    assert len(energy) == 2
    assert energy[1] == pytest.approx(-15.3, abs=1)


def test_a_full_scale_square_wave_is_0_dbfs() -> None:
    assert frame_energy(np.full(320, -32768, dtype=np.int16))[0] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("pcm", "expected"),
    [
        (silence(3), True),
        (noise(3, 3), True),
        (noise(3, 40), False),
        (np.concatenate([silence(3), tone(0.1, 300), silence(3)]), False),
        (tone(3), False),
    ],
    ids=["digital silence", "dither", "a quiet room", "one quiet word", "a tone"],
)
def test_only_a_window_without_any_speech_energy_is_silent(pcm: Pcm, expected: bool) -> None:
    assert silent(pcm.tobytes()) is expected
