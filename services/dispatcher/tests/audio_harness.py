"""Recordings made of tones: loud enough to be no silence, with pauses where a test wants them."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import av
import numpy as np

from whisper_contracts.pcm import SAMPLE_RATE_HZ
from whisper_dispatcher.planner.decode import Decoder


@asynccontextmanager
async def started(max_duration_s: float) -> AsyncIterator[Decoder]:
    decoder = Decoder(max_duration_s=max_duration_s)
    await decoder.start()
    yield decoder
    await decoder.close()


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


def encoded(
    container: str, codec: str, *, seconds: float = 2, rate_hz: int = 48_000, layout: str = "mono", hertz: float = 440
) -> bytes:
    """A tone; in stereo its right channel is silent."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout=layout, bit_rate=64_000)
        resampler = av.AudioResampler(
            stream.format, layout, rate_hz, frame_size=stream.codec_context.frame_size or 1024
        )
        for second in range(int(np.ceil(seconds))):
            frame = tone_frame(min(1.0, seconds - second), rate_hz, layout, hertz)
            for block in resampler.resample(frame):
                output.mux(stream.encode(block))
        for block in resampler.resample(None):
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    return file.getvalue()


def tone_frame(seconds: float, rate_hz: int, layout: str, hertz: float) -> av.AudioFrame:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = (8000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)
    if layout == "stereo":
        samples = np.stack([samples, np.zeros_like(samples)], axis=1).ravel()
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate = rate_hz
    return frame


def silent_video() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()


def picture() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as output:
        stream = output.add_stream("png", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "rgb24"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()
