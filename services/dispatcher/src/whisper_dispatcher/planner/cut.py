"""Where a recording is cut into windows. Pure: no files, no clock."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from whisper_contracts.messages import MAX_WINDOW_S, WindowSpan
from whisper_contracts.pcm import SAMPLE_RATE_HZ

Energy = npt.NDArray[np.float32]
"""One value per frame, in dB below full scale (0 is the loudest, SILENCE_DBFS the quietest)."""

FRAMES_PER_SECOND: Final = 50
FRAME_SAMPLES: Final = SAMPLE_RATE_HZ // FRAMES_PER_SECOND
FULL_SCALE: Final = 32768.0
SILENCE_DBFS: Final = -100.0

# A minute of PCM at a time: a memory-mapped recording of ten hours never lies in memory as a whole.
BLOCK_FRAMES: Final = 60 * FRAMES_PER_SECOND

# Quieter than this in every frame is nothing a microphone picked up from a speaker (an amplitude of 10 in 32,768).
INAUDIBLE_DBFS: Final = -70.0

# A window is cut in this part of its greatest length: 15 to 28 of 30 seconds.
EARLIEST_CUT: Final = 15 / 30
LATEST_CUT: Final = 28 / 30

# The closure of a stop consonant lasts up to 0.1 s; what is longer lies between words.
SHORTEST_PAUSE_FRAMES: Final = FRAMES_PER_SECOND // 5
# Digital silence in part of a window must not hide the pauses of the noisy rest.
LOWEST_FLOOR_DBFS: Final = -65.0
PAUSE_ABOVE_FLOOR: Final = 0.3


def frame_energy(pcm: npt.NDArray[np.int16]) -> Energy:
    """Energy of every 20 ms frame; the last one may be shorter."""
    energy = np.empty(-(-len(pcm) // FRAME_SAMPLES), dtype=np.float32)
    whole = len(pcm) // FRAME_SAMPLES
    for first in range(0, whole, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, whole)
        block = pcm[first * FRAME_SAMPLES : last * FRAME_SAMPLES].astype(np.float32).reshape(-1, FRAME_SAMPLES)
        energy[first:last] = np.einsum("ij,ij->i", block, block) / FRAME_SAMPLES
    if whole < len(energy):
        energy[whole] = np.mean(np.square(pcm[whole * FRAME_SAMPLES :].astype(np.float32)))
    quietest = FULL_SCALE**2 * 10 ** (SILENCE_DBFS / 10)
    decibels: Energy = 10 * np.log10(np.maximum(energy, quietest) / FULL_SCALE**2)
    return decibels


def silent(pcm: bytes | memoryview) -> bool:
    """Whether a window holds nothing that could be speech, so that no server needs to hear it."""
    energy = frame_energy(np.frombuffer(pcm, dtype="<i2"))
    return bool(np.all(energy < INAUDIBLE_DBFS))


def cut_windows(duration_s: float, energy: Energy, *, max_window_s: float = MAX_WINDOW_S) -> tuple[WindowSpan, ...]:
    """Windows that tile the recording: no gap, no overlap, each at most max_window_s long.

    Each is cut in the middle of the longest pause of its second half, or where it is quietest if nobody pauses.
    Pauses stay in the windows: deleting silence costs more words than it saves time.
    """
    cuts = [0.0]
    while duration_s - cuts[-1] > max_window_s:
        start = round(cuts[-1] * FRAMES_PER_SECOND)
        window = energy[start : start + int(max_window_s * FRAMES_PER_SECOND)]
        earliest = int(max_window_s * EARLIEST_CUT * FRAMES_PER_SECOND)
        latest = int(max_window_s * LATEST_CUT * FRAMES_PER_SECOND)
        cut = earliest + _best_cut(window[earliest:latest], _pause_threshold(window))
        cuts.append((start + cut) / FRAMES_PER_SECOND)
    ends = [*cuts[1:], duration_s]
    return tuple(WindowSpan(start_s=start, end_s=end) for start, end in zip(cuts, ends, strict=True))


def _pause_threshold(window: Energy) -> float:
    """Between the noise floor and the speech of this window: speakers and rooms change within a recording."""
    floor, loud = np.percentile(window, (10, 95))
    floor = max(float(floor), LOWEST_FLOOR_DBFS)
    return floor + PAUSE_ABOVE_FLOOR * max(float(loud) - floor, 0.0)


def _best_cut(energy: Energy, threshold: float) -> int:
    """Frame of the cut: the middle of the longest pause (the last of equals), else of the quietest stretch."""
    quiet = np.concatenate(([False], energy <= threshold, [False])).astype(np.int8)
    edges = np.diff(quiet)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    lengths = ends - starts
    if len(lengths) and lengths.max() >= SHORTEST_PAUSE_FRAMES:
        longest = len(lengths) - 1 - int(np.argmax(lengths[::-1]))
        return int(starts[longest] + ends[longest]) // 2
    stretch = min(SHORTEST_PAUSE_FRAMES // 2, len(energy))
    smooth = np.convolve(10 ** (energy / 10), np.ones(stretch), mode="valid")
    return int(np.argmin(smooth)) + stretch // 2
